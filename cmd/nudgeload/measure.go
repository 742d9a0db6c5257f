package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// figures are what one server showed in one round; the names of the fields are
// those of the JSON output.
type figures struct {
	IdleMB       float64 // memory without a client
	ClientKB     float64 // memory for each client that is on line and silent
	RestUS       float64 // processor time of such a client in a second, in µs
	LoginUS      float64 // processor time of a sign-in, in µs
	Logins       float64 // sign-ins a second
	LoginMS      float64 // how long a sign-in takes: median
	PresenceMS   float64 // from CHG to a contact's NLN: median
	PresenceP99  float64
	MessageUS    float64 // processor time of a message when many are on their way, in µs
	Messages     float64 // messages a second then
	MessageMS    float64 // from a sender's write to the receiver's read, one at a time: median
	MessageP99   float64
	MessageOneUS float64 // processor time of a message then, in µs
	OthersPart   float64 // of the server's core, in percent, while many messages are on their way
}

// run is what a measurement is made of.
type run struct {
	crowd
	version version
	nudge   string // binary
	gateway bool   // clients come over HTTP
	data    string // folder with the accounts
	atOnce  int    // sign-ins
	pairs   int
	flight  int           // messages of a pair on their way
	talk    int           // messages of a pair in all
	changes int           // of presence
	rest    time.Duration // how long a server must be idle before its memory counts
}

// prepare makes the accounts.
func (r run) prepare(ctx context.Context) error {
	type user struct {
		Handle   string   `json:"handle"`
		Password string   `json:"password"`
		Name     string   `json:"name"`
		MD5      bool     `json:"md5"`
		Contacts []string `json:"contacts"`
	}
	file, err := os.Create(filepath.Join(r.data, "users.jsonl"))
	if err != nil {
		return err
	}
	defer file.Close()
	for n, lines := 0, json.NewEncoder(file); n < r.size; n++ {
		u := user{Handle: r.handle(n), Password: password, Name: "User " + strconv.Itoa(n), MD5: true}
		_, to := r.circle(n)
		for c := n + 1; c < to; c++ {
			u.Contacts = append(u.Contacts, r.handle(c)) // the others have him in theirs
		}
		if err := lines.Encode(u); err != nil {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, r.nudge, "user", "import", file.Name(), "--data", r.data).CombinedOutput(); err != nil {
		return fmt.Errorf("making accounts: %w: %s", err, out)
	}
	return nil
}

// onePC lets all clients come from one address as fast as they can.
const onePC = "[limits]\nconnects_per_second = 1000000\n"

// startNudge and startStub are the two servers.
func (r run) startNudge(ctx context.Context) (*process, error) {
	const anyPort, readable = "127.0.0.1:0", 0o600
	file := filepath.Join(r.data, "nudge.toml")
	if err := os.WriteFile(file, []byte(onePC), readable); err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, r.nudge, "serve", "--config", file, "--data", r.data, "--msn", anyPort, "--http", anyPort, "--https", anyPort, "--names", "off", "--log", "warn")
	if err == nil && r.gateway {
		p.dial, p.polls = overHTTP(p.http), true
	}
	return p, err
}

func (r run) startStub(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, self, "--stub", "--clients", strconv.Itoa(r.size), "--contacts", strconv.Itoa(r.contacts))
}

// round measures one server from its start to its end.
func (r run) round(ctx context.Context, start func(context.Context) (*process, error)) (f figures, err error) {
	p, err := start(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.settled(r.rest); err != nil {
		return f, err
	}
	idle, err := p.rss()
	if err != nil {
		return f, err
	}
	f.IdleMB = idle / 1024
	on, err := r.logins(p, &f)
	defer func() {
		for _, c := range on {
			if c != nil {
				c.nc.Close()
			}
		}
	}()
	if err != nil {
		return f, err
	}
	if err := p.settled(r.rest); err != nil {
		return f, err
	}
	full, err := p.rss()
	if err != nil {
		return f, err
	}
	f.ClientKB = (full - idle) / float64(r.size)
	const while = 2 * time.Second
	var used time.Duration
	if err := p.spent(&used, func() error { time.Sleep(while); return nil }); err != nil {
		return f, err
	}
	f.RestUS = us(used, r.size) / while.Seconds()
	runtime.GC() // ours, not in the middle of what follows
	took, err := presence(on, r.crowd, r.version, r.changes)
	if err != nil {
		return f, err
	}
	f.PresenceMS, f.PresenceP99 = ms(took, 50), ms(took, 99)
	return f, r.chats(p, on, &f)
}

// logins signs everybody in.
func (r run) logins(p *process, f *figures) ([]*client, error) {
	var (
		on     = make([]*client, r.size)
		took   = make([]time.Duration, r.size)
		errs   = make(chan error, r.size)
		turns  = make(chan int, r.size)
		wg     sync.WaitGroup
		used   time.Duration
		failed error
	)
	for n := range r.size {
		turns <- n
	}
	close(turns)
	wall := time.Now()
	err := p.spent(&used, func() error {
		for range r.atOnce {
			wg.Go(func() {
				for n := range turns {
					began := time.Now()
					var err error
					if on[n], err = p.signIn(r.version, n); err != nil {
						errs <- err
						return
					}
					took[n] = time.Since(began)
				}
			})
		}
		wg.Wait()
		close(errs)
		failed = <-errs
		return failed
	})
	f.LoginUS = us(used, r.size)
	f.Logins = float64(r.size) / time.Since(wall).Seconds()
	f.LoginMS = ms(took, 50)
	return on, err
}

// chats lets pairs talk, one message at a time and many.
func (r run) chats(p *process, on []*client, f *figures) error {
	var pairs []pair
	defer func() {
		for _, p := range pairs {
			p.part()
		}
	}()
	for from := 0; from+1 < len(on) && len(pairs) < r.pairs; from += r.contacts + 1 {
		_, to := r.circle(from)
		for n := from; n+1 < to && len(pairs) < r.pairs; n += 2 {
			pair, err := p.meet(on[n], on[n+1])
			if err != nil {
				return err
			}
			pairs = append(pairs, pair)
		}
	}
	var used time.Duration
	var many, single chatter
	err := p.spent(&used, func() (err error) {
		single, err = talk(pairs, r.talk, 1)
		return err
	})
	if err != nil {
		return err
	}
	f.MessageOneUS = us(used, single.messages)
	f.MessageMS, f.MessageP99 = ms(single.took, 50), ms(single.took, 99)
	f.OthersPart, err = p.others(func() error {
		return p.spent(&used, func() (err error) {
			many, err = talk(pairs, r.talk, r.flight)
			return err
		})
	})
	f.MessageUS = us(used, many.messages)
	f.Messages = float64(many.messages) / many.wall.Seconds()
	return err
}

// spent is the server's processor time for do, with what it still does then.
func (p *process) spent(used *time.Duration, do func() error) error {
	before, err := p.cpu()
	if err == nil {
		err = do()
	}
	if err != nil {
		return err
	}
	after, err := p.cpu()
	*used = after - before
	return err
}

// ms is a percentile in milliseconds.
func ms(took []time.Duration, percent int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[(len(took)-1)*percent/100]) / float64(time.Millisecond)
}

func us(used time.Duration, of int) float64 { return float64(used) / float64(of) / 1e3 }
