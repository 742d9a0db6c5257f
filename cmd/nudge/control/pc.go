package control

import (
	"context"
	"fmt"
	"time"
)

// PC is one in the home network that could not sign in when it last tried, as
// far as it shows from the box. What and Cure are for a person; Trouble is a
// code for scripts, such as wrong-password.
type PC struct {
	Address string    `json:"address"`
	Account string    `json:"account,omitempty"` // as it was typed there; "" when it did not come to that
	Trouble string    `json:"trouble"`
	What    string    `json:"what"`
	Cure    string    `json:"cure"`
	Times   int       `json:"times"` // in a row
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

// String is one line about the PC, without its address.
func (p PC) String() string {
	text := p.What
	if p.Account != "" {
		text = p.Account + ": " + text
	}
	const clock = "2 Jan 15:04:05"
	if p.Times > 1 {
		text += fmt.Sprintf(" (%d times since %s, last %s)", p.Times, p.First.Format(clock), p.Last.Format(clock))
	} else {
		text += " (" + p.Last.Format(clock) + ")"
	}
	return text + "; " + p.Cure
}

// pcs are the PCs that could not sign in, the latest first.
func (b *Box) pcs(context.Context) ([]PC, error) {
	if b.Troubled == nil {
		return nil, nil
	}
	all := b.Troubled(b.Hub.Setting(SettingAddress))
	for i := range all {
		all[i].First, all[i].Last = b.Hub.In(all[i].First), b.Hub.In(all[i].Last)
	}
	return all, nil
}

func (b *Box) checkPCs(ctx context.Context) (checks []Check, err error) {
	all, err := b.pcs(ctx)
	for _, p := range all {
		checks = append(checks, Check{"PC " + p.Address, Warn, p.String()})
	}
	return checks, err
}
