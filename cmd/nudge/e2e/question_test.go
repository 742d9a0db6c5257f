package e2e

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// TestVerifiedByPage: an app of the account, with a libolm of its own, wants to
// verify the box. The pages show the pictures that it shows, with their names also
// to a browser that has no letters for them; "yes" on the page is enough here, and
// "no" is told to the app.
func TestVerifiedByPage(t *testing.T) {
	end2end(t)
	b := newBox(t)
	b.AddUser(t, aliceHandle, msnclient.MSNP8)
	me := newPerson(t, sharedServer(t, "dendrite"), "alice")
	b.Link(t, aliceHandle, me, me.server.Addr())
	phone := joinMatrix(t, me)
	page := newBrowser(t)
	page.visit("http://"+b.HTTP+"/").fill("handle", aliceHandle, "password", boxPassword).press("Sign in").sees("At a glance")

	for _, round := range []struct{ press, ends, told string }{
		{"no", "cancelled", "shows something else"}, {"yes", "verified", "have verified each other"},
	} {
		from := phone.len()
		phone.do(t, op{"op": "verify"})
		shown := phone.wait(t, from, "the pictures", func(e peerEvent) bool { return e.Ev == "signs" })
		check(t, eventually(patience, func() error {
			if page.press("At a glance"); !strings.Contains(page.text(), "Something waits for you") {
				return fmt.Errorf("nothing waits:\n%s", page.text())
			}
			return nil
		}))
		page.press("Answer").sees("A question of matrix")
		if got := signs.FindAllString(page.text(), -1); strings.Join(got, "") != strings.Join(shown.Signs, "") {
			t.Errorf("the app shows %q, the page %q", shown.Signs, got)
		}
		b.oldQuestion(t)
		if round.press == "yes" {
			phone.do(t, op{"op": "agree", "id": shown.ID})
		}
		page.press(round.press).sees("Matrix has your answer")
		phone.wait(t, from, round.ends, func(e peerEvent) bool { return e.Ev == round.ends && e.ID == shown.ID })
		check(t, eventually(patience, func() error {
			if page.press("My account"); !strings.Contains(page.text(), round.told) {
				return fmt.Errorf("the link does not tell how it ended:\n%s", page.text())
			}
			return nil
		}))
	}
}

// signs finds what is outside of the letters.
var signs = regexp.MustCompile(`[\x{2000}-\x{2bff}\x{1f000}-\x{1ffff}]`)

// oldQuestion finds the question with a client of HTTP/1.0: it gets no byte that is
// not ASCII, and seven names.
func (b *box) oldQuestion(t testing.TB) {
	t.Helper()
	head, _ := b.old(t, "POST", "/in", url.Values{"handle": {aliceHandle}, "password": {boxPassword}}.Encode())
	_, text := b.old(t, "GET", head.Header.Get("Location"), "")
	m := regexp.MustCompile(`href="([^"]+/question[^"]+)"`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("the first page leads to no question:\n%s", text)
	}
	_, text = b.old(t, "GET", strings.ReplaceAll(m[1], "&amp;", "&"), "")
	if n := len(regexp.MustCompile(`&#\d+; [A-Z][a-z]+( [A-Z][a-z]+)?[,.]`).FindAllString(text, -1)); n != 7 || strings.ContainsFunc(text, func(r rune) bool { return r > 0x7e }) {
		t.Errorf("%d pictures are named:\n%s", n, text)
	}
}
