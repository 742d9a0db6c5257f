package olm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/olm"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// inboundRow is a room key of ours or of another device, with what is known of
// where it came from.
type inboundRow struct {
	Pickle    []byte              `json:"pickle"`
	Signing   id.Ed25519          `json:"signing"`
	Sender    id.SenderKey        `json:"sender"`
	Chain     []string            `json:"chain,omitempty"`
	Received  time.Time           `json:"received"`
	MaxAge    int64               `json:"max_age,omitempty"` // ms
	MaxCount  int                 `json:"max_count,omitempty"`
	History   *bool               `json:"history,omitempty"`
	Scheduled bool                `json:"scheduled,omitempty"`
	Backup    id.KeyBackupVersion `json:"backup,omitempty"`
	Source    id.KeySource        `json:"source"`
	User      id.UserID           `json:"user,omitempty"` // who sent it
}

// PutGroupSession implements crypto.Store. A key that another device passes on
// is kept only when Trusted says so: the machine takes them from anybody.
func (s *Store) PutGroupSession(ctx context.Context, g *crypto.InboundGroupSession) error {
	if g.KeySource == id.KeySourceForward && (s.Trusted == nil || !s.Trusted(ctx, g.SourceUser, g)) {
		return fmt.Errorf("room key %s: passed on by a device that is not trusted", g.ID())
	}
	p, err := g.Internal.Pickle(s.key)
	if err != nil {
		return err
	}
	err = s.save(path(kindInbound, string(g.RoomID), string(g.ID())), inboundRow{
		Pickle: p, Signing: g.SigningKey, Sender: g.SenderKey, Chain: g.ForwardingChains,
		Received: g.ReceivedAt, MaxAge: g.MaxAge, MaxCount: g.MaxMessages, History: g.SharedHistory,
		Scheduled: g.IsScheduled, Backup: g.KeyBackupVersion, Source: g.KeySource, User: g.SourceUser,
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, g.ID())
	return nil
}

// Arrived are the room keys that were put since it was last asked.
func (s *Store) Arrived() []id.SessionID {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.arrived = nil }()
	return s.arrived
}

// inbound makes a session of its record.
func (s *Store) inbound(room id.RoomID, row *inboundRow) (*crypto.InboundGroupSession, error) {
	g := &crypto.InboundGroupSession{
		Internal: olm.NewBlankInboundGroupSession(), SigningKey: row.Signing, SenderKey: row.Sender, RoomID: room,
		ForwardingChains: row.Chain, ReceivedAt: row.Received, MaxAge: row.MaxAge, MaxMessages: row.MaxCount,
		SharedHistory: row.History, IsScheduled: row.Scheduled, KeyBackupVersion: row.Backup, KeySource: row.Source, SourceUser: row.User,
	}
	if err := g.Internal.Unpickle(row.Pickle, s.key); err != nil {
		return nil, fmt.Errorf("open a room key: %w", err)
	}
	return g, nil
}

// GetGroupSession implements crypto.Store.
func (s *Store) GetGroupSession(ctx context.Context, room id.RoomID, session id.SessionID) (*crypto.InboundGroupSession, error) {
	row, err := load[inboundRow](s, path(kindInbound, string(room), string(session)))
	if err != nil {
		return nil, err
	}
	if row != nil {
		return s.inbound(room, row)
	}
	withheld, err := s.GetWithheldGroupSession(ctx, room, session)
	if withheld == nil || err != nil {
		return nil, err
	}
	return nil, withheld
}

// Wanting tells whether an m.room.encrypted event of a room is the first whose key
// did not come, nor the notice that it will not.
func (s *Store) Wanting(r id.RoomID, content json.RawMessage) (bool, error) {
	var e event.EncryptedEventContent
	if json.Unmarshal(content, &e) != nil || e.SessionID == "" {
		return false, nil // no key would help
	}
	for _, kind := range []string{kindInbound, kindWithheld} {
		if b, err := s.get(path(kind, string(r), string(e.SessionID))); b != nil || err != nil {
			return false, err
		}
	}
	waiting, err := s.WaitingFor(e.SessionID)
	return len(waiting) == 0, err
}

// PutWithheldGroupSession implements crypto.Store.
func (s *Store) PutWithheldGroupSession(_ context.Context, w event.RoomKeyWithheldEventContent) error {
	return s.save(path(kindWithheld, string(w.RoomID), string(w.SessionID)), w)
}

// GetWithheldGroupSession implements crypto.Store.
func (s *Store) GetWithheldGroupSession(_ context.Context, room id.RoomID, session id.SessionID) (*event.RoomKeyWithheldEventContent, error) {
	return load[event.RoomKeyWithheldEventContent](s, path(kindWithheld, string(room), string(session)))
}

// each calls do for every inbound session under a prefix, until it fails.
func (s *Store) each(prefix string, do func(key string, g *crypto.InboundGroupSession) error) error {
	rows, err := s.scan(prefix)
	if err != nil {
		return err
	}
	for k, v := range rows {
		var row inboundRow
		if err := json.Unmarshal(v, &row); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		g, err := s.inbound(roomOf(k), &row)
		if err == nil {
			err = do(k, g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// redact deletes the inbound sessions under a prefix that match.
func (s *Store) redact(prefix string, match func(*crypto.InboundGroupSession) bool) (gone []id.SessionID, err error) {
	err = s.each(prefix, func(key string, g *crypto.InboundGroupSession) error {
		if match(g) {
			s.put(key, nil)
			gone = append(gone, g.ID())
		}
		return nil
	})
	return gone, err
}

// RedactGroupSession implements crypto.Store.
func (s *Store) RedactGroupSession(_ context.Context, room id.RoomID, session id.SessionID, _ string) error {
	s.put(path(kindInbound, string(room), string(session)), nil)
	return nil
}

// RedactGroupSessions implements crypto.Store.
func (s *Store) RedactGroupSessions(_ context.Context, room id.RoomID, sender id.SenderKey, _ string) ([]id.SessionID, error) {
	prefix := path(kindInbound, "")
	if room != "" {
		prefix = path(kindInbound, string(room), "")
	}
	return s.redact(prefix, func(g *crypto.InboundGroupSession) bool { return sender == "" || g.SenderKey == sender })
}

// RedactExpiredGroupSessions implements crypto.Store.
func (s *Store) RedactExpiredGroupSessions(context.Context) ([]id.SessionID, error) {
	return s.redact(path(kindInbound, ""), func(g *crypto.InboundGroupSession) bool {
		return g.MaxAge > 0 && !g.IsScheduled && time.Since(g.ReceivedAt) > 2*time.Duration(g.MaxAge)*time.Millisecond
	})
}

// RedactOutdatedGroupSessions implements crypto.Store.
func (s *Store) RedactOutdatedGroupSessions(context.Context) ([]id.SessionID, error) {
	return s.redact(path(kindInbound, ""), func(g *crypto.InboundGroupSession) bool { return g.ReceivedAt.IsZero() })
}

// list are the inbound sessions under a prefix that match.
func (s *Store) list(prefix string, match func(*crypto.InboundGroupSession) bool) dbutil.RowIter[*crypto.InboundGroupSession] {
	var all []*crypto.InboundGroupSession
	err := s.each(prefix, func(_ string, g *crypto.InboundGroupSession) error {
		if match(g) {
			all = append(all, g)
		}
		return nil
	})
	return dbutil.NewSliceIterWithError(all, err)
}

func every(*crypto.InboundGroupSession) bool { return true }

// GetGroupSessionsForRoom implements crypto.Store.
func (s *Store) GetGroupSessionsForRoom(_ context.Context, room id.RoomID) dbutil.RowIter[*crypto.InboundGroupSession] {
	return s.list(path(kindInbound, string(room), ""), every)
}

// GetAllGroupSessions implements crypto.Store.
func (s *Store) GetAllGroupSessions(context.Context) dbutil.RowIter[*crypto.InboundGroupSession] {
	return s.list(path(kindInbound, ""), every)
}

// GetGroupSessionsWithoutKeyBackupVersion implements crypto.Store.
func (s *Store) GetGroupSessionsWithoutKeyBackupVersion(_ context.Context, v id.KeyBackupVersion) dbutil.RowIter[*crypto.InboundGroupSession] {
	return s.list(path(kindInbound, ""), func(g *crypto.InboundGroupSession) bool { return g.KeyBackupVersion != v })
}

// outboundRow is the key the account encrypts with in a room.
type outboundRow struct {
	Pickle    []byte        `json:"pickle"`
	Shared    bool          `json:"shared"`
	Count     int           `json:"count"`
	MaxCount  int           `json:"max_count"`
	MaxAge    time.Duration `json:"max_age"` // ns
	History   *bool         `json:"history,omitempty"`
	Created   time.Time     `json:"created"`
	Encrypted time.Time     `json:"encrypted"`
}

// AddOutboundGroupSession implements crypto.Store.
func (s *Store) AddOutboundGroupSession(_ context.Context, o *crypto.OutboundGroupSession) error {
	p, err := o.Internal.Pickle(s.key)
	if err != nil {
		return err
	}
	return s.save(path(kindOutbound, string(o.RoomID)), outboundRow{
		Pickle: p, Shared: o.Shared, Count: o.MessageCount, MaxCount: o.MaxMessages, MaxAge: o.MaxAge,
		History: o.SharedHistory, Created: o.CreationTime, Encrypted: o.LastEncryptedTime,
	})
}

// UpdateOutboundGroupSession implements crypto.Store.
func (s *Store) UpdateOutboundGroupSession(ctx context.Context, o *crypto.OutboundGroupSession) error {
	return s.AddOutboundGroupSession(ctx, o)
}

// GetOutboundGroupSession implements crypto.Store.
func (s *Store) GetOutboundGroupSession(_ context.Context, room id.RoomID) (*crypto.OutboundGroupSession, error) {
	row, err := load[outboundRow](s, path(kindOutbound, string(room)))
	if row == nil || err != nil {
		return nil, err
	}
	o := &crypto.OutboundGroupSession{
		Internal: olm.NewBlankOutboundGroupSession(), RoomID: room, Shared: row.Shared, MessageCount: row.Count,
		MaxMessages: row.MaxCount, SharedHistory: row.History, Users: map[crypto.UserDevice]crypto.OGSState{},
	}
	o.MaxAge, o.CreationTime, o.LastEncryptedTime = row.MaxAge, row.Created, row.Encrypted
	if err := o.Internal.Unpickle(row.Pickle, s.key); err != nil {
		return nil, fmt.Errorf("open the key of %s: %w", room, err)
	}
	return o, nil
}

// RemoveOutboundGroupSession implements crypto.Store.
func (s *Store) RemoveOutboundGroupSession(_ context.Context, room id.RoomID) error {
	s.put(path(kindOutbound, string(room)), nil)
	return nil
}

// MarkOutboundGroupSessionShared implements crypto.Store.
func (s *Store) MarkOutboundGroupSessionShared(_ context.Context, u id.UserID, key id.IdentityKey, session id.SessionID) error {
	return s.save(path(kindShared, string(session), string(u), string(key)), true)
}

// IsOutboundGroupSessionShared implements crypto.Store.
func (s *Store) IsOutboundGroupSessionShared(_ context.Context, u id.UserID, key id.IdentityKey, session id.SessionID) (bool, error) {
	shared, err := load[bool](s, path(kindShared, string(session), string(u), string(key)))
	return shared != nil, err
}

// indexBlock is how many message indexes of a session share a record: one per
// message would be many, one for all would be written anew each time.
const (
	indexBlock = 64
	indexHash  = 8 // bytes
)

// ValidateMessageIndex implements crypto.Store: an index of a session belongs to
// one event for ever, so that nobody can show the same ciphertext again as
// another event. Of the event a short hash is kept. Without an event it only
// asks.
func (s *Store) ValidateMessageIndex(_ context.Context, session id.SessionID, e id.EventID, index uint, at int64) (bool, error) {
	key := path(kindIndex, string(session), strconv.FormatUint(uint64(index/indexBlock), 10))
	block, err := s.get(key)
	if err != nil {
		return false, err
	}
	if len(block) != indexBlock*indexHash {
		block = make([]byte, indexBlock*indexHash)
	}
	hash := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(e), uint64(at)))
	slot := int(index%indexBlock) * indexHash
	known := block[slot : slot+indexHash]
	switch {
	case !slices.Equal(known, make([]byte, indexHash)):
		return slices.Equal(known, hash[:indexHash]), nil
	case e == "" && at == 0:
		return true, nil
	}
	block = slices.Clone(block)
	copy(block[slot:], hash[:indexHash])
	s.put(key, block)
	return true, nil
}

// roomOf is the room of an inbound session, from its key.
func roomOf(key string) id.RoomID {
	return id.RoomID(last(key[:strings.LastIndexByte(key, '/')]))
}
