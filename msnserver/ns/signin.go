package ns

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"nudge/bridge"
	"nudge/msnserver/conn"
	"nudge/msnserver/dialect"
	"nudge/msnserver/passport"
	"nudge/msnserver/wire"
)

// ver agrees on a version (MSNP.md B.2).
func (s *Session) ver(cmd wire.Command) error {
	offered := cmd.Args[1:]
	d := dialect.Choose(offered)
	switch {
	case d != nil:
		s.Speak(d)
		s.Enter(conn.Agreed)
		s.Send(wire.Line("VER", cmd.Arg(0), d.Name))
		return nil
	case slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, "CVR0") }):
		s.saw(passport.UnknownVersion)
		s.Send(wire.Line("VER", cmd.Arg(0), "CVR0")) // the client asks with CVQ where to get a newer one
		return nil
	}
	s.saw(passport.UnknownVersion)
	s.Send(wire.Line("VER", cmd.Arg(0), "0"))
	return fmt.Errorf("no common version in %q: %w", offered, conn.ErrBye)
}

// inf names the way to sign in with MSNP2–7; the first builds of MSN 5.0 ask
// too (MSNP.md K.4).
func (s *Session) inf(cmd wire.Command) error {
	s.Send(wire.Line("INF", cmd.Arg(0), "MD5"))
	return nil
}

// cvr recommends the version the client has: nobody is told to upgrade.
func (s *Session) cvr(cmd wire.Command) error {
	s.program = cmd.Arg(5) + " " + cmd.Arg(6)
	if s.user == nil { // later the version stays: others write to the client
		s.Speak(s.Dialect().ForSystem(cmd.Arg(2), cmd.Arg(3)))
	}
	s.recommend(cmd)
	return nil
}

// cvq is cvr for a client that no version could be agreed on with.
func (s *Session) cvq(cmd wire.Command) error {
	s.recommend(cmd)
	return fmt.Errorf("no common version: %w", conn.ErrBye)
}

func (s *Session) recommend(cmd wire.Command) {
	version, site := cmd.Arg(6), "http://"+s.Host()+"/"
	if version == "" {
		version = "1.0.0000"
	}
	s.Send(wire.Line(cmd.Verb, cmd.Arg(0), version, version, version, site, site))
}

// usr signs in, in two steps: I names the account, S proves it (MSNP.md B.5).
func (s *Session) usr(cmd wire.Command) error {
	policy, step, value := cmd.Arg(1), cmd.Arg(2), cmd.Arg(3)
	switch d := s.Dialect(); {
	case policy == "MD5" && step == "I" && d.MD5:
		s.handle, s.challenge = value, newChallenge()
		s.Enter(conn.Challenged)
		s.Send(wire.Line("USR", cmd.Arg(0), "MD5", "S", s.challenge))
		return nil
	case policy == "MD5" && step == "S" && s.challenge != "":
		done, pause := s.tries.Try(s.Net.RemoteAddr(), s.handle)
		if pause > 0 {
			s.saw(passport.MustWait)
			s.Send(wire.TooBusy.Reply(cmd.Arg(0)))
			return fmt.Errorf("too many wrong passwords from this PC: it waits %v: %w", pause.Round(time.Second), conn.ErrBye)
		}
		right := s.answersChallenge(value)
		done(right)
		return s.prove(cmd, right, s.md5Trouble)
	case policy == "TWN" && step == "I" && d.Tickets:
		s.handle, s.challenge = value, ""
		s.Enter(conn.Challenged)
		s.saw(passport.AskedLogin)
		s.Send(wire.Line("USR", cmd.Arg(0), "TWN", "S", passport.Challenge(time.Now())))
		return nil
	case policy == "TWN" && step == "S" && s.handle != "" && s.challenge == "":
		handle, ok := s.tickets.Verify(value)
		return s.prove(cmd, ok && strings.EqualFold(handle, s.handle), func() passport.Trouble { return passport.StaleServer })
	}
	s.Send(wire.NotExpected.Reply(cmd.Arg(0)))
	return fmt.Errorf("USR %s %s at the wrong time: %w", policy, step, conn.ErrBye)
}

// newChallenge looks as the real ones did. It is random, so that it says nothing
// about whether the account exists.
func newChallenge() string {
	var b [8]byte
	rand.Read(b[:])
	n := binary.BigEndian.Uint64(b[:])
	return fmt.Sprintf("%010d.%09d", 1_000_000_000+n>>32%1_000_000_000, n%1_000_000_000)
}

// answersChallenge checks the proof of MSNP2–7: the hash of challenge and
// password. Some clients cut a password after 16 characters (MSNP.md A.5).
func (s *Session) answersChallenge(proof string) bool {
	challenge := s.challenge
	s.challenge = ""
	secret, ok := s.hub.MD5Secret(s.handle)
	good := false
	for _, p := range []string{secret, secret[:min(len(secret), 16)]} {
		sum := md5.Sum([]byte(challenge + p))
		if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(strings.ToLower(proof))) == 1 {
			good = true
		}
	}
	return ok && good
}

// md5Trouble is why the proof of MSNP2–7 failed.
func (s *Session) md5Trouble() passport.Trouble {
	_, allowed := s.hub.MD5Secret(s.handle)
	switch {
	case allowed:
		return passport.WrongPassword
	case s.hub.HasAccount(s.handle):
		return passport.MD5Off
	}
	return passport.UnknownAccount
}

// saw tells the owner how far this PC got.
func (s *Session) saw(t passport.Trouble) {
	s.witness.Saw(passport.Peer(s.Net.RemoteAddr()), s.handle, t)
}

// prove ends the sign-in; why is asked when the proof failed.
func (s *Session) prove(cmd wire.Command, ok bool, why func() passport.Trouble) error {
	if !ok {
		s.saw(why())
		s.Send(wire.AuthFailed.Reply(cmd.Arg(0)))
		return fmt.Errorf("sign-in refused: %w", conn.ErrBye)
	}
	remote := s.Net.RemoteAddr().String()
	user, err := s.hub.SignOn(s.handle, bridge.Client{Proto: s.Dialect().Name, Program: s.program, Remote: remote, Local: s.Net.LocalAddr().String(),
		MaxContacts: s.Dialect().MaxContacts, GroupZero: s.Dialect().Groups == dialect.Numbered, Emoji: s.Dialect().Emoji, Pictures: s.Dialect().Pictures}, s)
	if err != nil {
		code := wire.AuthFailed
		if errors.Is(err, bridge.ErrClosed) {
			code = wire.ServerUnavailable
		}
		if errors.Is(err, bridge.ErrNoAccount) {
			s.saw(passport.UnknownAccount)
		}
		s.Send(code.Reply(cmd.Arg(0)))
		return fmt.Errorf("sign-in refused: %w: %w", err, conn.ErrBye)
	}
	s.user = user
	s.SignedIn()
	s.saw(passport.SignedIn)
	me := user.Person()
	p := dialect.Profile{Handle: me.ID, LoginTime: time.Now().Unix()}
	if ip, port, err := net.SplitHostPort(remote); err == nil {
		p.ClientIP = ip
		p.ClientPort, _ = strconv.Atoi(port)
	}
	if s.Dialect().Tickets {
		p.Ticket = s.tickets.Issue(me.ID)
	}
	s.noteInName = s.hub.Setting(bridge.NoteInName) == "on"
	s.challenges.setting = s.hub.Setting(bridge.Challenge)
	s.Send(s.Dialect().SignedIn(s.Dialect(), cmd.Arg(0), s.handle, me.Name))
	s.Send(s.Dialect().Greeting...)
	s.Send(dialect.Hotmail(s.Dialect().Profile(p)))
	s.greeted.Store(true)
	return nil
}
