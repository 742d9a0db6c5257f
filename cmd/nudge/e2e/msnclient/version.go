package msnclient

// Version is a protocol version. What a client does in it follows from its
// number (MSNP.md I); the methods name what differs.
type Version struct {
	Name   string // as in VER
	number int
}

// The versions of MSN Messenger 1.0 to 7.5.
var (
	MSNP2  = Version{"MSNP2", 2}
	MSNP3  = Version{"MSNP3", 3}
	MSNP4  = Version{"MSNP4", 4}
	MSNP5  = Version{"MSNP5", 5}
	MSNP6  = Version{"MSNP6", 6}
	MSNP7  = Version{"MSNP7", 7}
	MSNP8  = Version{"MSNP8", 8}
	MSNP9  = Version{"MSNP9", 9}
	MSNP10 = Version{"MSNP10", 10}
	MSNP11 = Version{"MSNP11", 11}
	MSNP12 = Version{"MSNP12", 12}
)

// Versions is all of them, oldest first.
var Versions = []Version{MSNP2, MSNP3, MSNP4, MSNP5, MSNP6, MSNP7, MSNP8, MSNP9, MSNP10, MSNP11, MSNP12}

// MD5 tells whether the version signs in with the password's hash; the others
// bring a ticket.
func (v Version) MD5() bool { return v.number < 8 }

// Groups tells whether the contact list has groups, Properties whether the user
// has phone numbers and other settings there.
func (v Version) Groups() bool     { return v.number >= 7 }
func (v Version) Properties() bool { return v.number >= 5 }

// Caps, Picture, Note tell whether presence carries capabilities, a display
// picture's object, a personal message.
func (v Version) Caps() bool    { return v.number >= 8 }
func (v Version) Picture() bool { return v.number >= 9 }
func (v Version) Note() bool    { return v.number >= 11 }

// Nudges tells whether the client can shake a window.
func (v Version) Nudges() bool { return v.number >= 11 }

// Cap is how many contacts its forward list takes (MSNP.md K.21).
func (v Version) Cap() int {
	if v.number >= 10 {
		return 600
	}
	return 150
}

// counted: SYN says how many LST and LSG lines follow. ids: contacts and groups
// have GUIDs, and ADC takes the place of ADD.
func (v Version) counted() bool { return v.number >= 8 }
func (v Version) ids() bool     { return v.number >= 10 }

// networks: LST names the contact's network.
func (v Version) networks() bool { return v.number >= 12 }

// Auth is a way to sign in.
type Auth int

// Usual is what the version's own client does: MD5 up to MSNP7, the login server
// that the nexus names up to MSNP11, then a security token. MSN 5.0 had builds
// that used MD5, and BitlBee asks for a token in MSNP8 (MSNP.md K.4, F).
const (
	Usual Auth = iota
	ByMD5
	ByNexus
	ByToken
)

func (v Version) auth(a Auth) Auth {
	switch {
	case a != Usual:
		return a
	case v.MD5():
		return ByMD5
	case v.number < 12:
		return ByNexus
	}
	return ByToken
}
