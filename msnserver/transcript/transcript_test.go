package transcript

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"nudge/msnserver/wire"
)

// said makes commands of a text as it goes over the wire.
func said(t testing.TB, text string) wire.Command {
	t.Helper()
	p := wire.FromServer
	if strings.HasPrefix(text, "QRY") || strings.HasPrefix(text, "UUX") {
		p = wire.ToNS
	}
	cmd, err := wire.Read(bufio.NewReader(strings.NewReader(text)), p)
	if err != nil {
		t.Fatal(text, err)
	}
	return cmd
}

// Each kind of line, in the order of a session: what stands in the transcript.
func TestRedact(t *testing.T) {
	r := New()
	c := r.Client(false)
	for _, l := range []struct{ side, text, want string }{
		{">", "VER 1 MSNP8 CVR0", "VER 1 MSNP8 CVR0"},
		{">", "CVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS Anna@Home.test", "CVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS user1@example.com"},
		{"<", "CVR 2 6.0.0602 6.0.0602 6.0.0602 http://10.0.0.7/ http://10.0.0.7/", "CVR 2 6.0.0602 6.0.0602 6.0.0602 * *"},
		{">", "USR 3 MD5 I anna@home.test", "USR 3 MD5 I user1@example.com"},
		{"<", "USR 3 MD5 S 1013928519.693957190", "USR 3 MD5 S ${+challenge}"},
		{">", "USR 4 MD5 S 23e54a439a6a17d15025f4c6cbd0f6b5", "USR 4 MD5 S ${md5 123456}"},
		{"<", "USR 4 OK anna@home.test Anna%20B 1 0", "USR 4 OK user1@example.com User1 1 0"},
		{"<", "MSG Hotmail Hotmail 9\r\nsecret it", "MSG Hotmail Hotmail *"},
		{">", "SYN 5 1304344528", "SYN 5 1"},
		{"<", "SYN 5 1304344529 1 2", "SYN 5 ${+v1} 1 2"},
		{"<", "LSG 0 Other%20Contacts 0", "LSG 0 Other%20Contacts 0"},
		{"<", "LSG 1 SCHOOL 0", "LSG 1 Group1 0"},
		{"<", "LST bob@home.test BOB 11 0", "LST user2@example.com User2 11 0"},
		{"<", "LST N=carol@home.test F=Carol C=78318e44-353a-49cd-af28-ce26054d79bd 3", "LST N=user3@example.com F=User3 C=${+id1} 3"},
		{"<", "BPR PHH 555%201234", "BPR PHH *"},
		{">", "PRP 6 PHM 5551234", "PRP 6 PHM x"},
		{">", "PRP 7 MFN ANNA", "PRP 7 MFN x"},
		{">", "SBP 8 78318e44-353a-49cd-af28-ce26054d79bd MFN BOB", "SBP 8 ${id1} MFN x"},
		{">", "CHG 9 NLN 268435492 %3Cmsnobj%20Creator%3D%22anna%40home.test%22%2F%3E", "CHG 9 NLN 268435492 " + wire.Escape(`<msnobj Creator="nobody@example.com" Size="1" Type="3" Location="0" Friendly="AAA=" SHA1D="AAAAAAAAAAAAAAAAAAAAAAAAAAA=" SHA1C="AAAAAAAAAAAAAAAAAAAAAAAAAAA="/>`)},
		{"<", "NLN BSY bob@home.test Bobby 0", "NLN BSY user2@example.com User2-2 0"},
		{">", "ADD 10 FL dave@home.test Davy 0", "ADD 10 FL user4@example.com user4@example.com 0"},
		{"<", "XFR 11 SB 192.168.1.20:1863 CKI 17262740.1050826919.32308", "XFR 11 SB 192.0.2.1:1863 CKI ${+cookie1}"},
		{">", "USR 1 anna@home.test 17262740.1050826919.32308", "USR 1 user1@example.com ${cookie1}"},
		{"<", "CAL 2 RINGING 11752013", "CAL 2 RINGING ${+session1}"},
		{"<", "RNG 11752013 192.168.1.20:1863 CKI 849102291.520491113 bob@home.test Bobby", "RNG ${session1} 192.0.2.1:1863 CKI ${+cookie2} user2@example.com User2-2"},
		{"<", "JOI bob@home.test Bobby", "JOI user2@example.com User2-2"},
		{"<", "MSG bob@home.test Bobby 79\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nP4-Context: Bob!\r\n\r\nMeet at 5\r\nöy",
			`MSG user2@example.com User2-2 | MIME-Version: 1.0\r\nContent-Type: text/plain\r\nxxxxxxxxxx: xxxx\r\n\r\nxxxxxxxxx\r\nxx`},
		{">", "UUX 12 53\r\n<Data><PSM>At home</PSM><CurrentMedia></CurrentMedia>", `UUX 12 | <Data><PSM>xxxxxxx</PSM><CurrentMedia></CurrentMedia>`},
		{">", "QRY 13 PROD0038W!61ZTF9 32\r\n0123456789abcdef0123456789abcdef", "QRY 13 x | " + strings.Repeat("x", 32)},
		{">", "FND 14 fname=Anna lname=B", "FND 14"},
		{">", "PASSWORD 15 sesame", "PASSWORD 15"},
		{">", "sesame", "XXX x"},
		{"<", "911 4", "911 4"},
	} {
		cmd := said(t, l.text+"\r\n")
		if l.side == ">" {
			c.before(cmd)
		}
		if got := r.words.redact(cmd, l.side == ">"); got != l.want {
			t.Errorf("%s becomes\n%s, not\n%s", l.text, got, l.want)
		}
	}
}

// A whole recording: accounts and lists before, a log-in over HTTP as far as a test
// needs one, and who was not recorded is left out.
func TestText(t *testing.T) {
	r := New()
	c := r.Client(false)
	for _, l := range []string{
		"> USR 1 TWN I anna@home.test", "< USR 1 TWN S lc=1033,id=507", "> USR 2 TWN S t=1234&p=5678", "< USR 2 OK anna@home.test Anna 1 0",
		"< LST bob@home.test Bob 11 0", "< ILN 3 NLN bob@home.test Bob 0", "< ILN 3 NLN bob@home.test Bob 0", "> ADD 4 FL dave@home.test d 0", "< LST dave@home.test d 3 0",
	} {
		if cmd := said(t, l[2:]+"\r\n"); l[0] == '>' {
			c.Said(cmd)
		} else {
			c.Told(cmd)
		}
	}
	c.Ended(false)
	c.Told(wire.Line("OUT", "OTH"))
	r.Client(true).Ended(true)
	const want = `# Recorded with nudge record. Nobody's name, password, words or address is in it.
user user1@example.com User1 123456
user user2@example.com User2 123456
user user3@example.com User3 123456
contact user1@example.com user2@example.com
contact user2@example.com user1@example.com

A> USR 1 TWN I user1@example.com
A< USR 1 TWN S *
HA1> GET /login2.srf HTTP/1.0\r\nAuthorization: Passport1.4 sign-in=user1%40example.com,pwd=123456\r\n\r\n
HA1< *from-PP='${+ticket}'*
A> USR 2 TWN S ${ticket}
A< USR 2 OK user1@example.com User1 1 0
A< LST user2@example.com User2 11 0
# How user2@example.com is was left out: it was not recorded.
A> ADD 4 FL user3@example.com user3@example.com 0
A< LST user3@example.com User3 3 0
A>EOF
W2<EOF
`
	if got := r.Text(); got != want {
		t.Errorf("it is\n%s", got)
	}
}

// However much is said, a recording stays small.
func TestLimits(t *testing.T) {
	r := New()
	for i := range mostClients {
		c := r.Client(false)
		if c == nil {
			t.Fatalf("no client %d", i)
		}
		for n := range 100 {
			c.Said(wire.Line("ADD", "1", "FL", fmt.Sprintf("u%d-%d@x.test", i, n), "x"))
		}
	}
	if r.Client(false) != nil || len(r.lines) > mostLines || r.words.size() > mostWords || !strings.Contains(r.Text(), "the end is missing") {
		t.Errorf("%d lines, %d words", len(r.lines), r.words.size())
	}
}

// Whatever is said: a private word is not in the transcript, which stays one line.
func FuzzRedact(f *testing.F) {
	const private = "qzprivatezq"
	for _, s := range []string{"MSG a@b.c % 5\r\n%", "ADD 1 FL %@b.c %", "LST N=%@x F=% C=% 3", "USR 1 TWN S %", "NLN NLN a@b.c %", "XFR 1 SB % CKI %", "PRP 1 MFN %", "UBX a@b.c 9\r\n<a>%</a>"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, client bool) {
		line, payload, with := strings.Cut(strings.ReplaceAll(text, "%", private), "\r\n")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			return
		}
		cmd := wire.Command{Verb: fields[0], Args: fields[1:]}
		if with {
			cmd.Payload = []byte(payload)
		}
		r := New()
		c := r.Client(false)
		if client {
			c.Said(cmd)
		} else {
			c.Told(cmd)
		}
		got := r.Text()
		if strings.Contains(got, private) {
			t.Errorf("%q becomes %q", cmd, got)
		}
		for _, l := range r.lines {
			if strings.ContainsAny(l.text, "\r\n") {
				t.Errorf("%q has lines", l.text)
			}
		}
	})
}
