package msnclient

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// shape is how many arguments a line of the server has since a version; most is
// -1 when the version no longer has it.
type shape struct{ since, least, most int }

// Lines of the notification server and of a switchboard (MSNP.md B, C, I). Old
// clients count: BitlBee signs off at one argument too many, MSN 6 and 7 when
// SYN promised another number of lines (MSNP.md H.2).
var (
	nsLines = map[string][]shape{
		"VER": {{2, 2, 2}}, "CVR": {{2, 6, 6}}, "INF": {{2, 2, 2}},
		"USR": {{2, 4, 4}, {6, 4, 5}, {8, 4, 6}, {10, 4, 5}},
		"SYN": {{2, 2, 2}, {8, 2, 4}, {10, 3, 5}},
		"GTC": {{2, 3, 3}, {8, 1, 3}, {10, 1, 2}},
		"BLP": {{2, 3, 3}, {8, 1, 3}, {10, 1, 2}},
		"PRP": {{5, 3, 4}, {8, 1, 4}, {10, 1, 3}},
		"BPR": {{5, 3, 4}, {8, 1, 4}},
		"LSG": {{7, 7, 7}, {8, 3, 3}, {10, 2, 2}},
		"LST": {{2, 5, 7}, {7, 5, 8}, {8, 3, 8}, {10, 2, 6}},
		"ADD": {{2, 5, 5}, {7, 5, 6}, {10, 0, -1}}, "ADC": {{10, 3, 6}},
		"REM": {{2, 4, 4}, {7, 4, 5}, {10, 3, 4}},
		"REA": {{2, 4, 4}, {10, 0, -1}}, "SBP": {{10, 4, 4}},
		"ADG": {{7, 5, 5}, {10, 3, 3}}, "RMG": {{7, 3, 3}, {10, 2, 3}}, "REG": {{7, 5, 5}, {10, 3, 5}},
		"CHG": {{2, 2, 2}, {8, 3, 3}, {9, 3, 4}},
		"ILN": {{2, 4, 4}, {8, 5, 5}, {9, 5, 6}},
		"NLN": {{2, 3, 3}, {8, 4, 4}, {9, 4, 5}},
		"FLN": {{2, 1, 1}},
		"UUX": {{11, 2, 2}}, "UBX": {{11, 2, 2}}, "GCF": {{11, 3, 3}}, "SBS": {{11, 2, 2}},
		"XFR": {{2, 5, 5}}, "RNG": {{2, 6, 6}}, "MSG": {{2, 3, 3}}, "NOT": {{5, 1, 1}}, "IPG": {{6, 1, 1}},
		"QNG": {{2, 0, 0}, {9, 1, 1}}, "CHL": {{6, 2, 2}}, "QRY": {{6, 1, 1}}, "OUT": {{2, 0, 1}},
		"URL": {{2, 3, 3}, {3, 4, 4}}, "FND": {{2, 3, 8}}, "SND": {{2, 2, 2}}, "SDC": {{5, 2, 2}}, "IMS": {{3, 3, 3}},
	}
	sbLines = map[string][]shape{
		"USR": {{2, 4, 4}}, "CAL": {{2, 3, 3}}, "ANS": {{2, 2, 2}},
		"IRO": {{2, 5, 5}, {12, 5, 6}}, "JOI": {{2, 2, 2}, {12, 2, 3}}, "BYE": {{2, 1, 2}},
		"MSG": {{2, 3, 3}}, "ACK": {{2, 1, 1}}, "NAK": {{2, 1, 1}},
	}
)

// strict checks the lines of one connection. Its reader owns it.
type strict struct {
	version Version
	lines   map[string][]shape

	contacts, groups int // LST and LSG lines that SYN promised
}

// check tells what is wrong with a line.
func (s *strict) check(e Event) error {
	if strings.Contains(e.Line, "  ") || strings.HasSuffix(e.Line, " ") {
		return fmt.Errorf("an empty argument in %q", e.Line)
	}
	if !s.fits(e) {
		return fmt.Errorf("%s has no line %q", s.version.Name, e.Line)
	}
	var state string
	switch {
	case e.Cmd == "MSG" && len(e.Body) == 0:
		return fmt.Errorf("an empty message: %q", e.Line)
	case e.Cmd == "ILN":
		state = e.Args[1]
	case e.Cmd == "NLN":
		state = e.Args[0]
	}
	if state != "" && !slices.Contains([]string{"NLN", "BSY", "IDL", "BRB", "AWY", "PHN", "LUN"}, state) {
		return fmt.Errorf("no state: %q", e.Line)
	}
	return s.count(e)
}

func (s *strict) fits(e Event) bool {
	n := len(e.Args)
	if e.IsError() {
		return n == 1
	}
	ok := false
	for _, sh := range s.lines[e.Cmd] {
		if s.version.number >= sh.since {
			ok = n >= sh.least && n <= sh.most
		}
	}
	return ok
}

// count keeps the server to the numbers of its SYN: so many LST and LSG lines
// follow, and nothing comes in between.
func (s *strict) count(e Event) error {
	if !s.version.counted() || e.Chat != nil {
		return nil
	}
	switch owed := s.contacts + s.groups; {
	case e.Cmd == "SYN" && len(e.Args) > 3:
		s.contacts, _ = strconv.Atoi(e.Args[len(e.Args)-2])
		s.groups, _ = strconv.Atoi(e.Args[len(e.Args)-1])
	case e.Cmd == "LSG":
		s.groups--
	case e.Cmd == "LST" && !asked(e):
		s.contacts--
	case owed > 0 && !slices.Contains([]string{"GTC", "BLP", "PRP", "BPR"}, e.Cmd):
		return fmt.Errorf("%d lines of the lists are missing before %q", owed, e.Line)
	case owed > 0 && len(e.Args) > 1 && (e.Cmd == "GTC" || e.Cmd == "BLP"):
		return fmt.Errorf("among the lists it has one argument: %q", e.Line)
	}
	if s.contacts < 0 || s.groups < 0 {
		return fmt.Errorf("more lines than SYN promised: %q", e.Line)
	}
	return nil
}

// asked tells whether an LST answers an LST of the client (MSNP.md B.7).
func asked(e Event) bool { return len(e.Args) >= 5 && parseList(e.Args[1]) != 0 }
