package kit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// program is a file in memory.
type program []byte

func (p program) ReadAt(b []byte, at int64) (int, error) {
	return bytes.NewReader(p).ReadAt(b, at)
}

func (p program) WriteAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > int64(len(p)) {
		return 0, io.ErrShortWrite
	}
	return copy(p[at:], b), nil
}

// exe is a program of so many bytes with texts in it, each followed by a zero.
func exe(size int, texts map[int]string) program {
	p := make(program, size)
	for i := range p {
		p[i] = byte(i*7) | 0x80
	}
	copy(p, "MZ")
	binary.LittleEndian.PutUint32(p[0x3c:], 0x80)
	copy(p[0x80:], "PE\x00\x00")
	for at, s := range texts {
		copy(p[at:], s)
	}
	return p
}

func wideText(s string) string { return string(letters(s, true)) }

// Every known name, alone and within an address, in letters of one byte and two, at
// odd places and across the borders of what is looked at at once: patched, and made
// again what it was.
func TestPatch(t *testing.T) {
	for _, s := range standIns {
		for _, form := range []struct{ before, after string }{{"", ""}, {"https://", "/rdr/pprdr.asp"}, {"http://", "/Config/MsgrConfig.asmx?op=x"}, {"//", ""}} {
			for _, wide := range []bool{false, true} {
				for _, at := range []int{0x201, window - 3, 2*window - 200} {
					old := form.before + s.host + form.after
					is := form.before + s.standIn + form.after
					encode := func(s string) string { return s + "\x00" }
					if wide {
						encode = func(s string) string { return wideText(s + "\x00") }
					}
					p := exe(2*window, map[int]string{at: "\x00\x00" + encode(old)})
					was := bytes.Clone(p)
					changes, err := Patch(p, int64(len(p)), false)
					if err != nil || len(changes) != 1 || changes[0].Was != s.host+form.after || changes[0].Is != s.standIn+form.after {
						t.Fatalf("%q at %#x: %v, %v", old, at, changes, err)
					}
					want := exe(2*window, map[int]string{at: "\x00\x00" + encode(old)})
					copy(want[at+2:], make([]byte, len(encode(old))))
					copy(want[at+2:], encode(is))
					if !bytes.Equal(p, want) {
						t.Fatalf("%q at %#x became %q", old, at, p[at:at+80])
					}
					if _, err := Patch(p, int64(len(p)), false); !errors.Is(err, errAlready) {
						t.Fatalf("patched twice: %v", err)
					}
					if _, err := Patch(p, int64(len(p)), true); err != nil || !bytes.Equal(p, was) {
						t.Fatalf("%q at %#x is not undone: %v, %q", old, at, err, p[at:at+80])
					}
				}
			}
		}
	}
}

// A client as it is: several names, one within another, some in texts that don't end.
func TestPatchClient(t *testing.T) {
	p := exe(4*window, map[int]string{
		0x300:        "\x00messenger.hotmail.com\x00\x00\x00",
		0x400:        "\x00gateway.messenger.hotmail.com\x00",
		0x500:        "\x00https://nexus.passport.com/rdr/pprdr.asp\x00PassportURLs\x00",
		0x600:        "\x00http://config.messenger.msn.com/Config/MsgrConfig.asmx\x00",
		0x700:        "\x00xnexus.passport.com\x00 nexus.passport.com.au\x00",
		0x800:        "<a href=messenger.hotmail.com>\r\n",
		0x900:        "\x00https://login.live.com/?ru=https://nexus.passport.com/a\x00",
		0xa00:        "\x00Nudge\x00nudge\x00NUDGE\x00" + wideText("Nudge\x00You have just sent a nudge.\x00"),
		2*window - 7: "\x00messenger.hotmail.com\x00",
	})
	was := bytes.Clone(p)
	changes, err := Patch(p, int64(len(p)), false)
	var all []string
	for _, c := range changes {
		all = append(all, c.String())
	}
	want := strings.TrimSpace(`
00000301  messenger.hotmail.com -> nudgE
00000401  gateway.messenger.hotmail.com -> nudGe
00000509  nexus.passport.com/rdr/pprdr.asp -> nuDge/rdr/pprdr.asp
00000608  config.messenger.msn.com/Config/MsgrConfig.asmx -> nuDGe/Config/MsgrConfig.asmx
00000909  login.live.com/?ru=https://nuDge/a -> nUdgE/?ru=https://nuDge/a
00000924  nexus.passport.com/a -> nuDge/a
0001fffa  messenger.hotmail.com -> nudgE`)
	if got := strings.Join(all, "\n"); err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if !bytes.Contains(p, []byte("\x00https://nuDge/rdr/pprdr.asp\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00PassportURLs\x00")) ||
		!bytes.Contains(p, []byte("\x00https://nUdgE/?ru=https://nuDge/a\x00")) {
		t.Errorf("it became %q", p[0x300:0xb00])
	}
	if _, err := Patch(p, int64(len(p)), true); err != nil || !bytes.Equal(p, was) {
		t.Errorf("it is not undone: %v", err)
	}
}

func TestPatchRefuses(t *testing.T) {
	clean := func() program { return exe(window, map[int]string{0x300: "\x00messenger.hotmail.com\x00"}) }
	many := exe(8*window, nil)
	for at := 0x300; at < len(many)-64; at += 64 {
		copy(many[at:], "\x00messenger.hotmail.com\x00")
	}
	dos := clean()
	copy(dos[0x80:], "NE")
	far := clean()
	binary.LittleEndian.PutUint32(far[0x3c:], 0xfffffff0)
	for _, c := range []struct {
		name string
		p    program
		undo bool
		want error
	}{
		{"nothing", nil, false, errNoProgram},
		{"a text", program("messenger.hotmail.com\x00"), false, errNoProgram},
		{"Windows 3", dos, false, errNoProgram},
		{"no end", far, false, errNoProgram},
		{"another program", exe(window, nil), false, errUnknown},
		{"an unended text", exe(window, map[int]string{0x300: "\x00messenger.hotmail.com\x01"}), false, errUnknown},
		{"cut", clean()[:0x300+20], false, errUnknown},
		{"at the very end", clean()[:0x300+22], false, errUnknown},
		{"Escargot's", exe(window, map[int]string{0x300: "\x00m1.escargot.log1p.xyz\x00"}), false, errOther},
		{"CrossTalk's", exe(window, map[int]string{0x300: "\x00ms.msgrsvcs.ctsrv.gay\x00\x00"}), false, errOther},
		{"a million", many, false, errMany},
		{"not patched", clean(), true, errNothing},
		{"patched, but no room", exe(window, map[int]string{0x300: "\x00nudgE\x00\x00\x00x"}), true, errNothing},
	} {
		was := bytes.Clone(c.p)
		if _, err := Patch(c.p, int64(len(c.p)), c.undo); !errors.Is(err, c.want) || !bytes.Equal(c.p, was) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What stands for a name can be told from every other, and from the words of the
// clients themselves.
func TestStandIns(t *testing.T) {
	seen := map[string]bool{"nudge": true, "Nudge": true, "NUDGE": true}
	for _, s := range standIns {
		if seen[s.standIn] || seen[s.host] || !strings.EqualFold(s.standIn, Server) || len(s.host) <= len(s.standIn) {
			t.Errorf("%+v", s)
		}
		seen[s.standIn], seen[s.host] = true, true
	}
	for _, k := range List() {
		for _, h := range k.Hosts {
			if !seen[h] {
				t.Errorf("%s is looked for by %s and not patched", h, k.Title)
			}
		}
	}
}

// Whatever a program is: what was patched can be undone to the byte, and nothing else
// was touched.
func FuzzPatch(f *testing.F) {
	f.Add([]byte("\x00https://nexus.passport.com/rdr/pprdr.asp\x00"), uint16(0))
	f.Add([]byte(wideText("\x00login.live.com/?a=messenger.hotmail.com\x00")), uint16(3))
	f.Add([]byte("\x00messenger.hotmail.com\x00nudgE\x00\x00\x00"), uint16(9))
	f.Fuzz(func(t *testing.T, data []byte, skip uint16) {
		p := append(exe(0x100+int(skip), nil), data...)
		was := bytes.Clone(p)
		stoodIn := false // a stand-in that nobody put there is undone too
		for _, s := range standIns {
			stoodIn = stoodIn || bytes.Contains(data, []byte(s.standIn)) || bytes.Contains(data, letters(s.standIn, true))
		}
		changes, err := Patch(p, int64(len(p)), false)
		if err != nil {
			if !bytes.Equal(p, was) {
				t.Fatalf("%v, and it was changed", err)
			}
			return
		}
		if len(changes) == 0 || len(p) != len(was) {
			t.Fatal("no change")
		}
		if stoodIn {
			return
		}
		if _, err := Patch(p, int64(len(p)), true); err != nil || !bytes.Equal(p, was) {
			t.Fatalf("not undone: %v\n%q\n%q", err, was[0x100:], p[0x100:])
		}
	})
}
