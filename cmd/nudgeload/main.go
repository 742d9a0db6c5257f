// Command nudgeload measures what a Nudge costs: memory, processor time and
// time, beside a stub that checks nothing (stub.go), which is the floor that no
// server in Go can get under by much. It starts both itself, in turn, each alone
// on the first processor core with a throw-away data folder; the clients are in
// this process, on the other cores. Ratios are the claim: they hold on a slower
// board too.
//
// One goroutine drives each client while it does something; a client that is
// only on line has none.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"nudge/cmd/nudge/command"
)

const description = `Measures a nudge binary beside a stub that checks nothing, both on one core.

Example, with the budgets that the project promises:

	nudgeload --nudge ./nudge --max-idle-mb 15 --max-client-kb 10,20 --max-login-ratio 2 --max-message-ratio 1.3 --min-rate-ratio 0.8 --max-presence-ms 1

Exit codes: 0 done, 1 failed or a budget missed, 64 wrong usage.`

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 64
)

// cli is the command line.
type cli struct {
	Stub     bool          `help:"Be the stub, until interrupted."`
	Nudge    string        `placeholder:"FILE" help:"The binary to measure."`
	MSNP     int           `name:"msnp" default:"7" placeholder:"N" help:"Protocol version, 2 to 12; from 8 sign-ins use TLS. Default ${default}."`
	Gateway  bool          `help:"Clients come over HTTP and poll, as from behind a proxy. There is no stub of that."`
	Clients  int           `default:"1000" help:"How many sign in. Default ${default}."`
	Contacts []int         `default:"1,20" help:"Contacts of each; several are measured one after the other. Default ${default}."`
	AtOnce   int           `default:"16" help:"Sign-ins at a time. Default ${default}."`
	Pairs    int           `default:"50" help:"Conversations. Default ${default}."`
	Flight   int           `default:"16" help:"Messages of a conversation on their way at a time, for the throughput. Default ${default}."`
	Messages int           `default:"4000" help:"Messages in each conversation. Default ${default}."`
	Changes  int           `default:"500" help:"Changes of presence. Default ${default}."`
	Rest     time.Duration `default:"5s" help:"How long a server must have been idle before its memory counts. Default ${default}."`
	Rounds   int           `default:"5" help:"Rounds, of which the median counts. Default ${default}."`
	JSON     bool          `name:"json" help:"Answer in JSON, for scripts."`
	budgets
}

var errMissed = errors.New("a budget was missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := start(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// start executes one command line and returns its exit code.
func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	line, err := command.Parse(&c, args)
	if err == nil && !line.Help {
		err = c.check()
	}
	if err != nil {
		fmt.Fprintf(stderr, "nudgeload: %v; nudgeload --help shows how\n", err)
		return exitUsage
	}
	switch {
	case line.Help:
		err = line.WriteHelp(stdout, "nudgeload", description)
	case c.Stub:
		err = serveStub(ctx, crowd{c.Clients, c.Contacts[0]}, stdout)
	default:
		err = c.measure(ctx, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "nudgeload:", err)
		return exitFailed
	}
	return exitOK
}

func (c cli) check() error {
	switch {
	case !c.Stub && c.Nudge == "":
		return errors.New("which binary? --nudge FILE")
	case versions[c.MSNP].name == "":
		return fmt.Errorf("--msnp %d: there are 2 to 12", c.MSNP)
	case c.Clients < 2 || len(c.Contacts) == 0 || c.Contacts[0] < 1 || c.AtOnce < 1 || c.Rounds < 1 || c.Flight < 1:
		return errors.New("two clients, one contact, and one of everything else are the least")
	}
	return nil
}

// measure does what the command line says.
func (c cli) measure(ctx context.Context, out io.Writer) error {
	if err := offCore(0); err != nil {
		return err
	}
	var reps []report
	missed := false
	for i, contacts := range c.Contacts {
		rep, err := c.withContacts(ctx, contacts)
		if err != nil {
			return err
		}
		c.budgets.check(&rep, i)
		missed = missed || len(rep.Missed) > 0
		if reps = append(reps, rep); !c.JSON {
			rep.print(out)
		}
	}
	if c.JSON {
		if err := printJSON(out, reps); err != nil {
			return err
		}
	}
	if missed {
		return errMissed
	}
	return nil
}

// withContacts runs all rounds with one size of lists.
func (c cli) withContacts(ctx context.Context, contacts int) (report, error) {
	data, err := os.MkdirTemp("", "nudgeload-")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(data)
	r := run{
		crowd: crowd{c.Clients, contacts}, version: versions[c.MSNP], nudge: c.Nudge, data: data, gateway: c.Gateway,
		atOnce: c.AtOnce, pairs: c.Pairs, flight: c.Flight, talk: c.Messages, changes: c.Changes, rest: c.Rest,
	}
	if err := r.prepare(ctx); err != nil {
		return report{}, err
	}
	var stubs, nudges []figures
	for range c.Rounds {
		if !r.gateway {
			f, err := r.round(ctx, r.startStub)
			if err != nil {
				return report{}, fmt.Errorf("stub: %w", err)
			}
			stubs = append(stubs, f)
		}
		f, err := r.round(ctx, r.startNudge)
		if err != nil {
			return report{}, fmt.Errorf("nudge: %w", err)
		}
		nudges = append(nudges, f)
	}
	return newReport(r, stubs, nudges), nil
}
