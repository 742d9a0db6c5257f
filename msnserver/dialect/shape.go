package dialect

import (
	"cmp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// codes are the states as MSNP writes them (MSNP.md B.10).
var codes = [...]string{
	im.Offline: "FLN", im.Online: "NLN", im.Busy: "BSY", im.Idle: "IDL", im.BeRightBack: "BRB",
	im.Away: "AWY", im.Phone: "PHN", im.Lunch: "LUN", im.Hidden: "HDN",
}

// StatusNamed is the state a client may set with that code; FLN is none.
func StatusNamed(code string) (im.Status, bool) {
	for s, c := range codes {
		if c == code && im.Status(s) != im.Offline {
			return im.Status(s), true
		}
	}
	return im.Offline, false
}

// maxName is the longest friendly name in bytes, escaped (MSNP.md A.5).
const maxName = 387

// EscapeName writes a friendly name as an argument: valid UTF-8 in one line, cut
// to what clients take. fallback stands in for an empty name.
func (d *Dialect) EscapeName(name, fallback string) string {
	if name = oneLine(name); name == "" {
		name = fallback
	}
	return d.escapeCut(name, maxName)
}

// oneLine is im.OneLine for clients that may have no glyph for U+FFFD.
func oneLine(s string) string { return im.OneLine(strings.ToValidUTF8(s, "?")) }

// escapeCut writes text as one argument of at most most bytes. It is cut between
// characters, and what a person would call one stays whole.
func (d *Dialect) escapeCut(text string, most int) string {
	text = d.legible(strings.ToValidUTF8(text[:min(len(text), 4*most)], "?"))
	for len(text) > most { // escaping makes nothing shorter
		text = dropLast(text)
	}
	e := wire.Escape(text)
	for len(e) > most {
		text = dropLast(text)
		e = wire.Escape(text)
	}
	return e
}

// dropLast cuts the last character off s, with the marks that belong to it.
func dropLast(s string) string {
	for s != "" {
		r, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
		if !unicode.Is(unicode.M, r) && r != '\u200d' {
			break
		}
	}
	return strings.TrimRight(s, "\u200d")
}

// name is the friendly name of who as an argument.
func (d *Dialect) name(who im.Person) string { return d.EscapeName(who.Name, d.Handle(who.Addr)) }

func number[N uint32 | uint64 | int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// Signing in.

func signedIn2(d *Dialect, trid, handle, name string) wire.Command {
	return wire.Line("USR", trid, "OK", handle, d.EscapeName(name, handle))
}

func signedIn6(d *Dialect, trid, handle, name string) wire.Command {
	return wire.Line("USR", trid, "OK", handle, d.EscapeName(name, handle), "1")
}

func signedIn8(d *Dialect, trid, handle, name string) wire.Command {
	return wire.Line("USR", trid, "OK", handle, d.EscapeName(name, handle), "1", "0")
}

func profile2(p Profile) wire.Message {
	m := wire.NewMessage("text/x-msmsgsprofile; charset=UTF-8")
	m.Add("LoginTime", number(p.LoginTime))
	return m
}

// profile3 says nothing about mail: EmailEnabled 0 hides it.
func profile3(p Profile) wire.Message {
	m := profile2(p)
	for _, f := range []wire.Field{
		{Name: "EmailEnabled", Value: "0"}, {Name: "MemberIdHigh", Value: "0"}, {Name: "MemberIdLow", Value: "0"},
		{Name: "lang_preference", Value: "1033"}, {Name: "preferredEmail", Value: p.Handle},
		{Name: "country"}, {Name: "PostalCode"}, {Name: "Gender"}, {Name: "Kid", Value: "0"}, {Name: "Age"},
		{Name: "BDayPre"}, {Name: "Birthday"}, {Name: "Wallet"}, {Name: "Flags", Value: "1027"},
		{Name: "sid", Value: "507"}, {Name: "kv", Value: "5"}, {Name: "MSPAuth", Value: p.Ticket},
		{Name: "ClientIP", Value: p.ClientIP}, {Name: "ClientPort", Value: number(swapPort(p.ClientPort))},
	} {
		m.Add(f.Name, f.Value)
	}
	return m
}

// swapPort writes a port with its two bytes swapped, as ClientPort wants it.
func swapPort(port int) int { return port>>8&0xff | port&0xff<<8 }

// Hotmail is a message from the server itself (MSNP.md B.15).
func Hotmail(m wire.Message) wire.Command {
	return wire.Command{Verb: "MSG", Args: []string{"Hotmail", "Hotmail"}, Payload: m.Bytes()}
}

// Presence.

func changed2(trid string, args []string) wire.Command { return wire.Line("CHG", trid, args[0]) }

// changed8 echoes the capabilities; Twisted sends none and gets 0.
func changed8(trid string, args []string) wire.Command {
	if len(args) < 2 {
		args = []string{args[0], "0"}
	}
	return wire.Line("CHG", append([]string{trid}, args...)...)
}

// shown is what a client that can't write to somebody offline sees instead of
// offline, when messages are kept for him: away, and why in the note or, where
// there is none, in the name (DESIGN.md §3).
func (d *Dialect) shown(who im.Person, now im.Presence) (im.Person, im.Presence) {
	if d.OfflineSend || !now.Later || now.Status != im.Offline && now.Status != im.Away {
		return who, now
	}
	now.Status = im.Away
	why := gone
	if now.Cut != "" {
		why = "(not connected to " + now.Cut + ")"
	}
	if d.Personal != nil {
		now.Note = strings.TrimSpace(now.Note + " " + why)
		return who, now
	}
	if who.Name == "" {
		who.Name = d.Handle(who.Addr)
	}
	who.Name += " " + why
	return who, now
}

// Presence tells the client what who shows: ILN with the transaction id of the
// request it answers, NLN or FLN without.
func (d *Dialect) Presence(trid string, who im.Person, now im.Presence) wire.Command {
	who, now = d.shown(who, now)
	if now.Status == im.Offline || now.Status == im.Hidden {
		return d.Left(d, who)
	}
	if who.Net != "" {
		now.Caps = d.foreign
	}
	return d.Arrived(d, trid, who, now)
}

func arrived2(d *Dialect, trid string, who im.Person, now im.Presence) wire.Command {
	state, handle, name := codes[now.Status], d.Handle(who.Addr), d.name(who)
	if trid != "" {
		return wire.Line("ILN", trid, state, handle, name)
	}
	return wire.Line("NLN", state, handle, name)
}

func arrived8(d *Dialect, trid string, who im.Person, now im.Presence) wire.Command {
	c := arrived2(d, trid, who, now)
	c.Args = append(c.Args, number(uint32(now.Caps)))
	return c
}

// arrived9 has the picture. What a client says of its own is passed on as it is.
func arrived9(d *Dialect, trid string, who im.Person, now im.Presence) wire.Command {
	c := arrived8(d, trid, who, now)
	object := now.Object
	if object == "" && now.Picture != nil && who.Net != "" {
		object = wire.Escape(displayPicture(d.Handle(who.Addr), *now.Picture))
	}
	if object = cmp.Or(object, d.noPicture); object != "" {
		c.Args = append(c.Args, object)
	}
	return c
}

// bridged is what contacts on networks are said to be able to do: pictures, for
// which clients ask MSNC1 and later, and nudges, which they send to MSNC4 and later
// only (MSNP.md B.10.1). Offers of files are
// answered in words; the bit for messages in several parts is not set.
const bridged im.Caps = 0x40000000

func left2(d *Dialect, who im.Person) wire.Command { return wire.Line("FLN", d.Handle(who.Addr)) }

// Switchboards.

func transfer2(trid, addr, cookie string) wire.Command {
	return wire.Line("XFR", trid, "SB", addr, "CKI", cookie)
}

func ring2(d *Dialect, addr string, in im.Invitation) wire.Command {
	return wire.Line("RNG", number(in.Session), addr, "CKI", in.Cookie, d.Handle(in.From.Addr), d.name(in.From))
}

func present2(d *Dialect, trid string, i, of int, m im.Membership) wire.Command {
	return d.member(wire.Line("IRO", trid, number(i), number(of)), m)
}

func joined2(d *Dialect, m im.Membership) wire.Command { return d.member(wire.Line("JOI"), m) }

// member appends who it is, and what his client can do where the version says
// so.
func (d *Dialect) member(c wire.Command, m im.Membership) wire.Command {
	c.Args = append(c.Args, d.Handle(m.Who.Addr), d.name(m.Who))
	if d.joinCaps {
		if m.Who.Net != "" {
			m.Caps = d.foreign
		}
		c.Args = append(c.Args, number(uint32(m.Caps)))
	}
	return c
}

// Gone tells that who left the conversation. Idle says that nobody left on
// purpose: official clients then show nothing (MSNP.md C.5).
func (d *Dialect) Gone(who im.Person, idle bool) wire.Command {
	if idle {
		return wire.Line("BYE", d.Handle(who.Addr), "1")
	}
	return wire.Line("BYE", d.Handle(who.Addr))
}

// Said is a message from who.
func (d *Dialect) Said(who im.Person, payload []byte) wire.Command {
	return wire.Command{Verb: "MSG", Args: []string{d.Handle(who.Addr), d.name(who)}, Payload: payload}
}

// The rest.

func pong2() wire.Command { return wire.Line("QNG") }

// pong9 says after how many seconds the next PNG is due.
func pong9() wire.Command { return wire.Line("QNG", "50") }

func url2(trid, path, login string) wire.Command { return wire.Line("URL", trid, path, login) }

func url3(trid, path, login string) wire.Command { return wire.Line("URL", trid, path, login, "1") }

// policy10 answers for whatever file is asked (Shields.xml): clients keep what it
// says, so it is as short as one that forbids nothing can be (MSNP.md K.16).
func policy10(trid, file string) wire.Command {
	return wire.Command{Verb: "GCF", Args: []string{trid, file}, Payload: []byte(`<?xml version="1.0" encoding="utf-8" ?><config><shield>` +
		`<cli maj="7" min="0" minbld="0" maxbld="9999" deny=" " /></shield><block></block></config>`)}
}
