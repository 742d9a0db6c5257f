package sb

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/msnserver/p2p"
)

// Before Messenger 6 a file goes over a connection of its own, which who takes it
// makes to the PC of who gives it (MSNP.md D.4). The box connects to the PC that the
// client itself came from, whatever address an invitation names.

// firstPort is the lowest that an invitation may name.
const firstPort = 1024

var errPort = errors.New("no port of a program")

// maxFetches is how many files a client may be giving away at once.
const maxFetches = 4

// connectTime is how long the client's PC may take to answer, byeTime how long to hang
// up, with at most unread bytes on the way.
const (
	connectTime = 20 * time.Second
	byeTime     = 2 * time.Second
	unread      = 64 << 10
)

// What the user is told when his file can't be had.
const (
	textNoConnection = "This PC can't be connected to. Let its firewall accept connections to MSN Messenger (ports 6891 to 6900) from the home network, and send the file again"
	textNoFTP        = "MSN Messenger on this PC did not send it. Try again"
)

// fetch is a file that comes by the old way. The Seat's playing guards it.
type fetch struct {
	p2p.Invitation
	who  im.Person
	me   string // his handle, as the client has it
	file *bridge.Handover
	ctx  context.Context // of the connection
	stop context.CancelFunc
	came bool      // there is a connection, or there will be
	over chan bool // has room for whether the network has it
}

// invited takes a step of an invitation of the old kind, and tells whether it is about
// a file that the box takes, or would.
func (s *Seat) invited(payload []byte) bool {
	i, ok := p2p.ParseInvitation(payload)
	if !ok {
		return false
	}
	s.playing.Lock()
	defer s.playing.Unlock()
	x := s.fetches[i.Cookie]
	switch {
	case x == nil && i.Command == "INVITE" && i.Here && len(s.fetches) < maxFetches:
		return s.offered(i)
	case x == nil:
		return false
	case i.Command == "CANCEL":
		x.file.GiveUp()
	case i.Command == "ACCEPT" && !x.came:
		x.came = true
		s.getting.Go(func() { s.get(x, i.Port, i.Auth) })
	}
	return true
}

// offered takes up an invitation for a file. playing is held.
func (s *Seat) offered(i p2p.Invitation) bool {
	who, ok := s.seat.Only()
	if !ok {
		return false
	}
	x := &fetch{Invitation: i, who: who, me: s.Dialect().Handle(who.Addr), over: make(chan bool, 1)}
	x.ctx, x.stop = context.WithCancel(context.Background())
	ready := func(*bridge.Handover) { s.seat.Hear(who.ID, i.Accept()) }
	over := func(_ *bridge.Handover, taken bool) {
		s.playing.Lock()
		defer s.playing.Unlock()
		delete(s.fetches, i.Cookie)
		x.over <- taken
		switch {
		case !x.came:
			s.seat.Hear(who.ID, i.Cancel())
			x.stop()
		case !taken:
			x.stop()
		}
	}
	x.file = s.seat.HandOver(who.ID, im.File{Name: i.Offer.Name, Size: i.Offer.Size}, ready, over)
	if x.file == nil {
		x.stop()
		s.seat.Hear(who.ID, i.Cancel())
		return true
	}
	if s.fetches == nil {
		s.fetches = map[string]*fetch{}
	}
	s.fetches[i.Cookie] = x
	return true
}

// get fetches the file from the client's PC, and says what became of it there.
func (s *Seat) get(x *fetch, port uint16, auth string) {
	defer x.stop()
	line, err := s.connect(x.ctx, port)
	if err != nil {
		x.file.Fail(textNoConnection)
		return
	}
	defer line.Close()
	defer context.AfterFunc(x.ctx, func() { line.SetDeadline(time.Unix(1, 0)) })()
	switch err := p2p.Fetch(line, x.me, auth, x.Offer.Size, x.file); {
	case errors.Is(err, io.EOF): // its user did, who knows why
		x.file.GiveUp()
	case err != nil:
		x.file.Fail(textNoFTP)
	}
	taken := false
	select {
	case taken = <-x.over:
	case <-x.ctx.Done():
	}
	line.SetDeadline(time.Now().Add(byeTime))
	p2p.Bye(line, taken)
	if c, ok := line.(*net.TCPConn); ok { // what is not read yet would take the last word with it
		c.CloseWrite()
		io.CopyN(io.Discard, c, unread)
	}
}

// connect makes a connection to the client's PC, where only ports of programs are tried.
func (s *Seat) connect(ctx context.Context, port uint16) (net.Conn, error) {
	peer, err := netip.ParseAddrPort(s.Net.RemoteAddr().String())
	if err != nil || port < firstPort {
		return nil, errPort
	}
	d := net.Dialer{Timeout: connectTime}
	return d.DialContext(ctx, "tcp", netip.AddrPortFrom(peer.Addr(), port).String())
}
