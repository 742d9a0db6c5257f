package bridge

import (
	"encoding/json"
	"fmt"

	"nudge/bridge/im"
)

// kept is how an event lies in the journal or the outbox: exactly one field is
// set. JSON tolerates the fields of later builds.
type kept struct {
	Message *im.Message     `json:",omitempty"`
	Edit    *im.ContactEdit `json:",omitempty"`
}

// encode writes a Message or ContactEdit for the disk. Both always encode.
func encode(ev im.Event) []byte {
	var k kept
	switch ev := ev.(type) {
	case im.Message:
		k.Message = &ev
	case im.ContactEdit:
		k.Edit = &ev
	}
	b, err := json.Marshal(k)
	if err != nil {
		panic(fmt.Sprintf("bridge: an event that can't be encoded: %v", err))
	}
	return b
}

func decode(b []byte) (im.Event, error) {
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return nil, err
	}
	switch {
	case k.Message != nil:
		return *k.Message, nil
	case k.Edit != nil:
		return *k.Edit, nil
	}
	return nil, fmt.Errorf("a record of a newer build")
}

func decodeMessage(b []byte) (im.Message, error) {
	ev, err := decode(b)
	if err != nil {
		return im.Message{}, err
	}
	m, ok := ev.(im.Message)
	if !ok {
		return im.Message{}, fmt.Errorf("not a message but %T", ev)
	}
	return m, nil
}
