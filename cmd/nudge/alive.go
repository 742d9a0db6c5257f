package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"nudge/store"
)

// alive tells what is wrong with the box when it can't do what it is for.
func (s *server) alive(ctx context.Context) error {
	if err := s.readsAndWrites(ctx); err != nil {
		return fmt.Errorf("the database: %w", err)
	}
	if err := s.takesClients(ctx); err != nil {
		return fmt.Errorf("port msn: %w", err)
	}
	return nil
}

// readsAndWrites goes through the database's whole machinery but for the
// flushes: a change that changes nothing costs an SD card nothing.
func (s *server) readsAndWrites(ctx context.Context) error {
	if err := s.box.Store.View(func(tx *store.Tx) error { tx.Epoch(); return nil }); err != nil {
		return err
	}
	return s.box.Store.Update(ctx, func(tx *store.Tx) error { tx.Epoch(); return nil })
}

// takesClients signs off without ever having signed in. That the box hangs up
// proves that it took the connection and read from it; the kernel alone would
// have let it connect.
func (s *server) takesClients(ctx context.Context) error {
	addr, err := net.ResolveTCPAddr("tcp", s.box.Listeners[0].Addr)
	if err != nil {
		return err
	}
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	if _, err := io.WriteString(c, "OUT\r\n"); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	return nil
}
