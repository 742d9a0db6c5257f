package matrix

import (
	"cmp"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// Types of the events of polls begin as the poll itself does: as MSC3381 first had
// it, which is what nearly all apps send, or as it became.
const (
	stablePoll   = "m.poll"
	unstablePoll = "org.matrix.msc3381.poll"
	pollStart    = ".start"
	pollResponse = ".response"
)

// maxChoices is how many answers a poll has at most (MSC3381).
const maxChoices = 20

// pollWords is text in both forms.
type pollWords struct {
	Body string `json:"org.matrix.msc1767.text"`
	Text []struct {
		Body string `json:"body"`
	} `json:"m.text"`
}

func (w pollWords) String() string {
	if len(w.Text) > 0 {
		return im.OneLine(w.Text[0].Body)
	}
	return im.OneLine(w.Body)
}

// poll is what it asks, and what can be answered.
type poll struct {
	Question pollWords `json:"question"`
	Answers  []struct {
		pollWords
		Unstable string `json:"id"`
		Stable   string `json:"m.id"`
	} `json:"answers"`
}

// readPoll is a poll as text, with how to answer it. The id of a choice says in
// which form: "m.poll/id".
func readPoll(e *evt) (text string, choices []im.Choice) {
	form := strings.TrimSuffix(e.Type, pollStart)
	c, ok := decode[struct {
		Unstable *poll `json:"org.matrix.msc3381.poll.start"`
		Stable   *poll `json:"m.poll"`
	}](e.Content)
	p := cmp.Or(c.Stable, c.Unstable)
	if !ok || p == nil {
		return "started a poll. Vote in another Matrix app.", nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "asks: %v", p.Question)
	named := true
	for i, a := range p.Answers[:min(len(p.Answers), maxChoices)] {
		fmt.Fprintf(&b, "\n%d. %v", i+1, a.pollWords)
		name := cmp.Or(a.Stable, a.Unstable)
		named = named && name != ""
		choices = append(choices, im.Choice{ID: form + "/" + name, Text: a.String()})
	}
	if !named || len(choices) == 0 {
		return b.String() + "\n(vote in another Matrix app)", nil
	}
	return b.String() + fmt.Sprintf("\n(to vote, write /vote and the number, as in: /vote %d)", min(2, len(choices))), choices
}

// vote is the account's answer to the poll that the event to began.
func vote(chosen []im.Choice, to id.EventID, x extra) (event.Type, any) {
	type answers struct {
		Chosen []string `json:"answers"`
	}
	c := struct {
		RelatesTo event.RelatesTo `json:"m.relates_to"`
		Unstable  *answers        `json:"org.matrix.msc3381.poll.response,omitempty"`
		Stable    []string        `json:"m.selections,omitempty"`
		extra
	}{RelatesTo: event.RelatesTo{Type: event.RelReference, EventID: to}, extra: x}
	form := ""
	var names []string
	for _, choice := range chosen {
		var name string
		form, name, _ = strings.Cut(choice.ID, "/")
		names = append(names, name)
	}
	if form == stablePoll {
		c.Stable = names
	} else {
		c.Unstable = &answers{names}
	}
	return event.Type{Type: form + pollResponse, Class: event.MessageEventType}, c
}
