package main

import (
	"context"
	"time"
)

// The database is copied once a day when something changed, but not while the
// box has just started: there is enough to do then.
const (
	copyEvery = 24 * time.Hour
	copyAfter = 10 * time.Minute
)

// copies keeps the last copies of the database until ctx ends.
func (s *server) copies(ctx context.Context) {
	wait := max(copyAfter, copyEvery-time.Since(s.box.Store.CopiedAt()))
	for {
		select {
		case <-time.After(min(wait, copyEvery)): // the clock may have been wrong
		case <-ctx.Done():
			return
		}
		if _, err := s.box.Store.Copy(); err != nil {
			s.box.Log.Error("the database could not be copied; nudge check says whether it is whole", "err", err)
		}
		s.box.RemindBackup(ctx)
		wait = copyEvery
	}
}
