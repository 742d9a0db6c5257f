// Package web is the box's pages, for its owners, for the people who have an
// account, and for old PCs that want to know why they can't sign in. Whatever a
// page does, it does through package control.
//
// # Browsers
//
// Every page is HTML 3.2 with tables that Internet Explorer 3 and a phone can
// read: no script is needed, no cookie, and letters outside ASCII are written as
// numbers, whatever character set the browser believes in. The style sheet is
// linked in a way that only newer browsers follow.
//
// # Who is asking
//
// A session is in the address: everything behind the door is below /s/TOKEN/. No
// other site knows a token, and a browser sends none by itself, so there is
// nothing that a foreign page could make it do (CSRF); a POST that says it comes
// from elsewhere is refused all the same. A token is good for the address it was
// made for, and for half an hour after it was last used.
//
// Pages with something to tell are shown only to who calls the box by its own
// name or address; under the names of Microsoft's servers, which lead old PCs
// here, there are only those that an old PC needs; under any other name (DNS
// rebinding) nothing.
//
// # Goroutines
//
// None of its own. Pages may be used by many.
package web

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"nudge/cmd/nudge/control"
)

// Config is what Pages are made of.
type Config struct {
	Control *control.Client
	// Own tells whether a Host header names this box itself.
	Own  func(host string) bool
	Kits string // path of the kits for old PCs, "" when there are none
	Log  *slog.Logger
}

// Pages answers the requests of browsers.
type Pages struct {
	Config
	mux      *http.ServeMux
	sessions sessions
}

// New makes the pages of a box.
func New(c Config) *Pages {
	p := &Pages{Config: c, mux: http.NewServeMux(), sessions: newSessions()}
	for _, o := range open {
		p.mux.HandleFunc(o.pattern, func(w http.ResponseWriter, r *http.Request) { o.show(p, &visit{pages: p, w: w, r: r, from: peer(r)}) })
	}
	for _, c := range closed {
		method, path, _ := strings.Cut(c.pattern, " ")
		p.mux.HandleFunc(method+" "+sessionPath+"{token}/"+path, func(w http.ResponseWriter, r *http.Request) { p.enter(w, r, c) })
	}
	return p
}

// openPage is one that needs no session, closedPage one behind the door.
type (
	openPage struct {
		pattern string
		show    func(*Pages, *visit)
	}
	closedPage struct {
		pattern string
		right   right
		show    func(*visit) error
	}
)

var open = []openPage{
	{"GET /{$}", (*Pages).home},
	{"GET /why", (*Pages).why},
	{"GET /today", (*Pages).today},
	{"GET /pages/{file}", (*Pages).file},
	{"POST /in", (*Pages).signIn},
	{"POST /claim", (*Pages).claim},
	{"GET /join", (*Pages).joinForm},
	{"POST /join", (*Pages).join},
	{"GET /link/{token}", (*Pages).invitation},
	{"POST /link/{token}", (*Pages).acceptInvitation},
}

var closed = []closedPage{
	{"GET {$}", anybody, (*visit).overview},
	{"POST out", anybody, (*visit).signOut},
	{"GET wizard", newOwner, (*visit).wizard},
	{"POST wizard", newOwner, (*visit).firstAccount},
	{"GET pcs", anybody, (*visit).oldPCs},
	{"GET accounts", owners, (*visit).accounts},
	{"POST accounts", owners, (*visit).addAccount},
	{"GET account", family, (*visit).account},
	{"POST account", family, (*visit).changeAccount},
	{"POST remove", owners, (*visit).removeAccount},
	{"POST contact", family, (*visit).changeContact},
	{"GET link", linkers, (*visit).linkForm},
	{"POST link", linkers, (*visit).addLink},
	{"POST relink", linkers, (*visit).changeLink},
	{"GET question", linkers, (*visit).question},
	{"POST answer", linkers, (*visit).answer},
	{"GET troubles", owners, (*visit).troubles},
	{"GET settings", owners, (*visit).settings},
	{"POST settings", owners, (*visit).changeSetting},
	{"GET backup", owners, (*visit).backupForm},
	{"POST backup", owners, (*visit).backup},
	{"POST keep", owners, (*visit).keepBackup},
	{"POST restore", newOwner, (*visit).restore},
	{"GET log", owners, (*visit).log},
	{"GET health", owners, (*visit).health},
}

// maxForm is how large a form may be, but for a backup that is given back.
const maxForm = 64 << 10

// ServeHTTP answers a request.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; "+
		"style-src 'self'; img-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	v := &visit{pages: p, w: w, r: r, from: peer(r)}
	switch {
	case !p.Own(r.Host) && r.Host != "": // HTTP/1.0 may name no host; no browser of today does that
		p.underOtherName(v)
	case r.Method == http.MethodPost && foreign(r):
		v.refuse(http.StatusForbidden, "This form was sent from a page of somebody else.")
	default:
		if r.Method == http.MethodPost && !strings.HasSuffix(r.URL.Path, "/restore") {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			if err := r.ParseForm(); err != nil {
				v.refuse(http.StatusRequestEntityTooLarge, "What was sent is no form of this box, or too large.")
				return
			}
		}
		if _, known := p.mux.Handler(r); known == "" {
			v.refuse(http.StatusNotFound, "There is no such page on this box.")
			return
		}
		p.mux.ServeHTTP(w, r)
	}
}

// microsoft are the domains of the names under which old PCs look for servers.
var microsoft = []string{"msn.com", "hotmail.com", "live.com", "passport.com", "passport.net", "microsoft.com"}

// today are the hosts whose every page was what the client's start tab shows.
var todayHosts = []string{"www.msn.com", "g.msn.com", "messenger.msn.com"}

// underOtherName serves who believes that the box is one of Microsoft's servers:
// nothing that a page of the Internet could not see as well.
func (p *Pages) underOtherName(v *visit) {
	host := hostOnly(v.r.Host)
	led := slices.ContainsFunc(microsoft, func(d string) bool { return host == d || strings.HasSuffix(host, "."+d) })
	read := v.r.Method == http.MethodGet || v.r.Method == http.MethodHead
	switch {
	case !led || !read:
		v.refuse(http.StatusForbidden, "Call this box by its own name or address.")
	case slices.Contains(todayHosts, host) || v.r.URL.Path == "/today":
		p.today(v)
	case v.r.URL.Path == "/why":
		p.why(v)
	case v.r.URL.Path == "/":
		v.render(http.StatusOK, "welcome", "This is not Microsoft", nil)
	default:
		v.refuse(http.StatusNotFound, "There is no such page on this box.")
	}
}

// foreign tells whether a browser says that another site's page made the request.
func foreign(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	from := r.Header.Get("Origin")
	if from == "" {
		return false
	}
	u, err := url.Parse(from)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

// hostOnly is a Host header's name in lower case, without port and brackets.
func hostOnly(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// peer is the address a request comes from.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // of no session
	}
	return at.Addr().Unmap().WithZone("")
}
