package msnserver

import (
	"bufio"
	"crypto/md5"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"nudge/bridge"
	"nudge/bridge/im"
	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
	"nudge/store"
)

// TestListsSurviveAnyOrderOfVersions signs one account in with every version that
// gets its lists from here, in random order, edits them on the way, and compares
// what each client shows, from its own copy where the server says that this is
// good, with what the store has (MSNP.md B.6, K.3).
func TestListsSurviveAnyOrderOfVersions(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := &ordered{t: t, box: newBox(t), rnd: rand.New(rand.NewPCG(seed, 7)), copies: map[string]copied{}}
				o.run()
			})
		})
	}
}

// ordered is one run: an account that changes clients.
type ordered struct {
	t      *testing.T
	box    *box
	rnd    *rand.Rand
	copies map[string]copied // by version: what its client keeps
	last   copied            // what the last client kept
	d      *dialect.Dialect
	conn   net.Conn
	r      *bufio.Reader
	trid   int
	short  int // how often a copy was good
}

// copied are lists as a client keeps them, with their number.
type copied struct {
	version string
	lists   map[string]entry  // by handle
	groups  map[string]string // names by number or GUID
	prompt  string
	others  string
	phones  string // the user's own
}

type entry struct {
	name   string
	guid   string
	on     int
	groups string // by name
	phones string
}

const me = "alice@example.com"

var handles = []string{"bob@example.com", "carol@example.com", "dave@example.com", "eve@echo.test", "mia@echo.test", "nobody@example.com"}

func (o *ordered) run() {
	for _, h := range append([]string{me}, handles[:3]...) {
		o.must(o.box.hub.CreateAccount(o.t.Context(), h, "", "123456", true))
	}
	up := make(chan struct{}, 9)
	o.box.hub.Watch(watcher(up))
	o.must(o.box.hub.AddLink(o.t.Context(), me, "echo", nil))
	<-up
	versions := strings.Fields("MSNP2 MSNP3 MSNP4 MSNP5 MSNP6 MSNP7 MSNP8 MSNP9 MSNP10 MSNP11 MSNP12")
	for range 4 {
		o.rnd.Shuffle(len(versions), func(i, j int) { versions[i], versions[j] = versions[j], versions[i] })
		for _, v := range versions {
			o.signIn(v)
			o.check("after signing in")
			if o.rnd.IntN(3) > 0 {
				for range 1 + o.rnd.IntN(6) {
					o.edit()
				}
				o.check("after editing")
			}
			o.conn.Close()
			o.elsewhere()
			o.signIn(v)
			o.check("after changes by others")
			o.conn.Close()
		}
	}
	if o.short == 0 {
		o.t.Error("no copy was ever good")
	}
}

func (o *ordered) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// ask sends a command and returns what comes up to the answer of a PNG behind
// it.
func (o *ordered) ask(verb string, args ...string) (lines []wire.Command) {
	o.trid++
	cmd := wire.Line(verb, append([]string{strconv.Itoa(o.trid)}, args...)...)
	o.must(o.say(cmd.String() + "PNG\r\n"))
	for {
		line, err := wire.Read(o.r, wire.FromServer)
		o.must(err)
		if line.Verb == "QNG" {
			return lines
		}
		lines = append(lines, line)
	}
}

func (o *ordered) say(text string) error {
	_, err := io.WriteString(o.conn, text)
	return err
}

func (o *ordered) signIn(version string) {
	o.d = dialect.Named(version)
	o.conn = o.box.dial(o.t, false)
	o.r = bufio.NewReaderSize(o.conn, wire.MaxLine)
	read := func() wire.Command {
		line, err := wire.Read(o.r, wire.FromServer)
		o.must(err)
		return line
	}
	o.must(o.say("VER 1 " + version + "\r\n"))
	read()
	if o.d.MD5 {
		o.must(o.say("USR 3 MD5 I " + me + "\r\n"))
		proof := md5.Sum([]byte(read().Arg(3) + "123456"))
		o.must(o.say(fmt.Sprintf("USR 4 MD5 S %x\r\n", proof)))
	} else {
		o.must(o.say("USR 3 TWN I " + me + "\r\nUSR 4 TWN S " + o.box.srv.tickets.Issue(me) + "\r\n"))
		read()
	}
	if ok := read(); ok.Arg(1) != "OK" {
		o.t.Fatalf("%s signing in: %s", version, ok)
	}
	for read().Verb != "MSG" { // the profile
	}
}

// check lets the client synchronise and compares what it has then.
func (o *ordered) check(when string) {
	o.t.Helper()
	old, known := o.copies[o.d.Name]
	if o.rnd.IntN(3) == 0 { // the program was another one before
		old, known = o.last, o.last.version != ""
	}
	if !known {
		old.version = "0"
	}
	lines := o.ask("SYN", old.version, old.version)
	if len(lines) == 1 && known {
		o.short++
	} else {
		old = read(lines)
	}
	o.copies[o.d.Name], o.last = old, old
	want := o.truth()
	want.version = old.version
	if !reflect.DeepEqual(old, want) {
		o.t.Errorf("%s %s (%d lines):\n  shows %+v\n  truth %+v", o.d.Name, when, len(lines), old, want)
	}
}

// read makes a client's copy of the lines that answer SYN.
func read(lines []wire.Command) copied {
	c := copied{lists: map[string]entry{}, groups: map[string]string{}}
	ids := func(s string) string {
		var names []string
		for id := range strings.SplitSeq(s, ",") {
			if id != "0" && id != "" {
				names = append(names, c.groups[id])
			}
		}
		slices.Sort(names)
		return strings.Join(names, ",")
	}
	summed, tagged := len(lines[0].Args) == 4, len(lines[0].Args) == 5
	who := ""
	for _, l := range lines {
		last := l.Arg(len(l.Args) - 1)
		switch {
		case l.Verb == "SYN":
			c.version = l.Arg(1)
		case l.Verb == "GTC":
			c.prompt = last
		case l.Verb == "BLP":
			c.others = last
		case l.Verb == "LSG" && tagged:
			c.groups[last] = l.Arg(0)
		case l.Verb == "LST" && tagged:
			who = readTagged(c, l, ids)
		case l.Verb == "LSG":
			if id, name := l.Arg(len(l.Args)-3), l.Arg(len(l.Args)-2); id != "0" {
				c.groups[id] = name
			}
		case l.Verb == "PRP":
			c.phones += l.Arg(len(l.Args)-2) + last
		case l.Verb == "BPR":
			e := c.lists[who]
			e.phones += l.Arg(len(l.Args)-2) + last
			c.lists[who] = e
		case l.Verb == "LST" && summed:
			who = l.Arg(0)
			on, _ := strconv.Atoi(l.Arg(2))
			c.lists[l.Arg(0)] = entry{name: l.Arg(1), on: on, groups: ids(l.Arg(3))}
		case l.Verb == "LST" && len(l.Args) > 5:
			who = l.Arg(5)
			e := c.lists[who]
			e.name = l.Arg(6)
			e.on |= map[string]int{"FL": 1, "AL": 2, "BL": 4, "RL": 8}[l.Arg(1)]
			e.groups += ids(l.Arg(7))
			c.lists[who] = e
		}
	}
	return c
}

// readTagged reads one contact into c and returns his handle.
func readTagged(c copied, l wire.Command, groups func(string) string) (who string) {
	var e entry
	var rest []string
	for _, a := range l.Args {
		switch tag, value, _ := strings.Cut(a, "="); tag {
		case "N":
			who = value
		case "F":
			e.name = value
		case "C":
			e.guid = value
		default:
			rest = append(rest, a)
		}
	}
	e.on, _ = strconv.Atoi(rest[0])
	if last := rest[len(rest)-1]; strings.Contains(last, "-") { // behind a network type or not
		e.groups = groups(last)
	}
	c.lists[who] = e
	return who
}

// truth is what a client of this version should have, from the store.
func (o *ordered) truth() copied {
	want := copied{lists: map[string]entry{}, groups: map[string]string{}, prompt: "N", others: "AL"}
	o.must(o.box.db.Sync(o.t.Context()))
	o.must(o.box.db.View(func(tx *store.Tx) error {
		acct, _ := tx.Account(me)
		if acct.Prompt {
			want.prompt = "A"
		}
		if acct.BlockOthers {
			want.others = "BL"
		}
		want.phones = o.phones(acct)
		if o.d.OwnName {
			want.phones = "MFN" + me + want.phones
		}
		names := map[uint32]string{}
		for g := range tx.Groups(me) {
			names[g.ID] = o.d.EscapeGroup(g.Name)
			switch o.d.Groups {
			case dialect.Numbered:
				want.groups[fmt.Sprint(g.ID)] = names[g.ID]
			case dialect.Unique:
				want.groups[g.GUID] = names[g.ID]
			}
		}
		for c := range tx.Contacts(me) {
			handle := o.d.Handle(im.Addr{Net: c.Net, ID: c.Handle})
			e := entry{name: c.Name, on: int(c.Lists)}
			if c.Net == "" {
				other, _ := tx.Account(c.ID)
				e.name = other.Name
				if mine, _ := tx.Contact(c.ID, "", me); c.Lists&store.Forward != 0 && mine.Lists&store.Block == 0 {
					e.phones = o.phones(other)
				}
			}
			e.name = o.d.EscapeName(e.name, c.Handle)
			switch {
			case c.Lists&store.Pending == 0:
			case o.d.Pending:
				e.on = e.on&^8 | 16
			default:
				e.on = e.on&^16 | 8
			}
			if o.d.Groups == dialect.Unique && c.Lists&store.Forward != 0 {
				e.guid = c.GUID
			}
			if o.d.Groups != dialect.NoGroups {
				var gs []string
				for _, id := range c.Groups {
					gs = append(gs, names[id])
				}
				slices.Sort(gs)
				e.groups = strings.Join(gs, ",")
			}
			want.lists[handle] = e
		}
		return nil
	}))
	return want
}

// phones are the numbers of an account as this version shows them.
func (o *ordered) phones(a store.Account) (all string) {
	for _, key := range o.d.Properties {
		if v := a.Properties[key]; v != "" {
			all += key + wire.Escape(v)
		}
	}
	return all
}

// edit does one thing to the lists as a client of this version can, sensible or
// not: what comes of it is in the store.
func (o *ordered) edit() {
	pick := func(of ...string) string { return of[o.rnd.IntN(len(of))] }
	who := pick(handles...)
	var group []string
	if o.d.Groups != dialect.NoGroups && o.rnd.IntN(2) == 0 {
		group = []string{pick(append(slices.Sorted(maps.Keys(o.copies[o.d.Name].groups)), "0", "3")...)}
	}
	name := fmt.Sprintf("Pals%%20%d", o.rnd.IntN(5))
	switch o.rnd.IntN(10) {
	case 9:
		o.ask("PRP", pick("PHH", "PHM"), pick("1", "2", "3%204"))
	case 0, 1, 2:
		o.add(who, group)
	case 3:
		if o.d.Lists == dialect.Tagged {
			o.ask("ADC", pick("AL", "BL"), "N="+who)
		} else {
			o.ask("ADD", pick("AL", "BL"), who, who)
		}
	case 4:
		if guid := o.copies[o.d.Name].lists[who].guid; guid != "" {
			who = guid
		}
		o.ask("REM", append([]string{"FL", who}, group...)...)
	case 5:
		o.ask("REM", pick("AL", "BL"), who)
	case 6:
		o.ask(pick("GTC", "BLP"), pick("A", "N", "AL", "BL"))
	case 7:
		o.ask("ADG", name, "0")
	case 8:
		if len(group) > 0 && o.rnd.IntN(2) == 0 {
			o.ask("RMG", group[0])
		} else {
			o.ask("REG", append(group, name, "0")...)
		}
	}
}

// add puts somebody on the forward list, or into a group.
func (o *ordered) add(who string, group []string) {
	guid := o.copies[o.d.Name].lists[who].guid
	switch {
	case o.d.Lists != dialect.Tagged:
		o.ask("ADD", append([]string{"FL", who, who}, group...)...)
	case guid != "" && len(group) > 0:
		o.ask("ADC", "FL", "C="+guid, group[0])
	default:
		o.ask("ADC", append([]string{"FL", "N=" + who, "F=" + who}, group...)...)
	}
}

// elsewhere changes what the lists hold without a client's doing.
func (o *ordered) elsewhere() {
	ctx, other := o.t.Context(), handles[o.rnd.IntN(3)]
	switch o.rnd.IntN(6) {
	case 3, 4, 5:
		s, err := o.box.hub.SignOn(other, bridge.Client{}, nowhere{})
		o.must(err)
		s.Remove(ctx, bridge.AL, me, 0, false)
		_, err = s.Add(ctx, bridge.BL, me, 0)
		if err != nil {
			s.Remove(ctx, bridge.BL, me, 0, false)
		}
		if o.rnd.IntN(2) == 0 {
			s.SetProperty(ctx, "PHH", strconv.Itoa(o.rnd.IntN(3)))
		}
		s.Close()
	case 0:
		o.box.hub.AddContact(ctx, other, me) // already there: also good
	case 1:
		o.box.hub.RemoveContact(ctx, other, me)
	case 2:
		o.must(o.box.hub.SetName(ctx, other, fmt.Sprint("Name ", o.rnd.IntN(9))))
	}
}
