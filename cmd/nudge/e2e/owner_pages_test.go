//go:build owner

package e2e

import (
	"context"
	"crypto/tls"
	"net"
	"regexp"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
	"nudge/cmd/nudge/e2e/textbrowser"
)

// What the owner reads off the journal and off the pages.
var (
	shownPages = regexp.MustCompile(`(http://\S+)\s+([a-z0-9]{4}-[a-z0-9]{4})\n`)
	shownDNS   = regexp.MustCompile(`enter (\S+) as the only DNS server`)
)

// TestOwnerOnPages does on the box's pages what the README says, from the code in
// the journal on: every page is reached by the links, buttons and fields that the
// page before shows. The PC of the end asks the box for names and trusts it by the
// kit of its client.
func TestOwnerOnPages(t *testing.T) {
	o := newOwner(t)
	o.install()
	said := o.follow("sudo journalctl -u nudge", "")
	shown := shownPages.FindStringSubmatch(said)
	if shown == nil {
		t.Fatalf("the journal shows no address with a code:\n%s", said)
	}
	p := &pages{o, textbrowser.New(nil)}
	p.sees(p.Visit(t.Context(), shown[1]), "Nobody owns these pages yet")
	p.sees(p.Press(t.Context(), "Set up this box", "Code", shown[2]), "Who are you?")
	p.sees(p.Press(t.Context(), "This is me", "Time zone", "Europe/Berlin", "Address", "alice@hotmail.com", "Your name", "Alice", "Password", "a-good-word"),
		"This box is yours now, alice@hotmail.com", "What next?")
	dns := shownDNS.FindStringSubmatch(p.Text())
	if dns == nil {
		t.Fatalf("no name server is told:\n%s", p.Text())
	}
	kits := "http://" + dns[1] + "/kit/"
	if !strings.Contains(p.Text(), kits) {
		t.Fatalf("it does not say that the PC is to open %s:\n%s", kits, p.Text())
	}
	p.sees(p.Follow(t.Context(), "Link your account"), "Links to other networks")
	p.sees(p.Follow(t.Context(), "xmpp"), "Link and test")
	p.sees(p.Press(t.Context(), "Link and test", "Address", o.me.ID, "Password", "not this one"), "Xmpp is not connected", "password")
	p.sees(p.Press(t.Context(), "Link and test", "Address", o.me.ID, "Password", o.me.Password), "Xmpp is connected")

	pc := &pages{o, textbrowser.New(nil)}
	pc.sees(pc.Visit(t.Context(), kits), "Kits for old PCs")
	pc.sees(pc.Follow(t.Context(), "MSN Messenger 5.0 to 6.2"), "name the box as the only DNS server", "NUDGEPC.REG", "the whole PC then trusts the box")
	pc.sees(pc.Follow(t.Context(), "NUDGE.CRT"))
	trust := &tls.Config{RootCAs: o.trusting(pc.Saved), ServerName: "nexus.passport.com"}
	lan := net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort(dns[1], "53"))
	}}}
	o.hello(msnclient.Config{
		Addr: "messenger.hotmail.com:1863", Handle: "alice@hotmail.com", Password: "a-good-word",
		Dial: func(ctx context.Context, addr string) (net.Conn, error) { return lan.DialContext(ctx, "tcp", addr) },
		Web: func(ctx context.Context) (net.Conn, error) {
			c, err := lan.DialContext(ctx, "tcp", "nexus.passport.com:443")
			if err != nil {
				return nil, err
			}
			secure := tls.Client(c, trust)
			return secure, secure.HandshakeContext(ctx)
		},
	})
}

// pages is somebody at a browser.
type pages struct {
	*owner
	*textbrowser.Browser
}

// sees ends the test unless the step succeeded and the page has these words.
func (p *pages) sees(err error, words ...string) {
	p.Helper()
	check(p, err)
	for _, w := range words {
		if !strings.Contains(p.Browser.Text(), w) {
			p.Fatalf("%q is not on the page:\n%s", w, p.Browser.Text())
		}
	}
	p.step("page: " + p.Title())
}
