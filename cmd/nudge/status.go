package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"nudge/cmd/nudge/control"
)

// settingCmd shows or changes settings of the box.
type settingCmd struct {
	Key   string  `arg:"" optional:"" help:"The setting; all when it is left out."`
	Value *string `arg:"" optional:"" help:"Its new value; \"\" brings the default back."`
}

// Help is the example.
func (settingCmd) Help() string { return "Example:\n\n\tnudge setting address 192.168.1.20" }

// Run shows or changes settings.
func (c settingCmd) Run(e *env) error {
	if c.Value != nil {
		return e.with(mayMake, func(cl *control.Client) error {
			if err := cl.SetSetting(e.ctx, c.Key, *c.Value); err != nil {
				return err
			}
			return e.say(control.Done{}, "%s is now %q.", c.Key, *c.Value)
		})
	}
	return e.with(mustBe, func(cl *control.Client) error {
		all, err := cl.Settings(e.ctx)
		if err != nil {
			return err
		}
		if c.Key == "" {
			return e.show(all, func(w io.Writer) {
				fmt.Fprintln(w, "SETTING\tVALUE\tMEANING")
				for _, s := range all {
					fmt.Fprintf(w, "%s\t%s\t%s\n", s.Key, dash(s.Value), s.Help)
				}
			})
		}
		for _, s := range all {
			if s.Key == c.Key {
				return e.say(s, "%s", s.Value)
			}
		}
		return fmt.Errorf("there is no setting %q; nudge setting shows all", c.Key)
	})
}

// statusCmd shows how the box is.
type statusCmd struct{}

// Help is the example.
func (statusCmd) Help() string { return "Example:\n\n\tnudge status --json" }

// Run shows how the box is.
func (statusCmd) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		s, err := cl.Status(e.ctx)
		if err != nil {
			return err
		}
		return e.show(s, func(w io.Writer) { printStatus(w, s) })
	})
}

func printStatus(w io.Writer, s control.Status) {
	if s.Running {
		fmt.Fprintf(w, "nudge %s\truns since %s\n", s.Version, s.Started.Local().Format("2 Jan 2006 15:04:05"))
	} else {
		fmt.Fprintf(w, "nudge %s\tis not running\n", s.Version)
	}
	fmt.Fprintf(w, "data folder\t%s\n", s.Data)
	if s.Address != "" {
		fmt.Fprintf(w, "address\t%s\n", s.Address)
	}
	for _, l := range s.Listeners {
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, dash(l.Addr), l.Note)
	}
	if s.Lights != "" {
		fmt.Fprintf(w, "lights\t%s\n", s.Lights)
	}
	if s.Pairing != nil {
		fmt.Fprintf(w, "pairing\topen until %s\n", s.Pairing.Local().Format("15:04:05"))
	}
	for _, a := range s.Attention {
		fmt.Fprintf(w, "attention\t%s\n", a)
	}
	fmt.Fprintf(w, "accounts\t%d, %d signed in, %d messages waiting\n", s.Users, len(s.Online), s.Waiting)
	for _, u := range s.Online {
		fmt.Fprintf(w, "  %s\t%s, %s\n", u.Handle, u.Status, strings.TrimSpace(u.Protocol+" "+u.Client+" from "+u.Address))
	}
	for _, l := range s.Gateways {
		fmt.Fprintf(w, "gateway %s\t%s\n", l.Network, linkText(l))
	}
	for _, l := range s.Links {
		fmt.Fprintf(w, "link %s %s\t%s\n", l.Account, l.Network, linkText(l))
	}
	if len(s.Troubled) > 0 {
		fmt.Fprintf(w, "PCs in trouble\t%d could not sign in when they last tried\n", len(s.Troubled))
	}
	for _, p := range s.Troubled {
		fmt.Fprintf(w, "  %s\t%s\n", p.Address, p)
	}
}

// linkText says how a link is and since when.
func linkText(l control.Link) string {
	text := l.State
	if l.Text != "" {
		text += ": " + l.Text
	}
	if l.Since != nil && l.State != "down" {
		text += ", since " + time.Since(*l.Since).Round(time.Second).String()
	}
	return text
}

// doctorCmd looks for what is wrong.
type doctorCmd struct{}

// Help is the example.
func (doctorCmd) Help() string {
	return "The exit code is 1 when something keeps the box from working. Example:\n\n\tnudge doctor"
}

// Run looks for what is wrong.
func (doctorCmd) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		checks, err := cl.Doctor(e.ctx)
		if err != nil {
			return err
		}
		if !cl.Running() {
			checks = append(checks, e.portChecks()...)
		}
		bad := 0
		for _, c := range checks {
			if c.Verdict == control.Bad {
				bad++
			}
		}
		err = e.show(checks, func(w io.Writer) {
			for _, c := range checks {
				fmt.Fprintf(w, "%s\t%s\t%s\n", c.Verdict, c.Name, c.Text)
			}
		})
		if err == nil && bad > 0 {
			err = &coded{exitFailed, nil}
		}
		return err
	})
}

// logsCmd says how to read the log.
type logsCmd struct{}

// Help is the example.
func (logsCmd) Help() string { return "Example:\n\n\tnudge logs" }

// Run says how to read the log.
func (logsCmd) Run(e *env) error {
	const command = "journalctl --unit nudge --follow"
	return e.say(struct {
		Command string `json:"command"`
	}{command}, "As a service nudge logs to the journal: %s\nStarted by hand it logs to standard error.", command)
}
