package control

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
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

// checkNames looks at what becomes of names that do not lead here.
func (b *Box) checkNames(ctx context.Context) ([]Check, error) {
	answers := false
	for _, l := range b.Listeners {
		answers = answers || l.Name == ListenerNames && l.Addr != ""
	}
	if !answers {
		return nil, nil // the ports say so
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
	return []Check{c}, nil
}
