package bridge

import (
	"cmp"
	"slices"

	"nudge/bridge/im"
)

// book is the contacts of an account, by network and ID. A thousand accounts with
// their lists fit a small board, so it is a sorted slice, which takes an eighth of
// what a map takes. What is being ranged over stays as it was when the book changes
// meanwhile.
type book []*contact

func (b book) find(addr im.Addr) (int, bool) {
	return slices.BinarySearchFunc(b, addr, func(c *contact, addr im.Addr) int {
		return cmp.Or(cmp.Compare(c.Net, addr.Net), cmp.Compare(c.ID, addr.ID))
	})
}

// of is the contact with that address, nil when there is none.
func (b book) of(addr im.Addr) *contact {
	if i, ok := b.find(addr); ok {
		return b[i]
	}
	return nil
}

// put enters c in the place of who had its address.
func (b *book) put(c *contact) {
	i, ok := b.find(c.addr())
	switch {
	case ok:
		*b = slices.Clone(*b)
		(*b)[i] = c
	case i == len(*b):
		*b = append(*b, c) // nobody ranges as far as there
	default:
		*b = slices.Concat((*b)[:i], book{c}, (*b)[i:])
	}
}

// drop takes out who has that address.
func (b *book) drop(addr im.Addr) {
	if i, ok := b.find(addr); ok {
		*b = slices.Concat((*b)[:i], (*b)[i+1:])
	}
}
