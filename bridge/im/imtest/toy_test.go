package imtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"nudge/bridge/im"
)

// toyServer keeps an archive of what was said both ways. Its clients are links
// that call it directly.
type toyServer struct {
	mu      sync.Mutex
	bell    chan struct{}
	archive []toyLine
	heard   int // how far the peer has read
	asked   []string
	epoch   int  // counts cuts: a link of an older epoch is disconnected
	loseAck bool // cut after the next text was taken
	mute    bool
}

type toyLine struct {
	out  bool // from the account
	id   string
	text string
}

func (s *toyServer) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	close(s.bell)
	s.bell = make(chan struct{})
}

// await waits until ok, called with the lock held, or ctx ends.
func (s *toyServer) await(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		done, bell := ok(), s.bell
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *toyServer) hear(ctx context.Context) (text string, err error) {
	err = s.await(ctx, func() bool {
		for ; s.heard < len(s.archive); s.heard++ {
			if l := s.archive[s.heard]; l.out {
				text = l.text
				s.heard++
				return true
			}
		}
		return false
	})
	return text, err
}

// bug is one way to break the contract.
type bug string

// toy is the network: a correct one unless it has a bug.
type toy struct {
	server *toyServer
	bug    bug
}

func (toy) Fields() []im.Field {
	return []im.Field{{Key: "password", Label: "Password", Required: true}}
}
func (toy) Settings() []im.Field { return nil }

type toyLink struct {
	toy
	im.Login
	epoch  int
	ctx    context.Context
	cancel context.CancelCauseFunc
	reader sync.WaitGroup
	sends  sync.Mutex
	closed bool
}

var errClosed = errors.New("closed")

func (n toy) Connect(ctx context.Context, l im.Login) (im.Link, error) {
	if l.Fields["password"] != "good" && n.bug != "takes any password" {
		return nil, &im.Lost{Class: im.Credentials, Text: "The password is wrong. Link again with the right one."}
	}
	base := context.WithoutCancel(ctx)
	if n.bug == "lives by Connect's context" {
		base = ctx
	}
	mark, err := l.Host.Mark(l.User)
	if err != nil {
		return nil, &im.Lost{Text: err.Error()}
	}
	k := &toyLink{toy: n, Login: l}
	k.ctx, k.cancel = context.WithCancelCause(base)
	n.server.mu.Lock()
	k.epoch = n.server.epoch
	n.server.mu.Unlock()
	k.reader.Go(func() { k.cancel(k.read(mark)) })
	return k, nil
}

func (k *toyLink) read(mark []byte) error {
	pos, _ := strconv.Atoi(string(mark))
	first := true
	for {
		end, err := k.catchUp(pos, first)
		if err != nil {
			return err
		}
		if first || k.bug == "up again" {
			state := []im.Event{im.LinkState{Net: "toy", State: im.Up}}
			if err := k.Host.Accept(k.ctx, im.Batch{User: k.User, Events: state}, nil); err != nil {
				return err
			}
		}
		first, pos = false, end
		lost := false
		err = k.server.await(k.ctx, func() bool {
			lost = k.server.epoch != k.epoch
			return lost || len(k.server.archive) > pos || len(k.server.asked) > 0
		})
		if err != nil || lost {
			return &im.Lost{Class: im.Retry, Text: "The toy was cut off; it connects again by itself."}
		}
	}
}

// catchUp accepts the archive from pos on, each line with its position; while
// it is the first time it reports on unsettled sends that it finds.
func (k *toyLink) catchUp(pos int, first bool) (end int, err error) {
	k.server.mu.Lock()
	lines := slices.Clone(k.server.archive)
	asked := k.server.asked
	k.server.asked = nil
	k.server.mu.Unlock()
	if pos > len(lines) {
		return 0, errors.New("the mark is from another archive")
	}
	for _, who := range asked {
		e := im.ContactEdit{Op: im.Add, Who: im.Contact{Person: im.Person{Addr: im.Addr{Net: "toy", ID: who}}}}
		if k.bug == "asks nothing" {
			continue
		}
		if err := k.Host.Accept(k.ctx, im.Batch{User: k.User, Events: []im.Event{e}}, nil); err != nil {
			return 0, err
		}
	}
	if first && k.bug != "looks for no echo" {
		for _, u := range k.Host.Unsettled(k.User) {
			m, is := u.Event.(im.Message)
			if is && slices.ContainsFunc(lines, func(l toyLine) bool { return l.id == m.ID }) {
				k.receipt(m.ID, m.Conv)
			}
		}
	}
	if k.bug == "swaps" && len(lines)-pos > 1 {
		lines[pos], lines[pos+1] = lines[pos+1], lines[pos]
	}
	for i, l := range lines[pos:] {
		if err := k.acceptLine(pos+i+1, l); err != nil {
			return 0, err
		}
	}
	return len(lines), nil
}

func (k *toyLink) acceptLine(pos int, l toyLine) error {
	b := im.Batch{User: k.User, Mark: []byte(strconv.Itoa(pos))}
	if !l.out {
		m := im.Message{ID: fmt.Sprintf("toy-%d", pos), Conv: "bob", From: im.Addr{Net: "toy", ID: "bob"}, At: time.Now(), Text: l.text}
		switch k.bug {
		case "fresh IDs":
			m.ID += fmt.Sprintf("-%p", k)
		case "no conversation":
			m.Conv = ""
		}
		b.Events = []im.Event{m}
	}
	if k.bug == "mark ahead" { // the mark is put on disk without its message
		events := b.Events
		b.Events = nil
		if err := k.Host.Accept(k.ctx, b, nil); err != nil {
			return err
		}
		b.Events, b.Mark = events, nil
	}
	if k.bug == "writes in settled" {
		kv := k.Host.KV(k.User)
		return k.Host.Accept(k.ctx, b, func(error) { kv.Update(func(tx im.Tx) error { return tx.Put([]byte("k"), nil) }) })
	}
	return k.Host.Accept(k.ctx, b, func(err error) {
		if err != nil && k.bug != "ignores the disk" {
			k.cancel(&im.Lost{Class: im.Retry, Text: "The disk failed; it is tried again."})
		}
	})
}

func (k *toyLink) receipt(id, conv string) {
	r := im.Receipt{ID: id, Conv: conv, State: im.Sent}
	k.Host.Accept(k.ctx, im.Batch{User: k.User, Events: []im.Event{r}}, nil)
	if k.bug == "two receipts" {
		k.Host.Accept(k.ctx, im.Batch{User: k.User, Events: []im.Event{r}}, nil)
	}
}

func (k *toyLink) Handle(ctx context.Context, user im.Addr, ev im.Event) error {
	if k.ctx.Err() != nil && k.bug != "takes after close" {
		return context.Cause(k.ctx)
	}
	switch ev := ev.(type) {
	case im.Message:
		return k.say(ctx, ev)
	case im.ContactEdit:
		if ev.Op == im.Regroup {
			return im.ErrUnsupported
		}
		if k.bug != "edits without receipt" {
			k.receipt(ev.ID, ev.Who.ID)
		}
		return nil
	case im.PresenceChanged:
		if k.bug == "presence waits" {
			return k.server.await(context.WithoutCancel(ctx), func() bool { return !k.server.mute })
		}
		return nil
	case im.Typing:
		return nil
	}
	if k.bug == "takes anything" {
		return nil
	}
	return im.ErrUnsupported
}

// say is taken when the server has it, unless the server is mute or cut off.
func (k *toyLink) say(ctx context.Context, m im.Message) error {
	if k.bug != "deaf to ctx" {
		both, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(k.ctx, cancel)()
		ctx = both
	} else {
		ctx = context.WithoutCancel(ctx)
	}
	if err := k.server.await(ctx, func() bool { return !k.server.mute }); err != nil {
		return err
	}
	k.sends.Lock()
	defer k.sends.Unlock()
	lost := false
	k.server.change(func() {
		if lost = k.epoch != k.server.epoch; lost {
			return
		}
		if k.bug != "sends nothing" {
			k.server.archive = append(k.server.archive, toyLine{true, m.ID, m.Text})
		}
		if k.server.loseAck {
			k.server.loseAck, lost = false, true
			k.server.epoch++
		}
	})
	if lost {
		return errors.New("cut off")
	}
	if k.bug != "no receipt" && (k.bug != "relations without receipt" || m.Rel.Kind == im.NoRel) {
		k.receipt(m.ID, m.Conv)
	}
	return nil
}

func (k *toyLink) Find(ctx context.Context, _ im.Addr, handle string) (im.Person, error) {
	switch {
	case ctx.Err() != nil:
		return im.Person{}, ctx.Err()
	case k.ctx.Err() != nil:
		return im.Person{}, context.Cause(k.ctx)
	case handle == "carol@toy" || k.bug == "finds anybody":
		return im.Person{Addr: im.Addr{Net: "toy", ID: handle}}, nil
	}
	return im.Person{}, fmt.Errorf("%q: %w", handle, im.ErrNotFound)
}

func (*toyLink) Open(context.Context, im.Addr, string) (io.ReadCloser, im.File, error) {
	return nil, im.File{}, im.ErrUnsupported
}

func (*toyLink) Upload(context.Context, im.Addr, string, im.File, io.Reader) (string, error) {
	return "", im.ErrUnsupported
}

func (k *toyLink) Wait() error {
	<-k.ctx.Done()
	k.reader.Wait()
	if err := context.Cause(k.ctx); !errors.Is(err, errClosed) {
		return err
	}
	return nil
}

func (k *toyLink) Close() error {
	if k.bug == "closes once" {
		k.sends.Lock()
		defer k.sends.Unlock()
		if k.closed {
			select {}
		}
		k.closed = true
	}
	k.cancel(errClosed)
	k.reader.Wait()
	return nil
}

func toyRig(b bug) Rig {
	srv := &toyServer{bell: make(chan struct{})}
	return Rig{
		Network: toy{srv, b},
		Name:    "toy",
		Fields:  map[string]string{"password": "good"},
		Denied:  map[string]string{"password": "bad"},
		Account: im.Addr{ID: "alice@hotmail.com"},
		Contact: im.Addr{Net: "toy", ID: "bob"},
		Others:  []im.Addr{{Net: "toy", ID: "dave"}, {Net: "toy", ID: "erin"}},
		Nobody:  "nobody@toy",
		Known:   "carol@toy",
		Say: func(text string) error {
			srv.change(func() { srv.archive = append(srv.archive, toyLine{text: text}) })
			return nil
		},
		Hear: srv.hear,
		Ask: func(string) (im.Addr, error) {
			srv.change(func() { srv.asked = append(srv.asked, "frank") })
			return im.Addr{Net: "toy", ID: "frank"}, nil
		},
		Cut:     func() error { srv.change(func() { srv.epoch++ }); return nil },
		LoseAck: func() error { srv.change(func() { srv.loseAck = true }); return nil },
		Stall:   func(on bool) error { srv.change(func() { srv.mute = on }); return nil },
		Absent:  map[string]string{"Answers": "the toy's peer speaks only when told to"},
	}
}

func TestToy(t *testing.T) {
	Run(t, func(*testing.T) Rig { return toyRig("") })
}
