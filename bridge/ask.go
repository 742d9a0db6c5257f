package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nudge/bridge/im"
)

// question is what a link wants to know of its user. It is open until somebody
// answers, the link gives it up or its time is over.
type question struct {
	im.Prompt
	id     string // tells it from the next one
	user   string
	answer chan string // room for one
}

// The errors of a question.
var (
	errBusy       = errors.New("another question of this link is open")
	errUnanswered = errors.New("nobody answered in time")
)

// Ask puts a question to the user: the box's own contact tells him, or says that it
// must not be told a secret, and it is seen among the links. Who signs in and waits
// for a person does not hold up the sign-ins of others.
func (h *host) Ask(ctx context.Context, user im.Addr, q im.Prompt) (string, error) {
	asked := &question{q, rand.Text(), canonical(user.ID), make(chan string, 1)}
	h.hub.mu.Lock()
	if h.question != nil {
		h.hub.mu.Unlock()
		return "", errBusy
	}
	h.question = asked
	h.yield()
	if h.state.State == im.Down {
		h.state.Text = "waits for you: " + q.Text
	}
	h.publish()
	if a := h.hub.accounts[asked.user]; a != nil {
		a.notice(asked.told(h.net))
	}
	h.hub.mu.Unlock()
	defer func() {
		h.hub.mu.Lock()
		defer h.hub.mu.Unlock()
		if h.question == asked {
			h.question = nil
		}
		h.publish()
	}()
	var over <-chan time.Time
	if !q.Until.IsZero() {
		t := time.NewTimer(time.Until(q.Until))
		defer t.Stop()
		over = t.C
	}
	select {
	case text := <-asked.answer:
		return text, nil
	case <-over:
		return "", errUnanswered
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// told is what the box's own contact says of a question.
func (q *question) told(net string) string {
	switch {
	case q.Secret:
		return fmt.Sprintf("%s: %s\nDon't write it here: answer on the pages of this box.", net, q.Text)
	case len(q.Choices) == 0:
		return fmt.Sprintf("%s: %s\nAnswer on the pages of this box.", net, q.Text)
	}
	return fmt.Sprintf("%s: %s\nAnswer here with: %s", net, q.Text, strings.Join(q.Choices, " or "))
}

// AnswerLink answers the open question of a link. id is LinkInfo.Asked of the one
// that is meant, so that a late answer is none to the next question; "" means
// whichever is open.
func (h *Hub) AnswerLink(handle, net, id, answer string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, err := h.linkOf(handle, net)
	if err != nil {
		return err
	}
	switch {
	case p.question == nil:
		return fmt.Errorf("%s of %s asks nothing now", net, handle)
	case id != "" && id != p.question.id:
		return fmt.Errorf("%s of %s asks something else now", net, handle)
	}
	return p.answer(answer)
}

// AnswerHere is what a user says to the box's own contact in answer to the one
// question that it passed on.
func (h *Hub) AnswerHere(handle, answer string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.accounts[canonical(handle)]
	if a == nil {
		return noAccount(handle)
	}
	var open []*port
	for _, p := range a.ports {
		if q := p.question; q != nil && q.user == a.key && !q.Secret {
			open = append(open, p)
		}
	}
	switch len(open) {
	case 0:
		return errors.New("nothing is asked now")
	case 1:
		return open[0].answer(answer)
	}
	return errors.New("more than one question is open; answer them one by one on the pages of this box")
}

// answer answers the open question, which is over then. The lock is held.
func (p *port) answer(text string) error {
	q := p.question
	text = strings.TrimSpace(text)
	switch {
	case len(q.Choices) > 0 && !slices.Contains(q.Choices, text):
		return fmt.Errorf("the answer can be %s", strings.Join(q.Choices, " or "))
	case text == "":
		return errors.New("the answer is empty")
	}
	p.question = nil
	q.answer <- text
	return nil
}
