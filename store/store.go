// Package store keeps what must survive a restart in one bbolt file: accounts,
// their lists, links to foreign networks, messages on their way in and out,
// positions, and each link's private data. It knows its own records only; the
// hub converts them.
//
// # Writing
//
// Every change goes through [DB.Do]. One goroutine, the committer, takes all
// functions queued so far and runs them in their order in a single bbolt
// transaction, because on an SD card the commit (two flushes, about 27 KB) is
// what costs, not the change. How long a function may wait is its [Urgency].
// Nothing is written when nothing is queued, nor when the queued functions
// changed nothing.
//
// # Reading
//
// [DB.View] sees what is committed and nothing else: not what waits in the
// queue. It runs in the caller's goroutine and never waits for the disk's
// writes, but a growing file waits for it, so a View must be short and must
// not be held open for a client. Do not call View or Update inside a
// transaction.
//
// # Iterators
//
// Every iterator of a [Tx] or [KVTx] allows changing and deleting the current
// element, and any other: it finds its place again by key.
//
// # Backups
//
// [DB.Backup] writes all that a new box needs into one file, sealed with a
// passphrase (envelope.go): the database, its sealing key, and the files beside it
// that [Options] names. [Restore] makes a folder of it.
//
// # Damage
//
// bbolt trusts its pages and dies of damaged ones, partly in goroutines of its
// own where nobody can recover. [Open] therefore reads every page itself
// before bbolt does, and refuses a file it can't vouch for with [Unusable].
package store

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/crypto/chacha20poly1305"
)

// The files of a data folder.
const (
	File    = "nudge.db"  // the database
	KeyFile = "nudge.key" // the sealing key, unless it is kept elsewhere
)

// ErrClosed is what every use of a closed DB gets.
var ErrClosed = errors.New("the database is closed")

// Options are what Open needs besides the folder.
type Options struct {
	Key    [32]byte     // seals secrets, see LoadKey
	Log    *slog.Logger // nil: silent
	Beside []string     // files of the folder that belong into a backup, if they are there
}

// DB is an open database. Its methods may be called from any goroutine.
type DB struct {
	bolt   *bbolt.DB
	path   string
	schema int
	key    [32]byte
	beside []string    // paths
	seal   cipher.AEAD // with key
	log    *slog.Logger
	committer
}

// Open opens dir's database, making folder and database when they are missing.
// A database that can't be used is left untouched and reported as *Unusable.
func Open(dir string, o Options) (*DB, error) {
	return open(dir, o, migrations)
}

func open(dir string, o Options, steps []migration) (*DB, error) {
	if o.Log == nil {
		o.Log = silent()
	}
	aead, err := chacha20poly1305.NewX(o.Key[:])
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder can't be made: %w", err)
	}
	path := filepath.Join(dir, File)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := create(path, aead, len(steps)+1); err != nil {
			return nil, err
		}
	}
	b, err := prepare(path, aead, steps, o.Log)
	if err != nil {
		return nil, err
	}
	db := &DB{bolt: b, path: path, schema: len(steps) + 1, key: o.Key, seal: aead, log: o.Log}
	for _, name := range o.Beside {
		db.beside = append(db.beside, filepath.Join(filepath.Dir(path), name))
	}
	db.committer.start(db)
	return db, nil
}

// View runs fn on what is committed. A panic in fn, also one that damaged
// pages cause, is the error.
func (db *DB) View(fn func(*Tx) error) error {
	b, err := db.bolt.Begin(false)
	if err != nil {
		return closedOr(err)
	}
	defer b.Rollback() // of a read transaction: always nil
	return db.guard(fn, &Tx{bolt: b, log: db.log})
}

// Update queues fn as Now and waits until it is durable. When ctx ends first,
// fn may still be kept.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return wait(ctx, func(done func(error)) { db.Do(Now, fn, done) })
}

// Sync waits until everything queued before it is durable, hurrying it as Now
// does. It returns at once when nothing is queued.
func (db *DB) Sync(ctx context.Context) error {
	if db.idle() {
		return nil
	}
	return db.Update(ctx, func(*Tx) error { return nil })
}

func wait(ctx context.Context, start func(done func(error))) error {
	c := make(chan error, 1)
	start(func(err error) { c <- err })
	select {
	case err := <-c:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// guard runs fn and turns a panic or a page fault into an error: one caller's
// mistake or one damaged page must not end the box.
func (db *DB) guard(fn func(*Tx) error, tx *Tx) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db.log.Error("panic in a transaction", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic in a transaction: %v", r)
		}
	}()
	return fn(tx)
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func closedOr(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}
