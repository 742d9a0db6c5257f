package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"nudge/store"
)

// clock tells when this machine's clock can be trusted. Boards without a battery
// start somewhere in the past.
type clock struct {
	floor  time.Time // the time is not before this
	synced func() bool
	set    chan struct{} // closed when it can be trusted
}

// How often a clock is looked at until it is set, and how long. After that it is
// trusted: what speaks against it may be a database that was written when the
// clock was wrong in the other direction, and certificates will tell.
const (
	clockPause    = 2 * time.Second
	clockPatience = time.Hour
)

// newClock knows from the program and from the database that some time is past.
func newClock(data string) *clock {
	c := &clock{floor: built(), synced: synced, set: make(chan struct{})}
	if info, err := os.Stat(filepath.Join(data, store.File)); err == nil && info.ModTime().After(c.floor) {
		c.floor = info.ModTime()
	}
	if c.trusted() {
		close(c.set)
	}
	return c
}

// trusted: nothing speaks against it, or somebody set it.
func (c *clock) trusted() bool { return !time.Now().Before(c.floor) || c.synced() }

// clockFile is how Debian's time daemon says that it has set the clock: a unit
// that may not touch the clock may not ask the kernel either.
const clockFile = "/run/systemd/timesync/synchronized"

func synced() bool {
	var t syscall.Timex
	const unsynchronised = 5 // TIME_ERROR of adjtimex(2)
	if state, err := syscall.Adjtimex(&t); err == nil && state != unsynchronised {
		return true
	}
	_, err := os.Stat(clockFile)
	return err == nil
}

// wait returns when the clock can be trusted, and says so once, or when ctx
// ends.
func (c *clock) wait(ctx context.Context) error {
	select {
	case <-c.set:
		return nil
	default:
	}
	tick := time.NewTicker(clockPause)
	defer tick.Stop()
	patience := time.NewTimer(clockPatience)
	defer patience.Stop()
	for over := false; !over && !c.trusted(); {
		select {
		case <-tick.C:
		case <-patience.C:
			over = true
		case <-ctx.Done():
			return errors.New("the clock was never set")
		}
	}
	close(c.set)
	return nil
}
