package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"nudge/cmd/nudge/control"
	"nudge/hw"
)

// lightsTable is the part of the configuration about lights.
const lightsTable = "lights"

// What show may be.
const (
	showBoard = "board"
	showWired = "wired"
)

// lights is what the file says of lights and button. What is empty has its
// default.
type lights struct {
	Show    string `toml:"show"`
	Ready   string `toml:"ready"`
	Users   string `toml:"users"`
	Links   string `toml:"links"`
	Traffic string `toml:"traffic"`
	Button  string `toml:"button"`
	Buzzer  string `toml:"buzzer"`
	Quiet   string `toml:"quiet"`
}

// lightLine is a line with its default, as nudge.toml shows them.
type lightLine struct {
	key, value, standard string
}

// lines are the LEDs and the buzzer by role, and the button last.
func (l lights) lines() []lightLine {
	return []lightLine{
		hw.Ready:   {"ready", l.Ready, "GPIO17"},
		hw.Users:   {"users", l.Users, "GPIO27"},
		hw.Links:   {"links", l.Links, "GPIO22"},
		hw.Traffic: {"traffic", l.Traffic, "GPIO23"},
		hw.Buzzer:  {"buzzer", l.Buzzer, off},
		buttonLine: {"button", l.Button, "GPIO24"},
	}
}

// buttonLine is where the button is in lines.
const buttonLine = hw.Buzzer + 1

// name is the line's, "" when it is off.
func (l lightLine) name() string {
	if n := cmp.Or(l.value, l.standard); n != off {
		return n
	}
	return ""
}

func (l lights) keys() []string {
	all := []string{"show"}
	for _, line := range l.lines() {
		all = append(all, line.key)
	}
	return append(all, "quiet")
}

// check names the first bad value; where comes before its key.
func (l lights) check(where string) error {
	bad := func(key, value, why string) error {
		return fmt.Errorf("%s%s.%s: %q %s", where, lightsTable, key, value, why)
	}
	if show := cmp.Or(l.Show, showBoard); show != showBoard && show != showWired && show != off {
		return bad("show", show, "is nothing; choose board, wired or off")
	}
	users := map[string]string{} // of a line
	for _, line := range l.lines() {
		name := line.name()
		if name == "" {
			continue
		}
		if why := hw.LineWrong(name); why != "" {
			return bad(line.key, name, why)
		}
		if line.value != "" && line.value != line.standard && l.Show != showWired {
			return bad(line.key, name, `needs show = "wired"`)
		}
		bare := strings.TrimPrefix(name, "!")
		if other, taken := users[bare]; taken {
			return bad(line.key, name, "is also that of "+lightsTable+"."+other)
		}
		users[bare] = line.key
	}
	if _, err := quiet(l.Quiet); err != nil {
		return bad("quiet", l.Quiet, err.Error())
	}
	return nil
}

// hardware is what package hw is told.
func (l lights) hardware() hw.Config {
	q, _ := quiet(l.Quiet) // checked with the configuration
	c := hw.Config{Quiet: q}
	switch cmp.Or(l.Show, showBoard) {
	case showBoard:
		c.Board = true
	case showWired:
		c.Lines = map[hw.Role]string{}
		for i, line := range l.lines() {
			c.Lines[hw.Role(i)] = line.name()
		}
		c.Button = c.Lines[buttonLine]
		delete(c.Lines, buttonLine)
	}
	return c
}

// quiet reads two times of a day.
func quiet(v string) (q hw.Quiet, err error) {
	if v == "" || v == off {
		return q, nil
	}
	from, to, _ := strings.Cut(v, "-")
	if q.From, err = minute(from); err == nil {
		q.To, err = minute(to)
	}
	return q, err
}

func minute(v string) (int, error) {
	t, err := time.Parse("15:04", v)
	if err != nil {
		return 0, fmt.Errorf("is no part of a day; it must look like 22:00-07:00")
	}
	return t.Hour()*60 + t.Minute(), nil
}

// ledCmd is about lights.
type ledCmd struct {
	Test ledTestCmd `cmd:"" help:"Light one after the other, then all."`
	Off  ledOffCmd  `cmd:"" help:"Turn off what a box that died left lit."`
}

type (
	ledTestCmd struct{}
	ledOffCmd  struct{}
)

// Help is the example.
func (ledTestCmd) Help() string { return "Example:\n\n\tnudge led test" }

// Help is the example.
func (ledOffCmd) Help() string {
	return "The service does this by itself when it stops, however it ends. Example:\n\n\tnudge led off"
}

// Run tests the lights of the running box, or, when none runs, those that are
// configured.
func (ledTestCmd) Run(e *env) error {
	conf, cl, err := e.running()
	if err != nil {
		return err
	}
	if cl != nil {
		defer cl.Close()
		t, err := cl.TestLights(e.ctx)
		if err != nil {
			return err
		}
		return e.say(t, "Each is lit in its turn, then all: %s", t.Lights)
	}
	panel := hw.New(newLog(e.stderr, slog.LevelError))
	defer panel.Close()
	panel.Wire(conf.Lights.hardware())
	t, err := control.TestOf(panel)
	if err != nil {
		return err
	}
	if err := e.say(t, "Each is lit in its turn, then all: %s", t.Lights); err != nil {
		return err
	}
	select {
	case <-time.After(t.Takes):
	case <-e.ctx.Done():
	}
	return nil
}

// Run turns the configured lights off.
func (ledOffCmd) Run(e *env) error {
	conf, cl, err := e.running()
	if err != nil {
		return err
	}
	if cl != nil {
		cl.Close()
		return errors.New("the box is running and shows its own state; stop it first")
	}
	panel := hw.New(newLog(e.stderr, slog.LevelError))
	panel.Wire(conf.Lights.hardware()) // dark from the start
	about, _ := panel.About()
	panel.Close()
	return e.say(control.Done{}, "Dark: %s", about)
}
