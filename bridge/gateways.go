package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nudge/bridge/im"
	"nudge/store"
)

// A gateway is a link that the owner made for all accounts at once: an XMPP
// component, a Matrix application service. It speaks for every account that has no
// link of its own to that network. What may be done with links by their account's
// handle may be done with gateways by the empty one: SetLink, TestLink, RetryLink.

// GatewayNetworks lists the networks a gateway can be made to.
func (h *Hub) GatewayNetworks() []string { return slices.Sorted(maps.Keys(h.gates)) }

// GatewayForm is the log-in form of a gateway and what may be set on it later.
func (h *Hub) GatewayForm(net string) (form, settings []im.Field, err error) {
	n := h.gates[net]
	if n == nil {
		return nil, nil, fmt.Errorf("there is no gateway to %q; there are %s", net, strings.Join(h.GatewayNetworks(), ", "))
	}
	return n.Fields(), n.Settings(), nil
}

// AddGateway connects all accounts to a network with the form's values. There is
// one gateway per network; adding it again replaces the log-in data and keeps
// what waits.
func (h *Hub) AddGateway(ctx context.Context, net string, values map[string]string) error {
	form, _, err := h.GatewayForm(net)
	if err != nil {
		return err
	}
	h.mu.Lock()
	rec := newRecord(net, h.shared[net])
	h.mu.Unlock()
	if err := h.fill(&rec, form, values); err != nil {
		return err
	}
	h.mu.Lock()
	p := h.shared[net]
	if p == nil {
		p = newPort(h, rec, nil)
		h.shared[net] = p
	}
	return h.relink(ctx, p, rec)
}

// gateway finds one that the owner made. The lock is held.
func (h *Hub) gateway(net string) (*port, error) {
	p := h.shared[net]
	if p == nil || h.gates[net] == nil {
		return nil, fmt.Errorf("there is no gateway to %s; nudge gateway add makes one", net)
	}
	return p, nil
}

// RemoveGateway ends a gateway and forgets its log-in data, and the contacts and
// subscriptions that accounts had by it.
func (h *Hub) RemoveGateway(ctx context.Context, net string) error {
	h.mu.Lock()
	p, err := h.gateway(net)
	h.mu.Unlock()
	if err != nil {
		return err
	}
	p.stop()
	h.mu.Lock()
	users := []string{""}
	for _, a := range h.accounts {
		if a.port(net) != p {
			continue
		}
		users = append(users, a.key)
		for _, c := range a.contacts {
			if c.Net == net {
				a.gone(c)
			}
		}
	}
	delete(h.shared, net)
	h.tidyPictures()
	h.db.Do(store.Now, func(tx *store.Tx) (err error) {
		for _, user := range users {
			err = errors.Join(err, tx.DeleteLink(user, net))
		}
		return err
	}, h.logged("gateway"))
	h.mu.Unlock()
	return h.db.Sync(ctx)
}

// Gateways lists the gateways.
func (h *Hub) Gateways() []LinkInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []LinkInfo
	for _, net := range h.GatewayNetworks() {
		if p := h.shared[net]; p != nil {
			all = append(all, p.info(""))
		}
	}
	return all
}
