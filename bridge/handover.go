package bridge

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"nudge/bridge/im"
)

// Room is where a file lies on its way from a client to a network.
type Room interface {
	io.Writer // an error means that there is no room for more
	// All is what was written, from its beginning, and its MIME type as far as that
	// can be seen.
	All() (r io.Reader, kind string)
	Close() error
}

// TakeFiles lets clients give files to people on networks. room makes place for one
// of that many bytes; it is called without the lock, and its *im.Refused is for a
// person. Call it before clients are let in.
func (h *Hub) TakeFiles(room func(size int64) (Room, error)) { h.room = room }

// Handover is a file on its way from a client to somebody on a network: the box takes
// it in his place, whole, and hands it on when it has it. Only when the network's
// server has taken the message with it the client is told that it arrived, so that
// nothing that is shown as sent was not (DESIGN.md §3). Its goroutine ends with over.
type Handover struct {
	hub    *Hub
	acct   *account
	to     *contact
	file   im.File
	cancel context.CancelCauseFunc
	whole  chan struct{} // closed when all of it came
	ready  func()
	over   func(taken bool)

	mu   sync.Mutex
	room Room // nil before it is wanted and when it is over
	left int64
}

// handoverTime is how long a file may be on its way.
const handoverTime = time.Hour

// Why a file did not go, beside what the network says; without words when its sender
// knows already.
var (
	errKnown   = &im.Refused{}
	errAway    = &im.Refused{Text: "the network can't be reached now. Send the file again when the contact is back"}
	errSlow    = &im.Refused{Text: "it took longer than an hour. Send the file again"}
	errStopped = &im.Refused{Text: "this box was stopped meanwhile. Send the file again"}
)

// Only is who the client talks to when that is one contact on a network and nobody
// else.
func (s *Seat) Only() (who im.Person, ok bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if c := s.chat; c != nil && len(c.seats) == 1 && len(c.guests) == 1 && c.guests[0].c.Net != "" {
		return c.guests[0].owner.show(c.guests[0].c), true
	}
	return who, false
}

// HandOver takes a file that the client offers to who. nil: he can't be given files,
// and the client was told so. ready is called when the network wants it, and over
// once, in any case; both from the Handover's own goroutine, without the lock.
func (s *Seat) HandOver(who string, f im.File, ready func(*Handover), over func(o *Handover, taken bool)) *Handover {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	g := s.guest(who)
	if g == nil || h.closed {
		return nil
	}
	f.Name = plainName(f.Name)
	if p := s.acct.port(g.c.Net); h.room == nil || g.owner != s.acct || p == nil || p.builtin() {
		s.decline(g, "the file "+f.Name)
		return nil
	}
	ctx, cancel := context.WithCancelCause(h.ctx)
	o := &Handover{hub: h, acct: s.acct, to: g.c, file: f, cancel: cancel, whole: make(chan struct{}), left: f.Size}
	o.ready, o.over = func() { ready(o) }, func(taken bool) { over(o, taken) }
	h.wg.Go(func() { o.run(ctx) })
	return o
}

// plainName is the last part of a path, on Windows or elsewhere.
func plainName(path string) string {
	name := im.OneLine(path[strings.LastIndexAny(path, `\/:`)+1:])
	if strings.Trim(name, ". ") == "" {
		return "file"
	}
	return name
}

// Write takes the next bytes. An error, also when there are more than were promised,
// ends it.
func (o *Handover) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.room == nil || int64(len(b)) > o.left {
		return 0, io.ErrShortWrite
	}
	n, err := o.room.Write(b)
	if err != nil {
		o.cancel(err)
		return n, err
	}
	if o.left -= int64(n); o.left == 0 && n > 0 {
		close(o.whole)
	}
	return n, nil
}

// Whole tells whether all of it came.
func (o *Handover) Whole() bool {
	select {
	case <-o.whole:
		return true
	default:
		return false
	}
}

// GiveUp says that the client does not want to send it any more.
func (o *Handover) GiveUp() { o.cancel(errKnown) }

// Fail ends it: it can't be had from the client, why in words for its user.
func (o *Handover) Fail(why string) { o.cancel(&im.Refused{Text: why}) }

func (o *Handover) run(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(ctx, handoverTime, errSlow)
	defer cancel()
	err := o.carry(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	o.cancel(nil)
	o.mu.Lock()
	if o.room != nil {
		o.room.Close()
		o.room = nil
	}
	o.mu.Unlock()
	o.explain(err)
	o.over(err == nil)
}

// carry is the way of the file. The network is asked before the client is let send,
// and what it gets then is checked by the network itself.
func (o *Handover) carry(ctx context.Context) error {
	if o.file.Size <= 0 {
		return &im.Refused{Text: "it is empty"}
	}
	asking, cancel := context.WithTimeoutCause(ctx, handleLimit, errAway)
	_, err := o.upload(asking, o.file, nil)
	cancel()
	if err != nil {
		return err
	}
	room, err := o.hub.room(o.file.Size)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.room = room
	o.mu.Unlock()
	o.ready()
	select {
	case <-o.whole:
	case <-ctx.Done():
		return ctx.Err()
	}
	f := o.file
	r, kind := room.All()
	f.Type = kind
	if f.Ref, err = o.upload(ctx, f, r); err != nil {
		return err
	}
	return o.say(ctx, f)
}

// upload moves the bytes, by the link that there is now.
func (o *Handover) upload(ctx context.Context, f im.File, r io.Reader) (ref string, err error) {
	h := o.hub
	h.mu.Lock()
	var link im.Link
	if p := o.acct.port(o.to.Net); p != nil && p.up {
		link = p.link
	}
	h.mu.Unlock()
	if link == nil {
		return "", errAway
	}
	return link.Upload(ctx, o.acct.addr(), o.to.ID, f, r)
}

// say sends the message with the file in its conversation's order, and waits until
// the network's server has taken it or it is on disk.
func (o *Handover) say(ctx context.Context, f im.File) error {
	h := o.hub
	taken := make(chan error, 1)
	h.mu.Lock()
	p := o.acct.port(o.to.Net)
	if p == nil {
		h.mu.Unlock()
		return errAway
	}
	m := im.Message{ID: newID(), Conv: o.to.ID, At: time.Now(), File: &f}
	h.said(m)
	o.acct.talked(o.to, m.At)
	o.to.spoke(m)
	p.submit(o.acct.key, m, func(err error) { taken <- err })
	h.mu.Unlock()
	select {
	case err := <-taken:
		if err != nil {
			return errKnown // it came back as every message does
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// explain tells the sender, here or when he is back, why his file did not go.
func (o *Handover) explain(err error) {
	h := o.hub
	why := errAway
	switch no := why; {
	case errors.As(err, &no):
		why = no
	case h.ctx.Err() != nil:
		why = errStopped
	}
	if err == nil || why == errKnown {
		return
	}
	h.log.Info("a file did not go out", "net", o.to.Net, "account", o.acct.key, "err", err)
	text := "Not delivered: the file " + o.file.Name + ". Reason: " + strings.TrimSuffix(why.Text, ".") + "."
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.accounts[o.acct.key] != o.acct {
		return
	}
	if errors.Is(err, im.ErrUnsupported) {
		text = noWay("the file "+o.file.Name, o.acct.show(o.to))
	}
	o.acct.receive(o.to.addr(), "", im.Message{Kind: im.Notice, At: time.Now(), Text: text})
}
