package imtest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"nudge/bridge/im"
)

// crashRounds is how often the crash checks kill the host.
const crashRounds = 5

// say lets the peer say n texts that go on from said.
func (s *session) say(said *[]string, n int) {
	s.Helper()
	for range n {
		text := fmt.Sprintf(`peer %d <&> "ä😀"`, len(*said))
		s.ok("Say", s.rig.Say(text))
		*said = append(*said, text)
	}
}

// sendTexts sends n texts that go on from sent.
func (s *session) sendTexts(sent *[]string, n int) {
	s.Helper()
	for range n {
		text := fmt.Sprintf(`account %d <&> "ä😀"`, len(*sent))
		*sent = append(*sent, text)
		s.send(s.text(text))
	}
}

func checkReceipts(s *session) {
	s.connect()
	var sent []string
	s.sendTexts(&sent, 20)
	s.settled()
	s.noneRefused()
}

func (s *session) noneRefused() {
	s.Helper()
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for _, r := range s.box.refused {
		s.Errorf("refused: %s", r)
	}
}

func checkSendOrder(s *session) {
	s.connect()
	var sent []string
	s.sendTexts(&sent, 100)
	s.hear(sent)
	s.settled()
}

func checkSideBySide(s *session) {
	s.connect()
	const each = 25
	convs := append([]im.Addr{s.rig.Contact}, s.rig.Others...)
	var senders sync.WaitGroup
	link := s.link
	for c, conv := range convs {
		var batch []im.Message
		for i := range each {
			m := s.text(fmt.Sprintf("conversation %d text %d", c, i))
			m.Conv = conv.ID
			batch = append(batch, m)
			s.journal(m)
			s.host.handed[m.ID] = true
		}
		senders.Go(func() {
			for _, m := range batch {
				if err := link.Handle(context.Background(), s.rig.Account, m); err != nil {
					s.Errorf("Handle: %v", err)
				}
			}
		})
	}
	s.within("Handle for several conversations", senders.Wait)
	next := make([]int, len(convs))
	for range each * len(convs) {
		got := s.hearOne()
		var c, i int
		if n, err := fmt.Sscanf(got, "conversation %d text %d", &c, &i); n != 2 || err != nil || c >= len(next) || i != next[c] {
			s.Fatalf("the peers heard %q, want one of the next texts %v", got, next)
		}
		next[c]++
	}
	s.settled()
}

func checkRelations(s *session) {
	s.connect()
	var said []string
	s.say(&said, 1)
	s.received(said)
	s.box.mu.Lock()
	theirs := s.box.journal[0].ID
	s.box.mu.Unlock()
	mine := s.text("a wrong word")
	s.send(mine)
	s.settled()
	for _, unknown := range []string{"", "unknown-"} { // what a network has forgotten does no harm
		for _, m := range []im.Message{
			{Text: "a right word", Rel: im.Rel{Kind: im.Edit, To: mine.ID}},
			{Text: "👍", Rel: im.Rel{Kind: im.React, To: theirs, Quote: said[0]}},
			{Text: "an <answer>", Rel: im.Rel{Kind: im.Reply, To: theirs, Quote: said[0]}},
			{Text: "Now", Rel: im.Rel{Kind: im.Vote, To: theirs}, Poll: []im.Choice{{ID: "1", Text: "Now"}}},
			{Rel: im.Rel{Kind: im.Retract, To: mine.ID, Quote: "a right word"}},
		} {
			t := s.text(m.Text)
			m.ID, m.Conv, m.At, m.Rel.To = t.ID, t.Conv, t.At, unknown+m.Rel.To
			s.send(m)
			s.settled()
		}
	}
	s.alive()
}

func checkReceiveOrder(s *session) {
	s.connect()
	var said []string
	s.say(&said, 100)
	s.received(said)
}

func checkAnswers(s *session) {
	s.connect()
	var sent []string
	s.sendTexts(&sent, 20)
	s.answered(len(sent))
}

// answered waits for n answers and everything's receipt, closes the link and
// demands that there were no more.
func (s *session) answered(n int) {
	s.Helper()
	s.settled()
	s.until(fmt.Sprintf("%d answers", n), func() bool { return len(s.box.journal) >= n })
	s.hangUp()
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if len(s.box.journal) != n {
		s.Errorf("%d answers to %d texts: %q", len(s.box.journal), n, texts(s.box.journal))
	}
	for _, m := range s.box.journal {
		if m.From != s.rig.Contact || m.Conv != s.rig.Contact.ID || strings.TrimSpace(m.Text) == "" {
			s.Errorf("answer %+v: want a text from %v", m, s.rig.Contact)
		}
	}
}

func (s *session) someMessage() bool {
	for _, ev := range s.host.events {
		if _, is := ev.(im.Message); is {
			return true
		}
	}
	return false
}

func checkLateSettle(s *session) {
	s.connect()
	var said []string
	s.hold(true)
	s.say(&said, 5)
	s.until("message while nothing is committed", s.someMessage)
	s.hold(false)
	s.say(&said, 5)
	s.received(said)
}

func checkSettleAfterClose(s *session) {
	s.connect()
	var said []string
	s.hold(true)
	s.say(&said, 3)
	s.until("message while nothing is committed", s.someMessage)
	s.hangUp()
	s.hold(false)
	s.within("the settled functions after Close", s.host.committer.Wait)
	s.connect()
	s.received(said)
}

func checkFailedSettle(s *session) {
	s.connect()
	var said []string
	s.say(&said, 3)
	s.received(said)
	s.box.mu.Lock()
	s.box.failNext = true
	s.box.mu.Unlock()
	s.lossy = true
	s.say(&said, 5)
	s.within("the end of the link after a failed settle", func() { <-s.ended })
	s.mustBeLost()
	s.redial(s.why)
	s.say(&said, 2)
	s.received(said)
}

func checkCrashReceiving(s *session) {
	var said []string
	for round := range crashRounds {
		s.connect()
		s.box.mu.Lock()
		s.box.commits = round + 1 // then nothing more reaches the disk
		s.box.mu.Unlock()
		s.say(&said, 10)
		s.until("commits", func() bool { return s.box.hold || len(s.box.journal) >= len(said) })
		s.crash()
		s.say(&said, 5)
	}
	s.connect()
	s.say(&said, 1)
	s.received(said)
}

// checkOldMark sets the position back, as a mark does that waits for the next
// write (DESIGN.md §3): what comes again must have the IDs it had.
func checkOldMark(s *session) {
	s.connect()
	var said []string
	s.say(&said, 3)
	s.received(said)
	s.box.mu.Lock()
	old := s.box.marks[s.user()]
	s.box.mu.Unlock()
	s.say(&said, 10)
	s.received(said)
	s.crash()
	s.box.mu.Lock()
	s.box.marks[s.user()] = old
	s.box.mu.Unlock()
	s.connect()
	s.say(&said, 1)
	s.received(said)
}

func checkCrashSending(s *session) {
	var sent []string
	for round := range crashRounds {
		s.connect()
		s.hold(round%2 == 1) // then no receipt reaches the disk
		s.sendTexts(&sent, 10)
		s.crash()
	}
	s.connect()
	s.settled()
	s.sendTexts(&sent, 1)
	s.settled()
	s.hear(sent)
}

func checkCrashAnswering(s *session) {
	var sent []string
	for round := range crashRounds {
		s.connect()
		s.box.mu.Lock()
		s.box.commits = round + 1
		s.box.mu.Unlock()
		s.sendTexts(&sent, 10)
		s.until("commits", func() bool { return s.box.hold || len(s.box.journal) >= len(sent) })
		s.crash()
	}
	s.connect()
	s.answered(len(sent))
}

func checkLostAck(s *session) {
	s.connect()
	var sent []string
	s.sendTexts(&sent, 1)
	s.settled()
	s.lossy = true
	for range 3 {
		s.ok("LoseAck", s.rig.LoseAck())
		s.sendTexts(&sent, 1)
		s.settled()
		s.sendTexts(&sent, 1)
		s.settled()
	}
	s.hear(sent)
}

func checkCut(s *session) {
	s.connect()
	s.lossy = true
	var said, sent []string
	for range crashRounds {
		s.say(&said, 2)
		s.sendTexts(&sent, 2)
		s.ok("Cut", s.rig.Cut())
		s.say(&said, 2)
		s.sendTexts(&sent, 2)
	}
	s.settled()
	s.received(said)
	s.hear(sent)
}
