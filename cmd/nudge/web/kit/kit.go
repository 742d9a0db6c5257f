// Package kit makes what an old PC needs to sign in to the box: settings for its
// registry with their undo, the box's certificate and a text that says what to do,
// as .zip and as the image of a floppy disk, a card to print, and a patcher for
// clients that have their server's name written into the program (SERVERS.md 3a).
//
// No kit holds an address: it names the server NUDGE, which PCs find by NetBIOS,
// LLMNR or DNS (package names). The box may get another address, the kit stays
// good. Only the lines for a hosts file hold one, so they are in no kit: the box
// writes them when they are asked for.
//
// Everything is for PCs of 1995 to 2009: plain HTTP without cookies or script,
// HTML 3.2, ASCII, names of eight and three letters, REGEDIT4.
//
// # Goroutines
//
// None of its own. Handler may be called from any; one upload at a time is
// patched, the others are asked to come again.
//
// # Caveats
//
// No kit was tried on the real client yet, and each says so (Kit.Proof).
package kit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Server is what every kit calls the box.
const Server = "NUDGE"

// Kit is for one family of clients.
type Kit struct {
	Name       string   `json:"name"`            // in addresses and of files: up to eight small letters and digits
	Title      string   `json:"title"`           // for a heading
	ForClients string   `json:"clients"`         // which programs it is for
	Steps      []string `json:"steps"`           // what to do on the PC, in order
	Hosts      []string `json:"hosts,omitempty"` // names that the client looks for
	Files      []string `json:"files"`           // what is in it, 8.3 names
	Proof      string   `json:"proof"`           // how far it was tried

	settings []setting
	caches   []string // keys of the registry in which the client remembers another server's answers
	trust    bool     // the client signs in over TLS
}

const notProved = "Not proved on the real client."

// Ways to lead a client here whose server can't be set.
const (
	leadNames = "Make the PC ask the box for names: in its TCP/IP settings, or in the router, name the box as the only DNS server."
	leadHosts = "Or add the lines of http://nudge/kit/%s/HOSTS.TXT to the PC's hosts file. They hold the box's address of now: when it changes, fetch them again."
	leadPatch = "Or give %s to http://nudge/kit/patch and put what comes back in its place; keep the old file."
)

// Steps that several kits have.
const (
	stepClose   = "Close Messenger, also the icon beside the clock."
	stepUser    = "Open NUDGE.REG and say yes. UNDO.REG takes it back."
	stepTrust   = "Open NUDGEPC.REG as administrator and say yes: the whole PC then trusts the box. UNDOPC.REG takes it back. (On Windows 98 and Me NUDGE.REG did that already. Without administrator: open NUDGE.CRT, install it under Trusted Root Certification Authorities.)"
	stepClock   = "Look at the PC's clock: the year must be right."
	stepSignIn  = "Start Messenger and sign in with the address and password of your account on the box."
	stepTrouble = "If it does not sign in, \"nudge status\" on the box, or its pages, say why."
)

// List is all kits, oldest clients first.
func List() []Kit {
	all := slices.Clone(kits)
	for i := range all {
		all[i].Files = all[i].files()
	}
	return all
}

// Find finds a kit by its name.
func Find(name string) (Kit, error) {
	var names []string
	for _, k := range List() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kit{}, fmt.Errorf("there is no kit %q; there are: %s", name, strings.Join(names, ", "))
}

// files are the names of what Build makes.
func (k Kit) files() (names []string) {
	if len(k.settings) > 0 || len(k.caches) > 0 {
		names = append(names, "NUDGE.REG", "UNDO.REG")
		if k.trust {
			names = append(names, "NUDGEPC.REG", "UNDOPC.REG")
		}
	}
	if k.trust {
		names = append(names, "NUDGE.CRT")
	}
	return append(names, "README.TXT")
}

// NeedsRoot tells whether the kit holds the box's certificate.
func (k Kit) NeedsRoot() bool { return k.trust }

// File is one file of a kit.
type File struct {
	Name string
	Data []byte
}

// Build makes the kit's files. root is the certificate of the box's authority
// (DER); a kit that needs none takes nil.
func (k Kit) Build(root []byte) ([]File, error) {
	if k.trust && len(root) == 0 {
		return nil, fmt.Errorf("the kit %s holds the box's certificate, and the box has none; its log says why", k.Name)
	}
	user, pc := k.settings, []setting(nil)
	if k.trust {
		user = slices.Concat(user, []setting{onlyTLS, trusted(currentUser, root)})
		pc = []setting{trusted(localMachine, root)}
	}
	var all []File
	for _, name := range k.files() {
		f := File{Name: name}
		switch name {
		case "NUDGE.REG":
			f.Data = regFile(k.caches, user, setting.do)
		case "UNDO.REG":
			f.Data = regFile(k.caches, user, setting.takeBack)
		case "NUDGEPC.REG":
			f.Data = regFile(nil, pc, setting.do)
		case "UNDOPC.REG":
			f.Data = regFile(nil, pc, setting.takeBack)
		case "NUDGE.CRT":
			f.Data = root
		case "README.TXT":
			f.Data = []byte(k.readme())
		}
		all = append(all, f)
	}
	return all, nil
}

// readme is the card as a text for Notepad.
func (k Kit) readme() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\r\n%s\r\n\r\nFor %s.\r\n%s\r\n\r\n", k.Title, strings.Repeat("=", len(k.Title)), k.ForClients, k.Proof)
	for i, s := range k.Steps {
		fmt.Fprintf(&b, "%d. %s\r\n\r\n", i+1, fold(s, 72, "\r\n   "))
	}
	return b.String()
}

// fold breaks a text into lines of at most width letters.
func fold(text string, width int, end string) string {
	var b strings.Builder
	at := 0
	for _, word := range strings.Fields(text) {
		switch {
		case at == 0:
		case at+1+len(word) > width:
			b.WriteString(end)
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}

// Keys of clients up to 4.7, and from 5.0 on.
const (
	serviceKey   = currentUser + `\Software\Microsoft\MessengerService`
	messengerKey = currentUser + `\Software\Microsoft\MSNMessenger`
)

// server is the setting of clients that let themselves be told their server. What
// was there before is what their installation writes.
var server = setting{serviceKey, "Server", text(Server), text("messenger.hotmail.com")}

// The clients remember the last server they were sent to, and lists and settings of
// the server before.
var (
	forgetServer   = setting{messengerKey, "Server", "", ""}
	serviceCache   = []string{serviceKey + `\ListCache`}
	messengerCache = []string{messengerKey + `\ListCache`, messengerKey + `\Policies`}
)

// lead are the steps that lead a client here whose server can't be set.
func lead(kit, program string) []string {
	s := []string{leadNames, fmt.Sprintf(leadHosts, kit)}
	if program != "" {
		s = append(s, fmt.Sprintf(leadPatch, program))
	}
	return []string{strings.Join(s, " ")}
}

// passport are the names that clients with Passport sign-in look for.
var passport = []string{"messenger.hotmail.com", "gateway.messenger.hotmail.com", "nexus.passport.com", "login.passport.com"}

// config are names that clients look for from 6.0 on.
var config = slices.Concat(passport, []string{"config.messenger.msn.com"})

// newer is the kit of a client from 5.0 on.
func newer(k Kit, program string) Kit {
	k.Steps = slices.Concat([]string{stepClose, stepUser, stepTrust}, lead(k.Name, program), []string{stepClock, stepSignIn, stepTrouble})
	k.settings, k.caches, k.trust = []setting{forgetServer}, messengerCache, true
	k.Proof = cmp.Or(k.Proof, notProved)
	return k
}

var kits = []Kit{
	{
		Name: "msn1", Title: "MSN Messenger 1.0 to 4.6", ForClients: "MSN Messenger 1.0 to 4.6 and Windows Messenger 4.0 to 4.7 before 4.7.2005",
		Steps: []string{
			"On the box, allow the old way to sign in for your account: nudge user set HANDLE md5 on. MSN Messenger 1.0 wants an address @hotmail.com.",
			stepClose, stepUser, stepSignIn, stepTrouble,
		},
		Hosts: []string{"messenger.hotmail.com", "gateway.messenger.hotmail.com"}, Proof: notProved,
		settings: []setting{server}, caches: serviceCache,
	},
	{
		Name: "wm47", Title: "Windows Messenger 4.7", ForClients: "Windows Messenger 4.7.2005 to 4.7.3001, which came with Windows XP",
		Steps: slices.Concat([]string{stepClose, stepUser, stepTrust}, lead("wm47", "msmsgs.exe"), []string{stepClock, stepSignIn, stepTrouble}),
		Hosts: passport, Proof: notProved,
		settings: []setting{server}, caches: serviceCache, trust: true,
	},
	newer(Kit{Name: "msn5", Title: "MSN Messenger 5.0 to 6.2", ForClients: "MSN Messenger 5.0, 6.0, 6.1 and 6.2", Hosts: config}, "msnmsgr.exe"),
	newer(Kit{Name: "msn70", Title: "MSN Messenger 7.0", ForClients: "MSN Messenger 7.0", Hosts: config}, "msnmsgr.exe"),
	newer(Kit{Name: "msn75", Title: "MSN Messenger 7.5", ForClients: "MSN Messenger 7.5",
		Hosts: []string{"messenger.hotmail.com", "gateway.messenger.hotmail.com", "loginnet.passport.com", "login.passport.net", "config.messenger.msn.com",
			"rsi.hotmail.com", "ows.messenger.msn.com"}}, "msnmsgr.exe and msidcrl.dll"),
	{
		Name: "mac", Title: "Messenger for the Mac", ForClients: "MSN Messenger for Mac OS 8, 9 and X",
		Steps: []string{
			"Mac OS X: in System Preferences, Network, name the box as the only DNS server. Mac OS 8 and 9: in the control panel TCP/IP.",
			"Or add the lines of http://nudge/kit/mac/HOSTS.TXT to /etc/hosts (Mac OS X). They hold the box's address of now.",
			"Open NUDGE.CRT and let the keychain trust it: X509Anchors up to Mac OS X 10.4, System from 10.5 on. Versions before 4.0 need no certificate.",
			stepClock, stepSignIn, stepTrouble,
		},
		Hosts: passport, Proof: notProved, trust: true,
	},
	{
		Name: "other", Title: "Other clients", ForClients: "aMSN, Pidgin, Gaim, BitlBee, Miranda, Trillian, KMess and others",
		Steps: []string{
			"In the account's settings, set the server to NUDGE and the port to 1863. HTTP method or gateway: NUDGE, port 80.",
			"A client that only asks for your address and password: make the PC ask the box for names, or add the lines of http://nudge/kit/other/HOSTS.TXT to its hosts file.",
			"If it refuses the certificate, let it trust NUDGE.CRT.",
			stepSignIn, stepTrouble,
		},
		Hosts: slices.Concat(config, []string{"loginnet.passport.com", "login.passport.net", "login.live.com"}), Proof: notProved, trust: true,
	},
}
