package bridge

import (
	"context"
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
	user   string
	answer chan string // room for one
}

// The errors of a question.
var (
	errBusy       = errors.New("another question of this link is open")
	errUnanswered = errors.New("nobody answered in time")
)

// Ask puts a question to the user: the box's own contact tells him, unless it is
// about a secret, and the owner sees it among the links.
func (h *host) Ask(ctx context.Context, user im.Addr, q im.Prompt) (string, error) {
	asked := &question{q, canonical(user.ID), make(chan string, 1)}
	h.hub.mu.Lock()
	if h.question != nil {
		h.hub.mu.Unlock()
		return "", errBusy
	}
	h.question = asked
	if a := h.hub.accounts[asked.user]; a != nil && !q.Secret {
		a.notice(fmt.Sprintf("%s: %s\nAnswer here with: %s", h.net, q.Text, strings.Join(q.Choices, " or ")))
	}
	h.hub.mu.Unlock()
	defer func() {
		h.hub.mu.Lock()
		defer h.hub.mu.Unlock()
		h.question = nil
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

// AnswerLink answers the open question of a link.
func (h *Hub) AnswerLink(handle, net, answer string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, err := h.linkOf(handle, net)
	if err != nil {
		return err
	}
	if p.question == nil {
		return fmt.Errorf("%s of %s asks nothing now", net, handle)
	}
	return p.question.take(answer)
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
	var open []*question
	for _, p := range a.ports {
		if q := p.question; q != nil && q.user == a.key && !q.Secret {
			open = append(open, q)
		}
	}
	switch len(open) {
	case 0:
		return errors.New("nothing is asked now")
	case 1:
		return open[0].take(answer)
	}
	return errors.New("more than one question is open; the owner of this box can answer them one by one")
}

// take hands the answer over, once. The lock is held.
func (q *question) take(answer string) error {
	answer = strings.TrimSpace(answer)
	if len(q.Choices) > 0 && !slices.Contains(q.Choices, answer) {
		return fmt.Errorf("the answer can be %s", strings.Join(q.Choices, " or "))
	}
	select {
	case q.answer <- answer:
		return nil
	default:
		return errors.New("it is answered already")
	}
}
