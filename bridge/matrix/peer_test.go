package matrix

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// friend is another app with encryption of its own: mautrix's machine and
// mautrix's store, nothing of ours.
type friend struct {
	w    *world
	t    *testing.T
	cli  *mautrix.Client
	mach *crypto.OlmMachine
	room id.RoomID
	next string
	last map[id.EventID]*event.Event // encrypted events it saw
	said []string                    // what it could read, "?" what it could not
}

// everywhere is a crypto.StateStore for a friend who is in one encrypted room.
type everywhere struct{ room id.RoomID }

func (e everywhere) IsEncrypted(context.Context, id.RoomID) (bool, error) { return true, nil }
func (e everywhere) GetEncryptionEvent(context.Context, id.RoomID) (*event.EncryptionEventContent, error) {
	return &event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1}, nil
}
func (e everywhere) GetHistoryVisibility(context.Context, id.RoomID) (*event.HistoryVisibilityEventContent, error) {
	return nil, nil
}
func (e everywhere) FindSharedRooms(context.Context, id.UserID) ([]id.RoomID, error) {
	return []id.RoomID{e.room}, nil
}

// friendStore guards what mautrix's store writes with no more than the right to read:
// its machine answers requests for keys beside everything else.
type friendStore struct {
	*crypto.MemoryStore
	mu sync.Mutex
}

func (s *friendStore) PutSignature(ctx context.Context, signed id.UserID, key id.Ed25519, signer id.UserID, by id.Ed25519, signature string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.MemoryStore.PutSignature(ctx, signed, key, signer, by, signature)
}

func (s *friendStore) GetSignaturesForKeyBy(ctx context.Context, signed id.UserID, key id.Ed25519, signer id.UserID) (map[id.Ed25519]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	signatures, err := s.MemoryStore.GetSignaturesForKeyBy(ctx, signed, key, signer)
	return maps.Clone(signatures), err
}

func (s *friendStore) IsKeySignedBy(ctx context.Context, signed id.UserID, key id.Ed25519, signer id.UserID, by id.Ed25519) (bool, error) {
	signatures, err := s.GetSignaturesForKeyBy(ctx, signed, key, signer)
	return signatures[by] != "", err
}

// friend signs a user in on a new device.
func (w *world) friend(u, password, device string) *friend {
	w.t.Helper()
	cli, err := mautrix.NewClient(w.http.URL, "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = cli.Login(w.t.Context(), &mautrix.ReqLogin{
		Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: u},
		Password: password, DeviceID: id.DeviceID(device), StoreCredentials: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	f := &friend{w: w, t: w.t, cli: cli, room: id.RoomID(w.room), last: map[id.EventID]*event.Event{}}
	f.mach = crypto.NewOlmMachine(cli, nil, &friendStore{MemoryStore: crypto.NewMemoryStore(nil)}, everywhere{f.room})
	f.must(f.mach.Load(w.t.Context()))
	f.must(f.mach.ShareKeys(w.t.Context(), 0))
	f.sync()
	return f
}

func (f *friend) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("%s: %v", f.cli.DeviceID, err)
	}
}

// sync looks once for what is new and reads it.
func (f *friend) sync() {
	f.t.Helper()
	resp, err := f.cli.FullSyncRequest(f.t.Context(), mautrix.ReqSync{Since: f.next})
	f.must(err)
	f.mach.ProcessSyncResponse(f.t.Context(), resp, f.next)
	f.next = resp.NextBatch
	joined := resp.Rooms.Join[f.room]
	if joined == nil {
		return
	}
	for _, e := range joined.Timeline.Events {
		e.RoomID, e.Type.Class = f.room, event.MessageEventType
		if e.Type != event.EventEncrypted || e.Sender == f.cli.UserID {
			continue
		}
		f.last[e.ID] = e
		f.said = append(f.said, f.read(e))
	}
}

func (f *friend) read(e *event.Event) string {
	if e.Content.Parsed == nil {
		if err := e.Content.ParseRaw(e.Type); err != nil {
			return err.Error()
		}
	}
	out, err := f.mach.DecryptMegolmEvent(f.t.Context(), e)
	if err != nil {
		return "?"
	}
	return out.Content.AsMessage().Body
}

// lastContent is what the newest event said.
func (f *friend) lastContent() *event.MessageEventContent {
	f.t.Helper()
	var newest *event.Event
	for _, e := range f.last {
		if newest == nil || e.Timestamp > newest.Timestamp {
			newest = e
		}
	}
	out, err := f.mach.DecryptMegolmEvent(f.t.Context(), newest)
	f.must(err)
	return out.Content.AsMessage()
}

// hears syncs until it has read the words.
func (f *friend) hears(words string) {
	f.t.Helper()
	for range 200 {
		f.sync()
		for _, s := range f.said {
			if s == words {
				return
			}
		}
	}
	f.t.Fatalf("%s did not hear %q but %q", f.cli.DeviceID, words, f.said)
}

// lock makes an event that carries the words, with its key shared among users.
func (f *friend) lock(words string, with ...id.UserID) *event.EncryptedEventContent {
	f.t.Helper()
	ctx := f.t.Context()
	f.must(f.mach.ShareGroupSession(ctx, f.room, with))
	out, err := f.mach.CryptoStore.GetOutboundGroupSession(ctx, f.room)
	f.must(err)
	out.ShareContent() // keeps the key as it is before the first message, for sendKey
	e, err := f.mach.EncryptMegolmEvent(ctx, f.room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: words})
	f.must(err)
	return e
}

// put sends an event.
func (f *friend) put(e *event.EncryptedEventContent) id.EventID {
	f.t.Helper()
	resp, err := f.cli.SendMessageEvent(f.t.Context(), f.room, event.EventEncrypted, e, mautrix.ReqSendEvent{DontEncrypt: true})
	f.must(err)
	return resp.EventID
}

// say sends words to everybody in the room, encrypted.
func (f *friend) say(words string) id.EventID {
	f.t.Helper()
	return f.put(f.lock(words, id.UserID(f.w.alice), id.UserID(f.w.bob)))
}

// keysTo lists the devices that the box sent keys to, in order.
func (w *world) keysTo() (devices []string) {
	for _, r := range w.requests(http.MethodPut, "/sendToDevice/m.room.encrypted/") {
		req, _ := decode[struct {
			Messages map[id.UserID]map[string]json.RawMessage
		}]([]byte(r.body))
		for u, list := range req.Messages {
			if string(u) == w.alice {
				continue // from somebody else to the box
			}
			for d := range list {
				devices = append(devices, string(u)+" "+d)
			}
		}
	}
	return devices
}

// sendKey gives the room key in use to one device, from its beginning on.
func (f *friend) sendKey(u id.UserID, d id.DeviceID) {
	f.t.Helper()
	ctx := f.t.Context()
	out, err := f.mach.CryptoStore.GetOutboundGroupSession(ctx, f.room)
	f.must(err)
	dev, err := f.mach.GetOrFetchDevice(ctx, u, d)
	f.must(err)
	f.must(f.mach.SendEncryptedToDevice(ctx, dev, event.ToDeviceRoomKey, out.ShareContent()))
}

// until waits for something that requests bring about.
func (w *world) until(ok func() bool) {
	w.t.Helper()
	for range 2000 {
		w.homeserver.mu.Lock()
		bell := w.bell
		w.homeserver.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-bell:
		case <-time.After(5 * time.Millisecond): // not everything rings
		}
	}
	w.t.Fatal("it did not happen")
}
