package bridge

// Limits is how much one account may hold open.
type Limits struct {
	Sessions int // clients signed on at once; one more ends the oldest
	Chats    int // switchboard sessions it opened, also those not entered yet
	Members  int // of one switchboard session
}

// DefaultLimits are those of a home network. One client at a time is what MSN
// had (MSNP.md B.17), and nobody has more windows open.
func DefaultLimits() Limits { return Limits{Sessions: 1, Chats: 64, Members: 50} }
