package msnclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// script is a server that reads the lines marked C: and answers the lines
// marked S:, one connection per script. Escapes \r\n are written as they are
// needed: lines end with CR LF unless the line ends with \.
func script(t *testing.T, scripts ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for _, s := range scripts {
			err = play(l, strings.ReplaceAll(s, "$ADDR", l.Addr().String()))
			if err != nil {
				break
			}
		}
		done <- err
	}()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// play keeps every connection open until the client leaves it; connections
// after the first are served while the first is open.
func play(l net.Listener, text string) error {
	nc, err := l.Accept()
	if err != nil {
		return err
	}
	r := bufio.NewReader(nc)
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" {
			continue
		}
		if want, ok := strings.CutPrefix(line, "C:"); ok {
			want = strings.TrimSpace(want)
			got, err := r.ReadString('\n')
			if err != nil || strings.TrimSpace(got) != want {
				return fmt.Errorf("client sent %q (%v), want %q", got, err, want)
			}
			if want == "OUT" {
				nc.Close()
			}
			continue
		}
		s := strings.TrimPrefix(line, "S: ")
		if raw, ok := strings.CutSuffix(s, `\`); ok {
			s = strings.ReplaceAll(raw, `\r\n`, "\r\n")
		} else {
			s += "\r\n"
		}
		if _, err := io.WriteString(nc, s); err != nil {
			return err
		}
	}
	return nil
}

const signInP2 = `
C: VER 1 MSNP2 CVR0
S: VER 1 MSNP2
C: INF 2
S: INF 2 MD5
C: USR 3 MD5 I alice@example.com
S: USR 3 MD5 S 1013928519.693957190
C: USR 4 MD5 S 0dc38e0c96e5ef37eb9451a0b2d5aaf9
S: USR 4 OK alice@example.com Alice%20A
S: MSG Hotmail Hotmail 6
S: a\r\nb\r\n\
`

func TestSignInAndListsMSNP2(t *testing.T) {
	addr := script(t, signInP2+`
C: SYN 5 0
S: SYN 5 27
S: GTC 5 27 A
S: BLP 5 27 AL
S: LST 5 FL 27 1 2 bob@example.com Bob%20B
S: LST 5 FL 27 2 2 carol@example.com Carol
S: LST 5 AL 27 1 1 bob@example.com Bob%20B
S: LST 5 BL 27 0 0
S: LST 5 RL 27 1 1 bob@example.com Bob%20B
C: CHG 6 NLN
S: CHG 6 NLN
S: ILN 6 BSY bob@example.com Bob%20B
C: ADD 7 FL nobody@example.com nobody@example.com
S: 205 7
C: PNG
S: QNG
C: OUT
`)
	ctx := t.Context()
	c, err := SignIn(ctx, Config{Version: MSNP2, Addr: addr, Handle: "alice@example.com", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.Sync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := Contact{Handle: "bob@example.com", Name: "Bob B", On: FL | AL | RL}
	if c.Name != "Alice A" || l.Version[0] != "27" || !l.Prompt || len(l.Contacts) != 2 || !reflect.DeepEqual(l.Contacts["bob@example.com"], want) {
		t.Errorf("name %q, lists %+v", c.Name, l)
	}
	if err := c.SetStatus(ctx, "NLN"); err != nil {
		t.Fatal(err)
	}
	if err := c.Add(ctx, FL, "nobody@example.com"); Code(err) != "205" {
		t.Errorf("adding nobody: %v", err)
	}
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if s := c.Status("bob@example.com"); s != "BSY" {
		t.Errorf("bob is %q", s)
	}
	c.Close()
}

func TestChat(t *testing.T) {
	addr := script(t, signInP2+`
C: XFR 5 SB
S: XFR 5 SB $ADDR CKI 12.34
`, `
C: USR 6 alice@example.com 12.34
S: USR 6 OK alice@example.com Alice%20A
C: CAL 7 bob@example.com
S: CAL 7 RINGING 99
S: JOI bob@example.com Bob
C: MSG 8 A 64
C: MIME-Version: 1.0
C: Content-Type: text/plain; charset=UTF-8
C:
S: MSG bob@example.com Bob 63
S: MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello, you, all!\
S: ACK 8
S: BYE bob@example.com
`)
	ctx := t.Context()
	c, err := SignIn(ctx, Config{Version: MSNP2, Addr: addr, Handle: "alice@example.com", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	chat, err := c.Invite(ctx, "bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if !chat.With("BOB@example.com") {
		t.Error("the conversation is not with bob alone")
	}
	if err := chat.Send(ctx, "hi"); err != nil {
		t.Fatal(err)
	}
	e, err := c.Log.Wait(ctx, 0, func(e Event) bool { _, ok := e.Text(); return ok })
	if text, _ := e.Text(); err != nil || text != "hello, you, all!" || e.From() != "bob@example.com" {
		t.Errorf("%v %v", e, err)
	}
	if _, err := c.Log.Wait(ctx, 0, func(e Event) bool { return e.Cmd == "BYE" }); err != nil {
		t.Error(err)
	}
	if c.Chat("bob@example.com") != nil {
		t.Error("bob left and the chat still counts")
	}
}

func TestAnswer(t *testing.T) {
	addr := script(t, signInP2+`
S: RNG 11752013 $ADDR CKI 849.4911 bob@example.com Bob
`, `
C: ANS 5 alice@example.com 849.4911 11752013
S: IRO 5 1 1 bob@example.com Bob
S: ANS 5 OK
S: MSG bob@example.com Bob 80
S: MIME-Version: 1.0\r\nContent-Type: text/x-msmsgscontrol\r\nTypingUser: Bob@b.c\r\n\r\n\r\n\
`)
	c, err := SignIn(t.Context(), Config{Version: MSNP2, Addr: addr, Handle: "alice@example.com", Password: "secret", Answer: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	e, err := c.Log.Wait(ctx, 0, func(e Event) bool { return e.Typing() != "" })
	if err != nil || e.Typing() != "bob@b.c" || e.Chat == nil {
		t.Errorf("%v %v", e, err)
	}
	if c.Chat("bob@example.com") != e.Chat {
		t.Error("the answered conversation is not found")
	}
}

// passportHosts stands for the nexus and the login server.
func passportHosts(t *testing.T) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Host + r.URL.Path {
		case "nexus.passport.com/rdr/pprdr.asp":
			w.Header()["PassportURLs"] = []string{"DARealm=Passport.Net,DALogin=login.example.net/login2.srf,X=y"}
		case "login.example.net/login2.srf":
			a := r.Header.Get("Authorization")
			if !strings.Contains(a, "sign-in=alice%40example.com,pwd=a%20b,lc=1033,id=507") {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Set("Authentication-Info", "Passport1.4 da-status=success,from-PP='t=TICKET&p=',ru=http://x")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// signInTWN is a sign-in with a ticket, up to where it is shown.
func signInTWN(v Version) string {
	return `
C: VER 1 ` + v.Name + ` CVR0
S: VER 1 ` + v.Name + `
C: CVR 2 0x0409 win 4.10 i386 MSNMSGR 5.0.0544 MSMSGS alice@example.com
S: CVR 2 5.0.0544 5.0.0544 5.0.0544 http://h/ http://h/
C: USR 3 TWN I alice@example.com
S: USR 3 TWN S lc=1033,id=507,tw=40,fs=1,ru=http%3A%2F%2Fx,ct=1,kpp=1,kv=5,ver=2.1,tpf=0
`
}

// signedIn is a client that signed in with a ticket. The server then sends lists
// and plays the rest.
func signedIn(t *testing.T, v Version, listsAndRest string) *Client {
	t.Helper()
	name := "Alice "
	if v.ids() {
		name = ""
	}
	lists, rest, _ := strings.Cut(listsAndRest, "\nC:")
	syn := "C: SYN 5 0\n"
	if v.ids() {
		syn = "C: SYN 5 0 0\n"
	}
	addr := script(t, signInTWN(v)+"C: USR 4 TWN S t=TICKET&p=\nS: USR 4 OK alice@example.com "+name+"1 0\n"+
		syn+"S: "+strings.ReplaceAll(strings.TrimSpace(lists), "\n", "\nS: ")+"\nC:"+rest)
	p := passportHosts(t)
	c, err := SignIn(t.Context(), Config{
		Version: v, Addr: addr, Handle: "alice@example.com", Password: "a b",
		HTTPS: p.Listener.Addr().String(), TLS: &tls.Config{InsecureSkipVerify: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return c
}

func TestSignInMSNP8(t *testing.T) {
	c := signedIn(t, MSNP8, `SYN 5 27 2 1
GTC A
BLP AL
LSG 0 Other%20Contacts 0
LST bob@example.com Bob%20B 11 0
LST carol@example.com Carol 8
C: CHG 6 NLN 0
S: CHG 6 NLN 0
`)
	l, err := c.Sync(t.Context())
	if err != nil || len(l.Contacts) != 2 || l.Contacts["bob@example.com"].On != FL|AL|RL {
		t.Errorf("%v %v", l, err)
	}
	if err := c.SetStatus(t.Context(), "NLN"); err != nil {
		t.Error(err)
	}
	cfg := c.cfg
	cfg.Addr, cfg.Password = script(t, signInTWN(MSNP8)), "wrong"
	if _, err := SignIn(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("wrong password: %v", err)
	}
}

func TestWaitTellsWhatCame(t *testing.T) {
	l := newLog()
	l.add(Event{Cmd: "FLN", Args: []string{"bob@example.com"}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := l.Wait(ctx, 0, func(Event) bool { return false })
	if err == nil || !strings.Contains(err.Error(), "FLN bob@example.com") {
		t.Error(err)
	}
}

// FuzzNext feeds bytes of a server to the parser: it must neither panic nor
// depend on how they were cut.
func FuzzNext(f *testing.F) {
	for _, s := range []string{
		"VER 1 MSNP2\r\n", "MSG a b 3\r\nxyzFLN c\r\n", "MSG a b -1\r\n", "NOT 99999999\r\n", "\r\n", "X\n", "MSG\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, cut := all(bytes.NewReader(b)), all(iotest.OneByteReader(bytes.NewReader(b)))
		if !slices.Equal(whole, cut) {
			t.Errorf("whole %q, byte by byte %q", whole, cut)
		}
	})
}

func all(r io.Reader) (got []string) {
	k := &conn{r: bufio.NewReaderSize(r, maxLine)}
	for {
		e, err := k.next()
		if err != nil {
			return got
		}
		got = append(got, fmt.Sprintf("%s %q %q", e.Cmd, e.Args, e.Body))
	}
}
