package store

import (
	"fmt"
	"sync"
	"time"
)

// Urgency is how long a queued change may wait for its commit.
type Urgency uint8

// Lazy waits for the next commit, whoever asks for it, or for Close. Soon is
// committed at once when the last commit is at least a second old, else when
// it is. Now is committed at once, but never sooner than 20 ms after the last.
const (
	Lazy Urgency = iota
	Soon
	Now
)

// The least time between the starts of two commits.
const (
	soonGap = time.Second
	nowGap  = 20 * time.Millisecond
)

// change is one queued function. err is set once it failed by itself.
type change struct {
	fn   func(*Tx) error
	done func(error)
	err  error
}

// committer owns the write side of a DB: the queue and the one goroutine that
// empties it.
type committer struct {
	wake    chan struct{} // capacity 1: due or closing changed
	stopped chan struct{} // closed when the goroutine has ended
	ended   error         // what Close returns; valid after stopped

	mu      sync.Mutex
	queue   []change
	due     time.Time // when to commit, zero: not by itself
	last    time.Time // start of the last commit
	busy    int       // changes taken from the queue and not committed yet
	closing bool      // empty the queue, then end
	closed  bool      // take nothing more
}

func (c *committer) start(db *DB) {
	c.wake = make(chan struct{}, 1)
	c.stopped = make(chan struct{})
	go c.run(db)
}

// Do queues fn and returns at once. Functions run in the order they were
// queued, all of one commit in one transaction. fn may run more than once and
// must touch nothing but its Tx. When fn fails or panics only its own changes
// are undone.
//
// done (nil for none) runs once: with nil when fn's changes are durable, with
// fn's own error, or with the commit's, in which case nothing of it may be
// counted on. It runs in the committer's goroutine, so it must not block and
// must not wait for another change; it may queue some. After Close it gets
// ErrClosed, from a goroutine of its own.
func (db *DB) Do(u Urgency, fn func(*Tx) error, done func(error)) {
	c := &db.committer
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		if done != nil {
			go done(ErrClosed)
		}
		return
	}
	c.queue = append(c.queue, change{fn: fn, done: done})
	hurry := c.hurry(u)
	c.mu.Unlock()
	if hurry {
		c.poke()
	}
}

// Pending is the number of changes that are queued or being committed.
func (db *DB) Pending() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.queue) + db.busy
}

// Close commits everything queued and closes the database. Changes that the
// done functions of this last phase queue are still taken. It returns the
// error of this last phase, if there was one, and may be called more than once.
func (db *DB) Close() error {
	db.mu.Lock()
	db.closing = true
	db.mu.Unlock()
	db.poke()
	<-db.stopped
	return db.ended
}

func (c *committer) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) == 0 && c.busy == 0 && !c.closed
}

// hurry moves due forward as u asks and reports whether it moved.
func (c *committer) hurry(u Urgency) bool {
	var due time.Time
	switch u {
	case Lazy:
		return false
	case Soon:
		due = c.last.Add(soonGap)
	default:
		due = c.last.Add(nowGap)
	}
	if !c.due.IsZero() && !due.Before(c.due) {
		return false
	}
	c.due = due
	return true
}

func (c *committer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *committer) run(db *DB) {
	defer close(c.stopped)
	for {
		group, more := c.next()
		if !more {
			break
		}
		err := db.commit(group)
		if err != nil {
			db.log.Error("the database could not be written", "changes", len(group), "err", err)
		}
		abandoned := c.after(err)
		report(group, err)
		report(abandoned, err)
	}
	if err := db.bolt.Close(); err != nil && c.ended == nil {
		c.ended = err
	}
}

func report(group []change, err error) {
	for _, ch := range group {
		if ch.done == nil {
			continue
		}
		if ch.err == nil {
			ch.err = err
		}
		ch.done(ch.err)
	}
}

// after ends a commit. A commit that fails while closing is the last: trying
// for ever would keep the box from stopping, so what is queued behind it is
// given up and returned.
func (c *committer) after(err error) (abandoned []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = 0
	if c.closing {
		c.ended = err
		if err != nil {
			c.closed = true
			abandoned, c.queue = c.queue, nil
		}
	}
	return abandoned
}

// next waits until a commit is due and takes the queue. It reports false when
// the DB is closing and nothing is left.
func (c *committer) next() (group []change, more bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.mu.Lock()
		now := time.Now()
		if c.closing && len(c.queue) == 0 {
			c.closed = true
			c.mu.Unlock()
			return nil, false
		}
		if c.closing || !c.due.IsZero() && !now.Before(c.due) {
			group, c.queue = c.queue, nil
			c.due, c.last, c.busy = time.Time{}, now, len(group)
			c.mu.Unlock()
			return group, true
		}
		var alarm <-chan time.Time
		if !c.due.IsZero() {
			timer.Reset(c.due.Sub(now))
			alarm = timer.C
		}
		c.mu.Unlock()
		select {
		case <-c.wake:
		case <-alarm:
		}
	}
}

// commit runs the group in one transaction. A change that fails after it wrote
// something takes the whole transaction with it, so the others run again
// without it.
func (db *DB) commit(group []change) error {
	for {
		again, err := db.try(group)
		if !again {
			return err
		}
	}
}

func (db *DB) try(group []change) (again bool, err error) {
	b, err := db.bolt.Begin(true)
	if err != nil {
		return false, closedOr(err)
	}
	defer b.Rollback() // after Commit: ErrTxClosed, nothing to do
	tx := &Tx{bolt: b, log: db.log}
	for i := range group {
		if group[i].err != nil {
			continue
		}
		before := tx.writes
		if group[i].err = db.guard(group[i].fn, tx); group[i].err != nil && tx.writes != before {
			return true, nil
		}
	}
	if tx.writes == 0 {
		return false, nil
	}
	err = db.guard(func(*Tx) error { return b.Commit() }, tx)
	if err != nil {
		return false, fmt.Errorf("nothing was kept: %w", err)
	}
	return false, nil
}
