package transcript

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"nudge/msnserver/wire"
)

// password is that of every account.
const password = "123456"

// words are what stands for what is private, the same every time.
type words struct {
	people  []*person
	handles map[string]*person // by handle in lower case
	values  map[string]string  // what the server made up, to its variable
	groups  map[string]string  // names of groups
	counts  map[string]int     // variables by kind
	lists   []string           // lines that make contacts
	edits   map[string]bool    // such lines of what clients did themselves
	tickets int
}

// person is somebody who was seen.
type person struct {
	handle string // redacted
	names  []string
	md5    bool
	here   bool // signed in to what was recorded
}

// name is the first he had, redacted.
func (p *person) name() string { return p.nth(0) }

func (p *person) nth(i int) string {
	name, _, _ := strings.Cut(p.handle, "@")
	name = strings.ToUpper(name[:1]) + name[1:]
	if i > 0 {
		name += fmt.Sprint("-", i+1)
	}
	return name
}

func newWords() words {
	return words{handles: map[string]*person{}, values: map[string]string{}, groups: map[string]string{}, edits: map[string]bool{}, counts: map[string]int{}}
}

func (w *words) size() int { return len(w.people) + len(w.values) + len(w.groups) + len(w.lists) }

// who is the person of a handle, who may be new.
func (w *words) who(handle string) *person {
	key := strings.ToLower(handle)
	p := w.handles[key]
	if p == nil {
		p = &person{handle: fmt.Sprintf("user%d@example.com", len(w.people)+1)}
		w.people, w.handles[key] = append(w.people, p), p
	}
	return p
}

// person is a handle, redacted.
func (w *words) person(handle string) string { return w.who(handle).handle }

func (w *words) signsIn(handle string, md5 bool) {
	for _, p := range w.people {
		if p.handle == handle {
			p.here, p.md5 = true, p.md5 || md5
		}
	}
}

// named is a person's name, redacted: each he had has its own. What somebody else
// thinks he is called counts only when he is.
func (w *words) named(handle, name string, guess bool) string {
	p := w.who(handle)
	if strings.EqualFold(wire.Unescape(name), handle) {
		return p.handle
	}
	i := slices.Index(p.names, name)
	if i < 0 && guess {
		return p.handle
	}
	if i < 0 {
		if len(p.names) == mostNames {
			return "x"
		}
		i, p.names = len(p.names), append(p.names, name)
	}
	return p.nth(i)
}

const mostNames = 100

// variable is what stands for a value that the server made up. A value that is
// said for the first time, by the server, is kept under a new name.
func (w *words) variable(kind, value string, server bool) string {
	if v, ok := w.values[value]; ok {
		return "${" + v + "}"
	}
	if !server {
		return "1"
	}
	w.counts[kind]++
	w.values[value] = fmt.Sprint(kind, w.counts[kind])
	return "${+" + w.values[value] + "}"
}

var (
	handle  = regexp.MustCompile(`^[^@\s]+@[^@\s]+$`)
	guid    = regexp.MustCompile(`^\{?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?$`)
	digits  = regexp.MustCompile(`^\d+$`)
	long    = regexp.MustCompile(`^\d{7,}$|^\d{4}-\d\d-\d\dT`) // a version of the lists
	plain   = regexp.MustCompile(`^(?:\d{1,10}|[A-Z]{2,9}\d{0,4}|[A-Z]|0x[0-9a-fA-F]{1,8}|\d+(?:\.\d+){1,2}|winnt|win|mac|i386|ppc|macmsgs)$`)
	element = regexp.MustCompile(`</?(?:Data|PSM|CurrentMedia|MachineGuid|SignatureSound|Idle)>`) // of UUX and UBX
)

// The commands whose arguments are known well enough to be kept. Of those in named an
// argument that follows a handle is that one's name; those in versioned hold versions
// of the lists.
var (
	known     = set("VER CVR INF USR SYN LST GTC BLP ADD REM CHG ILN NLN FLN XFR RNG MSG OUT URL PNG QNG CAL IRO JOI BYE ACK NAK ANS REA LSG ADG RMG REG CHL QRY ADC SBP SBS PRP BPR UUX UBX GCF IMS CVQ NOT")
	named     = set("USR LST ILN NLN RNG IRO JOI ADD REA MSG")
	versioned = set("SYN LST GTC BLP ADD REM REA ADG RMG REG LSG PRP BPR ADC SBP")
)

func set(names string) map[string]bool {
	s := map[string]bool{}
	for n := range strings.FieldsSeq(names) {
		s[n] = true
	}
	return s
}

// redact writes a command as a line of a transcript. unknown is what stands there for an
// argument that may be private: of a server's line a test takes anything.
func (w *words) redact(cmd wire.Command, client bool) string {
	unknown := "*"
	if client {
		unknown = "x"
	}
	number := len(cmd.Verb) == 3 && strings.Trim(cmd.Verb, "0123456789") == ""
	switch {
	case !known[cmd.Verb] && !number:
		verb := cmd.Verb
		if !plain.MatchString(verb) {
			verb = "XXX"
		}
		if client && len(cmd.Args) > 0 && plain.MatchString(cmd.Args[0]) {
			return verb + " " + cmd.Args[0]
		}
		return verb + " " + unknown
	case !client && (cmd.Verb == "NOT" || cmd.Verb == "GCF"):
		return cmd.Verb + " *" // what the server has to say, as the next
	case !client && cmd.Verb == "MSG" && !strings.Contains(cmd.Arg(0), "@"):
		return "MSG Hotmail Hotmail *"
	}
	out := []string{cmd.Verb}
	for i := range cmd.Args {
		out = append(out, w.argument(cmd, i, client, unknown))
	}
	text := strings.Join(out, " ")
	if cmd.Payload != nil {
		text += " | " + quote(w.payload(cmd))
	}
	return text
}

// argument is one argument, redacted: first what its place tells, then its form.
func (w *words) argument(cmd wire.Command, i int, client bool, unknown string) string {
	arg := cmd.Args[i]
	before := ""
	if i > 0 {
		before = cmd.Args[i-1]
	}
	if s, ok := w.secret(cmd, i, client); ok {
		return s
	}
	if len(arg) > 2 && arg[1] == '=' && strings.Contains("NFC", arg[:1]) { // of MSNP10
		if arg[0] != 'F' {
			return arg[:2] + w.form(cmd, arg[2:], client, unknown)
		}
		for _, other := range cmd.Args {
			if h, ok := strings.CutPrefix(other, "N="); ok {
				return "F=" + w.named(h, arg[2:], client)
			}
		}
		return "F=" + unknown
	}
	switch {
	case named[cmd.Verb] && i == 1+slices.IndexFunc(cmd.Args, handle.MatchString) && handle.MatchString(before) && !isNumber(cmd, i) && (cmd.Verb != "USR" || cmd.Arg(1) == "OK"):
		return w.named(before, arg, client && cmd.Verb == "ADD")
	case cmd.Verb == "PRP" || cmd.Verb == "BPR" || cmd.Verb == "SBP":
		if i > 0 && (strings.HasPrefix(before, "PH") || before == "MFN") {
			return unknown
		}
	case (cmd.Verb == "ADG" || cmd.Verb == "LSG" || cmd.Verb == "REG") && !digits.MatchString(arg) && !guid.MatchString(arg):
		return w.group(arg)
	}
	return w.form(cmd, arg, client, unknown)
}

// isNumber tells whether what follows a handle is a count or a flag instead of a
// name, as in the answer to USR from MSNP10 on.
func isNumber(cmd wire.Command, i int) bool {
	return cmd.Verb == "USR" && (cmd.Args[i] == "0" || cmd.Args[i] == "1")
}

// secret is what stands for an argument that is a secret, or that each server makes
// up anew.
func (w *words) secret(cmd wire.Command, i int, client bool) (string, bool) {
	arg, server := cmd.Args[i], !client
	cookie := i > 0 && cmd.Args[i-1] == "CKI"
	switch cmd.Verb {
	case "USR":
		switch {
		case i == 3 && cmd.Arg(1) == "MD5" && cmd.Arg(2) == "S" && client:
			return "${md5 " + password + "}", true
		case i == 3 && cmd.Arg(1) == "MD5" && cmd.Arg(2) == "S":
			return "${+challenge}", true
		case i == 3 && cmd.Arg(1) == "TWN" && cmd.Arg(2) == "S" && client:
			return "${ticket}", true
		case client && i > 2 && cmd.Arg(2) == "S":
			return "x", true
		case client && i == 2 && handle.MatchString(cmd.Arg(1)):
			return w.variable("cookie", arg, server), true
		}
	case "XFR", "RNG":
		if cookie {
			return w.variable("cookie", arg, server), true
		}
		if cmd.Verb == "RNG" && i == 0 {
			return w.variable("session", arg, server), true
		}
	case "ANS":
		if client && i == 2 {
			return w.variable("cookie", arg, server), true
		}
		if client && i == 3 {
			return w.variable("session", arg, server), true
		}
	case "CAL":
		if server && i == 2 {
			return w.variable("session", arg, server), true
		}
	case "QRY":
		if client && i == 1 {
			return "x", true
		}
	case "CHL":
		if server && i == 1 {
			return "*", true
		}
	}
	return "", false
}

// form is an argument redacted by what it looks like.
func (w *words) form(cmd wire.Command, arg string, client bool, unknown string) string {
	switch {
	case handle.MatchString(arg):
		who, tail, ok := strings.Cut(arg, ";") // with the id of a machine
		if ok {
			tail = ";" + w.form(cmd, tail, client, unknown)
		}
		return w.person(who) + tail
	case strings.HasPrefix(wire.Unescape(arg), "<msnobj"):
		return wire.Escape(`<msnobj Creator="nobody@example.com" Size="1" Type="3" Location="0" Friendly="AAA=" SHA1D="AAAAAAAAAAAAAAAAAAAAAAAAAAA=" SHA1C="AAAAAAAAAAAAAAAAAAAAAAAAAAA="/>`)
	case guid.MatchString(arg):
		if client && w.values[arg] == "" {
			return "00000000-0000-0000-0000-000000000000"
		}
		return w.variable("id", arg, !client)
	case versioned[cmd.Verb] && long.MatchString(arg):
		return w.variable("v", arg, !client)
	}
	if a, err := netip.ParseAddrPort(arg); err == nil {
		return fmt.Sprintf("192.0.2.1:%d", a.Port())
	}
	if _, err := netip.ParseAddr(arg); err == nil {
		return "192.0.2.1"
	}
	if plain.MatchString(arg) {
		return arg
	}
	return unknown
}

// group is the name of a group, redacted. The names that clients give themselves say
// nothing of a person.
func (w *words) group(name string) string {
	switch name {
	case "Other%20Contacts", "~", "Friends", "Family", "Coworkers":
		return name
	}
	if w.groups[name] == "" {
		w.groups[name] = fmt.Sprintf("Group%d", len(w.groups)+1)
	}
	return w.groups[name]
}

// firstPerson is the first handle in a command, redacted.
func (w *words) firstPerson(cmd wire.Command) string {
	for _, a := range cmd.Args {
		if handle.MatchString(a) {
			return w.person(a)
		}
	}
	return ""
}

// list notes whom an account has on its list.
func (w *words) list(me string, cmd wire.Command) {
	other := ""
	bits := "" // of MSNP8 and later: 1 forward, 2 allow, 4 block, 8 reverse
	for i, a := range cmd.Args {
		a = strings.TrimPrefix(a, "N=")
		switch {
		case handle.MatchString(a):
			other = w.person(a)
		case other != "" && bits == "" && len(a) <= 2 && strings.Trim(a, "0123456789") == "" && i > 1:
			bits = a
		}
	}
	add := func(line string) {
		if !w.edits[line] && !slices.Contains(w.lists, line) {
			w.lists = append(w.lists, line)
		}
	}
	if me == "" || other == "" {
		return
	}
	var mask int
	fmt.Sscan(bits, &mask)
	if which := cmd.Arg(1); which == "FL" || which == "RL" { // up to MSNP7, a line for each list
		mask = map[string]int{"FL": 1, "RL": 8}[which]
	}
	if mask&1 != 0 {
		add(contact(me, other))
	}
	if mask&8 != 0 {
		add(contact(other, me))
	}
}

// edit notes that a client adds somebody: the test must not do so before.
func (w *words) edit(me string, cmd wire.Command) {
	for _, a := range cmd.Args {
		if a = strings.TrimPrefix(a, "N="); handle.MatchString(a) {
			w.edits[contact(me, w.person(a))] = true
			return
		}
	}
}

func contact(me, other string) string { return "contact " + me + " " + other }

// headers of messages that say nothing of a person.
var headers = set("mime-version content-type x-mms-im-format chunks chunk")

// payload is a payload as long as it was, with nobody's words in it.
func (w *words) payload(cmd wire.Command) []byte {
	switch cmd.Verb {
	case "MSG":
	case "UUX", "UBX":
		var out []byte
		rest := 0
		for _, tag := range element.FindAllIndex(cmd.Payload, -1) {
			out = append(append(out, masked(cmd.Payload[rest:tag[0]])...), cmd.Payload[tag[0]:tag[1]]...)
			rest = tag[1]
		}
		return append(out, masked(cmd.Payload[rest:])...)
	default:
		return masked(cmd.Payload)
	}
	m, ok := wire.ParseMessage(cmd.Payload)
	if !ok {
		return masked(cmd.Payload)
	}
	var b strings.Builder
	for _, f := range m.Header {
		name, value := f.Name, f.Value
		switch key := strings.ToLower(name); {
		case key == "typinguser" || key == "p2p-dest":
			value = w.person(value)
		case !headers[key]:
			name, value = string(masked([]byte(name))), string(masked([]byte(value)))
		}
		b.WriteString(name + ": " + value + "\r\n")
	}
	b.WriteString("\r\n")
	return append([]byte(b.String()), masked(m.Body)...)
}

// masked puts x for each letter. Line ends stay.
func masked(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == '\r' || c == '\n' {
			out = append(out, byte(c))
		} else {
			out = append(out, 'x')
		}
		b = b[n:]
	}
	return out
}

// quote writes a payload on one line.
func quote(b []byte) string {
	return strings.NewReplacer(`\`, `\\`, "\r", `\r`, "\n", `\n`).Replace(string(b))
}
