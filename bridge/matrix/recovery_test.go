package matrix

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// vault is an account's key backup, filled by its other device.
type vault struct {
	phone    *friend
	recovery string
	key      *backup.MegolmBackupKey
}

// newVault gives alice a phone that sets up signing, a recovery key and a backup.
func newVault(w *world) *vault { return vaultOn(w, "PHONE") }

func vaultOn(w *world, device string) *vault {
	w.t.Helper()
	ctx := w.t.Context()
	phone := w.friend(w.alice, "secret-alice", device)
	recovery, keys, err := phone.mach.GenerateAndUploadCrossSigningKeys(ctx, nil, "")
	phone.must(err)
	phone.mach.CrossSigningKeys = keys
	phone.must(phone.mach.SignOwnDevice(ctx, phone.mach.OwnIdentity()))
	phone.must(phone.mach.SignOwnMasterKey(ctx))
	v := &vault{phone: phone, recovery: recovery}
	v.key, err = backup.NewMegolmBackupKey()
	phone.must(err)
	name, data, err := phone.mach.SSSS.GetDefaultKeyData(ctx)
	phone.must(err)
	opener, err := data.VerifyRecoveryKey(name, recovery)
	phone.must(err)
	phone.must(phone.mach.SSSS.SetEncryptedAccountData(ctx, event.AccountDataMegolmBackupKey, v.key.Bytes(), opener))
	version, err := json.Marshal(mautrix.RespRoomKeysVersion[backup.MegolmAuthData]{
		Algorithm: id.KeyBackupAlgorithmMegolmBackupV1, Version: "1",
		AuthData: backup.MegolmAuthData{PublicKey: id.Ed25519(base64.RawStdEncoding.EncodeToString(v.key.PublicKey().Bytes()))},
	})
	phone.must(err)
	w.homeserver.mu.Lock()
	defer w.homeserver.mu.Unlock()
	w.of(id.UserID(w.alice)).version = version
	return v
}

// keep puts a room key of the phone's into the backup.
func (v *vault) keep(s id.SessionID) {
	f := v.phone
	f.t.Helper()
	g, err := f.mach.CryptoStore.GetGroupSession(f.t.Context(), f.room, s)
	f.must(err)
	exported, err := g.Internal.Export(0)
	f.must(err)
	data, err := backup.EncryptSessionData(v.key, backup.MegolmSessionData{
		Algorithm: id.AlgorithmMegolmV1, SenderKey: g.SenderKey, SessionKey: string(exported),
		SenderClaimedKeys: backup.SenderClaimedKeys{Ed25519: g.SigningKey},
	})
	f.must(err)
	raw, err := json.Marshal(mautrix.RespKeyBackupData[*backup.EncryptedSessionData[backup.MegolmSessionData]]{SessionData: data})
	f.must(err)
	f.w.homeserver.mu.Lock()
	defer f.w.homeserver.mu.Unlock()
	f.w.of(f.cli.UserID).backup[string(f.room)+" "+string(s)] = raw
}

// TestRecoveryKey: with the recovery key the box is a verified device and reads
// what only the backup has the key of: what was kept before it came, and what is
// kept later.
func TestRecoveryKey(t *testing.T) {
	w, bob := newSecretWorld(t)
	v := newVault(w)
	early := bob.lock("kept early", id.UserID(w.alice)) // the box has no device yet
	v.phone.sync()
	v.keep(early.SessionID)
	w.form["recovery-key"] = v.recovery
	l := w.connect()
	up := await(w.host, "state", func(im.LinkState) bool { return true })
	if signed, can := l.(*link).olm().Signed(t.Context()); !signed || !can || strings.Contains(up.Text, "verified") {
		t.Errorf("signed %v, can %v, %q", signed, can, up.Text)
	}
	bob.sync()
	dev, err := bob.mach.GetOrFetchDevice(t.Context(), id.UserID(w.alice), l.(*link).cli.DeviceID)
	if err != nil {
		t.Fatal(err)
	}
	if trust, err := bob.mach.ResolveTrustContext(t.Context(), dev); err != nil || trust != id.TrustStateCrossSignedTOFU {
		t.Errorf("bob sees the box as %v, %v", trust, err)
	}
	bob.put(early)
	if m := w.hears("kept early"); m.Rel.Kind != im.NoRel {
		t.Errorf("%+v", m)
	}
	bob.must(bob.mach.CryptoStore.RemoveOutboundGroupSession(t.Context(), bob.room))
	later := bob.lock("kept later")
	bob.sendKey(id.UserID(w.alice), "PHONE")
	v.phone.sync()
	v.keep(later.SessionID)
	first := bob.put(later)
	if m := w.hears("kept later"); m.Rel != (im.Rel{Kind: im.Resolve, To: string(first)}) {
		t.Errorf("%+v", m)
	}
	for _, r := range w.requests("PUT", "") {
		if strings.Contains(r.body, v.recovery) {
			t.Error("the recovery key left the box")
		}
	}
	l = w.restart(l)
	if signed, _ := l.(*link).olm().Signed(t.Context()); !signed {
		t.Error("not verified any more after a restart")
	}
}

// TestWrongRecoveryKey tells what to do, and encryption goes on without.
func TestWrongRecoveryKey(t *testing.T) {
	w, bob := newSecretWorld(t)
	newVault(w)
	for key, want := range map[string]string{
		"": "give the recovery key", "EsTz 1111 2222": "the recovery key is wrong",
	} {
		w.form["recovery-key"], w.host = key, w.host.copy()
		l := w.connect()
		if up := await(w.host, "state", func(im.LinkState) bool { return true }); !strings.Contains(up.Text, want) || up.State != im.Up {
			t.Errorf("%q: %+v", key, up)
		}
		w.mustSend(l, "m"+key[:min(2, len(key))], "goes on "+key)
		bob.hears("goes on " + key)
		l.Close()
	}
}

// TestPassedOn: a room key that does not come is asked of the account's verified
// devices, and taken from them; whoever asks the box gets one only as such.
func TestPassedOn(t *testing.T) {
	w, bob := newSecretWorld(t)
	v := newVault(w)
	w.homeserver.mu.Lock()
	w.of(id.UserID(w.alice)).version = nil // no backup to read it from
	w.homeserver.mu.Unlock()
	w.form["recovery-key"] = v.recovery
	l := w.connect()
	box := l.(*link).cli.DeviceID
	secret := bob.lock("passed on")
	bob.sendKey(id.UserID(w.alice), "PHONE")
	first := bob.put(secret)
	w.hears("its key has not come")
	w.until(func() bool { return len(w.requests("PUT", "/sendToDevice/m.room_key_request/")) == 1 })
	v.phone.sync() // answers on a goroutine of its own
	if m := w.hears("passed on"); m.Rel != (im.Rel{Kind: im.Resolve, To: string(first)}) {
		t.Errorf("%+v", m)
	}
	thief := w.friend(w.alice, "secret-alice", "THIEF") // the account's, not verified
	ask := func(f *friend) {
		f.must(f.mach.SendRoomKeyRequest(t.Context(), f.room, "", secret.SessionID, "", map[id.UserID][]id.DeviceID{id.UserID(w.alice): {box}}))
	}
	ask(thief)
	ask(bob)
	w.until(func() bool { return len(w.requests("PUT", "/sendToDevice/m.room_key.withheld/")) == 1 })
	if got := w.requests("PUT", "/sendToDevice/m.room_key.withheld/")[0].body; !strings.Contains(got, "m.unverified") {
		t.Error(got)
	}
	before := len(w.requests("PUT", "/sendToDevice/m.room.encrypted/"))
	ask(v.phone)
	w.until(func() bool { return len(w.requests("PUT", "/sendToDevice/m.room.encrypted/")) == before+1 })
}
