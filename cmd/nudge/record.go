package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"nudge/cmd/nudge/control"
)

// recordCmd records clients.
type recordCmd struct {
	File string        `arg:"" help:"The transcript to make; it must not exist. - is standard output."`
	PC   string        `name:"pc" placeholder:"ADDR" help:"Only clients at this address."`
	For  time.Duration `default:"10m" help:"How long; Ctrl-C ends it before."`
}

// Help is the example.
func (recordCmd) Help() string {
	return "Writes down what clients that sign in from now on say, and what they are told, in the form of the project's tests. " +
		"Nobody's name, password, words or address is in it; read it before you give it away. Example:\n\n" +
		"\tnudge record my-client.txt --pc 192.168.1.30"
}

// Run records until the time is over or it is interrupted.
func (c recordCmd) Run(e *env) error {
	if c.File != "-" {
		if _, err := os.Lstat(c.File); err == nil {
			return fmt.Errorf("%s exists already; choose another name or move it aside", c.File)
		}
	}
	return e.with(mustBe, func(cl *control.Client) error {
		fmt.Fprintf(e.stderr, "Recording for %v. Sign in on the PC now; Ctrl-C ends it.\n", c.For)
		ctx, giveUp := context.WithCancel(context.WithoutCancel(e.ctx))
		defer giveUp()
		stop := context.AfterFunc(e.ctx, func() {
			if cl.StopRecording(ctx) != nil {
				giveUp() // it had not begun
			}
		})
		defer stop()
		got, err := cl.Record(ctx, control.RecordRequest{PC: c.PC, For: c.For})
		if err != nil {
			return err
		}
		if c.File == "-" {
			_, err := fmt.Fprint(e.stdout, got.Transcript)
			return err
		}
		if err := writeNew(c.File, func(f *os.File) error { _, err := f.WriteString(got.Transcript); return err }); err != nil {
			return err
		}
		return e.say(control.Done{}, "%s has %d lines.", c.File, strings.Count(got.Transcript, "\n"))
	})
}
