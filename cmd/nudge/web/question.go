package web

import (
	"net/url"

	"nudge/cmd/nudge/control"
)

// asking are those of the links that ask something which the person may answer.
func (v *visit) asking(links []control.Link) (all []control.Link) {
	for _, l := range links {
		if about := v.user(l.Account); l.Question != nil && about != nil && v.over(about, linkers) == "" {
			all = append(all, l)
		}
	}
	return all
}

// question shows what a link asks: a network wants it answered before it goes on.
// When nothing is asked any more it says so.
func (v *visit) question() error {
	name := v.r.FormValue("n")
	links, err := v.control().Links(v.r.Context(), v.about.Handle, name)
	if err != nil {
		return err
	}
	if asking := v.asking(links); len(asking) > 0 {
		return v.render(200, "question", "A question of "+asking[0].Network, asking[0])
	}
	return v.render(200, "question", "Nothing is asked", control.Link{Account: v.about.Handle, Network: name})
}

// answer passes an answer on, to the question that was on the page and no other.
func (v *visit) answer() error {
	name := v.field("n")
	err := v.control().AnswerLink(v.r.Context(), control.LinkAnswer{Account: v.about.Handle, Network: name, ID: v.field("id"), Answer: v.r.PostFormValue("answer")})
	if err != nil {
		return v.done("question?h="+url.QueryEscape(v.about.Handle)+"&n="+url.QueryEscape(name), "", err)
	}
	next := v.here()
	if v.session.linkOnly {
		next = ""
	}
	return v.done(next, sentence(name+" has your answer. What comes of it is told with the link's state: look again in a moment"), nil)
}
