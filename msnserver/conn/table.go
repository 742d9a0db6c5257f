package conn

import (
	"fmt"
	"strings"

	"nudge/msnserver/wire"
)

// State is how far a connection's sign-in is, one bit each, so that a row can
// name several.
type State uint8

// Fresh: nothing was said. Agreed: the version is agreed on. Challenged: the
// client has its challenge. SignedIn: it proved who it is.
const (
	Fresh State = 1 << iota
	Agreed
	Challenged
	SignedIn
)

// Any is every state.
const Any = Fresh | Agreed | Challenged | SignedIn

// Command is one row: what runs a verb, when it is legal, and with how many
// arguments (transaction id included, payload length not).
type Command[S any] struct {
	Run      func(s S, cmd wire.Command) error
	In       State
	Min, Max int       // more than Max are ignored: later versions append some
	Wrong    wire.Code // the answer in a wrong state, NotExpected when 0
	Stay     bool      // a wrong state does not end the connection
}

// Table is what a kind of server understands. Known, when not nil, says which
// of the verbs exist for this client's version; the others are unknown to it.
// Dropped, when not nil, says which of these an older version had: they are
// answered that they are disabled (MSNP.md A.7).
type Table[S any] struct {
	Rows    map[string]Command[S]
	Known   func(c *Conn, verb string) bool
	Dropped func(c *Conn, verb string) bool
}

// run checks one command against its row and runs it (MSNP.md K.1, K.2).
func run[S any](c *Conn, t Table[S], s S, cmd wire.Command) error {
	row, ok := t.Rows[cmd.Verb]
	if ok && t.Known != nil {
		ok = t.Known(c, cmd.Verb)
	}
	switch {
	case !ok && c.state == SignedIn && t.Dropped != nil && t.Dropped(c, cmd.Verb):
		c.Send(wire.Disabled.Reply(trid(cmd)))
		return nil
	case !ok && c.state == SignedIn:
		c.ignore(cmd)
		return nil
	case !ok:
		return fmt.Errorf("unknown command %.10q before sign-in", cmd.Verb)
	case row.In&c.state == 0:
		return misplaced(c, row.Wrong, row.Stay, cmd)
	case len(cmd.Args) < row.Min && c.state == SignedIn:
		c.Send(wire.SyntaxError.Reply(trid(cmd)))
		return nil
	case len(cmd.Args) < row.Min:
		return fmt.Errorf("%s with %d arguments before sign-in", cmd.Verb, len(cmd.Args))
	}
	if len(cmd.Args) > row.Max {
		cmd.Args = cmd.Args[:row.Max]
	}
	return row.Run(s, cmd)
}

// How much of what is not understood is logged: commands of one client, and
// bytes of each.
const (
	unknownMost  = 10
	unknownBytes = 200
)

// ignore notes an unknown command for whoever wants to know what a client
// lacks, and not more of them than somebody would read.
func (c *Conn) ignore(cmd wire.Command) {
	if c.unknown++; c.unknown <= unknownMost {
		args := strings.Join(cmd.Args, " ")
		c.Log.Info("unknown command ignored", "verb", cmd.Verb[:min(len(cmd.Verb), unknownBytes)], "args", args[:min(len(args), unknownBytes)])
	}
}

// misplaced answers a command that is not legal now.
func misplaced(c *Conn, code wire.Code, stay bool, cmd wire.Command) error {
	if code == 0 {
		code = wire.NotExpected
	}
	c.Send(code.Reply(trid(cmd)))
	if stay {
		return nil
	}
	return fmt.Errorf("%s at the wrong time: %w", cmd.Verb, ErrBye)
}

// trid is the transaction id to answer with.
func trid(cmd wire.Command) string {
	if id := cmd.Arg(0); id != "" {
		return id
	}
	return "0"
}
