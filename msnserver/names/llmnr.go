package names

import (
	"net/netip"
	"slices"
)

const llmnrTTL = 30 // seconds, as RFC 4795 2.8 wants it

// llmnr answers a message of LLMNR, nil for no answer: questions about others'
// names and whatever is unusual are passed over in silence (RFC 4795 2.1.1, 2.4).
func (s *Server) llmnr(msg []byte, own netip.Addr) []byte {
	q, err := parse(msg)
	if err != nil || !q.single || q.flags&(opcodes|authoritative|truncated) != 0 || q.class != classInternet || !slices.Contains(s.hosts, q.name) {
		return nil
	}
	if q.kind != kindA && q.kind != kindAny || !own.Is4() {
		return q.reply(0)
	}
	return q.address(0, llmnrTTL, own.As4())
}
