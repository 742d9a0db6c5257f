package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// overHTTP is a client that reaches the box through its gateway, at addr.
func overHTTP(addr string, g msnclient.Gateway) msnclient.Gateway {
	if g.Host == "" {
		g.Host = addr
	}
	g.Connect = func(ctx context.Context) (net.Conn, error) {
		return dialTCP(ctx, addr, func(net.Conn) error { return nil })
	}
	return g
}

// overTLS is one that comes to port 443, as BitlBee does: one that has two
// requests on their way.
func overTLS(addr string) msnclient.Gateway {
	return msnclient.Gateway{Host: addr, Every: 500 * time.Millisecond, Eager: true, Connect: func(ctx context.Context) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		return d.DialContext(ctx, "tcp", addr)
	}}
}

// comesBy signs the scene's client in by another way than to the box's ports.
func (sc *scene) comesBy(t testing.TB, change func(*msnclient.Config)) {
	t.Helper()
	cfg := sc.box.config(sc.version, aliceHandle)
	change(&cfg)
	c, err := msnclient.SignIn(t.Context(), cfg)
	check(t, err)
	t.Cleanup(c.Kill)
	sc.client = c
	sc.lists, err = c.Sync(t.Context())
	check(t, err)
	check(t, c.SetStatus(t.Context(), "NLN"))
}

// TestGateway chats over the gateway with real servers behind the box: with a
// client that keeps to the rules and one that always has two polls on their way,
// straight, with a connection that is cut, and with a proxy in between.
func TestGateway(t *testing.T) {
	for _, kind := range []string{"prosody", "dendrite"} {
		t.Run(kind, func(t *testing.T) {
			end2end(t)
			sc := newScene(t, msnclient.MSNP8, sharedServer(t, kind), "")
			wire := newProxy(t, sc.box.HTTP)
			web := tinyproxy(t)
			for _, way := range []struct {
				name string
				g    msnclient.Gateway
			}{
				{"obedient", overHTTP(sc.box.HTTP, msnclient.Gateway{Every: 200 * time.Millisecond})},
				{"two polls at once", overHTTP(sc.box.HTTP, msnclient.Gateway{Every: 50 * time.Millisecond, Eager: true})},
				{"HTTP 1.0", overHTTP(sc.box.HTTP, msnclient.Gateway{Every: 200 * time.Millisecond, Old: true})},
				{"HTTP proxy", overHTTP(web, msnclient.Gateway{Every: 200 * time.Millisecond, Host: sc.box.HTTP, Absolute: true})},
				{"HTTP proxy, two polls at once", overHTTP(web, msnclient.Gateway{Every: 100 * time.Millisecond, Host: sc.box.HTTP, Absolute: true, Eager: true})},
				{"HTTPS", overTLS(sc.box.HTTPS)},
			} {
				t.Run(way.name, func(t *testing.T) {
					sc.comesBy(t, func(c *msnclient.Config) { c.Dial, c.Polls = way.g.Dial, true })
					sc.talk(t, way.name+", hello")
					sc.talk(t, way.name+", hello again")
					sc.client.Close()
				})
			}
			for _, eager := range []bool{false, true} {
				t.Run(fmt.Sprintf("cut/eager=%v", eager), func(t *testing.T) {
					g := overHTTP(wire.Addr, msnclient.Gateway{Every: 100 * time.Millisecond, Eager: eager})
					sc.comesBy(t, func(c *msnclient.Config) { c.Dial, c.Polls = g.Dial, true })
					sc.survives(t, wire, fmt.Sprint("eager ", eager))
					sc.client.Close()
				})
			}
		})
	}
}

// survives talks over a connection that is cut again and again, at any time
// between and within polls: everything comes, once and in order.
func (sc *scene) survives(t *testing.T, wire *proxy, word string) {
	t.Helper()
	sc.talk(t, word+" begins")
	wire.Delay(5 * time.Millisecond) // so that a cut finds something on its way
	ctx, from, mark := waiting(t, 2*patience), sc.client.Log.Len(), sc.bob.Mark()
	var in, out []string
	for i := range 12 {
		in, out = append(in, fmt.Sprintf("%s in %d.", word, i)), append(out, fmt.Sprintf("%s out %d.", word, i))
		check(t, sc.bob.Say(ctx, in[i]))
		_, err := sc.chat(t).Post(out[i], msnclient.IfLost)
		check(t, err)
		time.Sleep(time.Duration(i*7) * time.Millisecond) // somewhere else in what is going on each time
		wire.Cut()
		wire.Mend()
	}
	check(t, sc.bob.Heard(ctx, mark, out[len(out)-1]))
	_, err := sc.hears(ctx, from, sc.bob.Person(), in[len(in)-1])
	check(t, err)
	sc.talk(t, word+" ends")
	var got []string
	for _, e := range sc.client.Log.Since(from) {
		if text, ok := e.Text(); ok && strings.Contains(text, word+" in ") {
			got = append(got, text)
		}
	}
	if strings.Join(got, " ") != strings.Join(in, " ") {
		t.Errorf("the client got %q", got)
	}
	if all := sc.bob.Archive(t); !inOrder(all, out...) {
		t.Errorf("bob got %q", all)
	}
}

// TestProxies signs in from behind a real proxy of each kind that old clients
// know, and chats.
func TestProxies(t *testing.T) {
	end2end(t)
	sc := newScene(t, msnclient.MSNP8, sharedServer(t, "prosody"), "")
	web, socks := tinyproxy(t), danted(t)
	through := func(proxy string, speak func(string) func(net.Conn) error) func(*msnclient.Config) {
		return func(c *msnclient.Config) {
			c.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dialTCP(ctx, proxy, speak(addr)) }
			c.Web = func(ctx context.Context) (net.Conn, error) {
				nc, err := dialTCP(ctx, proxy, speak(sc.box.HTTPS))
				if err != nil {
					return nil, err
				}
				tc := tls.Client(nc, c.TLS)
				return tc, tc.HandshakeContext(ctx)
			}
		}
	}
	for _, way := range []struct {
		name   string
		change func(*msnclient.Config)
	}{
		{"HTTP: gateway, and CONNECT for 443", func(c *msnclient.Config) {
			through(web, httpConnect)(c)
			g := overHTTP(web, msnclient.Gateway{Every: 200 * time.Millisecond, Host: sc.box.HTTP, Absolute: true})
			c.Dial, c.Polls = g.Dial, true
		}},
		{"HTTP: CONNECT for all", through(web, httpConnect)},
		{"SOCKS 4", through(socks, socks4)},
		{"SOCKS 5", through(socks, socks5)},
	} {
		t.Run(way.name, func(t *testing.T) {
			sc.comesBy(t, way.change)
			sc.talk(t, way.name)
			sc.client.Close()
		})
	}
}
