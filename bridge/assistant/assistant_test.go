package assistant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"nudge/bridge/im"
	"nudge/bridge/im/imtest"
)

var alice = im.Addr{ID: "alice@hotmail.com"}

// box stands for the box: its answers say what was asked of it.
type box struct{ page string }

func (box) Status(_ context.Context, account string) (string, error) {
	return "status of " + account, nil
}
func (box) Links(context.Context, string) ([]string, error) {
	return []string{"xmpp: up", "matrix: down"}, nil
}
func (box) Find(_ context.Context, _, who string) ([]string, error) {
	switch who {
	case "Bob":
		return []string{"Bob <bob@example.org>"}, nil
	case "many":
		return slices.Repeat([]string{"somebody"}, 40), nil
	}
	return nil, nil
}
func (box) Add(_ context.Context, _, who string) error {
	if who == "nobody@example.org" {
		return im.ErrNotFound
	}
	return nil
}
func (box) Remove(context.Context, string, string) error { return nil }
func (box) Block(context.Context, string, string) error {
	return errors.New("the list is full")
}
func (box) Unblock(ctx context.Context, _, who string) error {
	if who == "slow@example.org" {
		<-ctx.Done()
	}
	return ctx.Err()
}
func (box) Answer(_ context.Context, _, answer string) error {
	if answer == "no" {
		return errors.New("nothing is asked now")
	}
	return nil
}
func (box) Settings(context.Context, string) ([]string, error) {
	return []string{"xmpp: receipts yes, wait 7"}, nil
}
func (box) Set(_ context.Context, account, network, key, value string) error {
	if network != "xmpp" || key != "receipts" || value != "no" && value != "a B" {
		return errors.New("xmpp links have no setting " + key)
	}
	return nil
}
func (b box) LinkPage(context.Context, string) (string, error) { return b.page, nil }

func TestConformance(t *testing.T) {
	imtest.Run(t, func(*testing.T) imtest.Rig {
		return imtest.Rig{
			Network: &Network{box{}}, Name: Name, Account: alice, Shared: true, Contact: self.Addr,
			Answers: true, Nobody: "nobody@nudge.local", Known: "Assistant@Nudge.local",
			Absent: map[string]string{
				"Say":     "the assistant only answers",
				"Hear":    "nobody but the assistant hears what it is told",
				"Ask":     "nobody asks through the assistant",
				"Cut":     "there is no connection",
				"LoseAck": "there is no server",
				"Stall":   "there is no server",
				"Others":  "the assistant is alone on its network",
				"Denied":  "there is nothing to sign in to",
			},
		}
	})
}

// TestTalk: what is said, and something of the answer.
func TestTalk(t *testing.T) {
	page := box{"http://nudge.local/l/7f3a"}
	for _, c := range []struct {
		actions box
		said    string
		answer  string
	}{
		{box{}, "help", "add bob@example.org"},
		{box{}, "?", "You can write:"},
		{box{}, "  Hello, Nudge! ", "You can write:"},
		{box{}, "Status", "status of alice@hotmail.com"},
		{box{}, "/status", "status of alice@hotmail.com"},
		{box{}, "nudge, status please", "status of alice@hotmail.com"},
		{box{}, "stauts", "status of alice@hotmail.com"},
		{box{}, "How are you?", "status of alice@hotmail.com"},
		{box{}, "links", "Your links:\nxmpp: up\nmatrix: down"},
		{box{}, "show my links", "xmpp: up"},
		{box{}, "my settings", "set xmpp receipts no”.\nxmpp: receipts yes, wait 7"},
		{box{}, "set XMPP Receipts no", "receipts of xmpp is no now."},
		{box{}, "please set xmpp receipts a B.", "receipts of xmpp is a B now."},
		{box{}, "set xmpp colour red", "Xmpp links have no setting colour."},
		{box{}, "set", "What? For example: set xmpp receipts no"},
		{box{}, "set xmpp receipts", "Write it like this: set xmpp receipts no."},
		{box{}, "find Bob", "I found:\nBob <bob@example.org>"},
		{box{}, "Search for: Bob?", "Bob <bob@example.org>"},
		{box{}, "who is Bob", "Bob <bob@example.org>"},
		{box{}, "find zoe", "I know nobody"},
		{box{}, "find many", "… and 28 more"},
		{box{}, "find", "Whom? For example: find bob"},
		{box{}, "add Bob@Example.org", "Bob@Example.org is on your list"},
		{box{}, "please add <mailto:bob@example.org> to my list.", "bob@example.org is on your list"},
		{box{}, "ad bob@example.org", "Whom?|I didn't understand"},
		{box{}, "ivite bob@example.org", "bob@example.org is on your list"},
		{box{}, "add bob", "write for example “add bob@example.org”"},
		{box{}, "add", "Whom? For example: add bob@example.org"},
		{box{}, "add nobody@example.org", "I know nobody of that name"},
		{box{}, "remove bob@example.org", "bob@example.org is off your list"},
		{box{}, "block bob@example.org", "The list is full."},
		{box{}, "unblock bob@example.org", "no longer blocked"},
		{box{}, "Yes!", "I pass it on"},
		{box{}, "yes I like it", "“yes” alone"},
		{box{}, "no", "Nothing is asked now."},
		{box{}, "tricks", "s/soup/soap/ – corrects your last message"},
		{box{}, "link", "nudge link add alice@hotmail.com matrix"},
		{page, "link matrix", "http://nudge.local/l/7f3a"},
		{page, "my password does not work", "http://nudge.local/l/7f3a"},
		{box{}, "password: hunter2", "never go into a chat"},
		{box{}, "what is the weather", "I didn't understand"},
		{box{}, "", "I didn't understand"},
		{box{}, "\x00\xff", "I didn't understand"},
	} {
		k := &link{actions: c.actions}
		got := k.answer(t.Context(), alice.ID, im.Message{Text: c.said})
		if !slices.ContainsFunc(strings.Split(c.answer, "|"), func(want string) bool { return strings.Contains(got, want) }) {
			t.Errorf("%q is answered %q, want %q in it", c.said, got, c.answer)
		}
	}
}

func TestOtherKinds(t *testing.T) {
	k := &link{actions: box{}}
	for want, m := range map[string]im.Message{
		"Yes?":              {Kind: im.Nudge},
		"I can't take file": {File: &im.File{Name: "a.jpg"}},
		"status of":         {Kind: im.Emote, Text: "status"},
	} {
		if got := k.answer(t.Context(), alice.ID, m); !strings.Contains(got, want) {
			t.Errorf("%+v is answered %q, want %q in it", m, got, want)
		}
	}
}

func TestSecret(t *testing.T) {
	for _, s := range []string{
		"password: hunter2", "my Password is hunter2", "Passwort ist geheim", "pw=abc", "link matrix --password hunter2",
		"token: x", "recovery key: abcd", "syt_YWxpY2U_abcdefghijkl_0aB1cD", "mct_abcdefgh12",
		"EsTc 8s2K Y4rq Yd1L vTq3 xFmU n9bG 4wEe sPAD Zk7h 3mVt QnXp",
		"EsTc8s2KY4rqYd1LvTq3xFmUn9bG4wEesPADZk7h3mVtQnXp",
		"d41d8cd98f00b204e9800998ecf8427e", "link xmpp alice@example.org password=hunter2",
	} {
		if !secret(s) {
			t.Errorf("%q is not seen as a secret", s)
		}
		if got := (&link{actions: box{}}).answer(t.Context(), alice.ID, im.Message{Text: s}); strings.Contains(got, s) {
			t.Errorf("the answer repeats %q", s)
		}
	}
	for _, s := range []string{
		"help", "my password does not work", "how do I change my password?", "add bob1234567890123456@example.org",
		"find @bob.the.builder.2000:matrix.example.org", "Donaudampfschifffahrtsgesellschaft",
		"this list will only show what they like from here with some more", "https://example.org/a1b2c3d4e5f6a7b8c9",
	} {
		if secret(s) {
			t.Errorf("%q is taken for a secret", s)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"add <bob@x>", "find \xff", "ſtatus", "İ add İ@x", "password:", "??", "link " + strings.Repeat("é", 50)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := (&link{actions: box{}}).answer(t.Context(), alice.ID, im.Message{Text: s})
		if strings.TrimSpace(got) == "" {
			t.Errorf("%q gets no answer", s)
		}
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q is answered with invalid UTF-8 %q", s, got)
		}
	})
}

// TestSlowAction: an action that is interrupted is not answered, so that the
// hub hands the text over again.
func TestSlowAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		l, err := (&Network{box{}}).Connect(t.Context(), im.Login{Host: h})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Handle(ctx, alice, im.Message{ID: "1", Conv: handle, Text: "unblock slow@example.org"}); err == nil {
			t.Error("an interrupted action counts as taken")
		}
		synctest.Wait()
		if n := len(h.take()); n != 2 { // it appears, and is up
			t.Errorf("%d batches, want 2", n)
		}
	})
}

// TestRemoved: the assistant stays off the list of who removed it, over
// connections, and comes back when added.
func TestRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		connect := func() im.Link {
			l, err := (&Network{box{}}).Connect(t.Context(), im.Login{Host: h})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		edit := func(l im.Link, op im.EditOp) {
			if err := l.Handle(t.Context(), alice, im.ContactEdit{ID: "e", Op: op, Who: im.Contact{Person: self}}); err != nil {
				t.Fatal(err)
			}
		}
		appears := func() (n int) {
			synctest.Wait()
			for _, b := range h.take() {
				for _, ev := range b.Events {
					if r, is := ev.(im.Roster); is && b.User == alice && r.Items[0].Follows && r.Items[0].Followed {
						n++
					}
				}
			}
			return n
		}
		l := connect()
		if appears() != 1 {
			t.Error("does not appear at first")
		}
		edit(l, im.Remove)
		l.Close()
		l = connect()
		l.Handle(t.Context(), alice, im.PresenceChanged{})
		if appears() != 0 {
			t.Error("appears although removed")
		}
		edit(l, im.Add)
		if appears() != 1 {
			t.Error("does not come back when added")
		}
		l.Close()
		l = connect()
		l.Handle(t.Context(), im.Addr{ID: "new@hotmail.com"}, im.PresenceChanged{})
		if appears() != 1 {
			t.Error("does not appear on the next connection")
		}
		l.Close()
	})
}
