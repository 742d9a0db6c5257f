package olm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/olm"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// disk is an im.KV that is durable at once and counts its transactions.
type disk struct {
	mu      sync.Mutex
	values  map[string][]byte
	updates int
	err     error
}

func newDisk() *disk { return &disk{values: map[string][]byte{}} }

func (d *disk) View(fn func(im.Tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fn(diskTx{d})
}

func (d *disk) Update(fn func(im.Tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.updates++
	if d.err != nil {
		return d.err
	}
	return fn(diskTx{d})
}

func (d *disk) Sync(context.Context) error { return nil }

type diskTx struct{ *disk }

func (t diskTx) Get(k []byte) []byte   { return t.values[string(k)] }
func (t diskTx) Put(k, v []byte) error { t.values[string(k)] = bytes.Clone(v); return nil }
func (t diskTx) Delete(k []byte) error { delete(t.values, string(k)); return nil }
func (t diskTx) Scan(p []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(t.values)) {
			if strings.HasPrefix(k, string(p)) && !yield([]byte(k), t.values[k]) {
				return
			}
		}
	}
}

var testKey = bytes.Repeat([]byte{7}, 32)

// must fails the test on an error and passes the value on.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair is an olm session from one new account to another, both ends.
func pair(t *testing.T) (ours, theirs *crypto.OlmSession, a *crypto.OlmAccount, text []byte) {
	t.Helper()
	a, b := crypto.NewOlmAccount(), crypto.NewOlmAccount()
	check(t, b.Internal.GenOneTimeKeys(1))
	keys := must[map[string]id.Curve25519](t)(b.Internal.OneTimeKeys())
	out := must[olm.Session](t)(a.Internal.NewOutboundSession(b.IdentityKey(), slices.Collect(maps.Values(keys))[0]))
	_, text, err := out.Encrypt([]byte("first"))
	check(t, err)
	theirs = must[*crypto.OlmSession](t)(b.NewInboundSessionFrom(a.IdentityKey(), string(text)))
	return &crypto.OlmSession{Internal: out}, theirs, a, text
}

// TestReopen puts one of everything and reads it from the disk again.
func TestReopen(t *testing.T) {
	ctx, d := t.Context(), newDisk()
	s := Open(d, testKey)
	ours, _, account, _ := pair(t)
	_, theirs, _, text := pair(t)
	account.Shared = true
	check(t, s.PutAccount(ctx, account))
	check(t, s.AddSession(ctx, "cu/rve", ours))
	theirs.LastDecryptedTime = time.Now()
	check(t, s.AddSession(ctx, "cu/rve", theirs))
	check(t, s.PutOlmHash(ctx, [32]byte{1}, time.UnixMilli(5000)))
	out := must[*crypto.OutboundGroupSession](t)(crypto.NewOutboundGroupSession("!r:hs", nil, nil))
	out.Shared, out.MessageCount = true, 3
	check(t, s.AddOutboundGroupSession(ctx, out))
	in := must[*crypto.InboundGroupSession](t)(crypto.NewInboundGroupSession("cu/rve", "ed", "!r:hs", out.Internal.Key(), time.Hour, 10, nil, false))
	in.SourceUser = "@b:hs"
	check(t, s.PutGroupSession(ctx, in))
	check(t, s.PutWithheldGroupSession(ctx, event.RoomKeyWithheldEventContent{RoomID: "!r:hs", SessionID: "w", Code: "m.unverified"}))
	check(t, s.PutDevices(ctx, "@b:hs", map[id.DeviceID]*id.Device{"D": {UserID: "@b:hs", DeviceID: "D", IdentityKey: "ik"}}))
	check(t, s.PutCrossSigningKey(ctx, "@b:hs", id.XSUsageMaster, "one"))
	check(t, s.PutCrossSigningKey(ctx, "@b:hs", id.XSUsageMaster, "two"))
	check(t, s.PutSignature(ctx, "@b:hs", "k", "@a:hs", "by/1", "sig"))
	check(t, s.PutSecret(ctx, id.SecretMegolmBackupV1, "very secret"))
	check(t, s.Wait("sess", "$e", Waiting{Room: "!r:hs", Event: []byte(`{}`)}))
	if len(d.values) != 0 {
		t.Fatal("written before Flush")
	}
	check(t, s.Flush(ctx))
	check(t, s.Flush(ctx))
	if d.updates != 1 {
		t.Errorf("%d transactions", d.updates)
	}

	s = Open(d, testKey)
	if a := must[*crypto.OlmAccount](t)(s.GetAccount(ctx)); a.IdentityKey() != account.IdentityKey() || !a.Shared {
		t.Error("another account")
	}
	list := must[crypto.OlmSessionList](t)(s.GetSessions(ctx, "cu/rve"))
	if len(list) != 2 || !list[0].LastDecryptedTime.Equal(theirs.LastDecryptedTime) {
		t.Fatalf("sessions: %v", list)
	}
	if plain, err := list[0].Decrypt(string(text), id.OlmMsgTypePreKey); err != nil || string(plain) != "first" {
		t.Errorf("%q, %v", plain, err)
	}
	if again := must[crypto.OlmSessionList](t)(s.GetSessions(ctx, "cu/rve")); again[0] != list[0] {
		t.Error("a session has two addresses")
	}
	if at := must[time.Time](t)(s.GetOlmHash(ctx, [32]byte{1})); at.UnixMilli() != 5000 {
		t.Error(at)
	}
	o := must[*crypto.OutboundGroupSession](t)(s.GetOutboundGroupSession(ctx, "!r:hs"))
	if o.ID() != out.ID() || !o.Shared || o.MessageCount != 3 || o.MaxMessages != out.MaxMessages || o.Expired() {
		t.Errorf("outbound: %+v", o)
	}
	g := must[*crypto.InboundGroupSession](t)(s.GetGroupSession(ctx, "!r:hs", in.ID()))
	cipher := must[[]byte](t)(o.Encrypt([]byte("hello")))
	if plain, _, err := g.Internal.Decrypt(cipher); err != nil || string(plain) != "hello" || g.SourceUser != "@b:hs" || g.SenderKey != "cu/rve" {
		t.Errorf("inbound: %q %v %+v", plain, err, g)
	}
	if _, err := s.GetGroupSession(ctx, "!r:hs", "w"); !errors.Is(err, crypto.ErrGroupSessionWithheld) {
		t.Errorf("withheld: %v", err)
	}
	if dev := must[*id.Device](t)(s.FindDeviceByKey(ctx, "@b:hs", "ik")); dev == nil || dev.DeviceID != "D" {
		t.Error(dev)
	}
	if k := must[map[id.CrossSigningUsage]id.CrossSigningKey](t)(s.GetCrossSigningKeys(ctx, "@b:hs")); k[id.XSUsageMaster] != (id.CrossSigningKey{Key: "two", First: "one"}) {
		t.Error(k)
	}
	if sigs := must[map[id.Ed25519]string](t)(s.GetSignaturesForKeyBy(ctx, "@b:hs", "k", "@a:hs")); sigs["by/1"] != "sig" {
		t.Error(sigs)
	}
	if v := must[string](t)(s.GetSecret(ctx, id.SecretMegolmBackupV1)); v != "very secret" {
		t.Error(v)
	}
	if w := must[[]Waiting](t)(s.WaitingFor("sess")); len(w) != 1 || w[0].Room != "!r:hs" {
		t.Error(w)
	} else if s.Done(w); len(must[[]Waiting](t)(s.WaitingFor(""))) != 0 {
		t.Error("still waiting")
	}
	if all := must[[]*crypto.InboundGroupSession](t)(s.GetGroupSessionsForRoom(ctx, "!r:hs").AsList()); len(all) != 1 || all[0].RoomID != "!r:hs" {
		t.Error(all)
	}
	if n := must[int64](t)(s.DropSignaturesByKey(ctx, "@a:hs", "by/1")); n != 1 {
		t.Error(n)
	}
	check(t, s.DeleteOldOlmHashes(ctx, time.Now()))
	if at := must[time.Time](t)(s.GetOlmHash(ctx, [32]byte{1})); !at.IsZero() {
		t.Error("old hash is kept")
	}
}

// TestSealed looks for secrets in what is on disk, and opens it with a wrong key.
func TestSealed(t *testing.T) {
	ctx, d := t.Context(), newDisk()
	s := Open(d, testKey)
	check(t, s.PutAccount(ctx, crypto.NewOlmAccount()))
	check(t, s.PutSecret(ctx, "name", "very secret"))
	check(t, s.Flush(ctx))
	for k, v := range d.values {
		if bytes.Contains(v, []byte("very secret")) {
			t.Errorf("%s is in clear", k)
		}
	}
	s = Open(d, bytes.Repeat([]byte{8}, 32))
	if v, err := s.GetSecret(ctx, "name"); err == nil {
		t.Errorf("another key opens %q", v)
	}
	if a, err := s.GetAccount(ctx); err == nil {
		t.Errorf("another key opens %v", a)
	}
}

// TestWhole proves that a Flush from outside waits, and one from inside does not.
func TestWhole(t *testing.T) {
	ctx, d := t.Context(), newDisk()
	s := Open(d, testKey)
	flushed := make(chan error, 1)
	check(t, s.Whole(ctx, func(in context.Context) error {
		s.put(Prefix+"half", []byte("1"))
		short, cancel := context.WithCancel(ctx)
		go func() { flushed <- s.Flush(short) }()
		cancel()
		if err := <-flushed; !errors.Is(err, context.Canceled) || len(d.values) != 0 {
			t.Errorf("half is on disk: %v %v", err, d.values)
		}
		go func() { flushed <- s.Flush(ctx) }()
		s.put(Prefix+"rest", []byte("2"))
		return nil
	}))
	check(t, <-flushed)
	if len(d.values) != 2 || d.updates != 1 {
		t.Errorf("%v in %d transactions", d.values, d.updates)
	}
	check(t, s.Whole(ctx, func(in context.Context) error {
		s.put(Prefix+"half", nil)
		return s.Flush(in)
	}))
	if len(d.values) != 1 {
		t.Errorf("%v", d.values)
	}
	check(t, Wipe(d))
	if len(d.values) != 0 {
		t.Errorf("left: %v", d.values)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTransport: nothing leaves before what it was made from is on disk.
func TestTransport(t *testing.T) {
	d := newDisk()
	s := Open(d, testKey)
	sent := 0
	tr := Transport{s, roundTrip(func(*http.Request) (*http.Response, error) {
		sent++
		if d.values[Prefix+"ratchet"] == nil {
			t.Error("left before it was on disk")
		}
		return &http.Response{Body: io.NopCloser(strings.NewReader(""))}, nil
	})}
	s.put(Prefix+"ratchet", []byte("1"))
	d.err = errors.New("the disk is full")
	r := must[*http.Request](t)(http.NewRequest(http.MethodPut, "http://hs/", nil))
	if _, err := tr.RoundTrip(r); !errors.Is(err, d.err) || sent != 0 {
		t.Errorf("%v, %d sent", err, sent)
	}
	d.err = nil
	must[*http.Response](t)(tr.RoundTrip(r))
	if sent != 1 {
		t.Error("not sent")
	}
}

// TestIndex: a message index belongs to one event.
func TestIndex(t *testing.T) {
	ctx, s := t.Context(), Open(newDisk(), testKey)
	for _, c := range []struct {
		e     id.EventID
		index uint
		at    int64
		want  bool
	}{
		{"$a", 0, 1, true}, {"$a", 0, 1, true}, {"$b", 0, 1, false}, {"$a", 0, 2, false}, {"", 0, 0, false}, {"", 1, 0, true},
		{"$b", 63, 1, true}, {"$c", 64, 1, true}, {"$b", 64, 1, false}, {"$d", 1 << 31, 1, true},
	} {
		if ok := must[bool](t)(s.ValidateMessageIndex(ctx, "s/1", c.e, c.index, c.at)); ok != c.want {
			t.Errorf("%+v: %v", c, ok)
		}
	}
	if ok := must[bool](t)(s.ValidateMessageIndex(ctx, "s", "$z", 0, 1)); !ok {
		t.Error("another session's index")
	}
}

// TestForwarded: who may pass on a room key is asked each time.
func TestForwarded(t *testing.T) {
	ctx, s := t.Context(), Open(newDisk(), testKey)
	out := must[*crypto.OutboundGroupSession](t)(crypto.NewOutboundGroupSession("!r:hs", nil, nil))
	in := must[*crypto.InboundGroupSession](t)(crypto.NewInboundGroupSession("c", "e", "!r:hs", out.Internal.Key(), 0, 0, nil, false))
	in.KeySource, in.SourceUser = id.KeySourceForward, "@mallory:hs"
	if err := s.PutGroupSession(ctx, in); err == nil {
		t.Error("taken from anybody")
	}
	s.Trusted = func(_ context.Context, u id.UserID, _ *crypto.InboundGroupSession) bool { return u == "@me:hs" }
	if err := s.PutGroupSession(ctx, in); err == nil || len(s.Arrived()) != 0 {
		t.Error("taken from mallory")
	}
	in.SourceUser = "@me:hs"
	check(t, s.PutGroupSession(ctx, in))
	if got := s.Arrived(); len(got) != 1 || got[0] != in.ID() || s.Arrived() != nil {
		t.Error(got)
	}
}

// TestDevices: a change that /sync tells while the list is asked for is not lost.
func TestDevices(t *testing.T) {
	ctx, s := t.Context(), Open(newDisk(), testKey)
	users := []id.UserID{"@a:hs", "@b:hs"}
	stale := func() []id.UserID { return must[[]id.UserID](t)(s.Stale(users)) }
	if got := stale(); len(got) != 2 {
		t.Error(got)
	}
	check(t, s.MarkTrackedUsersOutdated(ctx, users)) // not tracked: no record
	if got := must[[]id.UserID](t)(s.Tracked()); len(got) != 0 {
		t.Error(got)
	}
	answered := s.Asking(users)
	check(t, s.MarkTrackedUsersOutdated(ctx, users[1:]))
	for _, u := range users {
		check(t, s.PutDevices(ctx, u, nil))
	}
	check(t, answered(ctx))
	if got := stale(); !slices.Equal(got, users[1:]) {
		t.Error(got)
	}
	if got := must[[]id.UserID](t)(s.GetOutdatedTrackedUsers(ctx)); !slices.Equal(got, users[1:]) {
		t.Error(got)
	}
	check(t, s.PutDevice(ctx, "@c:hs", &id.Device{DeviceID: "X"}))
	if got := must[[]id.UserID](t)(s.Stale([]id.UserID{"@c:hs"})); len(got) != 1 {
		t.Error("one device was taken for the whole list")
	}
}

// TestRooms: whenever somebody else reads a room than before, its key is dropped.
func TestRooms(t *testing.T) {
	ctx, s := t.Context(), Open(newDisk(), testKey)
	const r = id.RoomID("!r/1:hs")
	key := func() bool { return must[*crypto.OutboundGroupSession](t)(s.GetOutboundGroupSession(ctx, r)) != nil }
	renew := func() {
		check(t, s.AddOutboundGroupSession(ctx, must[*crypto.OutboundGroupSession](t)(crypto.NewOutboundGroupSession(r, nil, nil))))
	}
	check(t, s.Meet(ctx, r, "@a:hs", event.MembershipJoin))
	if must[*Room](t)(s.Room(r)) != nil {
		t.Fatal("a record nobody asked for")
	}
	room := Room{Members: map[id.UserID]bool{"@a:hs": true, "@b:hs": true}}
	if !must[bool](t)(s.SetRoom(ctx, r, room, 0)) {
		t.Fatal("not set")
	}
	for _, c := range []struct {
		what  string
		do    func() error
		drops bool
	}{
		{"a name", func() error { return s.Meet(ctx, r, "@b:hs", event.MembershipJoin) }, false},
		{"a leave", func() error { return s.Meet(ctx, r, "@b:hs", event.MembershipLeave) }, true},
		{"a ban of one who left", func() error { return s.Meet(ctx, r, "@b:hs", event.MembershipBan) }, false},
		{"an invitation", func() error { return s.Meet(ctx, r, "@b:hs", event.MembershipInvite) }, true},
		{"the invited joins", func() error { return s.Meet(ctx, r, "@b:hs", event.MembershipJoin) }, false},
		{"visibility", func() error { return s.Show(ctx, r, event.HistoryVisibilityJoined) }, true},
		{"an invitation that reads nothing", func() error { return s.Meet(ctx, r, "@c:hs", event.MembershipInvite) }, false},
		{"who then joins", func() error { return s.Meet(ctx, r, "@c:hs", event.MembershipJoin) }, true},
		{"rotation", func() error { return s.Rotate(ctx, r, event.EncryptionEventContent{RotationPeriodMessages: 5}) }, true},
		{"a gap", func() error { return s.Gap(ctx, r) }, false},
		{"leaving", func() error { return s.LeaveRoom(ctx, r) }, true},
	} {
		renew()
		check(t, c.do())
		if key() == c.drops {
			t.Errorf("%s: key dropped: %v", c.what, !key())
		}
	}
	check(t, s.Meet(ctx, r, "@b:hs", event.MembershipJoin))
	if ok := must[bool](t)(s.SetRoom(ctx, r, room, 0)); !ok {
		t.Error("not set after leaving")
	}
	check(t, s.Meet(ctx, r, "@b:hs", event.MembershipLeave)) // comes while the members are asked for
	if must[bool](t)(s.SetRoom(ctx, r, room, 0)) {
		t.Error("an older answer replaced what /sync told")
	}
	if got := must[*Room](t)(s.Room(r)).Readers(); !slices.Equal(got, []id.UserID{"@a:hs"}) {
		t.Error(got)
	}
	if got := must[[]id.RoomID](t)(s.FindSharedRooms(ctx, "@a:hs")); !slices.Equal(got, []id.RoomID{r}) {
		t.Error(got)
	}
}
