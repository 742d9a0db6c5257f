package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nudge/bridge/im"
)

// TestQuestions: a link's question is answered by the owner or, unless it is
// about a secret, by the user himself; once, and with what can be answered.
func TestQuestions(t *testing.T) {
	on(t, func(t *testing.T, b *box) {
		const me = "alice@hotmail.com"
		b.user(me)
		b.linked(me)
		b.Hub.mu.Lock()
		h := &host{b.accounts[me].ports["wire"]}
		b.Hub.mu.Unlock()
		type reply struct {
			text string
			err  error
		}
		replies := make(chan reply, 1)
		ask := func(q im.Prompt) {
			go func() {
				text, err := h.Ask(t.Context(), im.Addr{ID: me}, q)
				replies <- reply{text, err}
			}()
			rest()
		}
		want := func(what string, err error, part string) {
			t.Helper()
			if part == "" && err != nil || part != "" && (err == nil || !strings.Contains(err.Error(), part)) {
				t.Errorf("%s: %v, want %q", what, err, part)
			}
		}
		same := im.Prompt{Text: "the same?", Field: im.Field{Choices: []string{"yes", "no"}}}

		want("nothing asked", b.AnswerLink(me, "wire", "", "yes"), "asks nothing")
		want("nothing asked here", b.AnswerHere(me, "yes"), "nothing is asked")
		ask(same)
		first := b.Links(me)[0]
		if got := first.Question.Text; got != "the same?" {
			t.Errorf("the owner sees %q", got)
		}
		if _, err := h.Ask(t.Context(), im.Addr{ID: me}, same); !errors.Is(err, errBusy) {
			t.Errorf("a second question: %v", err)
		}
		want("no choice", b.AnswerLink(me, "wire", "", "perhaps"), "can be yes or no")
		want("the user", b.AnswerHere(me, "yes"), "")
		if r := <-replies; r.text != "yes" || r.err != nil {
			t.Errorf("%+v", r)
		}
		rest()
		ask(im.Prompt{Text: "the code?", Field: im.Field{Secret: true}})
		want("a late answer", b.AnswerLink(me, "wire", first.Asked, "yes"), "something else")
		want("a secret in chat", b.AnswerHere(me, "1234"), "nothing is asked")
		want("the owner", b.AnswerLink(me, "wire", b.Links(me)[0].Asked, " 1234\n"), "")
		if r := <-replies; r.text != "1234" || r.err != nil {
			t.Errorf("%+v", r)
		}
		if got := b.Links(me)[0].Question.Text; got != "" {
			t.Errorf("what is answered is still asked: %q", got)
		}
		rest()
		same.Until = time.Now().Add(time.Minute)
		ask(same)
		if r := <-replies; !errors.Is(r.err, errUnanswered) {
			t.Errorf("%+v", r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := h.Ask(ctx, im.Addr{ID: me}, same); !errors.Is(err, context.Canceled) && !errors.Is(err, errUnanswered) {
			t.Errorf("given up: %v", err)
		}
		want("too late", b.AnswerHere(me, "yes"), "nothing is asked")
	})
}
