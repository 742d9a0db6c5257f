// Package passport plays the Passport services that MSNP8 and later sign in
// with: the nexus that names the log-in server, the log-in that turns a password
// into a ticket (MSNP.md F.1), and the token service that does the same for
// clients from MSN 7.5 on (F.2). Tickets are issued here and verified by whoever
// needs them.
//
// The clients match parts of the answers byte by byte, so requests are read and
// answers written by hand: some requests have no HTTP version, and header names
// must be spelled exactly. A Server may be used by many goroutines; it starts
// none.
package passport

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Accounts checks passwords.
type Accounts interface {
	// CheckPassword tells whether password is that of handle, and how the
	// account spells its handle; "" when there is none.
	CheckPassword(handle, password string) (canonical string, ok bool)
}

// Server answers nexus, log-in and token requests.
type Server struct {
	Accounts Accounts
	Tickets  *Tickets
	Witness  Witness
	Throttle *Throttle
	Log      *slog.Logger
}

const (
	nexusPath = "/rdr/pprdr.asp"
	loginPath = "/login2.srf"
	// patchedNexus is where clients of MSN 5.0 to 7.0 ask that were patched for
	// Escargot; they look for the header in another spelling too.
	patchedNexus = "/nexus-mock"
)

// Wants tells whether a request that starts with line is for Answer rather than
// for net/http: the nexus, the log-in, the token service, and everything without
// an HTTP version.
func Wants(line string) bool {
	f := strings.Fields(line)
	if len(f) < 3 {
		return len(f) == 2
	}
	p := path(f[1])
	return isNexus(p) || isLogin(p) || isTokens(p) || p == headerTokens
}

// path is the path of a request target in lower case, without query, scheme and
// doubled slashes.
func path(target string) string {
	if _, rest, ok := strings.Cut(target, "://"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		target = "/" + rest
	}
	target, _, _ = strings.Cut(target, "?")
	for strings.Contains(target, "//") {
		target = strings.ReplaceAll(target, "//", "/")
	}
	return strings.ToLower(target)
}

func isNexus(path string) bool { return path == nexusPath || path == patchedNexus }

func isLogin(path string) bool {
	return path == "/login" || path == "/login.srf" || path == loginPath
}

// Via says how a request came in.
type Via struct {
	Local  net.Addr // our end of the connection
	Remote net.Addr // the client's
	TLS    bool
}

// Answer writes the answer to r. again tells whether the connection may carry
// another request.
func (s *Server) Answer(w io.Writer, r Request, via Via) (again bool, err error) {
	host := caller(r, via)
	a := answer{status: "404 Not Found"}
	switch p := path(r.Target); {
	case isNexus(p):
		if a = nexus(host); p == patchedNexus {
			a.header = append(a.header, strings.Replace(a.header[0], "PassportURLs", "Passporturls", 1))
		}
	case isLogin(p):
		a = s.login(r, host, via.Remote)
	case isTokens(p):
		a = s.tokens(r, via.Remote)
	case p == headerTokens:
		a = s.headerToken(r, via.Remote)
	}
	switch asked := r.Get("Connection"); r.Version {
	case "HTTP/1.1":
		again = !strings.EqualFold(asked, "close")
	case "HTTP/1.0":
		again = strings.EqualFold(asked, "keep-alive")
	}
	_, err = io.WriteString(w, a.text(again))
	return again, err
}

// answer is a status line, header lines and a body, which is XML if there is any.
type answer struct {
	status string
	header []string
	body   string
}

// text is always HTTP/1.1: libpurple matches the status line literally.
func (a answer) text(again bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %s\r\n", a.status)
	for _, h := range a.header {
		b.WriteString(h + "\r\n")
	}
	if a.body != "" {
		b.WriteString("Content-Type: text/xml; charset=utf-8\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n", len(a.body))
	if again {
		b.WriteString("Connection: keep-alive\r\n")
	} else {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n" + a.body)
	return b.String()
}

// nexus names the log-in server: the host the client reached us by. DALogin has
// no scheme and something follows it (libpurple and BitlBee need both).
func nexus(host string) answer {
	site := "http://" + host + "/"
	return answer{status: "200 OK", header: []string{"PassportURLs: DARealm=Passport.Net,DALogin=" + host + loginPath +
		",DAReg=" + site + ",Properties=" + site + ",Privacy=" + site + ",GeneralRedir=" + site + ",Help=" + site + ",ConfigVersion=11"}}
}

// login turns the password in the Authorization header into a ticket.
func (s *Server) login(r Request, host string, source net.Addr) answer {
	auth, ok := strings.CutPrefix(r.Get("Authorization"), "Passport1.4 ")
	if !ok {
		return refused(host, "Sign in with your address and password")
	}
	var handle, password string
	for field := range strings.SplitSeq(auth, ",") {
		switch k, v, _ := strings.Cut(strings.TrimSpace(field), "="); strings.ToLower(k) {
		case "sign-in":
			handle = unescape(v)
		case "pwd":
			password = unescape(v)
		}
	}
	name, pause, ok := s.check(handle, password, source)
	switch {
	case pause > 0:
		return later(pause)
	case !ok:
		return refused(host, "The address or the password is wrong")
	}
	return answer{status: "200 OK", header: []string{"Authentication-Info: Passport1.4 da-status=success,tname=MSPAuth,tname=MSPProf,tname=MSPSec,from-PP='t=" +
		s.Tickets.Issue(name) + "&p=',ru=http://messenger.msn.com"}}
}

// check tells whose address and password these are. With a pause they were not
// looked at: too many were wrong.
func (s *Server) check(handle, password string, source net.Addr) (name string, pause time.Duration, ok bool) {
	if handle == "" || len(handle) > maxSecret || len(password) > maxSecret {
		return "", 0, false
	}
	done, pause := s.Throttle.Try(source, handle)
	if pause > 0 {
		s.Witness.Saw(Peer(source), handle, MustWait)
		s.Log.Warn("too many wrong passwords from one PC: its log-ins wait", "remote", source, "wait", pause.Round(time.Second))
		return "", pause, false
	}
	name, ok = s.Accounts.CheckPassword(handle, password)
	if done(ok); ok {
		return name, 0, true
	}
	why := WrongPassword
	if name == "" {
		why = UnknownAccount
	}
	s.Witness.Saw(Peer(source), handle, why)
	s.Log.Info("log-in refused: wrong address or password")
	return "", 0, false
}

// maxSecret is the longest address or password taken, in bytes.
const maxSecret = 256

// refused is the failure of MSNP.md F.1 with words for the person.
func refused(host, why string) answer {
	return answer{status: "401 Unauthorized", header: []string{"WWW-Authenticate: Passport1.4 da-status=failed,srealm=Passport.NET,ts=-3,prompt,cburl=http://" +
		host + "/,cbtxt=" + url.PathEscape(why)}}
}

// later puts a client off that has to wait. Clients take it for a service that
// is down, not for a wrong password, and try again.
func later(pause time.Duration) answer {
	seconds := int(pause/time.Second) + 1
	return answer{status: "503 Service Unavailable", header: []string{"Retry-After: " + strconv.Itoa(seconds)}}
}

// unescape undoes %XX; a plus stays one.
func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// caller is the name or address the client reached us by, with the port where
// it is not the usual one.
func caller(r Request, via Via) string {
	host := r.Get("Host")
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") != "" {
		host = localName(via.Local)
	}
	if name, port, err := net.SplitHostPort(host); err == nil && (!via.TLS || port == "443") {
		host = name
		if strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
	}
	return host
}

// localName is a socket's own address, never in the ::ffff: form.
func localName(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()).String()
}

// Challenge is the argument of USR TWN S (MSNP.md B.5.2): libpurple crashes on a
// missing ct and copies each of the others.
func Challenge(now time.Time) string {
	var tpf [16]byte
	rand.Read(tpf[:])
	return "lc=1033,id=507,tw=40,fs=1,ru=http%3A%2F%2Fmessenger%2Emsn%2Ecom,ct=" + strconv.FormatInt(now.Unix(), 10) +
		",kpp=1,kv=5,ver=2.1.0173.1,tpf=" + hex.EncodeToString(tpf[:])
}
