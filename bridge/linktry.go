package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"nudge/bridge/im"
)

// SettingsForm lists what may be set on a link to net.
func (h *Hub) SettingsForm(net string) ([]im.Field, error) {
	n := h.nets[net]
	if n == nil {
		return nil, fmt.Errorf("there is no network %q; there are %s", net, strings.Join(h.Networks(), ", "))
	}
	return n.Settings(), nil
}

// settable checks a setting against the network's form.
func (p *port) settable(key, value string) error {
	n, net := p.network(), p.net
	if n == nil {
		return fmt.Errorf("the network %q is not in this build", net)
	}
	form := n.Settings()
	i := slices.IndexFunc(form, func(f im.Field) bool { return f.Key == key })
	switch {
	case i < 0:
		return fmt.Errorf("%s links have no setting %q", net, key)
	case value != "" && len(form[i].Choices) > 0 && !slices.Contains(form[i].Choices, value):
		return fmt.Errorf("%s can't be %q; choose one of %s", key, value, strings.Join(form[i].Choices, ", "))
	}
	return nil
}

// RetryLink lets a link that is down connect at once, also one that had given
// up. One that waits for its user goes on waiting.
func (h *Hub) RetryLink(handle, net string) error {
	h.mu.Lock()
	p, err := h.linkOf(handle, net)
	down := err == nil && p.state.State == im.Down && p.question == nil
	h.mu.Unlock()
	if down {
		p.retry()
	}
	return err
}

// TestLink waits until a link is up, or says why it is not: when ctx ends, or at
// once when trying again is of no use or the link waits for its user.
func (h *Hub) TestLink(ctx context.Context, handle, net string) error {
	for {
		h.mu.Lock()
		p, err := h.linkOf(handle, net)
		var st im.LinkState
		var stuck bool // it needs a person
		var changed <-chan struct{}
		if err == nil {
			st, stuck, changed = p.state, p.stuck || p.question != nil, p.changed()
		}
		h.mu.Unlock()
		switch {
		case err != nil:
			return err
		case st.State != im.Down:
			return nil
		case stuck:
			return fmt.Errorf("%s is not connected: %s", net, st.Text)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s is not connected: %s", net, st.Text)
		}
	}
}
