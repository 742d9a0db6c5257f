package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nudge/bridge"
	"nudge/cmd/nudge/control"
	"nudge/store"
)

// openBox opens the data folder and loads the hub. c.Hub and c.Store are filled
// in. clock may be nil (bridge.Config). closeBox ends it.
func openBox(c control.Config, l limits, clock <-chan struct{}) (*control.Box, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder can't be made: %w", err)
	}
	key, _, err := store.LoadKey(keyPath(c.Data))
	if err != nil {
		return nil, &coded{exitConfig, err}
	}
	if c.Store, err = store.Open(c.Data, store.Options{Key: key, Log: c.Log, Beside: []string{certificateName}}); err != nil {
		return nil, err
	}
	b := control.New(c)
	nets, shared := networks(c.Log, b)
	b.Hub, err = bridge.New(bridge.Config{
		Store: c.Store, Networks: nets, Shared: shared, Gateways: gateways(c.Log), Voice: voice, Limits: l.hub(), Log: c.Log, Clock: clock,
	})
	if err != nil {
		return nil, errors.Join(err, c.Store.Close())
	}
	return b, nil
}

// closeBox ends sessions and links and puts everything on disk.
func closeBox(ctx context.Context, b *control.Box) error {
	return errors.Join(b.Hub.Close(ctx), b.Store.Close())
}

// credentials is where systemd looks for what it hands to services.
const credentials = "/etc/credstore"

// keyPath is where the sealing key lies: a credential that systemd hands over,
// or a file beside the database. Commands of root that open the installed box's
// data folder themselves find the credential where systemd does.
func keyPath(data string) string {
	beside := filepath.Join(data, store.KeyFile)
	kept := []string{beside}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		kept = []string{filepath.Join(dir, store.KeyFile), beside}
	} else if data == systemData {
		kept = append(kept, filepath.Join(credentials, store.KeyFile))
	}
	for _, path := range kept {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return beside
}

// reach is how a command finds the box.
type reach int

const (
	mayMake reach = iota // makes the data folder when there is none
	mustBe               // there must be a database or a running box
)

// box gives a client of the running box, or of the data folder when none runs.
// done must be called in the end, and its error counts: changes may be on their
// way to the disk.
func (e *env) box(how reach) (cl *control.Client, done func() error, err error) {
	c, cl, err := e.running()
	if err != nil {
		return nil, nil, err
	}
	if cl != nil {
		return cl, func() error { cl.Close(); return nil }, nil
	}
	if _, err := os.Stat(filepath.Join(c.Data, store.File)); how == mustBe && errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no box in %s; nudge starts one, nudge user add makes its first account, --data names another folder", c.Data)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := openBox(control.Config{Log: log, Data: c.Data, Version: version(), Built: built(), Trusted: certificateIn(c.Data).root}, c.Limits, nil)
	if err != nil {
		return nil, nil, err
	}
	return control.Local(b), func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 30*time.Second)
		defer cancel()
		return closeBox(ctx, b)
	}, nil
}

// systemRuntime is where the box that systemd started has its control socket:
// the group may go in there, and not into the data folder.
const systemRuntime = "/run/nudge"

// running gives a client of the running box, nil when none runs. The box of the
// system is found before one at home, unless another was named.
func (e *env) running() (config, *control.Client, error) {
	c, err := load(e.Config, config{Data: e.Data})
	if err != nil {
		return c, nil, err
	}
	dirs := []string{c.Data}
	if e.Data == "" && e.Config == "" {
		dirs = []string{systemRuntime, c.Data}
	}
	var refused error
	for _, dir := range dirs {
		cl, err := control.Dial(e.ctx, dir)
		if err == nil {
			return c, cl, nil
		}
		if !errors.Is(err, control.ErrNotRunning) {
			refused = cmp.Or(refused, err)
		}
	}
	return c, nil, refused
}

// runtimeDir is systemd's folder for the socket, "" without systemd.
func runtimeDir() string {
	dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	return dir
}

// with runs do on the box and ends it properly.
func (e *env) with(how reach, do func(cl *control.Client) error) error {
	cl, done, err := e.box(how)
	if err != nil {
		return err
	}
	err = do(cl)
	return errors.Join(err, done())
}
