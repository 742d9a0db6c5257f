package dialect

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	bobGUID   = "1f0c0c7a-0f9a-4a3c-9f5c-0d6d3d2f0001"
	carolGUID = "1f0c0c7a-0f9a-4a3c-9f5c-0d6d3d2f0002"
)

var (
	bob   = im.Person{Addr: im.Addr{ID: "bob@example.com"}, Name: "Bob B"}
	carol = im.Person{Addr: im.Addr{Net: "xmpp", ID: "carol@example.org"}, Name: "Carol 100%"}
	lists = Lists{
		Version: 27, Name: "Alice A", Prompt: true,
		Properties: map[string]string{"PHH": "123 456", "MBE": "N"},
		Groups:     []Group{{1, "8fb1c1de-0f9a-4a3c-9f5c-0d6d3d2f0001", "Friends"}, {2, "8fb1c1de-0f9a-4a3c-9f5c-0d6d3d2f0002", "Work & play"}},
		Contacts: []Contact{
			{Person: bob, On: Forward | Allow | Reverse, GUID: bobGUID, Groups: []uint32{1, 2}, Properties: map[string]string{"PHM": "+1 (555) 0", "MOB": "Y", "MBE": "Y", "HSB": "1"}},
			{Person: carol, On: Forward | Block, GUID: carolGUID},
			{Person: im.Person{Addr: im.Addr{ID: "dave@example.com"}}, On: Pending | Reverse},
		},
	}
)

const (
	picture = "%3Cmsnobj%20Creator%3D%22bob%40example.com%22%20Size%3D%2224539%22%20Type%3D%223%22%20Location%3D%22TFR2C.tmp%22%20Friendly%3D%22AAA%3D%22%20SHA1D%3D%22trC8SlFx2sWQxZMIBAWSEnXc8oQ%3D%22%2F%3E"
	song    = `\0Music\01\0{0} - {1}\0A Song\0The Artist\0An Album\0\0`
)

// shapes are all lines a dialect writes, with fixed arguments.
func shapes(d *Dialect) (out []wire.Command) {
	add := func(cs ...wire.Command) { out = append(out, cs...) }
	add(d.SignedIn(d, "4", "alice@example.com", "Alice A"))
	add(d.Greeting...)
	add(Hotmail(d.Profile(Profile{Handle: "alice@example.com", LoginTime: 1700000000, Ticket: "t=1&p=", ClientIP: "192.0.2.10", ClientPort: 16456})))
	add(d.Sync(d, "5", lists)...)
	add(d.Sync(d, "5", Lists{Version: 1, BlockOthers: true})...)
	add(d.Unchanged("5", 27))
	for _, l := range []string{"FL", "AL", "BL", "RL"} {
		if d.Dropped("LST") {
			break
		}
		add(d.ListBlock("6", l, lists)...)
	}
	add(d.Setting("GTC", "7", 28, "N"), d.Setting("BLP", "8", 29, "BL"))
	for _, group := range []string{"", "1"} {
		e := Edit{List: "FL", Version: 30, Handle: "eve@example.com", Name: "Eve%20E", Group: group}
		add(d.Added("9", e), d.Removed("10", e))
	}
	if d.Lists == Tagged {
		for _, added := range []bool{true, false} {
			c, _ := d.ListChanged(im.ListChanged{List: "FL", Who: carol, GUID: carolGUID, Added: added, Version: 31})
			add(c)
		}
		add(d.Added("9", Edit{List: "AL", Handle: "eve@example.com", Name: "Eve%20E", GUID: bobGUID}), d.Removed("10", Edit{List: "AL", Handle: "eve@example.com", GUID: bobGUID}))
		add(d.Added("9", Edit{List: "FL", Handle: "eve@example.com", Name: "Eve%20E", GUID: d.GUID(bobGUID)}), d.Added("9", Edit{List: "FL", GUID: bobGUID, Group: "8fb1c1de-0f9a-4a3c-9f5c-0d6d3d2f0001"}))
		add(d.Removed("10", Edit{List: "FL", Handle: "eve@example.com", GUID: d.GUID(bobGUID)}), d.Removed("10", Edit{List: "FL", Handle: "eve@example.com", GUID: d.GUID(bobGUID), Group: "1"}))
	}
	for _, l := range []string{"RL", "PL"} {
		for _, added := range []bool{true, false} {
			if c, ok := d.ListChanged(im.ListChanged{List: l, Who: carol, GUID: carolGUID, Added: added, Version: 31}); ok {
				add(c)
			}
		}
	}
	if !d.Dropped("REA") {
		add(d.Renamed("11", 32, "alice@example.com", "Al%20ice"))
	}
	if d.Property != nil {
		add(d.Property("12", 33, "PHH", "123 456"), d.Property("13", 34, "PHW", ""))
		add(d.PropertyOf(d, 34, carol.Addr, "MOB", "Y"), d.PropertyOf(d, 34, bob.Addr, "PHH", ""))
	}
	if d.Groups != NoGroups {
		g := Group{ID: 3, GUID: "8fb1c1de-0f9a-4a3c-9f5c-0d6d3d2f0003", Name: "Old pals"}
		add(d.GroupAdded(d, "14", 35, g), d.GroupRenamed(d, "15", 36, g), d.GroupRemoved("16", 37, g))
	}
	add(d.Changed("17", []string{"NLN"}), d.Changed("18", []string{"BSY", "268435456"}))
	for _, trid := range []string{"19", ""} {
		add(d.Presence(trid, bob, im.Presence{Status: im.Busy, Caps: 0x10000020}))
		add(d.Presence(trid, carol, im.Presence{Status: im.Online, Later: true}))
		add(d.Presence(trid, carol, im.Presence{Later: true}))
		add(d.Presence(trid, im.Person{Addr: carol.Addr}, im.Presence{Status: im.Away, Later: true}))
		add(d.Presence(trid, carol, im.Presence{Later: true, Cut: "xmpp"}))
	}
	if d.Pictures {
		add(d.Changed("18", []string{"BSY", "268435456", picture}))
		add(d.Presence("19", bob, im.Presence{Status: im.Busy, Caps: 0x10000020, Object: picture}), d.Presence("", bob, im.Presence{Status: im.Busy, Caps: 0x10000020, Object: picture}))
	}
	for _, now := range []im.Presence{{Status: im.Online}, {Status: im.Online, Note: `a < "b" & 'c'`, Playing: song}, {Status: im.Online, Media: "The Artist – A Song"}, {Note: "there", Later: true}, {Later: true, Cut: "xmpp"}, {Status: im.Hidden, Note: "x"}} {
		for _, trid := range []string{"19", ""} {
			if c, ok := d.Note(trid, carol, now); ok {
				add(c)
			}
		}
	}
	add(d.Presence("", bob, im.Presence{}), d.Presence("", carol, im.Presence{}), d.Presence("", bob, im.Presence{Status: im.Hidden}))
	add(d.Transfer("20", "192.0.2.1:1863", "1.2.3"))
	for _, who := range []im.Person{bob, carol} {
		add(d.Ring(d, "192.0.2.1:1863", im.Invitation{From: who, Cookie: "4.5.6", Session: 11752013}))
		m := im.Membership{Who: who, Caps: 0x10000020, Joined: true}
		add(d.Present(d, "1", 1, 2, m), d.Joined(d, m), d.Gone(who, false), d.Gone(who, true), d.Said(who, []byte("hi")))
	}
	add(d.Pong(), d.URL("21", "/", "http://192.0.2.1/"))
	if d.Policy != nil {
		add(d.Policy("22", "Shields.xml"))
	}
	return out
}

func TestGolden(t *testing.T) {
	unmoved := *Named("MSNP10")
	migrated(&unmoved, false)
	unmoved.Name = "MSNP10-unmoved"
	for _, d := range append(slices.Clip(versions), &unmoved) {
		var b []byte
		for _, c := range shapes(d) {
			b = c.Append(b)
			if c.Payload != nil {
				b = append(b, "\r\n"...)
			}
		}
		got := strings.ReplaceAll(string(b), "\r\n", "\n")
		file := "testdata/" + strings.ToLower(d.Name) + ".golden"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from %s:\n%s", d.Name, file, got)
		}
	}
}

// TestComplete finds a shape that a version lacks. Shapes that came with a later
// version than the first are nil before it.
func TestComplete(t *testing.T) {
	since := map[string]bool{"Personal": true, "Policy": true, "Property": true, "PropertyOf": true, "Prove": true, "GroupAdded": true, "GroupRemoved": true, "GroupRenamed": true}
	for _, d := range versions {
		v := reflect.ValueOf(*d)
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Type.Kind() == reflect.Func && v.Field(i).IsNil() && !since[f.Name] {
				t.Errorf("%s has no %s", d.Name, f.Name)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct{ offered, want string }{
		{"MSNP2", "MSNP2"}, {"MSNP9 MSNP8 CVR0", "MSNP9"}, {"MSNP12 MSNP11 MSNP10 CVR0", "MSNP12"}, {"MSNP14 MSNP13 MSNP10 MSNP9 CVR0", "MSNP10"}, {"MSNP2 msnp8", "MSNP8"}, {"MSNP7 MSNP6 MSNP5 MSNP4 CVR0", "MSNP7"}, {"MSNP5", "MSNP5"}, {"MSNP3 MSNP2 CVR0", "MSNP3"},
		{"MSNP99", ""}, {"CVR0", ""}, {"", ""},
	} {
		got := ""
		if d := Choose(strings.Fields(c.offered)); d != nil {
			got = d.Name
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.offered, got, c.want)
		}
	}
}

func TestAlias(t *testing.T) {
	old, now := Named("MSNP2"), Named("MSNP8")
	for _, c := range []struct {
		d    *Dialect
		who  im.Addr
		want string
	}{
		{old, im.Addr{Net: "xmpp", ID: "bob@example.org"}, "bob.example.org@hotmail.com"},
		{old, im.Addr{Net: "xmpp", ID: "bob@hotmail.com"}, "bob@hotmail.com"},
		{old, im.Addr{ID: "bob@example.org"}, "bob@example.org"},
		{now, im.Addr{Net: "xmpp", ID: "bob@example.org"}, "bob@example.org"},
	} {
		if got := c.d.Handle(c.who); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.d.Name, c.who, got, c.want)
		}
	}
	want := []string{"bob@x.example.org", "bob.x@example.org"}
	if got := old.Unalias("bob.x.example.org@Hotmail.com"); !reflect.DeepEqual(got, want) {
		t.Errorf("Unalias: %q, want %q", got, want)
	}
	if got := append(old.Unalias("bob@example.org"), now.Unalias("bob.example.org@hotmail.com")...); got != nil {
		t.Errorf("Unalias of what is no alias: %q", got)
	}
}

// TestListVersions: no two versions show the same number for any two states of
// the lists, none goes backwards, and 32 bits hold them (MSNP.md K.3).
func TestListVersions(t *testing.T) {
	const first, last = 1_000_000, 134_000_000 // the store's epochs, with 30 restores
	for i, d := range versions {
		for _, v := range []uint64{first, last} {
			if d.Version(v) >= d.Version(v+1) || d.Version(v) >= 1<<31 {
				t.Errorf("%s: %d is shown as %d and the next as %d", d.Name, v, d.Version(v), d.Version(v+1))
			}
			for _, o := range versions[i+1:] {
				if d.Version(v) == o.Version(v) || d.Version(v+1) == o.Version(v) || d.Version(v) == o.Version(v+1) {
					t.Errorf("%s and %s show the same number near %d", d.Name, o.Name, v)
				}
			}
		}
	}
}

func TestEscapeName(t *testing.T) {
	long := strings.Repeat("é ", 200)
	for in, want := range map[string]string{"Bob B": "Bob%20B", "": "x@y", " \r\n": "x@y", "a\xffb": "a?b"} {
		if got := Named("MSNP8").EscapeName(in, "x@y"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	got := Named("MSNP8").EscapeName(long, "")
	if len(got) > maxName || len(got) < maxName-6 || !utf8.ValidString(got) {
		t.Errorf("long name became %d bytes: %q", len(got), got)
	}
	if got := dropLast("ae\u0301"); got != "a" {
		t.Errorf("a mark is left without its letter: %q", got)
	}
}

var at = time.Date(2026, 11, 21, 14, 3, 0, 0, time.UTC)

func TestRender(t *testing.T) {
	const plain = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n"
	red := im.Style{Font: "Times New Roman", Effects: "BI", Color: "FF0000"}
	for _, c := range []struct {
		version string
		m       im.Message
		want    string
	}{
		{"MSNP8", im.Message{Text: "hi\nthere"}, plain + "\r\nhi\r\nthere"},
		{"MSNP8", im.Message{Text: "hi", Raw: []byte("any bytes")}, "any bytes"},
		{"MSNP8", im.Message{Text: "hi", Raw: []byte("any bytes"), Late: true, At: at}, plain + "\r\n(sent 21 Nov 14:03) hi"},
		{"MSNP8", im.Message{Text: "hi", Style: red}, plain + "X-MMS-IM-Format: FN=Times%20New%20Roman; EF=BI; CO=ff; CS=0; PF=22\r\n\r\nhi"},
		{"MSNP2", im.Message{Text: "hi", Style: red}, plain + "\r\nhi"},
		{"MSNP8", im.Message{Text: "up", Kind: im.Notice}, plain + "X-MMS-IM-Format: FN=MS%20Sans%20Serif; EF=I; CO=808080; CS=0; PF=22\r\n\r\nup"},
		{"MSNP8", im.Message{Kind: im.Nudge}, plain + "\r\n* Bob sent you a nudge"},
		{"MSNP11", im.Message{Kind: im.Nudge}, "MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 1\r\n\r\n\r\n"},
		{"MSNP10", im.Message{Kind: im.Nudge, Raw: []byte(nudge)}, plain + "\r\n* Bob sent you a nudge"},
		{"MSNP11", im.Message{Kind: im.Nudge, Raw: []byte(nudge)}, nudge},
		{"MSNP9", im.Message{Kind: im.Emote, Text: "sent a wink", Raw: []byte(wink)}, plain + "\r\n* Bob sent a wink"},
		{"MSNP12", im.Message{Kind: im.Emote, Text: "sent a wink", Raw: []byte(wink)}, wink},
		{"MSNP8", im.Message{Raw: []byte(invite()), Offer: "the file a.jpg"}, plain + "\r\n* Bob offers the file a.jpg, which this version of Messenger can't take"},
		{"MSNP9", im.Message{Raw: []byte(invite()), Offer: "the file a.jpg"}, invite()},
		{"MSNP2", im.Message{Raw: []byte(oldInvite), Offer: "the file readme.txt"}, oldInvite},
		{"MSNP8", im.Message{Text: "waves", Kind: im.Emote}, plain + "\r\n* Bob waves"},
		{"MSNP8", im.Message{Text: "hi", Name: "Eve"}, plain + "\r\nEve: hi"},
		{"MSNP8", im.Message{Text: "waves", Name: "Eve", Kind: im.Emote}, plain + "\r\n* Eve waves"},
		{"MSNP8", im.Message{Text: "hi", Own: true}, plain + "\r\n(me elsewhere) hi"},
		{"MSNP8", im.Message{Text: "hi", Rel: im.Rel{Kind: im.Edit}}, plain + "\r\n* corrected: hi"},
		{"MSNP8", im.Message{Text: "hi", Name: "Eve", Rel: im.Rel{Kind: im.Edit}}, plain + "\r\n* Eve corrected: hi"},
		{"MSNP8", im.Message{Rel: im.Rel{Kind: im.Retract}}, plain + "\r\n* Bob deleted a message"},
		{"MSNP8", im.Message{Text: "hi", Rel: im.Rel{Kind: im.Retract}}, plain + "\r\n* Bob deleted: \"hi\""},
		{"MSNP8", im.Message{Rel: im.Rel{Kind: im.Retract, Quote: "hi"}}, plain + "\r\n* Bob deleted: \"hi\""},
		{"MSNP8", im.Message{Text: "👍", Rel: im.Rel{Kind: im.React, Quote: "a text of more than thirty characters"}}, plain + "\r\n* Bob reacted (Y) to \"a text of more than thirty ch…\""},
		{"MSNP8", im.Message{Text: "yes", Rel: im.Rel{Kind: im.Reply, Quote: "do you\ncome?"}}, plain + "\r\n> do you come?\r\nyes"},
		{"MSNP8", im.Message{Text: "👍", Rel: im.Rel{Kind: im.React}}, plain + "\r\n* Bob reacted (Y)"},
		{"MSNP8", im.Message{Text: "key came", Rel: im.Rel{Kind: im.Resolve}}, plain + "\r\nkey came"},
		{"MSNP8", im.Message{Text: "http://box/m/x", File: &im.File{Name: "a.jpg", Size: 1234567}}, plain + "\r\n* Bob sent a file: a.jpg (1.2 MB)\r\nhttp://box/m/x"},
		{"MSNP8", im.Message{Text: "http://box/m/x\nlook", File: &im.File{Name: "a.jpg", Type: "image/jpeg", Size: 999}}, plain + "\r\n* Bob sent a picture: a.jpg (999 bytes)\r\nhttp://box/m/x\r\nlook"},
		{"MSNP8", im.Message{File: &im.File{Name: "a.jpg"}}, plain + "\r\n* Bob sent a file: a.jpg"},
		{"MSNP8", im.Message{}, plain + "\r\n* Bob sent something that can't be shown here"},
	} {
		var got string
		for _, p := range Named(c.version).Render(c.m, "Bob") {
			got += string(p)
		}
		if got != c.want {
			t.Errorf("%s %+v:\n got %q\nwant %q", c.version, c.m, got, c.want)
		}
	}
}

func TestSplitText(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("word ", 1000))
	emoji := strings.Repeat("👍", 1000)
	for _, text := range []string{words, emoji, strings.Repeat("x", 1400), strings.Repeat("x", 1401), "short", strings.Repeat("x", 1400) + " y"} {
		parts := splitText(text, maxText)
		for _, p := range parts {
			if len(p) > maxText || !utf8.ValidString(p) || p == "" || strings.TrimSpace(p) != p {
				t.Errorf("part of %d bytes: %.20q", len(p), p)
			}
		}
		if got := strings.Join(parts, " "); text != emoji && len(parts) > 1 && strings.Contains(text, " ") && got != text {
			t.Errorf("%.20q… came back as %.20q…", text, got)
		}
		if got := strings.Join(parts, ""); !strings.Contains(text, " ") && got != text {
			t.Errorf("%.20q… came back as %.20q…", text, got)
		}
	}
	for _, p := range Named("MSNP8").Render(im.Message{Text: words, Style: im.Style{Effects: "B"}, Late: true, At: at, Name: "Eve"}, "") {
		if len(p) > wire.MaxMessage {
			t.Errorf("a payload of %d bytes", len(p))
		}
	}
}

const (
	nudge     = "MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 1\r\n\r\n"
	wink      = "MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 2\r\nData: <msnobj/>\r\n\r\n"
	oldInvite = "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\r\nApplication-Name: File Transfer\r\nApplication-GUID: {5D3E02AB-6190-11d3-BBBB-00C04F795683}\r\n" +
		"Invitation-Command: INVITE\r\nInvitation-Cookie: 33267\r\nApplication-File: readme.txt\r\nApplication-FileSize: 60904\r\n\r\n"
)

// invite is the first part of an offer of a file over P2P: the file's context is
// cut in its middle.
func invite() string {
	context := make([]byte, 574)
	for i, c := range utf16.Encode([]rune("Grüße.jpg")) {
		binary.LittleEndian.PutUint16(context[20+2*i:], c)
	}
	slp := "INVITE MSNMSGR:bob@example.com MSNSLP/1.0\r\nTo: <msnmsgr:bob@example.com>\r\nContent-Type: application/x-msnmsgr-sessionreqbody\r\nContent-Length: 999\r\n\r\n" +
		"EUF-GUID: {5D3E02AB-6190-11D3-BBBB-00C04F795683}\r\nSessionID: 2216804035\r\nAppID: 2\r\nContext: " + base64.StdEncoding.EncodeToString(context)[:705]
	head := make([]byte, 48)
	binary.LittleEndian.PutUint64(head[16:], 1400)
	binary.LittleEndian.PutUint32(head[24:], uint32(len(slp)))
	return "MIME-Version: 1.0\r\nContent-Type: application/x-msnmsgrp2p\r\nP2P-Dest: bob@example.com\r\n\r\n" + string(head) + slp + "\x00\x00\x00\x00"
}

var payloads = []struct {
	in     string
	want   im.Message
	typing bool
}{
	{"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nhé\r\nthere", im.Message{Text: "hé\nthere"}, false},
	{"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nh\xe9", im.Message{Text: "hé"}, false},
	{"Content-Type: text/plain\n\nhé", im.Message{Text: "hé"}, false},
	{"Content-Type: text/plain; charset=shift_jis\r\n\r\n\x82\xa0", im.Message{Text: "あ"}, false},
	{"Content-Type: text/plain; charset=nonsense\r\n\r\nhi\x00\x08", im.Message{Text: "hi"}, false},
	{"Content-Type: text/plain\r\nX-MMS-IM-Format: FN=MS%20Sans%20Serif; EF=BI; CO=8080ff; CS=0; PF=22\r\n\r\nhi", im.Message{Text: "hi", Style: im.Style{Font: "MS Sans Serif", Effects: "BI", Color: "ff8080"}}, false},
	{"Content-Type: text/plain\r\nX-MMS-IM-Format: FN=Arial; EF=; CO=0\r\n\r\n/me waves", im.Message{Kind: im.Emote, Text: "waves", Style: im.Style{Font: "Arial"}}, false},
	{"MIME-Version: 1.0\r\nContent-Type: text/x-msmsgscontrol\r\nTypingUser: bob@example.com\r\n\r\n\r\n", im.Message{}, true},
	{"MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 1\r\n\r\n\r\n", im.Message{Kind: im.Nudge}, false},
	{"MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 2\r\n\r\n\r\n", im.Message{Kind: im.Emote, Text: "sent a wink"}, false},
	{"Content-Type: text/x-msnmsgr-datacast\r\n\r\nID: 3\r\nData: <msnobj/>\r\n", im.Message{Kind: im.Emote, Text: "sent a voice clip"}, false},
	{"Content-Type: text/x-msnmsgr-datacast\r\n\r\nID: 4\r\nData: jumps\x07\r\n", im.Message{Kind: im.Emote, Text: "jumps"}, false},
	{"Content-Type: text/x-msnmsgr-datacast\r\n\r\nID: 4\r\nData:\r\n", im.Message{}, false},
	{"Content-Type: application/x-ms-ink\r\n\r\nbase64:AAAA", im.Message{Kind: im.Emote, Text: "sent a drawing"}, false},
	{invite(), im.Message{Offer: "the file Grüße.jpg"}, false},
	{strings.Replace(invite(), "INVITE ", "BYE ", 1), im.Message{}, false},
	{"Content-Type: application/x-msnmsgrp2p\r\n\r\n" + strings.Repeat("\x01", 48) + "INVITE x\r\n\r\nEUF-GUID: {5D3E02AB-6190-11d3-BBBB-00C04F795683}", im.Message{}, false},
	{"Content-Type: application/x-msnmsgrp2p\r\n\r\nshort", im.Message{}, false},
	{oldInvite, im.Message{Offer: "the file readme.txt"}, false},
	{strings.Replace(oldInvite, "Command: INVITE", "Command: CANCEL", 1), im.Message{}, false},
	{"MIME-Version: 1.0\r\nContent-Type: text/x-clientcaps\r\n\r\nClient-Name: x", im.Message{}, false},
	{"just words", im.Message{}, false},
	{"", im.Message{}, false},
}

func TestRead(t *testing.T) {
	var used Ear // has heard all that is before
	for _, p := range payloads {
		for range 2 {
			for _, ear := range []*Ear{{}, &used} {
				got, typing := ear.Read([]byte(p.in))
				if string(got.Raw) != p.in {
					t.Errorf("%q: Raw is %q", p.in, got.Raw)
				}
				got.Raw = nil
				if typing != p.typing || !reflect.DeepEqual(got, p.want) {
					t.Errorf("%q: %+v, typing %v, want %+v", p.in, got, typing, p.want)
				}
			}
		}
	}
	if _, typing := used.Read(TypingNote("bob@example.com")); !typing {
		t.Error("our own typing note is none")
	}
}

var hostileWords = []string{
	"", " ", "\r\n", "Bob\r\nFLN alice@example.com", "Bob\x00", "%0d%0a%00", "a\tb\u2028c\u0085d", "\u202egnp.exe\u2066", "\xff\xfe\xc0\xaf\xed\xa0\x80",
	strings.Repeat("\x80", 3000), strings.Repeat("e\u0301", 3000), strings.Repeat("👨‍👩‍👧", 500), strings.Repeat("\u0301", 5000), strings.Repeat("a", 1<<13),
	"X\r\n\r\nbody", "; EF=B; CO=0", strings.Repeat(" ", 2000), strings.Repeat("%", 2000), "\x1b[2J\x7f\x9b",
}

func checkWords(t *testing.T, s string) {
	t.Helper()
	who := im.Person{Addr: im.Addr{Net: "matrix", ID: "bob@example.org"}, Name: s}
	plain := im.Person{Addr: who.Addr, Name: "Bob"}
	for _, d := range versions {
		got, want := linesOf(d, who, s), linesOf(d, plain, "Friends")
		for i := range want {
			line := got[i].String()
			if head, _, _ := strings.Cut(line, "\r\n"); len(got[i].Args) != len(want[i].Args) || strings.Count(head, " ") != strings.Count(strings.SplitN(want[i].String(), "\r\n", 2)[0], " ") || len(head) > wire.MaxLine || !utf8.ValidString(head) || strings.ContainsFunc(head, unicode.IsControl) {
				t.Errorf("%s: %.60q makes %.300q of %.300q", d.Name, s, line, want[i])
			}
		}
		if c, ok := d.Note("", who, im.Presence{Status: im.Online, Note: s, Media: s}); ok {
			var data struct{ PSM, CurrentMedia string }
			if err := xml.Unmarshal(c.Payload, &data); err != nil || data.PSM != im.Plain(data.PSM) || len(c.Args) != 1 {
				t.Errorf("%s: %.60q makes the note %.300q: %v", d.Name, s, c, err)
			}
			ParseNote(c.Payload, im.Presence{})
			ParseNote([]byte("<Data><PSM>"+s+"</PSM><CurrentMedia>"+s+"</CurrentMedia></Data>"), im.Presence{})
		}
		for _, m := range []im.Message{
			{Text: s}, {Text: "hi", Name: s}, {Kind: im.Emote, Text: s, Name: s}, {Kind: im.Nudge, Name: s}, {Text: "hi", Style: im.Style{Font: s, Effects: s, Color: s}},
			{File: &im.File{Name: s, Size: 1}, Text: s}, {Rel: im.Rel{Kind: im.Retract}, Text: s}, {Kind: im.Notice, Text: s, Late: true, At: at}, {Own: true, Text: s},
		} {
			for _, p := range d.Render(m, s) {
				back, ok := wire.ParseMessage(p)
				if !ok || len(p) > wire.MaxMessage || !utf8.Valid(p) || bytes.ContainsAny(p, "\x00\x1b\x7f") || len(back.Header) > 3 || len(back.Body) == 0 {
					t.Errorf("%s: %.60q makes a message of %d bytes: %.300q", d.Name, s, len(p), p)
				}
			}
		}
	}
}

// linesOf are the lines that carry somebody's name, or the name of a group.
func linesOf(d *Dialect, who im.Person, group string) []wire.Command {
	l := Lists{Version: 1, Groups: []Group{{ID: 1, Name: group}}, Contacts: []Contact{{Person: who, On: Forward | Allow | Reverse, Groups: []uint32{1}}}}
	in := im.Invitation{From: who, Cookie: "1.2", Session: 3}
	out := append(d.Sync(d, "1", l), d.ListBlock("2", "FL", l)...)
	c, _ := d.ListChanged(im.ListChanged{List: "RL", Who: who, Added: true, Version: 2})
	out = append(out, c, d.Presence("3", who, im.Presence{Status: im.Online}), d.Presence("", who, im.Presence{Status: im.Away, Later: true}),
		d.Ring(d, "192.0.2.1:1863", in), d.Present(d, "4", 1, 1, im.Membership{Who: who}), d.Joined(d, im.Membership{Who: who}), d.Gone(who, true), d.Said(who, []byte("x")))
	if d.Groups != NoGroups {
		out = append(out, d.GroupAdded(d, "5", 3, Group{ID: 2, Name: group}), d.GroupRenamed(d, "6", 4, Group{ID: 2, Name: group}))
	}
	return out
}

// FuzzWords: whatever people on a network call themselves, their groups and files,
// and whatever they say, the lines stay lines, with as many arguments, and messages
// keep their header.
func FuzzWords(f *testing.F) {
	for _, s := range hostileWords {
		f.Add(s)
	}
	f.Fuzz(checkWords)
}

func FuzzRead(f *testing.F) {
	for _, p := range payloads {
		f.Add([]byte(p.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ear := Ear{Page: "windows-1251"}
		m, typing := ear.Read(b)
		if again, still := ear.Read(b); typing != still || !reflect.DeepEqual(m, again) {
			t.Fatalf("%q read as %+v, then as %+v", b, m, again)
		}
		if !utf8.ValidString(m.Text) || strings.ContainsAny(m.Text, "\r\x00") || !utf8.ValidString(m.Font) {
			t.Fatalf("%q read as %+v", b, m)
		}
		m.Raw, m.Late, m.At = nil, true, at
		for _, d := range versions {
			for _, p := range d.Render(m, "Bob") {
				if len(p) > wire.MaxMessage+len(b) {
					t.Fatalf("%q rendered as %d bytes", b, len(p))
				}
			}
		}
	})
}
