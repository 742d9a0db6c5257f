package msnserver

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"nudge/cmd/nudge/e2e/msnclient"
	"nudge/msnserver/dialect"
	"nudge/msnserver/wire"
)

// rival plays what other servers stumbled over (SERVERS.md §6) with one version.
type rival struct {
	*player
	d    *dialect.Dialect
	made map[string]bool // accounts
}

// account makes an account unless it is there. A row has those that it needs:
// hashing passwords takes its time.
func (r *rival) account(handle string) {
	r.t.Helper()
	if handle = strings.ToLower(handle); !r.made[handle] {
		r.made[handle] = true
		name, _, _ := strings.Cut(handle, "@")
		r.play("user " + handle + " " + strings.ToUpper(name[:1]) + name[1:] + " 123456 md5")
	}
}

// friends are alice and bob.
func (r *rival) friends() {
	r.t.Helper()
	r.account("alice@example.com")
	r.account("bob@example.com")
	r.play("friends alice@example.com bob@example.com")
}

// play plays lines of a transcript. $V is the version, $ADD the command that
// puts a handle on a list.
func (r *rival) play(script string) {
	r.t.Helper()
	add := "ADD"
	if !r.d.Knows(add) {
		add = "ADC"
	}
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(strings.NewReplacer("$V", r.d.Name, "$ADD", add).Replace(line))
		r.at = r.d.Name + ": " + line
		r.line(line)
	}
}

// until reads what a client is told up to a line that begins with prefix.
func (r *rival) until(name, prefix string) wire.Command {
	r.t.Helper()
	for {
		cmd, err := wire.Read(r.client(name).r, wire.FromServer)
		if err != nil {
			r.t.Fatalf("%s waits for %q: %v", name, prefix, err)
		}
		if strings.HasPrefix(cmd.String(), prefix) {
			return cmd
		}
	}
}

// in signs a client in; show makes it visible too.
func (r *rival) in(name, handle string) {
	r.t.Helper()
	r.account(handle)
	r.play(name + "> VER 1 $V\n" + name + "< VER 1 $V")
	if r.d.Tickets {
		r.kept["ticket"] = r.box.srv.tickets.Issue(strings.ToLower(handle))
		r.play(name + "> CVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS " + handle + "\n" + name + "< CVR 2 *\n" +
			name + "> USR 3 TWN I " + handle + "\n" + name + "< USR 3 TWN S *\n" + name + "> USR 4 TWN S ${ticket}")
	} else {
		r.play(name + "> USR 3 MD5 I " + handle + "\n" + name + "< USR 3 MD5 S ${+challenge}\n" + name + "> USR 4 MD5 S ${md5 123456}")
	}
	r.until(name, "USR 4 OK "+handle)
	r.until(name, "MSG Hotmail Hotmail")
}

func (r *rival) show(name, handle string) {
	r.t.Helper()
	r.in(name, handle)
	r.play(name + "> CHG 5 NLN 0")
	r.until(name, "CHG 5 NLN")
}

// alive shows that the connection still answers.
func (r *rival) alive(name string) {
	r.t.Helper()
	r.play(name + "> URL 99 INBOX")
	r.until(name, "URL 99 ")
}

// talk opens a conversation between alice at A and bob at B: C and D are their
// places in it.
func (r *rival) talk() {
	r.t.Helper()
	r.friends()
	r.show("A", "alice@example.com")
	r.show("B", "bob@example.com")
	r.play("A> XFR 6 SB")
	r.kept["cookie"] = r.until("A", "XFR 6 SB").Arg(4)
	r.play(`C> USR 1 alice@example.com ${cookie}
		C< USR 1 OK alice@example.com Alice
		C> CAL 2 bob@example.com
		C< CAL 2 RINGING ${session}`)
	r.kept["ring"] = r.until("B", "RNG ").Arg(3)
	r.play(`D> ANS 1 bob@example.com ${ring} ${session}
		D< IRO 1 1 1 alice@example.com Alice*
		D< ANS 1 OK
		C< JOI bob@example.com Bob*`)
}

// rivalRows are the rows of SERVERS.md §6 by number, with its column "should".
// Row 14 and those after 21 are what others do right, which must stay right.
// Row 15 is about the gateway: TestLongPoll and TestGoodbye are there. Others say
// where they come from.
var rivalRows = []struct {
	name string
	can  func(*dialect.Dialect) bool
	run  func(*rival)
}{
	{"1 an empty line before any command is ignored", nil, func(r *rival) {
		r.play(`A>> \r\n\r\nVER 1 $V\r\n
			A< VER 1 $V`)
	}},
	{"2 an unknown command closes before sign-in and is ignored after", nil, func(r *rival) {
		r.play(`A> VER 1 $V
			A< VER 1 $V
			A> XYZ 2
			A<EOF`)
		r.in("B", "alice@example.com")
		r.play("B> XYZ 5 whatever")
		r.alive("B")
	}},
	{"3 a command before sign-in is 715 and closed", nil, func(r *rival) {
		r.play(`A> SYN 1 0
			A< 715 1
			A<EOF
			B> VER 1 $V
			B< VER 1 $V
			B> CHG 2 NLN 0
			B< 715 2
			B<EOF`)
	}},
	{"4 a bad length before sign-in closes cleanly", nil, func(r *rival) {
		r.play(`A> MSG 2 N abc
			A<EOF
			B> VER 1 $V
			B< VER 1 $V
			B> MSG 2 N abc
			B<EOF`)
	}},
	{"5 a negative length closes", nil, func(r *rival) {
		r.in("A", "alice@example.com")
		r.play(`A> QRY 5 x -1
			A<EOF`)
	}},
	{"6 a line without end closes", nil, func(r *rival) {
		n, err := r.client("A").Write(make([]byte, 10<<20))
		if err == nil || n > 2*wire.MaxLine {
			r.t.Errorf("%d bytes of a line were taken, %v", n, err)
		}
	}},
	{"7 the case of a handle does not matter", nil, func(r *rival) { r.in("A", "Alice@EXAMPLE.com") }},
	{"8 a message to nobody is a NAK", nil, func(r *rival) {
		r.show("A", "alice@example.com")
		r.play(`A> XFR 6 SB
			A< XFR 6 SB 192.0.2.1:1863 CKI ${cookie}
			C> USR 1 alice@example.com ${cookie}
			C< USR 1 OK alice@example.com Alice
			C> MSG 2 A | Content-Type: text/plain\r\n\r\nhi
			C< NAK 2
			C> MSG 3 N | Content-Type: text/plain\r\n\r\nhi
			C< NAK 3`)
	}},
	{"MSNP.md C.4: D asks for an answer from MSNP9 on; a failure is always told", nil, func(r *rival) {
		r.talk()
		r.play("C> MSG 3 D | Content-Type: text/plain\\r\\n\\r\\nhi")
		if r.d.Pictures {
			r.play("C< ACK 3")
		}
		r.play(`D< MSG alice@example.com Alice | Content-Type: text/plain\r\n\r\nhi
			D> OUT
			C< BYE bob@example.com
			C> MSG 4 D | Content-Type: text/plain\r\n\r\nhi
			C< NAK 4`)
	}},
	{"9 a message without headers is relayed", nil, func(r *rival) {
		r.talk()
		r.play(`C> MSG 3 A | no header at all
			C< ACK 3
			D< MSG alice@example.com Alice | no header at all`)
	}},
	{"10 SYN with the current number is one line and moves nothing", nil, func(r *rival) {
		r.in("A", "alice@example.com")
		numbers := 1
		if r.d.Knows("ADC") {
			numbers = 2
		}
		r.play("A> SYN 5" + strings.Repeat(" 0", numbers))
		cmd, err := wire.Read(r.client("A").r, wire.FromServer)
		if err != nil || len(cmd.Args) <= numbers {
			r.t.Fatal(cmd, err)
		}
		now := strings.Join(cmd.Args[1:1+numbers], " ")
		r.alive("A")
		for range 2 {
			r.play("A> SYN 6 " + now + "\nA< SYN 6 " + now)
		}
		r.play("A> URL 7 INBOX\nA< URL 7 *")
	}},
	{"11 LST is answered", func(d *dialect.Dialect) bool { return d.Knows("LST") }, func(r *rival) {
		r.friends()
		r.in("A", "alice@example.com")
		r.play(`A> LST 5 FL
			A< LST 5 FL ${v} 1 1 bob@example.com Bob*
			A> LST 6 BL
			A< LST 6 BL ${v} 0 0`)
	}},
	{"11 FND is answered", func(d *dialect.Dialect) bool { return d.Knows("FND") }, func(r *rival) {
		r.in("A", "alice@example.com")
		r.play(`A> FND 5 fname=Bob lname=* city=* state=* country=US
			A< FND 5 0 0`)
	}},
	{"11 PAG, PGD and IPG do no harm", nil, func(r *rival) {
		r.in("A", "alice@example.com")
		r.play(`A> PAG 5 bob@example.com | <TEXT xml:space="preserve" enc="utf-8">hi</TEXT>
			A> PGD 6 bob@example.com 1 | <TEXT xml:space="preserve" enc="utf-8">hi</TEXT>
			A> IPG 7`)
		r.alive("A")
	}},
	{"12 BL while on AL is 219", nil, func(r *rival) {
		r.friends()
		r.in("A", "alice@example.com")
		who := "bob@example.com bob@example.com"
		if !r.d.Knows("ADD") {
			who = "N=bob@example.com"
		}
		r.play("A> $ADD 5 BL " + who + "\nA< 219 5")
	}},
	{"13 an unknown state is 201", nil, func(r *rival) {
		r.in("A", "alice@example.com")
		r.play(`A> CHG 5 XXX 0
			A< 201 5
			A> CHG 6 FLN 0
			A< 201 6`)
		r.alive("A")
	}},
	{"14 a version that is not there is refused, or another one is agreed on", nil, func(r *rival) {
		r.play(`A> VER 1 MSNP21
			A< VER 1 0
			A<EOF
			B> VER 1 MSNP21 CVR0
			B< VER 1 CVR0
			C> VER 1 MSNP21 MSNP20 MSNP19 $V CVR0
			C< VER 1 $V`)
	}},
	{"16 a login without Authorization is 401", nil, func(r *rival) {
		r.play(`HA> GET /login2.srf HTTP/1.0\r\n\r\n
			HA< HTTP/1.1 401 Unauthorized\r\n*`)
	}},
	{"17 QRY is answered", func(d *dialect.Dialect) bool { return d.Knows("QRY") }, func(r *rival) {
		r.in("A", "alice@example.com")
		r.play(`A> QRY 5 msmsgs@msnmsgr.com | 8f2f5a91b72102cd28355e9fc9000d6e
			A< QRY 5`)
	}},
	{"18 the challenge does not tell whether an account exists", func(d *dialect.Dialect) bool { return d.MD5 }, func(r *rival) {
		r.account("alice@example.com")
		r.play(`A> VER 1 $V
			A< VER 1 $V
			B> VER 1 $V
			B< VER 1 $V
			A> USR 2 MD5 I alice@example.com
			A< USR 2 MD5 S ${known}
			B> USR 2 MD5 I nobody@example.com
			B< USR 2 MD5 S ${unknown}
			B> USR 3 MD5 S 00000000000000000000000000000000
			B< 911 3
			B<EOF`)
		shape := func(s string) string {
			return strings.Map(func(c rune) rune {
				if c >= '0' && c <= '9' {
					return '0'
				}
				return c
			}, s)
		}
		if a, b := r.kept["known"], r.kept["unknown"]; shape(a) != shape(b) || a == b {
			r.t.Errorf("%q for an account, %q for none", a, b)
		}
	}},
	{"19 who is left alone is closed in time", nil, func(r *rival) {
		r.talk()
		r.play(`D> OUT
			D<EOF
			C< BYE bob@example.com
			wait 16m
			C<EOF`)
	}},
	{"20 cookies end on their own, each in its time", nil, func(r *rival) {
		r.show("A", "alice@example.com")
		r.play(`A> XFR 6 SB
			A< XFR 6 SB 192.0.2.1:1863 CKI ${one}
			wait 90s
			A> XFR 7 SB
			A< XFR 7 SB 192.0.2.1:1863 CKI ${two}
			A> XFR 8 SB
			A< XFR 8 SB 192.0.2.1:1863 CKI ${three}
			wait 60s
			C> USR 1 alice@example.com ${three}
			C< USR 1 OK alice@example.com Alice
			D> USR 1 alice@example.com ${one}
			D< 911 1
			D<EOF
			E> USR 1 alice@example.com ${two}
			E< USR 1 OK alice@example.com Alice
			F> USR 1 alice@example.com ${two}
			F< 911 1
			F<EOF`)
	}},
	{"21 the server says that it goes", nil, func(r *rival) {
		r.in("A", "alice@example.com")
		r.play(`shutdown
			A< OUT SSD
			A<EOF`)
	}},
	{"right: a wrong password is 911 like an unknown account", nil, func(r *rival) {
		r.account("alice@example.com")
		for i, handle := range []string{"alice@example.com", "nobody@example.com"} {
			c := fmt.Sprint("A", i)
			way := "MD5"
			if r.d.Tickets {
				way = "TWN"
			}
			r.play(c + "> VER 1 $V\n" + c + "< VER 1 $V\n" + c + "> USR 2 " + way + " I " + handle + "\n" + c + "< USR 2 " + way + " S *\n" +
				c + "> USR 3 " + way + " S t=0000\n" + c + "< 911 3\n" + c + "<EOF")
		}
	}},
	{"right: the older of two sessions is told", nil, func(r *rival) {
		r.in("A", "alice@example.com")
		r.in("B", "alice@example.com")
		r.play(`A< OUT OTH
			A<EOF`)
		r.alive("B")
	}},
	{"right: a call to somebody offline is 217", nil, func(r *rival) {
		r.friends()
		r.show("A", "alice@example.com")
		r.play(`A> XFR 6 SB
			A< XFR 6 SB 192.0.2.1:1863 CKI ${cookie}
			C> USR 1 alice@example.com ${cookie}
			C< USR 1 OK alice@example.com Alice
			C> CAL 2 bob@example.com
			C< 217 2
			C> CAL 3 nobody@example.com
			C< 217 3`)
	}},
	{"right: a message of 1664 bytes is relayed, of 1665 closes", nil, func(r *rival) {
		r.talk()
		const head = "Content-Type: text/plain\\r\\n\\r\\n"
		text := head + strings.Repeat("x", wire.MaxMessage-len(unquote(head)))
		r.play("C> MSG 3 A | " + text + "\nC< ACK 3\nD< MSG alice@example.com Alice | " + text + "\nC>> MSG 4 A 1665\\r\\n\nC<EOF\nD< BYE alice@example.com")
	}},
	{"right: a wink and a voice clip are relayed byte for byte", func(d *dialect.Dialect) bool { return d.Nudges }, func(r *rival) {
		r.talk()
		r.play(`C> MSG 3 A | MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 2\r\nData: <msnobj Type="8"/>\x00\xff\r\n\r\n
			C< ACK 3
			D< MSG alice@example.com Alice | MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 2\r\nData: <msnobj Type="8"/>\x00\xff\r\n\r\n
			C> MSG 4 N | MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 3\r\nData: <msnobj Type="11"/>\r\n\r\n
			D< MSG alice@example.com Alice | MIME-Version: 1.0\r\nContent-Type: text/x-msnmsgr-datacast\r\n\r\nID: 3\r\nData: <msnobj Type="11"/>\r\n\r\n`)
	}},
	{"Microsoft: VER at the wrong time is 715, CVR before VER 731, both close", nil, func(r *rival) {
		r.play(`A> VER 1 $V
			A< VER 1 $V
			A> VER 2 $V
			A< 715 2
			A<EOF
			B> CVR 1 0x0409 win 4.10 i386 MSMSGS 4.6.0073 MSMSGS
			B< 731 1
			B<EOF`)
	}},
}

// TestRivals plays every row with every version.
func TestRivals(t *testing.T) {
	for _, v := range msnclient.Versions {
		d := dialect.Named(v.Name)
		t.Run(d.Name, func(t *testing.T) {
			for _, row := range rivalRows {
				if row.can != nil && !row.can(d) {
					continue
				}
				t.Run(row.name, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						p := &player{t: t, box: newBox(t), clients: map[string]*client{}, kept: map[string]string{}}
						row.run(&rival{p, d, map[string]bool{}})
					})
				})
			}
		})
	}
}
