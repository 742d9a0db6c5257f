package msnclient

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"
)

// Build numbers and names that CVR tells (MSNP.md B.4).
const (
	clientName    = "MSNMSGR"
	clientVersion = "5.0.0544"
)

// SignIn connects and signs in as far as the server's OK. The client has no
// lists yet (Sync) and is not yet visible (SetStatus).
func SignIn(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	c := &Client{Log: newLog(), cfg: cfg}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.signIn(ctx); err != nil {
		c.Kill()
		return nil, fmt.Errorf("sign-in of %s at %s with %s: %w", cfg.Handle, cfg.Addr, cfg.Version.Name, err)
	}
	return c, nil
}

func (c *Client) signIn(ctx context.Context) (err error) {
	v := c.cfg.Version
	if c.ns, err = c.dial(ctx, c.cfg.Addr, nil); err != nil {
		return err
	}
	e, err := c.do(ctx, c.ns, "VER", v.Name, "CVR0")
	if err != nil {
		return err
	}
	if e.Args[1] != v.Name {
		return fmt.Errorf("the server chose %q", e.Args[1])
	}
	auth := v.auth(c.cfg.Auth)
	if !v.MD5() { // the others tell after signing in
		_, err := c.do(ctx, c.ns, "CVR", "0x0409", "win", "4.10", "i386", clientName, clientVersion, "MSMSGS", c.cfg.Handle)
		if err != nil {
			return err
		}
	}
	if auth == ByMD5 {
		e, err = c.md5(ctx)
	} else {
		e, err = c.passport(ctx, auth)
	}
	if err != nil {
		return err
	}
	return c.welcomed(e)
}

// welcomed reads `USR trid OK handle [name] [verified [kids]]`.
func (c *Client) welcomed(e Event) error {
	v, a := c.cfg.Version, e.Args
	extra := 0
	switch {
	case v.number >= 8:
		extra = 2
	case v.number >= 6:
		extra = 1
	}
	if !v.ids() {
		extra++ // the name
	}
	if a[1] != "OK" || len(a) != 3+extra || !strings.EqualFold(a[2], c.cfg.Handle) {
		return fmt.Errorf("not an OK: %q", e.Line)
	}
	if !v.ids() {
		c.Name = decode(a[3])
	}
	return nil
}

// md5 answers the challenge of MSNP2–7 (MSNP.md B.5.1).
func (c *Client) md5(ctx context.Context) (Event, error) {
	e, err := c.do(ctx, c.ns, "INF")
	if err != nil {
		return Event{}, err
	}
	if e.Args[1] != "MD5" {
		return Event{}, fmt.Errorf("INF offers %q", e.Args[1])
	}
	challenge, err := c.challenged(ctx, "MD5")
	if err != nil {
		return Event{}, err
	}
	sum := md5.Sum([]byte(challenge + c.cfg.Password))
	return c.do(ctx, c.ns, "USR", "MD5", "S", hex.EncodeToString(sum[:]))
}

// passport fetches a ticket and shows it (MSNP.md B.5.2).
func (c *Client) passport(ctx context.Context, auth Auth) (Event, error) {
	challenge, err := c.challenged(ctx, "TWN")
	if err != nil {
		return Event{}, err
	}
	for _, key := range []string{"lc", "id", "tw", "fs", "ru", "ct", "kpp", "kv", "ver", "tpf"} {
		if field(challenge, key+"=") == "" {
			return Event{}, fmt.Errorf("the challenge has no %s: %s", key, challenge)
		}
	}
	get := c.ticket
	if auth == ByToken {
		get = c.token
	}
	ticket, err := get(ctx, challenge)
	if err != nil {
		return Event{}, err
	}
	return c.do(ctx, c.ns, "USR", "TWN", "S", ticket)
}

// challenged names the account and returns the challenge.
func (c *Client) challenged(ctx context.Context, way string) (string, error) {
	e, err := c.do(ctx, c.ns, "USR", way, "I", c.cfg.Handle)
	if err != nil {
		return "", err
	}
	if len(e.Args) != 4 || e.Args[1] != way || e.Args[2] != "S" {
		return "", fmt.Errorf("not a challenge: %q", e.Line)
	}
	return e.Args[3], nil
}
