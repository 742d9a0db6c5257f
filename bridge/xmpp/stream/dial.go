package stream

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// target is one place to try: TLS from the first byte (direct) or after
// STARTTLS.
type target struct {
	host   string
	port   uint16
	direct bool
}

func (t target) addr() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

// The ports where servers listen when DNS says nothing (RFC 6120 §3.2.2;
// 5223 by custom).
const (
	portStartTLS = 5222
	portDirect   = 5223
)

// targets says where to connect, best first: the configured server, or what
// the domain's SRV records say (RFC 6120 §3.2.1, XEP-0368), or the domain.
func (c *Config) targets(ctx context.Context) ([]target, error) {
	if c.Server != "" {
		return c.configured()
	}
	domain, err := idna.Lookup.ToASCII(c.JID.Domain)
	if err != nil {
		domain = c.JID.Domain
	}
	var found []target
	var prio []uint16
	denied := false
	for _, s := range []struct {
		service string
		mode    TLSMode
	}{{"xmpps-client", Direct}, {"xmpp-client", StartTLS}} {
		if c.TLS != Auto && c.TLS != s.mode || net.ParseIP(domain) != nil {
			continue
		}
		_, records, err := c.LookupSRV(ctx, s.service, "tcp", domain)
		if err != nil {
			continue // no records or no DNS: the domain itself is tried
		}
		for _, r := range records {
			if r.Target == "." || r.Target == "" {
				denied = true
				continue
			}
			found = append(found, target{strings.TrimSuffix(r.Target, "."), r.Port, s.mode == Direct})
			prio = append(prio, r.Priority)
		}
	}
	if len(found) > 0 {
		return byPriority(found, prio), nil
	}
	if denied {
		return nil, &Error{Kind: Refused, Text: c.JID.Domain + " says that it has no chat server for accounts. Check the address."}
	}
	if c.TLS != Direct {
		found = append(found, target{domain, portStartTLS, false})
	}
	if c.TLS != StartTLS {
		found = append(found, target{domain, portDirect, true})
	}
	return found, nil
}

// byPriority sorts by SRV priority; records of the same priority keep the
// order that the resolver shuffled by weight, direct TLS first.
func byPriority(found []target, prio []uint16) []target {
	order := make([]int, len(found))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(prio[a], prio[b]) })
	out := make([]target, len(found))
	for i, k := range order {
		out[i] = found[k]
	}
	return out
}

// configured reads Server, "host" or "host:port".
func (c *Config) configured() ([]target, error) {
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		host = strings.Trim(c.Server, "[]")
		out := []target{{host, portStartTLS, false}, {host, portDirect, true}}
		switch c.TLS {
		case StartTLS:
			out = out[:1]
		case Direct:
			out = out[1:]
		}
		return out, nil
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" {
		return nil, &Error{Kind: Refused, Text: fmt.Sprintf("The server %q is not of the form host or host:port.", c.Server)}
	}
	return []target{{host, uint16(p), c.TLS == Direct || c.TLS == Auto && p == portDirect}}, nil
}

// signIn connects to the first target that answers and negotiates up to the
// point where the account is logged in.
func (s *Stream) signIn(ctx context.Context) (*wire, error) { return s.reach(ctx, s.negotiate) }

// talk is what is done first on a connection, which has TLS from the start when direct.
type talk func(ctx context.Context, w *wire, direct bool) error

// reach connects to the first target that answers and does begin there. It follows
// see-other-host twice.
func (s *Stream) reach(ctx context.Context, begin talk) (*wire, error) {
	targets, err := s.cfg.targets(ctx)
	if err != nil {
		return nil, err
	}
	var first error
	for i, hops := 0, 0; i < len(targets); i++ {
		w, err := s.try(ctx, targets[i], begin)
		if err == nil {
			return w, nil
		}
		var e *Error
		if !errors.As(err, &e) {
			e = networkError(targets[i].host, err)
		}
		if e.redirect != "" && hops < 2 {
			hops++
			other := s.cfg
			other.Server = e.redirect
			if more, err := other.targets(ctx); err == nil {
				targets = slices.Insert(targets, i+1, more...)
			}
		}
		if first == nil || e.Kind != Network && kindOf(first) == Network {
			first = e
		}
		if e.Kind == Credentials || ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Network
}

// try connects to one target and begins there.
func (s *Stream) try(ctx context.Context, t target, begin talk) (*wire, error) {
	here := func(ctx context.Context, w *wire) error { return begin(ctx, w, t.direct) }
	return s.connect(ctx, t, here, func(err error) error { return explain(t.host, err) })
}

// connect connects to one target; everything up to the log-in has one deadline.
// What that met is put into words by explain.
func (s *Stream) connect(ctx context.Context, t target, logIn func(context.Context, *wire) error, explain func(error) error) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	conn, err := s.cfg.Dial(ctx, "tcp", t.addr())
	if err != nil {
		return nil, networkError(t.host, err)
	}
	w := &wire{conn: conn}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = logIn(ctx, w)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, explain(err)
	}
	return w, nil
}

// explain turns what negotiation met into an *Error.
func explain(host string, err error) error {
	var (
		e   *Error
		bad *xml.SyntaxError
	)
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &bad) && !isCut(err):
		return brokenError("broken XML")
	case errors.Is(err, errNoStream), errors.Is(err, errXML), errors.Is(err, errTooBig):
		return brokenError(err.Error())
	}
	return networkError(host, err)
}

// secure puts TLS on the wire. The certificate must be valid for the domain of
// the account, wherever DNS or the owner sent us.
func (s *Stream) secure(ctx context.Context, w *wire, direct bool) error {
	name, err := idna.Lookup.ToASCII(s.cfg.JID.Domain)
	if err != nil {
		name = s.cfg.JID.Domain
	}
	cfg := &tls.Config{ServerName: name, RootCAs: s.cfg.RootCAs, MinVersion: tls.VersionTLS12}
	if direct {
		cfg.NextProtos = []string{"xmpp-client"}
	}
	conn := tls.Client(w.conn, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return tlsError(s.cfg.JID.Domain, err)
	}
	w.conn, w.secure = conn, true
	return nil
}
