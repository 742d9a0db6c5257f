package control

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Keys of what the name server does.
const (
	SettingUpstream  = "names-upstream"
	SettingLoginLive = "names-login-live"
	SettingPatched   = "names-patched"
)

// ListenerNames is the name of the listener for DNS.
const ListenerNames = "names"

// On is the value of a setting that switches something on.
const On = "on"

// Upstream is the name server that a value of SettingUpstream means, on port 53
// when it names none. Empty means none.
func Upstream(value string) (netip.AddrPort, error) {
	const standard = 53
	if value == "" {
		return netip.AddrPort{}, nil
	}
	if a, err := netip.ParseAddr(value); err == nil && !a.IsUnspecified() {
		return netip.AddrPortFrom(a, standard), nil
	}
	if a, err := netip.ParseAddrPort(value); err == nil && !a.Addr().IsUnspecified() && a.Port() != 0 {
		return a, nil
	}
	return netip.AddrPort{}, fmt.Errorf("it must be the address of a name server, such as 192.168.1.1 or 192.168.1.1:5353")
}

// mostPCs is how many addresses and networks may be listed.
const mostPCs = 256

// PCs are the addresses and networks that a value of SettingLoginLive lists.
func PCs(value string) (all []netip.Prefix, err error) {
	for _, f := range strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' }) {
		p, err := netip.ParsePrefix(f)
		if a, err2 := netip.ParseAddr(f); err2 == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Bits() == 0 || len(all) == mostPCs {
			return nil, fmt.Errorf("it must be at most %d addresses of PCs or networks, such as 192.168.1.30 192.168.2.0/24", mostPCs)
		}
		all = append(all, p)
	}
	return all, nil
}

func upstreamWrong(v string) string { _, err := Upstream(v); return wrong(err) }

func pcsWrong(v string) string { _, err := PCs(v); return wrong(err) }

func wrong(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// oldName is what the oldest clients look for, and all but the newest.
const oldName = "messenger.hotmail.com"

// lookupTime is how long the network's name server may take.
const lookupTime = 3 * time.Second

// checkLead finds out whether the network's name server leads old PCs here.
// answers: the box's own would.
func (b *Box) checkLead(ctx context.Context, answers bool) []Check {
	if b.Lookup == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	addrs, err := b.Lookup(ctx, oldName)
	c := Check{Name: "old names", Verdict: Good}
	switch {
	case err == nil && slices.ContainsFunc(addrs, b.own):
		c.Text = "this network's name server leads " + oldName + " to this box"
	case err == nil && slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap().IsPrivate() }):
		c.Verdict, c.Text = Warn, fmt.Sprintf("this network's name server leads %s to %v, which is not this box: has its address changed?", oldName, addrs)
	case answers:
		c.Text = "this network's name server does not lead " + oldName + " here: each old PC must have this box as its only DNS server"
	default:
		c.Verdict, c.Text = Warn, "nobody leads "+oldName+" here: write it into the hosts file of each old PC, or let the router's name server do it"
	}
	return []Check{c}
}

// own tells whether a is an address of this machine.
func (b *Box) own(a netip.Addr) bool {
	addrs, _ := net.InterfaceAddrs() // none: none is ours
	return slices.ContainsFunc(addrs, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr() == a.Unmap()
	})
}

// checkNames looks at who leads old PCs here, and at what becomes of names that do
// not lead here.
func (b *Box) checkNames(ctx context.Context) ([]Check, error) {
	answers := false
	for _, l := range b.Listeners {
		answers = answers || l.Name == ListenerNames && l.Addr != ""
	}
	lead := b.checkLead(ctx, answers)
	if !answers {
		return lead, nil // the ports say so
	}
	all, err := b.settingList(ctx, Done{})
	if err != nil {
		return nil, err
	}
	c := Check{"other names", Good, "are refused; for PCs that have this box as their only name server: nudge setting " + SettingUpstream + " 192.168.1.1"}
	for _, s := range all {
		if s.Key == SettingUpstream && s.Value != "" {
			c.Text = "are asked of " + s.Value
			if err := b.NamesUpstream(); err != nil {
				c.Verdict, c.Text = Bad, c.Text+", which fails: "+err.Error()+"; see the setting "+SettingUpstream
			}
		}
	}
	return append(lead, c), nil
}
