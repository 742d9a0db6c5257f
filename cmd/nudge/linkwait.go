package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"nudge/cmd/nudge/control"
)

// attend shows what a link asks while it connects, and waits until it is up or has
// given up. Who ends the command ends only the waiting. With --json nobody is there
// to read: the question is in the answer.
func (e *env) attend(cl *control.Client, l control.Link) (control.Link, error) {
	if e.JSON || l.Question == nil {
		return l, nil
	}
	asked, since := "", time.Now()
	for l.State == "down" && !l.Stuck && (l.Question != nil || time.Since(since) < settle) {
		if q := l.Question; q != nil {
			since = time.Now()
			if q.Text != asked {
				asked = q.Text
				if err := e.put(cl, l); err != nil {
					return l, err
				}
			}
		}
		select {
		case <-time.After(time.Second):
		case <-e.ctx.Done():
			return l, nil
		}
		links, err := cl.Links(e.ctx, l.Account, l.Network)
		if e.ctx.Err() != nil {
			return l, nil
		}
		if err == nil && len(links) == 0 {
			err = fmt.Errorf("the link was removed meanwhile")
		}
		if err != nil {
			return l, err
		}
		l = links[0]
	}
	return l, nil
}

// settle is how long a link may take to be up after its question was answered.
const settle = 30 * time.Second

// put puts a question. What is to be typed, and is not a choice to give it up, is
// read here; without an input it can be answered by another command.
func (e *env) put(cl *control.Client, l control.Link) error {
	q := l.Question
	fmt.Fprintf(e.stdout, "%s\n\n", q.Text)
	if code := drawQR(q.Link); code != "" && onScreen(e.stdout) {
		fmt.Fprintln(e.stdout, code)
	}
	if len(q.Input.Choices) > 0 {
		_, err := fmt.Fprintf(e.stdout, "This waits; in another terminal, nudge link answer %s %s %s answers.\n", l.Account, l.Network, strings.Join(q.Input.Choices, "|"))
		return err
	}
	fmt.Fprintf(e.stdout, "%s: ", q.Input.Label)
	text, err := e.stdin.secret(strings.ToLower(q.Input.Label))
	if err != nil {
		_, err := fmt.Fprintf(e.stdout, "\nThis waits; in another terminal, nudge link answer %s %s answers.\n", l.Account, l.Network)
		return err
	}
	return cl.AnswerLink(e.ctx, control.LinkAnswer{Account: l.Account, Network: l.Network, ID: q.ID, Answer: text})
}

// onScreen tells whether a person sees what is written, as a telephone's camera can.
func onScreen(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	about, err := f.Stat()
	return err == nil && about.Mode()&os.ModeCharDevice != 0
}
