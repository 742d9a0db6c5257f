package names

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// host is what a name that leads here stands for.
type host struct {
	role  role
	guard guard
}

// role is where a PC goes that has asked for a name.
type role int

const (
	elsewhere role = iota // anywhere, or nowhere at all
	server                // to port 1863
	login                 // to port 443, to log in
)

// guard says for whom a name leads here.
type guard int

const (
	everybody guard = iota
	listed          // for the PCs that the owner listed
	patched         // when the owner wants it
)

// hosts are the names that MSN clients look for (SERVERS.md 3d, MSNP.md I). A *
// stands for one word or more. Names of sites and services that still live, or
// that Windows 8 and later sign in to, are for listed PCs: the same name server
// may serve the whole house. crl.microsoft.com and the like are left alone.
var hosts = map[string]host{
	"messenger.hotmail.com":   {role: server},
	"*.messenger.hotmail.com": {},

	"nexus.passport.com":          {role: login},
	"login.passport.com":          {role: login},
	"loginnet.passport.com":       {role: login},
	"msnialogin.passport.com":     {role: login},
	"login.passport.net":          {role: login},
	"memberservices.passport.net": {},

	"messenger.msn.com":   {},
	"*.messenger.msn.com": {},
	"*.mobile.msn.com":    {},
	"*.mobile.live.com":   {},
	"svcs.microsoft.com":  {},

	"messenger.live.com":            {},
	"*.messenger.live.com":          {},
	"*.messenger.services.live.com": {},
	"dp.msnmessenger.akadns.com":    {},

	"contacts.msn.com":   {},
	"*.contacts.msn.com": {},
	"storage.msn.com":    {},
	"*.storage.msn.com":  {},
	"rsi.hotmail.com":    {},
	"sup.live.com":       {},
	"spaces.live.com":    {},
	"g.msn.com":          {},
	"rad.msn.com":        {},

	"login.live.com":              {login, listed},
	"msnia.login.live.com":        {login, listed},
	"account.live.com":            {guard: listed},
	"home.live.com":               {guard: listed},
	"support.live.com":            {guard: listed},
	"*.profile.live.com":          {guard: listed},
	"directory.services.live.com": {guard: listed},
	"storage.live.com":            {guard: listed},
	"*.users.storage.live.com":    {guard: listed},
	"livefilestore.com":           {guard: listed},
	"*.livefilestore.com":         {guard: listed},
	"www.msn.com":                 {guard: listed},
	"c.msn.com":                   {guard: listed},
	"ads.msn.com":                 {guard: listed},
	"ads1.msn.com":                {guard: listed},

	// Escargot (SERVERS.md 1, 3a).
	"m1.escargot.log1p.xyz": {server, patched},
	"escargot.log1p.xyz":    {guard: patched},
	"msnmsgr.escargot.chat": {server, patched},
	"conf.escargot.chat":    {guard: patched},
	"ds.escargot.nina.chat": {server, patched},
	// CrossTalk (SERVERS.md 3d).
	"ms.msgrsvcs.ctsrv.gay":        {server, patched},
	"*.ms.msgrsvcs.ctsrv.gay":      {guard: patched},
	"conf.msgrsvcs.ctsrv.gay":      {guard: patched},
	"pp.login.ugnet.gay":           {login, patched},
	"ctas.login.ugnet.gay":         {login, patched},
	"ctsvcs.addressbook.ugnet.gay": {guard: patched},
	"cts.storage.ugnet.gay":        {guard: patched},
}

// lookup finds a name, which must be in lower case.
func lookup(name string) (host, bool) { return match(hosts, name) }

// match finds a name in a table of names and patterns.
func match[V any](table map[string]V, name string) (V, bool) {
	v, ok := table[name]
	for rest := name; !ok; {
		var cut bool
		if _, rest, cut = strings.Cut(rest, "."); !cut {
			break
		}
		v, ok = table["*."+rest]
	}
	return v, ok
}

// suffixes are the domains that routers of home networks give, in which a PC
// may look for the box.
var suffixes = []string{"", "local", "lan", "home", "home.arpa", "internal", "localdomain"}

// isBox tells whether a name is the box's own.
func (s *Server) isBox(name string) bool {
	first, rest, _ := strings.Cut(name, ".")
	return slices.Contains(s.hosts, first) && slices.Contains(suffixes, rest)
}

// leadsHere tells whether a name stands for this box, asked by peer, and what for.
func (s *Server) leadsHere(name string, peer netip.Addr) (host, bool) {
	h, known := lookup(name)
	switch {
	case !known:
		return h, s.isBox(name)
	case h.guard == listed:
		return h, contains(s.conf.Rules().Guarded, peer) && !s.isModern(peer)
	case h.guard == patched:
		return h, s.conf.Rules().Patched
	}
	return h, true
}

func contains(all []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
}

// telltales are names that only Windows 8 and later look for: the push service
// that came with 8, and the connection test of 10. They tell when an address that
// the owner listed has gone to such a PC.
var telltales = map[string]bool{
	"*.wns.windows.com": true, "msftconnecttest.com": true, "*.msftconnecttest.com": true,
}

// modern remembers which peers have asked for a telltale.
type modern struct {
	mu   sync.Mutex
	seen map[netip.Addr]*modernPC
}

type modernPC struct {
	last time.Time
	told bool // the owner was
}

const (
	modernTime = 24 * time.Hour // that such a PC is remembered; it asks all the time
	mostModern = 1024           // so many at the most; then any goes
)

// noteModern remembers who asks for what only Windows 8 and later ask for.
func (s *Server) noteModern(name string, peer netip.Addr) {
	if _, ok := match(telltales, name); !ok {
		return
	}
	m := &s.modern
	m.mu.Lock()
	defer m.mu.Unlock()
	if pc := m.seen[peer]; pc != nil {
		pc.last = time.Now()
		return
	}
	if m.seen == nil {
		m.seen = map[netip.Addr]*modernPC{}
	}
	for other := range m.seen {
		if len(m.seen) < mostModern {
			break
		}
		delete(m.seen, other)
	}
	m.seen[peer] = &modernPC{last: time.Now()}
}

// isModern tells whether peer has shown that it has Windows 8 or later, which
// signs in at login.live.com itself (DESIGN.md §6).
func (s *Server) isModern(peer netip.Addr) bool {
	m := &s.modern
	m.mu.Lock()
	pc := m.seen[peer]
	is := pc != nil && time.Since(pc.last) < modernTime
	tell := is && !pc.told
	if tell {
		pc.told = true
	}
	m.mu.Unlock()
	if tell {
		s.conf.Log.Warn("a PC that login.live.com shall lead here for runs Windows 8 or later, which itself signs in there: "+
			"it is not led here; take it off the setting names-login-live", "remote", peer)
	}
	return is
}
