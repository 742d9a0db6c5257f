package web

import (
	"cmp"
	"net/http"

	"nudge/cmd/nudge/control"
)

// The page is to stay below 10 kB, for a tab of an old client over an old network:
// so many people are named on it, with so many letters each.
const (
	mostUsers  = 3
	mostMissed = 18
	mostName   = 40
)

// today is what the start tab of old clients shows: who wrote while the people
// who are signed in from that PC were away. It says no more than the client has
// been told.
func (p *Pages) today(v *visit) {
	all, err := p.Control.Today(v.r.Context(), v.from)
	if err != nil {
		v.refuse(http.StatusInternalServerError, err.Error())
		return
	}
	all = all[:min(len(all), mostUsers)]
	for i := range all {
		u, missed := &all[i].User, all[i].Missed
		missed = missed[:min(len(missed), mostMissed/len(all))]
		for j := range missed {
			missed[j].Name = short(cmp.Or(missed[j].Name, missed[j].Handle))
		}
		u.Name, all[i].Missed = short(cmp.Or(u.Name, u.Handle)), missed
	}
	v.show(http.StatusOK, "today", "MSN Today", all)
}

// short cuts a name.
func short(name string) string {
	if r := []rune(name); len(r) > mostName {
		return string(r[:mostName]) + "..."
	}
	return name
}

// why tells the PC that asks why it can't sign in.
func (p *Pages) why(v *visit) {
	s, err := p.Control.Status(v.r.Context())
	if err != nil {
		v.refuse(http.StatusInternalServerError, err.Error())
		return
	}
	var here []control.PC
	for _, pc := range s.Troubled {
		if pc.Address == v.from.String() {
			here = append(here, pc)
		}
	}
	v.show(http.StatusOK, "why", "Why can't this PC sign in?", whyData{v.from.String(), s.Address, here})
}

// whyData is what the box knows about one PC.
type whyData struct {
	From, Box string
	Here      []control.PC
}
