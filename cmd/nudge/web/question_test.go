package web

import (
	"runtime"
	"testing"
	"time"

	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
)

// asked is a question that a link of the rig asks.
type asked struct {
	control.Question
	answer chan string
}

// ask lets the link of an account ask and waits until it is seen.
func (r *rig) ask(host im.Host, handle string, p im.Prompt) asked {
	r.Helper()
	a := asked{answer: make(chan string, 1)}
	go func() {
		text, err := host.Ask(r.Context(), im.Addr{ID: handle}, p)
		if err != nil {
			text = "error: " + err.Error()
		}
		a.answer <- text
	}()
	for {
		links, err := r.owner.Links(r.Context(), handle, "wire")
		if err != nil || len(links) != 1 {
			r.Fatal(links, err)
		}
		if q := links[0].Question; q != nil {
			a.Question = *q
			return a
		}
		runtime.Gosched()
	}
}

// linked makes an account with a link and returns what the link sees of the box.
func (r *rig) linked(handle string, change func(*control.NewUser)) im.Host {
	r.Helper()
	r.user(handle, change)
	l := control.NewLink{Account: handle, Network: "wire", Values: map[string]string{"user": "a", "password": "open"}, Wait: linkWait}
	if _, err := r.owner.AddLink(r.Context(), l); err != nil {
		r.Fatal(err)
	}
	return <-r.hosts
}

// What a network asks is answered on the pages, by the account's person: choices,
// a word, a secret; once, and only the question that was seen.
func TestQuestions(t *testing.T) {
	r := newRig(t)
	const at = "alice@hotmail.com"
	host := r.linked(at, nil)
	b := r.browser("192.168.1.30").in(at)
	page := b.base + "question?h=" + at + "&n=wire"
	b.get(b.base).want(t, 200).lacks(t, "Something waits for you")
	b.get(page).want(t, 200, "asks nothing", "Back").lacks(t, "<form method=\"post\" action=\""+b.base+"answer")

	same := im.Prompt{Text: "The <same>? 🐶 Dog, ✈ Aeroplane", Field: im.Field{Choices: []string{"yes", "no"}}, Until: time.Now().Add(time.Hour)}
	q := r.ask(host, at, same)
	b.get(b.base).want(t, 200, "Something waits for you", `href="`+b.base+"question?h=alice%40hotmail.com&amp;n=wire", "until "+q.Until.Format("2 Jan"))
	b.get(b.base+"account?h="+at).want(t, 200, "It asks something")
	b.get(page).want(t, 200, "The &lt;same&gt;? &#128054; Dog, &#9992; Aeroplane", `<input type="submit" name="answer" value="yes">`, q.ID)
	b.post(b.base+"answer", "h", at, "n", "wire", "id", q.ID, "answer", "perhaps").want(t, 200, "The answer can be yes or no", q.ID)
	b.post(b.base+"answer", "h", at, "n", "wire", "id", q.ID, "answer", "yes").want(t, 200, "Wire has your answer").lacks(t, "It asks something")
	if got := <-q.answer; got != "yes" {
		t.Errorf("the network was told %q", got)
	}
	b.post(b.base+"answer", "h", at, "n", "wire", "id", q.ID, "answer", "yes").want(t, 200, "asks nothing now")

	next := r.ask(host, at, same)
	b.post(b.base+"answer", "h", at, "n", "wire", "id", q.ID, "answer", "yes").want(t, 200, "asks something else now", next.ID)
	b.post(b.base+"answer", "h", at, "n", "wire", "id", next.ID, "answer", "no").want(t, 200, "has your answer")
	if got := <-next.answer; got != "no" {
		t.Errorf("the network was told %q", got)
	}

	q = r.ask(host, at, im.Prompt{Text: "The code?", Field: im.Field{Label: "Code", Help: "of your phone", Secret: true}})
	b.get(page).want(t, 200, `Code: <input type="password" name="answer"`, "of your phone")
	b.post(b.base+"answer", "h", at, "n", "wire", "id", "another", "answer", "hush-1").want(t, 200, "something else").lacks(t, "hush-1")
	b.post(b.base+"answer", "h", at, "n", "wire", "id", q.ID, "answer", " ").want(t, 200, "The answer is empty")
	b.post(b.base+"answer", "h", at, "n", "wire", "id", q.ID, "answer", " hush-1 ").want(t, 200, "has your answer").lacks(t, "hush-1")
	if got := <-q.answer; got != "hush-1" {
		t.Errorf("the network was told %q", got)
	}
}

// Who sees and answers whose question: as with links. Nobody by GET, nor from
// another site.
func TestRightsOfQuestions(t *testing.T) {
	r := newRig(t)
	r.user("owner@h.test", func(u *control.NewUser) { u.Owner = true })
	r.user("mum@h.test", nil)
	r.user("bob@h.test", nil)
	const kid = "kid@h.test"
	host := r.linked(kid, func(u *control.NewUser) { u.Parent = "mum@h.test" })
	q := r.ask(host, kid, im.Prompt{Text: "Well?", Field: im.Field{Choices: []string{"yes", "no"}}})
	form := []string{"h", kid, "n", "wire", "id", q.ID, "answer", "yes"}
	for who, may := range map[string]bool{kid: false, "bob@h.test": false, "owner@h.test": true, "mum@h.test": true} {
		b := r.browser("192.168.1.30").in(who)
		see, over := b.get(b.base+"question?h="+kid+"&n=wire"), b.get(b.base)
		if may {
			see.want(t, 200, "Well?")
			over.want(t, 200, "Something waits for you")
			b.get(b.base+"answer?h="+kid+"&n=wire&answer=yes").want(t, 404)
			req := b.form(b.base+"answer", form...)
			req.Header.Set("Origin", "http://evil.example")
			b.send(req).want(t, 403)
			continue
		}
		see.want(t, 403).lacks(t, "Well?")
		over.want(t, 200).lacks(t, "Something waits for you")
		b.post(b.base+"answer", form...).want(t, 403)
	}
	select {
	case got := <-q.answer:
		t.Fatalf("it is answered: %q", got)
	default:
	}
	mum := r.browser("192.168.1.30").in("mum@h.test")
	mum.post(mum.base+"answer", form...).want(t, 200, "has your answer")
	if got := <-q.answer; got != "yes" {
		t.Errorf("the network was told %q", got)
	}
}

// Who came to link by an invitation sees what his links ask.
func TestInvitedQuestion(t *testing.T) {
	r := newRig(t)
	const at = "alice@hotmail.com"
	q := r.ask(r.linked(at, nil), at, im.Prompt{Text: "Well?", Field: im.Field{Choices: []string{"yes"}}})
	b := r.browser("192.168.1.30")
	b.post(r.pages.LinkPage(at)).want(t, 200, "Something waits for you")
	b.get(b.base+"question?h="+at+"&n=wire").want(t, 200, "Well?")
	b.post(b.base+"answer", "h", at, "n", "wire", "id", q.ID, "answer", "yes").want(t, 200, "has your answer", "<b>wire</b>").lacks(t, "Something waits for you")
	if got := <-q.answer; got != "yes" {
		t.Errorf("the network was told %q", got)
	}
}
