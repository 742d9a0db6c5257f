package olm

import (
	"encoding/json"

	"maunium.net/go/mautrix/id"
)

// Waiting is an event that could not be read, until its key comes.
type Waiting struct {
	Room  id.RoomID       `json:"room"`
	Event json.RawMessage `json:"event"`

	key string
}

// Wait keeps an event until the key of its session comes.
func (s *Store) Wait(session id.SessionID, e id.EventID, w Waiting) error {
	return s.save(path(kindWaiting, string(session), string(e)), w)
}

// WaitingFor are the events that wait for the key of a session, "" for any.
func (s *Store) WaitingFor(session id.SessionID) (all []Waiting, err error) {
	prefix := path(kindWaiting, "")
	if session != "" {
		prefix = path(kindWaiting, string(session), "")
	}
	rows, err := s.scan(prefix)
	if err != nil {
		return nil, err
	}
	for k, v := range rows {
		w := Waiting{key: k}
		if json.Unmarshal(v, &w) == nil {
			all = append(all, w)
		}
	}
	return all, nil
}

// Drop forgets an event that its sender took back.
func (s *Store) Drop(e id.EventID) error {
	all, err := s.WaitingFor("")
	for _, w := range all {
		if last(w.key) == string(e) {
			s.put(w.key, nil)
		}
	}
	return err
}

// Done forgets events that were read. It does not hurry: one that comes back
// after a crash is known to the hub.
func (s *Store) Done(read []Waiting) {
	for _, w := range read {
		s.put(w.key, nil)
	}
}
