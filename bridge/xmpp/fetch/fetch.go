// Package fetch gets files by their address from the Internet, and puts some there,
// and nowhere else: the address is a stranger's word, and whoever believes it could be
// made to ask a router, a printer or himself. What an address leads to is decided when the
// connection is made, so that no name can lead elsewhere afterwards; each redirect
// is decided anew. Servers that the owner named are believed.
//
// It has no goroutines of its own and keeps no connections.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"nudge/bridge/im"
)

// Config is what Get needs to know.
type Config struct {
	// Hosts are servers that may be anywhere, as the addresses name them: HOST, or
	// HOST:PORT.
	Hosts []string
	Peers []netip.Addr   // machines that are believed by whatever name
	Roots *x509.CertPool // nil: those of the system
}

// The longest address, and how often a server may point to another one.
const (
	maxURL       = 2000
	maxRedirects = 5
)

// answerTime is how long a server may take to begin.
const answerTime = 30 * time.Second

// Usable tells whether text is the address of a file that could be fetched.
func Usable(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxURL && usable(u)
}

func usable(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.Opaque == ""
}

// Get opens the file at address; the caller closes it, and ctx must last until then.
// What is for a person is *im.Refused.
func Get(ctx context.Context, address string, c Config) (io.ReadCloser, im.File, error) {
	f := im.File{Ref: address}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil || !Usable(address) {
		return nil, f, fmt.Errorf("%q is no address of a file", address)
	}
	req.Header.Set("User-Agent", "nudge")
	resp, err := do(req, c.client())
	switch {
	case err != nil:
		return nil, f, err
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		resp.Body.Close()
		return nil, f, &im.Refused{Text: "The server does not have this file any more: " + address}
	case resp.StatusCode != http.StatusOK:
		resp.Body.Close()
		return nil, f, &im.Refused{Text: fmt.Sprintf("The server does not give this file away (%s): %s", resp.Status, address)}
	}
	f.Type, f.Size = resp.Header.Get("Content-Type"), max(resp.ContentLength, 0)
	return resp.Body, f, nil
}

// Put uploads f, of f.Size bytes, to an address and no other, with the fields in
// header, which it adds to. What is for a person is *im.Refused.
func Put(ctx context.Context, address string, header http.Header, f im.File, r io.Reader, c Config) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, io.NopCloser(r))
	if err != nil || !Usable(address) {
		return fmt.Errorf("%q is no address for a file", address)
	}
	req.Header = header
	header.Set("User-Agent", "nudge")
	header.Set("Content-Type", f.Type)
	req.ContentLength = f.Size
	client := c.client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := do(req, client)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return &im.Refused{Text: "The server at " + req.URL.Host + " does not take it (" + resp.Status + "). Try again later, or send it in another way."}
	}
	return nil
}

// do makes a request, and says in words why it must not be made.
func do(req *http.Request, client *http.Client) (*http.Response, error) {
	resp, err := client.Do(req)
	if errors.Is(err, errInside) {
		return nil, &im.Refused{Text: "This file's place is " + req.URL.String() + ", which leads to no public server but into a home network. The box uses such servers only when its owner named them, with the setting file_hosts of the link."}
	}
	return resp, err
}

func (c Config) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            c.dial,
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots},
			TLSHandshakeTimeout:    answerTime,
			ResponseHeaderTimeout:  answerTime,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true, // the file itself, of the size that was said
		},
		CheckRedirect: func(r *http.Request, before []*http.Request) error {
			if len(before) > maxRedirects || !usable(r.URL) || before[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return fmt.Errorf("the server points to %s, and that is not followed", r.URL)
			}
			return nil
		},
	}
}

// dial connects to addr, HOST:PORT, if it is believed or public.
func (c Config) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: answerTime}
	host, _, _ := net.SplitHostPort(addr)
	believed := slices.ContainsFunc(c.Hosts, func(h string) bool { return strings.EqualFold(h, host) || strings.EqualFold(h, addr) })
	if !believed {
		own, err := net.InterfaceAddrs()
		if err != nil {
			return nil, err
		}
		d.Control = func(_, at string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(at)
			if err != nil || !public(ap.Addr(), own) && !slices.Contains(c.Peers, ap.Addr().Unmap().WithZone("")) {
				return errInside
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}

var errInside = errors.New("no public server")

// inside are networks that are not the Internet, beside those that net/netip knows
// (RFC 6890 and its registries), or that hide another address.
var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"),
}

// internet6 is what is given to networks of the Internet.
var internet6 = netip.MustParsePrefix("2000::/3")

// siteBits is how much of an IPv6 address at most is the same all over a home: a
// provider gives out 48 to 64 bits.
const siteBits = 48

// public tells whether an address is one of the Internet and none of the networks
// that this machine is in.
func public(a netip.Addr, own []net.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !internet6.Contains(a) ||
		slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return false
	}
	for _, o := range own {
		p, err := netip.ParsePrefix(o.String())
		if err != nil {
			continue
		}
		if p.Addr().Is6() && p.Bits() > siteBits {
			p = netip.PrefixFrom(p.Addr(), siteBits)
		}
		if p.Contains(a) {
			return false
		}
	}
	return true
}
