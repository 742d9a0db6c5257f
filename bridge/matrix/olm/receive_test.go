package olm

import (
	"encoding/json"
	"net/http"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// alone is a device without a network.
func alone(t testing.TB) *Device {
	cli, err := mautrix.NewClient("http://hs.invalid", "@me:hs", "token")
	if err != nil {
		t.Fatal(err)
	}
	cli.DeviceID = "DEV"
	cli.Client = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed })}
	d := New(cli, Open(newDisk(), testKey))
	if err := d.mach.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// FuzzReceive: whatever a server delivers, the device goes on.
func FuzzReceive(f *testing.F) {
	for _, s := range []string{
		``, `null`, `[]`, `{"type":1}`, `{"type":"m.room.encrypted","sender":"@x:hs"}`,
		`{"type":"m.room.encrypted","sender":"@x:hs","content":{"algorithm":"m.olm.v1.curve25519-aes-sha2","sender_key":"k","ciphertext":{"KEY":{"type":0,"body":"AwogAAAA"}}}}`,
		`{"type":"m.room.encrypted","sender":"@x:hs","content":{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"x"}}`,
		`{"type":"m.room_key","sender":"@x:hs","content":{"algorithm":"m.megolm.v1.aes-sha2","room_id":"!r","session_id":"s","session_key":"AQ"}}`,
		`{"type":"m.room_key_request","sender":"@me:hs","content":{"action":"request","requesting_device_id":"X","request_id":"1","body":{}}}`,
		`{"type":"m.room_key.withheld","sender":"@x:hs","content":{"algorithm":"m.megolm.v1.aes-sha2","code":"m.unverified"}}`,
		`{"algorithm":"m.megolm.v1.aes-sha2","session_id":"s","ciphertext":"AwgAEpABqOCAaP6NqXquQcEsrGCVInjRTLHmVH8exqYO0b5Aulhgzqrt6oWVUZCpSRBCnlmvnc96n"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := alone(t)
		var e struct {
			Type, Sender string
			Content      json.RawMessage
		}
		if json.Unmarshal(b, &e) == nil { // aim at this device
			var c map[string]json.RawMessage
			if json.Unmarshal(e.Content, &c) == nil {
				var texts map[string]json.RawMessage
				if json.Unmarshal(c["ciphertext"], &texts) == nil {
					for k, v := range texts {
						delete(texts, k)
						texts[string(d.mach.GetAccount().IdentityKey())] = v
						break
					}
					c["ciphertext"], _ = json.Marshal(texts)
					b, _ = json.Marshal(map[string]any{"type": e.Type, "sender": e.Sender, "content": c})
				}
			}
		}
		n := 0
		if _, err := d.Receive(t.Context(), Delivery{ToDevice: []json.RawMessage{b}, Changed: []id.UserID{"@x:hs"}, Counts: &n}); err != nil {
			t.Fatal(err)
		}
		if kind, _, err := d.Decrypt(t.Context(), "!r", "$e", "@x:hs", 1, b); err == nil {
			t.Fatalf("read a %s without any key", kind)
		}
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
