package passport

import (
	"net"
	"net/netip"
	"strings"
)

// Trouble is why a PC does not get signed in, as far as it shows from here. The
// first two are no trouble yet: they become one when nothing follows.
type Trouble uint8

const (
	SignedIn       Trouble = iota // none: what was wrong before is over
	AskedServer                   // it asked for the messenger server's name
	AskedLogin                    // it asked for the log-in server's name, or was told to log in there
	NeverCame                     // AskedServer, and nothing came
	No1863                        // AskedServer, and something came, but not to port 1863
	No443                         // AskedLogin, and nothing came to port 443
	OldHello                      // a TLS hello of SSL 2 or 3 (MSNP.md K.22)
	WeakHello                     // a TLS hello with nothing but broken cipher suites
	Untrusted                     // it does not trust our certificate
	WrongClock                    // it finds our certificate out of date, which is good for 50 years
	UnknownVersion                // it speaks no version that we do
	StaleServer                   // it brings a ticket, or wants a server, of another time or box
	MD5Off                        // it proves its password with MD5, which the account does not allow
	UnknownAccount                // there is no account of that name
	WrongPassword                 // the password is not the account's
	MustWait                      // too many passwords were wrong: no other is looked at for a while
)

// Witness is told what shows of a PC's way to its sign-in. handle is the account
// it is about, as the PC wrote it, "" when it did not come to that. Saw may be
// called from any goroutine and returns at once.
type Witness interface {
	Saw(peer netip.Addr, handle string, t Trouble)
}

// forget is how a client forgets the server it was sent to before (SERVERS.md 3a).
const forget = `make it forget its old server: in the registry delete the value Server below HKEY_CURRENT_USER\Software\Microsoft\MSNMessenger ` +
	`(MSN 5.0 and later), or set the one below HKEY_CURRENT_USER\Software\Microsoft\MessengerService to {box} (older)`

// Peer is the address of a connection's far end without the port; invalid when it
// has none.
func Peer(remote net.Addr) netip.Addr {
	ap, _ := netip.ParseAddrPort(remote.String())
	return ap.Addr().Unmap().WithZone("")
}

// trouble is a code for scripts, what happened, and what to do about it.
type trouble struct{ code, what, cure string }

var troubles = [...]trouble{
	SignedIn:    {"signed-in", "it signs in", ""},
	AskedServer: {"asked-server", "it asked where the server is", ""},
	AskedLogin:  {"asked-login", "it was told where to log in", ""},
	NeverCame: {"never-came", "it asked for the server's name and was told {box}, but never came",
		"let the program through that PC's firewall, close Messenger and start it again; is the PC in the same network as the box?"},
	No1863: {"no-1863", "it reaches the box, but not on port 1863",
		"let port 1863 (TCP) through that PC's firewall; " + forget},
	No443: {"no-443", "it was told to log in on port 443 and never came there",
		"let port 443 (TCP) through that PC's firewall; nexus.passport.com and login.passport.com must lead to {box} there (try: ping nexus.passport.com); " +
			"no proxy must be set that can't reach the box"},
	OldHello: {"old-hello", "it speaks SSL 2 or 3, which can't be answered",
		"on that PC open Internet Options, Advanced; untick \"Use SSL 2.0\" and \"Use SSL 3.0\", tick \"Use TLS 1.0\""},
	WeakHello: {"weak-hello", "it offers only encryption that was weakened for export",
		"install Internet Explorer 6 or the High Encryption Pack on that PC"},
	Untrusted: {"untrusted", "it does not trust the box's certificate",
		"on that PC open http://{box}/nudge.crt and install it for the computer under Trusted Root Certification Authorities; are date and time right there?"},
	WrongClock: {"wrong-clock", "its clock is wrong: it takes the box's certificate, good from 1998 to 2049, for out of date",
		"set date and time on that PC; a clock that falls back at every start wants a new battery"},
	UnknownVersion: {"unknown-version", "it speaks no version of the protocol that this box does",
		"use another version of Messenger on that PC; the README says which work"},
	StaleServer: {"stale-server", "it comes with what another server, or the box before its last start, gave it",
		"sign out completely on that PC and sign in with the password; if that does not help, " + forget},
	MD5Off: {"md5-off", "a Messenger of that age proves the password with MD5, which the account does not allow",
		"nudge user set {account} md5 on --password-stdin"},
	UnknownAccount: {"unknown-account", "there is no account of that name",
		"sign in with one that nudge user list shows, or make it: nudge user add {account}"},
	WrongPassword: {"wrong-password", "the password is wrong",
		"type it again, mind capitals; a new one is made by: nudge user passwd {account}"},
	MustWait: {"must-wait", "so many passwords were wrong that it must wait, up to five minutes",
		"wait and sign in with the right one, which another PC can do at once; is a wrong one saved there?"},
}

// String is a short code, such as "old-hello".
func (t Trouble) String() string { return troubles[t].code }

// What is a sentence about the PC, without capital and full stop. box is the
// address by which PCs reach the box.
func (t Trouble) What(box string) string {
	return strings.ReplaceAll(troubles[t].what, "{box}", box)
}

// Cure says what a person should do next. handle is the account it is about, ""
// when that is not known.
func (t Trouble) Cure(box, handle string) string {
	if handle == "" {
		handle = "HANDLE"
	}
	return strings.NewReplacer("{box}", box, "{account}", handle).Replace(troubles[t].cure)
}
