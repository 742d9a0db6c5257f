package control

import (
	"context"
	"fmt"
)

// Gateways are named by their network: the Account of what these calls take is
// empty.
var (
	gatewayForms  = call[Done, []Network]{"/gateway/forms", (*Box).gatewayForms}
	gatewayAdd    = call[NewLink, Link]{"/gateway/add", (*Box).gatewayAdd}
	gatewayList   = call[LinkName, []Link]{"/gateway/list", (*Box).gatewayList}
	gatewaySet    = call[LinkSetting, Done]{"/gateway/set", (*Box).gatewaySet}
	gatewayRemove = call[LinkName, Done]{"/gateway/remove", (*Box).gatewayRemove}
)

// GatewayForms lists the networks that a gateway can be made to.
func (cl *Client) GatewayForms(ctx context.Context) ([]Network, error) {
	return ask(ctx, cl, gatewayForms, Done{})
}

// AddGateway connects all accounts to a network at once and tells how the gateway
// is after the wait. One that is not up is kept nevertheless.
func (cl *Client) AddGateway(ctx context.Context, g NewLink) (Link, error) {
	return ask(ctx, cl, gatewayAdd, g)
}

// Gateways lists the gateways.
func (cl *Client) Gateways(ctx context.Context) ([]Link, error) {
	return ask(ctx, cl, gatewayList, LinkName{})
}

// SetGateway changes a setting of a gateway.
func (cl *Client) SetGateway(ctx context.Context, s LinkSetting) error {
	_, err := ask(ctx, cl, gatewaySet, s)
	return err
}

// RemoveGateway ends a gateway and forgets it.
func (cl *Client) RemoveGateway(ctx context.Context, network string) error {
	_, err := ask(ctx, cl, gatewayRemove, LinkName{Network: network})
	return err
}

func (b *Box) gatewayForms(context.Context, Done) ([]Network, error) {
	all := []Network{}
	for _, name := range b.Hub.GatewayNetworks() {
		form, settings, err := b.Hub.GatewayForm(name)
		if err != nil {
			return nil, err
		}
		all = append(all, Network{name, fields(form), fields(settings)})
	}
	return all, nil
}

func (b *Box) gatewayAdd(ctx context.Context, g NewLink) (Link, error) {
	if err := b.Hub.AddGateway(ctx, g.Network, g.Values); err != nil {
		return Link{}, err
	}
	if b.Running && g.Wait > 0 {
		wait, cancel := context.WithTimeout(ctx, g.Wait)
		defer cancel()
		b.Hub.TestLink(wait, "", g.Network) // its error is the gateway's Text
	}
	for _, l := range b.Hub.Gateways() {
		if l.Net == g.Network {
			return b.link(l), nil
		}
	}
	return Link{}, fmt.Errorf("the gateway was removed meanwhile")
}

func (b *Box) gatewayList(context.Context, LinkName) ([]Link, error) {
	all := []Link{}
	for _, l := range b.Hub.Gateways() {
		all = append(all, b.link(l))
	}
	return all, nil
}

func (b *Box) gatewaySet(ctx context.Context, s LinkSetting) (Done, error) {
	return Done{}, b.Hub.SetLink(ctx, "", s.Network, s.Key, s.Value)
}

func (b *Box) gatewayRemove(ctx context.Context, g LinkName) (Done, error) {
	return Done{}, b.Hub.RemoveGateway(ctx, g.Network)
}
