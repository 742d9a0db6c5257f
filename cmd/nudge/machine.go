package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
	"nudge/hw"
)

// machine is what a server has to do with the machine it runs on: lights and
// button, and systemd, which is told how the box is (a line for its status, and
// a sign of life) and may ask to read the configuration again. It has two
// or three goroutines from tend to close, besides the panel's.
type machine struct {
	log    *slog.Logger
	last   lastLines // of the log
	level  *slog.LevelVar
	conf   config // in force, or for the next start
	reread func() (config, error)
	panel  *hw.Panel
	box    atomic.Pointer[control.Box] // nil until tend
	state  atomic.Pointer[im.Overview]
	wake   chan struct{} // state changed
	link   chan struct{} // a link's did
	hangup chan os.Signal
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// newMachine shows with the lights that the box starts.
func newMachine(stderr io.Writer, conf config, reread func() (config, error)) *machine {
	m := &machine{level: new(slog.LevelVar), conf: conf, reread: reread, wake: make(chan struct{}, 1), link: make(chan struct{}, 1), hangup: make(chan os.Signal, 1)}
	kept := slog.NewTextHandler(&m.last, &slog.HandlerOptions{Level: m.level})
	m.log = slog.New(slog.NewMultiHandler(newLog(stderr, m.level).Handler(), kept))
	m.state.Store(&im.Overview{})
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.panel = hw.New(m.log)
	m.use(conf)
	return m
}

// use puts in force what needs no restart.
func (m *machine) use(c config) {
	l, _ := level(c.Log) // checked with the configuration
	m.level.Set(l)
	wiring := c.Lights.hardware()
	wiring.Pair = m.pair
	if runtimeDir() != "" {
		wiring.Off = m.powerOff
	}
	m.panel.Wire(wiring)
}

// tend shows that the server is ready and how it is, from now on.
func (m *machine) tend(s *server) {
	m.box.Store(s.box)
	s.box.Hub.Watch(m.panel)
	s.box.Hub.Watch(m)
	m.panel.Ready(true)
	signal.Notify(m.hangup, syscall.SIGHUP)
	m.notify(daemon.SdNotifyReady)
	m.wg.Go(m.tell)
	m.wg.Go(m.attend)
	if every, err := daemon.SdWatchdogEnabled(false); err == nil && every > 0 {
		m.wg.Go(func() { m.prove(every/3, s) })
	}
}

// Deliver takes what the displays of the hub are told (im.Sink).
func (m *machine) Deliver(ev im.Event, _ func(bool)) {
	changed := m.link
	switch ev := ev.(type) {
	case im.Overview:
		m.state.Store(&ev)
		changed = m.wake
	case im.LinkState:
	default:
		return
	}
	select {
	case changed <- struct{}{}:
	default:
	}
}

// notify tells systemd, when it started us.
func (m *machine) notify(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		m.log.Warn("systemd can't be told how the box is", "err", err)
	}
}

// tell keeps the line that systemctl status shows, and reloads.
func (m *machine) tell() {
	for {
		select {
		case <-m.wake:
			o := m.state.Load()
			m.notify(fmt.Sprintf("STATUS=ready: %d signed in, %d of %d links up", o.Users, o.Up, o.Links))
		case <-m.hangup:
			m.reload()
		case <-m.ctx.Done():
			return
		}
	}
}

// attendEvery is how often the box looks whether something waits for a person,
// besides whenever a link changes.
const attendEvery = 20 * time.Second

// attend shows whether something waits for a person.
func (m *machine) attend() {
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	shown := false
	for {
		waits, err := m.box.Load().Attention(m.ctx)
		if err != nil && m.ctx.Err() == nil {
			m.log.Error("what waits for a person can't be found out", "err", err)
		}
		if is := len(waits) > 0; is != shown {
			shown = is
			m.panel.Attention(is)
		}
		select {
		case <-tick.C:
		case <-m.link:
		case <-m.ctx.Done():
			return
		}
	}
}

// reload reads the configuration again. A bad one changes nothing.
func (m *machine) reload() {
	m.notify(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
	defer m.notify(daemon.SdNotifyReady)
	c, err := m.reread()
	if err != nil {
		m.log.Error("the configuration stays as it was", "why", err)
		return
	}
	if later := m.conf.needsRestart(c); len(later) > 0 {
		m.log.Warn("some of what changed in the configuration waits for the next start", "keys", strings.Join(later, ", "))
	}
	m.use(c)
	m.log.Info("the configuration was read again")
}

// pair is what a tap on the button does.
func (m *machine) pair() {
	if b := m.box.Load(); b != nil {
		if _, err := control.Local(b).OpenPairing(m.ctx); err != nil {
			m.log.Error("the button did nothing", "err", err)
		}
	}
}

// powerOffFile is watched by nudge-poweroff.path, in the runtime folder.
const powerOffFile = "poweroff"

// powerOff is what holding the button does: the box has no right to shut the
// machine down, and asks systemd for it.
func (m *machine) powerOff() {
	m.log.Warn("the button was held: the machine is being shut down")
	if err := os.WriteFile(filepath.Join(runtimeDir(), powerOffFile), nil, 0o600); err != nil {
		m.log.Error("the machine can't be shut down", "err", err)
	}
}

// stopping tells that the box is on its way down, or is starting again: it stops
// proving itself and reading its configuration.
func (m *machine) stopping(again bool) {
	signal.Stop(m.hangup)
	m.cancel()
	m.wg.Wait()
	if again {
		m.notify(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec(), "STATUS=starting again with a restored backup")
	} else {
		m.notify(daemon.SdNotifyStopping, "STATUS=signing everybody off")
	}
	m.panel.Ready(false)
}

// close leaves the lights dark.
func (m *machine) close() {
	m.cancel() // when it never came to stopping
	m.panel.Close()
}

// prove gives systemd a sign of life, and only after the box did what it is
// for: it answered a client, and read and wrote its database.
func (m *machine) prove(every time.Duration, s *server) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ctx, cancel := context.WithTimeout(m.ctx, every)
			if err := s.alive(ctx); err == nil {
				m.notify(daemon.SdNotifyWatchdog)
			} else if m.ctx.Err() == nil {
				m.log.Error("the box does not answer itself", "err", err)
			}
			cancel()
		case <-m.ctx.Done():
			return
		}
	}
}
