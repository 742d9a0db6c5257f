package matrix

import (
	"encoding/json"
	"time"

	"maunium.net/go/mautrix/id"
)

// evt is one event as /sync and /messages give it. The content stays raw until
// somebody needs it.
type evt struct {
	Type     string          `json:"type"`
	ID       id.EventID      `json:"event_id"`
	Sender   id.UserID       `json:"sender"`
	StateKey *string         `json:"state_key"`
	At       int64           `json:"origin_server_ts"` // ms
	Redacts  id.EventID      `json:"redacts"`          // up to room version 10
	Content  json.RawMessage `json:"content"`
	Unsigned unsigned        `json:"unsigned"`
}

func (e *evt) time() time.Time { return time.UnixMilli(e.At) }

// unsigned is what the account's own server adds to an event.
type unsigned struct {
	TransactionID string          `json:"transaction_id"`
	PrevContent   json.RawMessage `json:"prev_content,omitempty"`
	ReplacesState id.EventID      `json:"replaces_state"`
	RedactedBy    json.RawMessage `json:"redacted_because,omitempty"`
}

// decode reads the content into a value of the type asked for; what does not
// fit is left zero.
func decode[T any](raw json.RawMessage) (v T, ok bool) {
	return v, json.Unmarshal(raw, &v) == nil
}

// evts is a list of events that leaves out those that are not well formed:
// one such event must not stop the account.
type evts []evt

// UnmarshalJSON implements json.Unmarshaler.
func (es *evts) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*es = make(evts, 0, len(raw))
	for _, r := range raw {
		if e, ok := decode[evt](r); ok {
			*es = append(*es, e)
		}
	}
	return nil
}

type eventList struct {
	Events evts `json:"events"`
}

// syncResponse is the part of GET /sync that this package reads
// (client-server API, syncing).
type syncResponse struct {
	NextBatch   string    `json:"next_batch"`
	AccountData eventList `json:"account_data"`
	Presence    eventList `json:"presence"`
	ToDevice    struct {
		Events []json.RawMessage `json:"events"`
	} `json:"to_device"`
	DeviceLists  deviceLists             `json:"device_lists"`
	OneTimeKeys  map[id.KeyAlgorithm]int `json:"device_one_time_keys_count"`
	FallbackKeys *[]id.KeyAlgorithm      `json:"device_unused_fallback_key_types"`
	Rooms        struct {
		Join   map[id.RoomID]joinedRoom  `json:"join"`
		Invite map[id.RoomID]invitedRoom `json:"invite"`
		Leave  map[id.RoomID]leftRoom    `json:"leave"`
	} `json:"rooms"`
}

// deviceLists are those whose devices changed, and who shares no room any more.
type deviceLists struct {
	Changed []id.UserID `json:"changed"`
	Left    []id.UserID `json:"left"`
}

type joinedRoom struct {
	Summary struct {
		Heroes  []id.UserID `json:"m.heroes"`
		Joined  *int        `json:"m.joined_member_count"`
		Invited *int        `json:"m.invited_member_count"`
	} `json:"summary"`
	State     eventList `json:"state"`
	Timeline  timeline  `json:"timeline"`
	Ephemeral eventList `json:"ephemeral"`
}

type timeline struct {
	Events  evts `json:"events"`
	Limited bool `json:"limited"`
}

type invitedRoom struct {
	State eventList `json:"invite_state"`
}

type leftRoom struct {
	Timeline timeline `json:"timeline"`
}

// historyPage is one answer of GET /rooms/{room}/messages.
type historyPage struct {
	Chunk evts   `json:"chunk"`
	End   string `json:"end"`
}

// The event types that matter: what has text, and what changes a room.
const timelineTypes = `"m.room.message","m.room.encrypted","m.sticker","m.reaction","m.room.redaction",` +
	`"m.poll.start","org.matrix.msc3381.poll.start","m.call.invite",` +
	`"m.room.member","m.room.name","m.room.topic","m.room.avatar","m.room.canonical_alias","m.room.encryption","m.room.history_visibility","m.room.tombstone","m.room.create","m.space.child"`

const stateTypes = `"m.room.create","m.room.name","m.room.topic","m.room.avatar","m.room.canonical_alias","m.room.encryption","m.room.history_visibility","m.room.tombstone","m.room.member","m.space.child"`

// Filters (client-server API, filtering), small for the sake of a Pi: members
// only when they speak, and for the first sync of an account one event a room.
const (
	filterHistory = `{"types":[` + timelineTypes + `],"lazy_load_members":true,"limit":%d}`
	filterSync    = `{"account_data":{"types":["m.direct","m.ignored_user_list","m.push_rules"]},"presence":{"types":["m.presence"]},` +
		`"room":{"account_data":{"not_types":["*"]},"ephemeral":{"types":["m.typing","m.receipt"]},` +
		`"state":{"types":[` + stateTypes + `],"lazy_load_members":true},` +
		`"timeline":{"types":[` + timelineTypes + `],"lazy_load_members":true,"limit":`
	filterFollow = filterSync + `50}}}`
	filterFirst  = filterSync + `1}}}`
	// filterForm asks for what former versions did not, and who is online now.
	filterForm = `{"account_data":{"types":["m.push_rules"]},"presence":{"types":["m.presence"]},` +
		`"room":{"account_data":{"not_types":["*"]},"ephemeral":{"not_types":["*"]},` +
		`"state":{"types":[` + formTypes + `]},"timeline":{"types":[` + formTypes + `],"limit":1}}}`
	formTypes = `"m.room.create","m.room.topic","m.room.avatar","m.space.child"`
	// filterPresence asks for nothing but who is online now.
	filterPresence = `{"presence":{"types":["m.presence"]},` + filterNoRooms
	// filterKeys lets through what is for the device only.
	filterKeys    = `{"presence":{"not_types":["*"]},` + filterNoRooms
	filterNoRooms = `"account_data":{"not_types":["*"]},"room":{"rooms":[],"account_data":{"not_types":["*"]},"ephemeral":{"not_types":["*"]},` +
		`"state":{"not_types":["*"]},"timeline":{"not_types":["*"],"limit":1}}}`
)
