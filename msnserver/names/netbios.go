package names

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// The last of a NetBIOS name's 16 bytes says what of a machine it names.
const (
	suffixMachine = 0x00
	suffixFiles   = 0x20 // what some programs ask for instead
)

const (
	netbiosTTL  = 60     // seconds
	nodeActive  = 0x0400 // NAME_FLAGS of a name that stands, of a machine that broadcasts
	anyNetBIOS  = "*\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	netbiosSize = 16
	statsSize   = 46 // of a node status: the adapter's address and counters
)

// netbios answers a message of the NetBIOS name service, nil for no answer: who
// broadcasts for another machine's name must hear nothing from us (RFC 1002 5.1.1).
func (s *Server) netbios(msg []byte, own netip.Addr) []byte {
	q, err := parse(msg)
	if err != nil || q.opcode() != 0 || q.class != classInternet || !own.Is4() {
		return nil
	}
	name, err := decodeNetBIOS(q.name)
	if err != nil {
		return nil
	}
	known := slices.Contains(s.netbios16, name)
	var data []byte
	switch {
	case q.kind == kindNetBIOS && known:
		ip := own.As4()
		data = append([]byte{0, 0}, ip[:]...) // a name of one machine, which broadcasts
	case q.kind == kindNodeStatus && (known || name == anyNetBIOS):
		data = s.nodeStatus()
	default:
		return nil
	}
	b := q.header(authoritative|q.flags&wantRecursion, 0, 1)
	b = append(b, q.question[:len(q.question)-4]...) // the name in full, as every client expects it
	return appendRecord(b, q.kind, netbiosTTL, data)
}

// netbiosNames are the names of a host: with each suffix.
func netbiosNames(host string) []string {
	host = strings.ToUpper(host[:min(len(host), netbiosSize-1)])
	host += strings.Repeat(" ", netbiosSize-1-len(host))
	return []string{host + string(rune(suffixMachine)), host + string(rune(suffixFiles))}
}

// nodeStatus lists the box's names (RFC 1002 4.2.18).
func (s *Server) nodeStatus() []byte {
	b := []byte{byte(len(s.netbios16))}
	for _, n := range s.netbios16 {
		b = binary.BigEndian.AppendUint16(append(b, n...), nodeActive)
	}
	return append(b, make([]byte, statsSize)...)
}

var errNetBIOS = errors.New("it is no NetBIOS name")

// decodeNetBIOS reads the first-level encoding (RFC 1001 14.1), in lower case: each
// half of a byte is a letter from a to p. Names with a scope are none of ours.
func decodeNetBIOS(s string) (string, error) {
	if len(s) != 2*netbiosSize {
		return "", errNetBIOS
	}
	var name [netbiosSize]byte
	for i := range len(s) {
		half := s[i] - 'a'
		if half > 0xf {
			return "", errNetBIOS
		}
		name[i/2] = name[i/2]<<4 | half
	}
	return string(name[:]), nil
}
