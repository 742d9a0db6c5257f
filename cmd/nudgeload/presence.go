package main

import (
	"fmt"
	"time"
)

// presence lets one client after the other change its state changes times in
// all and returns how long each contact took to hear of it. The first account
// of a circle changes, all others of it watch.
func presence(on []*client, c crowd, v version, changes int) ([]time.Duration, error) {
	var took []time.Duration
	for turn := 0; turn < changes; {
		for from := 0; from < len(on) && turn < changes; from += c.contacts + 1 {
			const each = 10
			circle, n := on[from:min(from+c.contacts+1, len(on))], min(each, changes-turn)
			if len(circle) < 2 {
				break
			}
			more, err := watch(circle, v, n)
			if err != nil {
				return nil, err
			}
			took = append(took, more...)
			turn += n
		}
	}
	return took, nil
}

// watch changes the state of the first of a circle.
func watch(circle []*client, v version, changes int) ([]time.Duration, error) {
	for _, c := range circle {
		if err := c.ping(); err != nil { // past what lies unread
			return nil, err
		}
	}
	type sight struct {
		at    time.Time
		state string
		err   error
	}
	seen := make(chan sight)
	for _, c := range circle[1:] {
		go func() { // sends its changes, or one error
			for range changes {
				f, err := c.await("NLN")
				if err != nil {
					seen <- sight{err: err}
					return
				}
				seen <- sight{time.Now(), f[1], nil}
			}
		}()
	}
	var took []time.Duration
	for i := range changes {
		state := []string{"BSY", "NLN"}[i%2]
		began := time.Now()
		if err := circle[0].say("CHG", state+v.caps); err != nil {
			return nil, err
		}
		for range circle[1:] {
			s := <-seen
			if s.err != nil {
				return nil, s.err
			}
			if s.state != state {
				return nil, fmt.Errorf("a contact saw %s instead of %s", s.state, state)
			}
			took = append(took, s.at.Sub(began))
		}
		if _, err := circle[0].await("CHG"); err != nil {
			return nil, err
		}
	}
	return took, nil
}
