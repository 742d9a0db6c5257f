package dialect

import (
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

// EscapeName writes a friendly name as an argument: valid UTF-8, cut to what
// clients take. fallback stands in for an empty name.
func EscapeName(name, fallback string) string {
	name = strings.TrimSpace(strings.ToValidUTF8(name, "?"))
	if name == "" {
		name = fallback
	}
	e := wire.Escape(name)
	for len(e) > maxName {
		name = dropLast(name)
		e = wire.Escape(name)
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
func (d *Dialect) name(who im.Person) string { return EscapeName(who.Name, d.Handle(who.Addr)) }

func number[N uint32 | uint64 | int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// Signing in.

func signedIn2(trid, handle, name string) wire.Command {
	return wire.Line("USR", trid, "OK", handle, EscapeName(name, handle))
}

func signedIn6(trid, handle, name string) wire.Command {
	return wire.Line("USR", trid, "OK", handle, EscapeName(name, handle), "1")
}

func signedIn8(trid, handle, name string) wire.Command {
	return wire.Line("USR", trid, "OK", handle, EscapeName(name, handle), "1", "0")
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
// offline, when messages are kept for him (DESIGN.md §3).
func (d *Dialect) shown(who im.Person, now im.Presence) (im.Person, im.Status) {
	if d.OfflineSend || !now.Later || now.Status != im.Offline && now.Status != im.Away {
		return who, now.Status
	}
	if who.Name == "" {
		who.Name = d.Handle(who.Addr)
	}
	who.Name += " (gets it later)"
	return who, im.Away
}

// Presence tells the client what who shows: ILN with the transaction id of the
// request it answers, NLN or FLN without.
func (d *Dialect) Presence(trid string, who im.Person, now im.Presence) wire.Command {
	who, now.Status = d.shown(who, now)
	if now.Status == im.Offline || now.Status == im.Hidden {
		return d.Left(d, who)
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

func left2(d *Dialect, who im.Person) wire.Command { return wire.Line("FLN", d.Handle(who.Addr)) }

// Switchboards.

func transfer2(trid, addr, cookie string) wire.Command {
	return wire.Line("XFR", trid, "SB", addr, "CKI", cookie)
}

func ring2(d *Dialect, addr string, in im.Invitation) wire.Command {
	return wire.Line("RNG", number(in.Session), addr, "CKI", in.Cookie, d.Handle(in.From.Addr), d.name(in.From))
}

func present2(d *Dialect, trid string, i, of int, who im.Person) wire.Command {
	return wire.Line("IRO", trid, number(i), number(of), d.Handle(who.Addr), d.name(who))
}

func joined2(d *Dialect, who im.Person) wire.Command {
	return wire.Line("JOI", d.Handle(who.Addr), d.name(who))
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

func url2(trid, path, login string) wire.Command { return wire.Line("URL", trid, path, login) }

func url3(trid, path, login string) wire.Command { return wire.Line("URL", trid, path, login, "1") }
