package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"nudge/cmd/nudge/control"
	"nudge/cmd/nudge/e2e/msnclient"
)

// demoCmd shows a box at work.
type demoCmd struct{}

// Help is the example.
func (demoCmd) Help() string {
	return "Starts a box of its own on this machine only, lets two old clients sign in over real connections, find each other and the assistant, and chat. " +
		"It takes a few seconds and leaves nothing behind. Example:\n\n\tnudge demo"
}

// demoTime is how long the demonstration may take at most; it takes one or two
// seconds.
const demoTime = time.Minute

// Run plays the demonstration.
func (demoCmd) Run(e *env) error {
	dir, err := os.MkdirTemp("", "nudge-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(e.ctx, demoTime)
	defer cancel()
	const anyPort = "127.0.0.1:0"
	s, err := start(config{Data: dir, MSN: anyPort, HTTP: anyPort, HTTPS: anyPort, Names: off}, newLog(e.stderr, slog.LevelWarn), nil, nil)
	if err != nil {
		return err
	}
	d := &demo{out: e.stdout, server: s, began: time.Now()}
	err = d.play(ctx)
	for _, a := range []*actor{d.alice, d.bob} {
		if a != nil && a.Client != nil {
			a.Close()
		}
	}
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancelStop()
	if err = errors.Join(err, s.stop(stop)); err != nil {
		return fmt.Errorf("the demonstration failed: %w", err)
	}
	fmt.Fprint(e.stdout, howToGoOn)
	return nil
}

const howToGoOn = `
All of this went over real connections through a real box, which is gone again.
To have one that stays:

  nudge                                      run the box (as root: old clients need ports 80 and 443)
  nudge user add alice@hotmail.com --md5     make an account; --md5 lets MSN Messenger 1.0 to 4.6 sign in
  nudge link add --help                      link it to Matrix or XMPP
  nudge status                               see who is there

On the old PC let messenger.hotmail.com, nexus.passport.com and login.passport.com
lead to the box: in C:\WINDOWS\hosts or C:\WINDOWS\system32\drivers\etc\hosts.
`

// demo is a throw-away box with two people at old PCs.
type demo struct {
	out        io.Writer
	server     *server
	began      time.Time
	alice, bob *actor
}

// actor is a person at an old PC.
type actor struct {
	*msnclient.Client
	name, handle string
}

// play is the play.
func (d *demo) play(ctx context.Context) error {
	fmt.Fprint(d.out, "A throw-away box on this machine, and two old PCs in front of it:\n\n")
	var err error
	if d.alice, err = d.person(ctx, "Alice", "alice@hotmail.com", "MSN Messenger 1.0 (1999), signs in with MD5", msnclient.MSNP2, true); err != nil {
		return err
	}
	if d.bob, err = d.person(ctx, "Bob", "bob@hotmail.com", "MSN Messenger 5.0 (2002), signs in with Passport over HTTPS", msnclient.MSNP8, false); err != nil {
		return err
	}
	fmt.Fprintln(d.out)
	for _, scene := range []func(context.Context) error{d.meet, d.askAssistant, d.chat, d.part} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// person makes an account and signs it in.
func (d *demo) person(ctx context.Context, name, handle, with string, v msnclient.Version, md5 bool) (*actor, error) {
	owner := control.Local(d.server.box)
	made, err := owner.AddUser(ctx, control.NewUser{Handle: handle, Name: name, MD5: md5})
	if err != nil {
		return nil, err
	}
	trust, err := d.trust(ctx)
	if err != nil {
		return nil, err
	}
	addr := map[string]string{}
	for _, l := range d.server.box.Listeners {
		addr[l.Name] = l.Addr
	}
	c, err := msnclient.SignIn(ctx, msnclient.Config{
		Version: v, Addr: addr["msn"], HTTPS: addr["https"], TLS: trust,
		Handle: handle, Password: made.Password, Answer: true,
	})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(d.out, "  %-6s %s, %s\n", name, handle, with)
	return &actor{c, name, handle}, nil
}

// trust is the box's certificate, as the owner would install it on a PC.
func (d *demo) trust(ctx context.Context) (*tls.Config, error) {
	der, err := d.server.cert.Root(ctx)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return &tls.Config{RootCAs: roots}, nil
}

// does prints what somebody does, and when.
func (d *demo) does(a *actor, format string, args ...any) {
	fmt.Fprintf(d.out, "%6.2f s  %-6s %s\n", time.Since(d.began).Seconds(), a.name, fmt.Sprintf(format, args...))
}

// sees prints what somebody is shown.
func (d *demo) sees(a *actor, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+strings.Repeat(" ", 32))
	fmt.Fprintf(d.out, "%16s  → %-5s sees: %s\n", "", a.name, text)
}

// meet: both get their lists and show up, add each other, and one is busy.
func (d *demo) meet(ctx context.Context) error {
	for _, a := range []*actor{d.alice, d.bob} {
		if _, err := a.Sync(ctx); err != nil {
			return err
		}
		if err := a.SetStatus(ctx, "NLN"); err != nil {
			return err
		}
		d.does(a, "is online")
	}
	for _, pair := range [][2]*actor{{d.alice, d.bob}, {d.bob, d.alice}} {
		a, other := pair[0], pair[1]
		from := other.Log.Len()
		if err := errors.Join(a.Add(ctx, msnclient.AL, other.handle), a.Add(ctx, msnclient.FL, other.handle)); err != nil {
			return err
		}
		d.does(a, "adds %s", other.handle)
		e, err := other.Log.Wait(ctx, from, func(e msnclient.Event) bool {
			return e.Cmd == "ADD" && len(e.Args) > 3 && e.Args[1] == "RL" && strings.EqualFold(e.Args[3], a.handle)
		})
		if err != nil {
			return err
		}
		d.sees(other, "%s has added you", e.Args[3])
	}
	if err := errors.Join(d.presence(ctx, d.alice, d.bob, "NLN", 0), d.presence(ctx, d.bob, d.alice, "NLN", 0)); err != nil {
		return err
	}
	from := d.alice.Log.Len()
	if err := d.bob.SetStatus(ctx, "BSY"); err != nil {
		return err
	}
	d.does(d.bob, "sets his status to busy")
	return d.presence(ctx, d.alice, d.bob, "BSY", from)
}

// presence waits until a is shown a state of other.
func (d *demo) presence(ctx context.Context, a, other *actor, state string, from int) error {
	e, err := a.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		h, s, _ := e.Presence()
		return strings.EqualFold(h, other.handle) && s == state
	})
	if err != nil {
		return err
	}
	_, _, name := e.Presence()
	if name == "" {
		name = other.name
	}
	d.sees(a, "%s is %s", name, map[string]string{"NLN": "online", "BSY": "busy", "FLN": "offline"}[state])
	return nil
}

// askAssistant: the box itself is a contact and answers.
func (d *demo) askAssistant(ctx context.Context) error {
	const its = "Nudge"
	e, err := d.alice.Log.Wait(ctx, 0, func(e msnclient.Event) bool {
		_, state, name := e.Presence()
		return state == "NLN" && name == its
	})
	if err != nil {
		return fmt.Errorf("the assistant does not show up: %w", err)
	}
	handle, _, _ := e.Presence()
	chat, err := d.alice.Invite(ctx, handle)
	if err != nil {
		return err
	}
	defer chat.Leave()
	for _, text := range []string{"status", "find bob"} {
		from := d.alice.Log.Len()
		if err := chat.Send(ctx, text); err != nil {
			return err
		}
		d.does(d.alice, "writes to the box's own contact %s: %s", its, text)
		answer, err := d.message(ctx, d.alice, from)
		if err != nil {
			return err
		}
		said, _ := answer.Text()
		d.sees(d.alice, "%s: %s", its, strings.ReplaceAll(said, "\r\n", "\n"))
	}
	return nil
}

// chat: they talk to each other in one window.
func (d *demo) chat(ctx context.Context) error {
	chat, err := d.alice.Invite(ctx, d.bob.handle)
	if err != nil {
		return err
	}
	d.does(d.alice, "opens a conversation with Bob")
	windows := map[*actor]*msnclient.Chat{d.alice: chat}
	for _, line := range []struct {
		a, other *actor
		text     string
	}{
		{d.alice, d.bob, "hi bob :) is that really MSN in there?"},
		{d.bob, d.alice, "it is! and you write from 1999, I sit in 2002 ;)"},
		{d.alice, d.bob, "Grüße aus der Vergangenheit"},
	} {
		from := line.other.Log.Len()
		if err := windows[line.a].Typing(); err != nil {
			return err
		}
		d.does(line.a, "is writing …")
		typing, err := line.other.Log.Wait(ctx, from, func(e msnclient.Event) bool { return e.Typing() != "" })
		if err != nil {
			return err
		}
		d.sees(line.other, "%s is writing a message", line.a.name)
		windows[line.other] = typing.Chat
		if err := windows[line.a].Send(ctx, line.text); err != nil {
			return err
		}
		d.does(line.a, "writes: %s", line.text)
		e, err := d.message(ctx, line.other, from)
		if err != nil {
			return err
		}
		text, _ := e.Text()
		d.sees(line.other, "%s: %s", line.a.name, text)
	}
	return nil
}

// message waits for the next text that a is shown.
func (d *demo) message(ctx context.Context, a *actor, from int) (msnclient.Event, error) {
	return a.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		_, ok := e.Text()
		return ok && e.Chat != nil
	})
}

// part: one leaves, the other sees it.
func (d *demo) part(ctx context.Context) error {
	from := d.alice.Log.Len()
	d.bob.Close()
	d.does(d.bob, "signs out")
	return d.presence(ctx, d.alice, d.bob, "FLN", from)
}
