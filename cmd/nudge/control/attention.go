package control

import (
	"context"
	"fmt"
	"syscall"
)

// Attention is what waits for a person: links that come up only after he did
// something or that ask something, requests to people who are not signed in, PCs that can't sign in,
// the Internet at the door, a disk that is full. Each is a sentence.
func (b *Box) Attention(ctx context.Context) ([]string, error) {
	links, err := b.linkList(ctx, LinkName{})
	if err != nil {
		return nil, err
	}
	pcs, err := b.pcs(ctx)
	return b.attention(links, pcs), err
}

func (b *Box) attention(links []Link, pcs []PC) []string {
	all := []string{}
	if outside := b.checkOutside(); outside.Verdict == Bad {
		all = append(all, outside.Text)
	}
	for _, l := range links {
		if l.Stuck {
			all = append(all, fmt.Sprintf("link %s %s: %s", l.Account, l.Network, l.Text))
		}
		if l.Question != nil {
			all = append(all, fmt.Sprintf("link %s %s asks something: answer on the pages of the box, or see nudge link show %[1]s %[2]s", l.Account, l.Network))
		}
	}
	for _, a := range b.Hub.Asked() {
		all = append(all, fmt.Sprintf("%s is asked by %d to be on their lists; sign in to answer", a.Handle, a.By))
	}
	for _, p := range pcs {
		all = append(all, "PC "+p.Address+": "+p.String())
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(b.Data, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) < littleRoom {
		all = append(all, "the disk of "+b.Data+" is nearly full: make room, or nothing can be kept")
	}
	return all
}
