package msnclient

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// dumps are what a good server answers to the first SYN (MSNP.md B.6): bob is a
// friend and in two groups where there are any, carol is blocked. V is the
// version of the lists.
var dumps = map[int]string{
	2: `SYN 5 27
GTC 5 27 A
BLP 5 27 AL
LST 5 FL 27 1 1 bob@example.com Bob%20B
LST 5 AL 27 1 1 bob@example.com Bob%20B
LST 5 BL 27 1 1 carol@example.com Carol
LST 5 RL 27 1 1 bob@example.com Bob%20B`,
	7: `SYN 5 27
GTC 5 27 A
BLP 5 27 AL
LSG 5 27 1 3 0 Other%20Contacts 0
LSG 5 27 2 3 1 Friends 0
LSG 5 27 3 3 2 Work 0
LST 5 FL 27 1 1 bob@example.com Bob%20B 1,2
LST 5 AL 27 1 1 bob@example.com Bob%20B
LST 5 BL 27 1 1 carol@example.com Carol
LST 5 RL 27 1 1 bob@example.com Bob%20B`,
	8: `SYN 5 27 2 3
GTC A
BLP AL
LSG 0 Other%20Contacts 0
LSG 1 Friends 0
LSG 2 Work 0
LST bob@example.com Bob%20B 11 1,2
LST carol@example.com Carol 4`,
	10: `SYN 5 2026-01-01T00:00:00.0000000-07:00 2026-01-01T00:00:00.0000000-07:00 2 2
GTC A
BLP AL
PRP MFN Alice%20A
LSG Friends g1
LSG Work g2
LST N=bob@example.com F=Bob%20B C=c1 11 g1,g2
LST N=carol@example.com F=Carol 4`,
	12: `SYN 5 2026-01-01T00:00:00.0000000-07:00 2026-01-01T00:00:00.0000000-07:00 2 2
GTC A
BLP AL
PRP MFN Alice%20A
LSG Friends g1
LSG Work g2
LST N=bob@example.com F=Bob%20B C=c1 11 1 g1,g2
LST N=carol@example.com F=Carol 4 1`,
}

func dump(v Version) string {
	d := ""
	for _, at := range []int{2, 7, 8, 10, 12} {
		if at <= v.number {
			d = dumps[at]
		}
	}
	return d
}

// read checks a dump as a connection does and puts it together as Sync does.
func read(v Version, text string) (l Lists, err error) {
	s := strict{version: v, lines: nsLines}
	var r *listReader
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			return l, errors.New("an empty line")
		}
		e := Event{Cmd: f[0], Args: f[1:], Line: strings.TrimSuffix(line, "\n")}
		if err := s.check(e); err != nil {
			return l, err
		}
		if r == nil && e.Cmd != "SYN" {
			return l, errors.New("no SYN")
		}
		if r == nil {
			n := 1
			if v.ids() {
				n = 2
			}
			r = &listReader{version: v, trid: "5", lists: Lists{Version: f[2 : 2+n], Contacts: map[string]Contact{}, Groups: map[string]string{}}}
			if v.counted() {
				if err := r.promised(f[2:]); err != nil {
					return l, err
				}
			}
			continue
		}
		if r.take(e) && r.err != nil {
			return l, r.err
		}
	}
	if r == nil {
		return l, errors.New("nothing")
	}
	return r.lists, s.check(Event{Cmd: "OUT", Line: "OUT"})
}

func TestLists(t *testing.T) {
	for _, v := range Versions {
		l, err := read(v, dump(v))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		bob, carol := l.Contacts["bob@example.com"], l.Contacts["carol@example.com"]
		if bob.Name != "Bob B" || bob.On != FL|AL|RL || carol.On != BL || len(l.Contacts) != 2 || !l.Prompt || l.BlockOthers {
			t.Errorf("%s: %+v", v.Name, l)
		}
		if v.Groups() && (len(bob.Groups) != 2 || l.Groups[bob.Groups[1]] != "Work") || !v.Groups() && len(l.Groups) > 0 {
			t.Errorf("%s: bob is in %v of %v", v.Name, bob.Groups, l.Groups)
		}
		if v.ids() && (bob.ID != "c1" || l.Name != "Alice A") {
			t.Errorf("%s: %+v", v.Name, l)
		}
	}
}

// TestListsAreChecked damages each dump; every damage must be found, because a
// real client would have signed off.
func TestListsAreChecked(t *testing.T) {
	for _, v := range Versions {
		good := dump(v)
		lines := strings.Split(good, "\n")
		last := lines[len(lines)-1]
		bad := map[string]string{
			"a line too many":      good + "\n" + last,
			"an argument too many": strings.Replace(good, "GTC", "GTC A B", 1),
			"an empty argument":    strings.Replace(good, "Bob%20B", "Bob  B", 1),
			"not of this version":  good + "\nUUN 5 x",
		}
		if v.counted() {
			bad["a line too few"] = strings.Join(lines[:len(lines)-1], "\n")
			bad["a wrong number"] = strings.Replace(good, " 2 ", " 3 ", 1)
			bad["a list that there is not"] = strings.Replace(good, " 11 ", " 43 ", 1)
			bad["something in between"] = strings.Replace(good, "LST", "FLN bob@example.com\nLST", 1)
			bad["a group that there is not"] = strings.Replace(good, ",", "9,", 1)
		} else {
			delete(bad, "a line too many") // nothing says how many there are: it ends with the reverse list
			bad["lists in disorder"] = strings.Replace(strings.Replace(good, "FL", "XX", 1), "AL 27", "FL 27", 1)
			bad["a place twice"] = strings.Replace(good, "FL 27 1 1", "FL 27 2 2", 1)
			bad["another version"] = strings.Replace(good, "RL 27", "RL 28", 1)
		}
		if v.ids() {
			bad["no id"] = strings.Replace(good, "C=c1 ", "", 1)
			bad["no time"] = strings.ReplaceAll(good, "2026-01-01T00:00:00.0000000-07:00", "27")
			bad["a network too many"] = strings.Replace(good, " 11 ", " 11 1 1 ", 1)
		}
		for what, text := range bad {
			if text == good {
				t.Errorf("%s: %s: nothing is damaged", v.Name, what)
			} else if _, err := read(v, text); err == nil {
				t.Errorf("%s: %s was taken:\n%s", v.Name, what, text)
			}
		}
	}
}

// FuzzLists reads what anybody may send for lists: it must not panic.
func FuzzLists(f *testing.F) {
	for i, v := range Versions {
		f.Add(uint8(i), dump(v))
	}
	f.Fuzz(func(t *testing.T, i uint8, text string) {
		l, err := read(Versions[int(i)%len(Versions)], text)
		for k, c := range l.Contacts {
			if err == nil && (c.On == 0 || k != strings.ToLower(c.Handle)) {
				t.Fatalf("%q gave %+v", text, c)
			}
		}
	})
}

// TestLines gives each version the lines that came with the next: a client that
// gets them signs off.
func TestLines(t *testing.T) {
	for line, versions := range map[string][2]int{
		"NLN NLN bob@example.com Bob":                      {2, 7},
		"NLN NLN bob@example.com Bob 0":                    {8, 12},
		"NLN NLN bob@example.com Bob 268435456 %3Cmsnobj":  {9, 12},
		"ILN 5 AWY bob@example.com Bob":                    {2, 7},
		"ILN 5 AWY bob@example.com Bob 0":                  {8, 12},
		"NLN HDN bob@example.com Bob":                      {1, 1},
		"QNG":                                              {2, 8},
		"QNG 50":                                           {9, 12},
		"ADD 0 RL 27 bob@example.com Bob":                  {2, 9},
		"ADC 0 RL N=bob@example.com F=Bob":                 {10, 12},
		"USR 4 OK alice@example.com Alice 1 0":             {8, 9},
		"UBX bob@example.com 0":                            {11, 12},
		"RNG 1 192.0.2.1:1863 CKI 1.2 bob@example.com Bob": {2, 12},
		"XFR 5 SB 192.0.2.1:1863 CKI 1.2":                  {2, 12},
		"FLN bob@example.com 0":                            {1, 1},
		"205 7":                                            {2, 12},
		"205":                                              {1, 1},
	} {
		for _, v := range Versions {
			f := strings.Fields(line)
			s := strict{version: v, lines: nsLines}
			err := s.check(Event{Cmd: f[0], Args: f[1:], Line: line})
			if want := v.number >= versions[0] && v.number <= versions[1]; want != (err == nil) {
				t.Errorf("%s %q: %v", v.Name, line, err)
			}
		}
	}
}

// TestEditsMSNP10 shows that ids are learnt from the lists and from answers.
func TestEditsMSNP10(t *testing.T) {
	c := signedIn(t, MSNP10, dumps[10]+`
C: ADC 6 FL N=dave@example.com F=dave@example.com
S: ADC 6 FL N=dave@example.com F=Dave C=c9
C: ADC 7 FL C=c9 g1
S: ADC 7 FL C=c9 g1
C: REM 8 FL c9 g1
S: REM 8 FL c9 g1
C: REM 9 FL c1
S: REM 9 FL c1
C: ADG 10 Old%20pals
S: ADG 10 Old%20pals g3
C: PRP 11 MFN Al%20ice
S: PRP 11 MFN Al%20ice
C: SBP 12 c9 MFN D
S: SBP 12 c9 MFN D
C: CHG 13 NLN 268435456 %3Cmsnobj%2F%3E
S: CHG 13 NLN 268435456 %3Cmsnobj%2F%3E
`)
	ctx := t.Context()
	l, err := c.Sync(ctx)
	if err != nil || c.Name != "Alice A" {
		t.Fatalf("%+v, %q, %v", l, c.Name, err)
	}
	for _, err := range []error{
		c.Add(ctx, FL, "dave@example.com"), c.AddToGroup(ctx, "dave@example.com", "g1"),
		c.RemoveFromGroup(ctx, "dave@example.com", "g1"), c.Remove(ctx, FL, "Bob@example.com"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	id, err := c.AddGroup(ctx, "Old pals")
	if err != nil || id != "g3" {
		t.Errorf("%q, %v", id, err)
	}
	for _, err := range []error{c.Rename(ctx, "Al ice"), c.RenameContact(ctx, "dave@example.com", "D"), c.Show(ctx, "NLN", 0x10000000, "<msnobj/>")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Remove(ctx, FL, "carol@example.com"); err == nil {
		t.Error("somebody without an id was removed by id")
	}
}

func TestReadToken(t *testing.T) {
	const good = `<?xml version="1.0"?><S:Envelope xmlns:S="s" xmlns:w="w" xmlns:a="a"><S:Body><w:RequestSecurityTokenResponseCollection>` +
		`<w:RequestSecurityTokenResponse><a:AppliesTo><a:EndpointReference><a:Address>http://Passport.NET/tb</a:Address></a:EndpointReference></a:AppliesTo>` +
		`<w:RequestedSecurityToken><EncryptedData><CipherData><CipherValue>AA==</CipherValue></CipherData></EncryptedData></w:RequestedSecurityToken>` +
		`<w:RequestedProofToken><w:BinarySecret>AA==</w:BinarySecret></w:RequestedProofToken></w:RequestSecurityTokenResponse>` +
		`<w:RequestSecurityTokenResponse><a:AppliesTo><a:EndpointReference><a:Address>messenger.msn.com</a:Address></a:EndpointReference></a:AppliesTo>` +
		`<w:RequestedSecurityToken><w:BinarySecurityToken Id="PPToken1">t=x&amp;p=</w:BinarySecurityToken></w:RequestedSecurityToken></w:RequestSecurityTokenResponse>` +
		`</w:RequestSecurityTokenResponseCollection></S:Body></S:Envelope>`
	if got, err := readToken("200 OK", []byte(good)); got != "t=x&p=" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for what, bad := range map[string]string{
		"white space":  strings.ReplaceAll(good, "</w:RequestSecurityTokenResponse><", "</w:RequestSecurityTokenResponse>\n<"),
		"wrong number": strings.ReplaceAll(good, "PPToken1", "Compact2"),
		"one token":    strings.ReplaceAll(good, "messenger.msn.com", "contacts.msn.com"),
		"a fault":      `<S:Envelope xmlns:S="s"><S:Fault><faultcode>x</faultcode><faultstring>Authentication Failure</faultstring></S:Fault></S:Envelope>`,
		"not XML":      "<",
	} {
		if got, err := readToken("200 OK", []byte(bad)); err == nil {
			t.Errorf("%s was taken: %q", what, got)
		}
	}
}

func TestEvents(t *testing.T) {
	e := Event{Cmd: "UBX", Args: []string{"Bob@example.com", "1"}, Body: []byte(`<Data><PSM>b &lt; c</PSM><CurrentMedia>\0x</CurrentMedia></Data>`)}
	if who, note, media, ok := e.Note(); !ok || who != "bob@example.com" || note != "b < c" || media != `\0x` {
		t.Error(who, note, media, ok)
	}
	nudge := Event{Cmd: "MSG", Body: []byte("Content-Type: text/x-msnmsgr-datacast\r\n\r\nID: 1\r\n\r\n\r\n")}
	if !nudge.Nudged() || (Event{Cmd: "MSG", Body: []byte("Content-Type: text/plain\r\n\r\nID: 1\r\n")}).Nudged() {
		t.Error("a nudge is not known by its type and body")
	}
	want := Contact{Handle: "bob@example.com", Name: "Bob B"}
	for _, e := range []Event{
		{Cmd: "ADD", Args: strings.Fields("0 RL 27 bob@example.com Bob%20B")}, {Cmd: "ADC", Args: strings.Fields("0 RL N=bob@example.com F=Bob%20B")},
	} {
		if trid, list, who, ok := e.Listed(); !ok || trid != "0" || list != RL || !reflect.DeepEqual(who, want) {
			t.Error(trid, list, who, ok)
		}
	}
}
