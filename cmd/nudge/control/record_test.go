package control

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// A recording ends when its time is over or when it is stopped, and its text comes
// back; there is one at a time.
func TestRecord(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		ctx := t.Context()
		began := make(chan netip.Addr, 1)
		h.box.Overhear = nil
		_, err := cl.Record(ctx, RecordRequest{For: time.Second})
		wantErr(t, err, "the box is not running")
		h.box.Overhear = func(ctx context.Context, pc netip.Addr) (string, error) {
			began <- pc
			<-ctx.Done()
			return "A> VER", nil
		}
		wantErr(t, cl.StopRecording(ctx), "nothing is being recorded")
		_, err = cl.Record(ctx, RecordRequest{PC: "xp", For: time.Second})
		wantErr(t, err, "no address of a PC")
		for _, d := range []time.Duration{0, -1, LongestRecording + 1} {
			_, err = cl.Record(ctx, RecordRequest{For: d})
			wantErr(t, err, "a recording takes up to 1h")
		}
		type answer struct {
			Recorded
			err error
		}
		got := make(chan answer)
		go func() {
			r, err := cl.Record(ctx, RecordRequest{PC: "192.168.1.30", For: time.Hour})
			got <- answer{r, err}
		}()
		if pc := <-began; pc != netip.MustParseAddr("192.168.1.30") {
			t.Errorf("recording %v", pc)
		}
		_, err = cl.Record(ctx, RecordRequest{For: time.Second})
		wantErr(t, err, "a recording runs already")
		if err := cl.StopRecording(ctx); err != nil {
			t.Error(err)
		}
		if a := <-got; a.err != nil || a.Transcript != "A> VER" {
			t.Errorf("%+v", a)
		}
		if r, err := cl.Record(ctx, RecordRequest{For: time.Millisecond}); err != nil || r.Transcript != "A> VER" || (<-began).IsValid() {
			t.Errorf("%+v %v", r, err)
		}
	})
}

func TestRoot(t *testing.T) {
	both(t, func(t *testing.T, h *house, cl *Client) {
		h.box.Trusted = nil
		_, err := cl.Root(t.Context())
		wantErr(t, err, "HTTPS is off")
		h.box.Trusted = func(context.Context) ([]byte, error) { return []byte("\x00root"), nil }
		if r, err := cl.Root(t.Context()); err != nil || string(r.DER) != "\x00root" {
			t.Errorf("%q %v", r.DER, err)
		}
	})
}
