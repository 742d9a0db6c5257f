package bridge

import (
	"fmt"
	"log/slog"
	"testing"

	"nudge/bridge/im"
	"nudge/store"
)

// deaf is a client that takes everything and does nothing with it.
type deaf struct{}

func (deaf) Deliver(_ im.Event, settle func(bool)) {
	if settle != nil {
		settled = settle
	}
}

// settled keeps a settle alive, as a connection does.
var settled func(bool)

// crowd is a hub with accounts that are all on each other's lists and signed
// on.
func crowd(b *testing.B, accounts int) (*Hub, []*Session) {
	b.Helper()
	db, err := store.Open(b.TempDir(), store.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	h, err := New(Config{Store: db, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		h.Close(b.Context())
		db.Close()
	})
	var on []*Session
	for i := range accounts {
		handle := fmt.Sprintf("user%d@example.com", i)
		if err := h.CreateAccount(b.Context(), handle, "", "secret", false); err != nil {
			b.Fatal(err)
		}
		s, err := h.SignOn(handle, Client{}, deaf{})
		if err != nil {
			b.Fatal(err)
		}
		for _, other := range on {
			if _, err := s.Add(b.Context(), FL, other.Person().ID, 0); err != nil {
				b.Fatal(err)
			}
			if _, err := other.Add(b.Context(), FL, handle, 0); err != nil {
				b.Fatal(err)
			}
		}
		s.SetPresence(im.Presence{Status: im.Online}, "")
		on = append(on, s)
	}
	return h, on
}

// BenchmarkSay is a message to one other client.
func BenchmarkSay(b *testing.B) {
	h, on := crowd(b, 2)
	var seats []*Seat
	for _, s := range on {
		cookie, err := s.Cookie()
		if err != nil {
			b.Fatal(err)
		}
		seat, err := h.Open(cookie, s.Person().ID, deaf{}, func(im.Person) {})
		if err != nil {
			b.Fatal(err)
		}
		seats = append(seats, seat)
	}
	seats[1].chat.seats, seats[0].chat.seats = nil, append(seats[0].chat.seats, seats[1])
	m := im.Message{Text: "hello you!", Raw: []byte("hello you!")}
	ack := func(err error) {
		if err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		seats[0].Send(m, ack)
	}
}

// BenchmarkPresence is a change that so many contacts see.
func BenchmarkPresence(b *testing.B) {
	for _, watchers := range []int{1, 20} {
		b.Run(fmt.Sprint(watchers), func(b *testing.B) {
			_, on := crowd(b, watchers+1)
			states := []im.Presence{{Status: im.Busy}, {Status: im.Online}}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				on[0].SetPresence(states[i%2], "")
				i++
			}
		})
	}
}

// BenchmarkSignOn is a client with 20 contacts that comes, takes its lists and
// goes.
func BenchmarkSignOn(b *testing.B) {
	h, on := crowd(b, 21)
	handle := on[0].Person().ID
	b.ReportAllocs()
	for b.Loop() {
		s, err := h.SignOn(handle, Client{}, deaf{})
		if err != nil {
			b.Fatal(err)
		}
		s.Lists()
		s.SetPresence(im.Presence{Status: im.Online}, "")
		s.Close()
	}
}
