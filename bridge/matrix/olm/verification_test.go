package olm

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"maunium.net/go/mautrix/id"

	"nudge/bridge/matrix/sas"
)

// FuzzVerification: whatever another device says while it is asked to verify this one,
// or while it asks, it is not believed without the keys of the exchange.
func FuzzVerification(f *testing.F) {
	const ready = `{"kind":"ready","content":{"from_device":"APP","methods":["m.sas.v1"]}}` + "\n"
	const accept = `{"kind":"accept","content":{"commitment":"x","hash":"sha256","key_agreement_protocol":"curve25519-hkdf-sha256","message_authentication_code":"hkdf-hmac-sha256.v2","short_authentication_string":["emoji"]}}` + "\n"
	const start = `{"kind":"start","content":{"from_device":"APP","method":"m.sas.v1","hashes":["sha256"],"key_agreement_protocols":["curve25519-hkdf-sha256"],"message_authentication_codes":["hkdf-hmac-sha256.v2"],"short_authentication_string":["emoji"]}}` + "\n"
	const key = `{"kind":"key","content":{"key":"3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08"}}` + "\n"
	const mac = `{"kind":"mac","content":{"keys":"x","mac":{"ed25519:APP":"x"}}}`
	for _, s := range []string{
		"", ready, ready + accept + key + mac, ready + start + key + mac, ready + `{"kind":"cancel","content":{"code":"m.mismatched_sas"}}`,
		`{"kind":"request","txn":"other","content":{"from_device":"APP","methods":["m.sas.v1"]}}` + "\n" + `{"kind":"start","txn":"other","content":null}`,
		`{"kind":"ready","content":{"from_device":"DEV"}}`, ready + ready + `{"kind":"accept","content":[]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		d := alone(t)
		d.cli.Client = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		})}
		me := d.cli.UserID
		if err := d.PutDevices(t.Context(), me, map[id.DeviceID]*id.Device{
			"APP": {UserID: me, DeviceID: "APP", SigningKey: "signs", IdentityKey: "app"}, "OLD": {UserID: me, DeviceID: "OLD", SigningKey: "old"},
		}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		d.Verify = func(v *Verification) {
			wg.Go(func() {
				err := v.Run(ctx, func(context.Context, [7]sas.Emoji) (bool, error) { return true, nil })
				if err == nil || strings.Contains(err.Error(), "encryption failed") {
					t.Errorf("it ends with %v", err)
				}
			})
		}
		v, err := d.Propose(t.Context())
		if v == nil || err != nil {
			t.Fatal(v, err)
		}
		d.Verify(v)
		for line := range bytes.Lines(said) {
			var e struct {
				Kind, Txn string
				Content   json.RawMessage
			}
			c := map[string]json.RawMessage{}
			if json.Unmarshal(line, &e) != nil || json.Unmarshal(e.Content, &c) != nil || c == nil {
				continue
			}
			if c["transaction_id"], _ = json.Marshal(v.txn); e.Txn != "" {
				c["transaction_id"], _ = json.Marshal(e.Txn)
			}
			content, _ := json.Marshal(c)
			if err := d.verifying(ctx, me, e.Kind, content); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		wg.Wait()
		for _, name := range []id.DeviceID{"APP", "OLD"} {
			if dev, err := d.GetDevice(t.Context(), me, name); err != nil || dev.Trust == id.TrustStateVerified {
				t.Fatal(name, "is believed", err)
			}
		}
	})
}
