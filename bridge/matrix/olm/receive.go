package olm

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Delivery is what one /sync response says about encryption (client-server API,
// end-to-end encryption, extensions to /sync).
type Delivery struct {
	ToDevice      []json.RawMessage
	Changed, Left []id.UserID // whose device lists changed; who shares no room any more
	Counts        *int        // one-time keys on the server; nil: it did not say
	Fallback      *bool       // whether it has an unused fallback key; nil: it can't tell
}

// Task is something to do on the network that nobody waits for. It may be
// repeated when it fails.
type Task func(context.Context) error

// Receive takes in a delivery. What it learned is on disk after the next Flush,
// which must come before the next /sync. The tasks are for the caller to run.
func (d *Device) Receive(ctx context.Context, in Delivery) (tasks []Task, err error) {
	own := func(u id.UserID) bool { return u == d.cli.UserID }
	others := slices.DeleteFunc(slices.Concat(in.Changed, in.Left), own)
	if err := d.MarkTrackedUsersOutdated(ctx, others); err != nil {
		return nil, err
	}
	if err := d.renew(ctx, slices.ContainsFunc(in.Changed, own)); err != nil {
		return nil, err
	}
	for _, raw := range in.ToDevice {
		var e event.Event
		if json.Unmarshal(raw, &e) != nil {
			continue
		}
		e.Type.Class = event.ToDeviceEventType
		if err := e.Content.ParseRaw(e.Type); err != nil {
			continue
		}
		var task Task
		err := d.Whole(ctx, func(ctx context.Context) error {
			return guard(func() (err error) {
				task, err = d.receive(ctx, &e)
				return err
			})
		})
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil && task != nil {
			tasks = append(tasks, task)
		}
	}
	if in.Fallback != nil && !*in.Fallback && d.daily() {
		tasks = append(tasks, d.once(d.fallback))
	}
	if in.Counts != nil && *in.Counts < int(d.mach.GetAccount().Internal.MaxNumberOfOneTimeKeys()/4) {
		count := *in.Counts
		tasks = append(tasks, d.once(func(ctx context.Context) error { return d.share(ctx, count) }))
	}
	d.mach.MarkOlmHashSavePoint(ctx)
	return tasks, nil
}

// renew asks for the account's own devices when they changed. A server may say so
// again and again: nothing is written as long as the answer is the same. When
// there is none it is asked again the next time.
func (d *Device) renew(ctx context.Context, changed bool) error {
	me := []id.UserID{d.cli.UserID}
	stale, err := d.Stale(me)
	if err != nil || len(stale) == 0 && !changed {
		return err
	}
	if err := d.Alone(ctx, func() error { return d.ask(ctx, me...) }); err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return d.MarkTrackedUsersOutdated(ctx, me)
}

// daily lets a fallback key be made once a day: there are servers that take it
// and say with every response that they have none (Dendrite).
func (d *Device) daily() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.spare) < 24*time.Hour {
		return false
	}
	d.spare = time.Now()
	return true
}

// once is an upload of keys, unless one is under way.
func (d *Device) once(do Task) Task {
	return func(ctx context.Context) error {
		d.mu.Lock()
		busy := d.upload
		d.upload = true
		d.mu.Unlock()
		if busy {
			return nil
		}
		defer func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.upload = false
		}()
		return guard(func() error { return do(ctx) })
	}
}

// receive works off one to-device message.
func (d *Device) receive(ctx context.Context, e *event.Event) (Task, error) {
	if kind, ok := strings.CutPrefix(e.Type.Type, verifyPrefix); ok {
		return nil, d.verifying(ctx, e.Sender, kind, e.Content.VeryRaw)
	}
	switch content := e.Content.Parsed.(type) {
	case *event.EncryptedEventContent:
		mine, ok := content.OlmCiphertext[d.mach.GetAccount().IdentityKey()]
		if !ok {
			return nil, nil
		}
		d.mach.HandleToDeviceEvent(ctx, e)
		b, err := base64.RawStdEncoding.DecodeString(mine.Body)
		if err != nil {
			return nil, nil
		}
		if read, err := d.GetOlmHash(ctx, sha256.Sum256(b)); err != nil || !read.IsZero() {
			return nil, err
		}
		return d.mend(e.Sender, content.SenderKey), nil
	case *event.RoomKeyRequestEventContent:
		if e.Sender != d.cli.UserID {
			return nil, nil
		}
		if dev, err := d.GetDevice(ctx, e.Sender, content.RequestingDeviceID); dev == nil || err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			return d.Alone(ctx, func() error {
				d.mach.HandleRoomKeyRequest(ctx, e.Sender, content)
				return nil
			})
		}, nil
	case *event.RoomKeyWithheldEventContent:
		d.mach.HandleToDeviceEvent(ctx, e)
	}
	return nil, nil
}

// mendAgain is how long a session that was begun anew is left alone.
const mendAgain = time.Hour

// mend begins a new session with a device whose message could not be read, and
// tells it so with an empty one (client-server API, recovering from undecryptable
// messages).
func (d *Device) mend(u id.UserID, key id.SenderKey) Task {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.mended[key]) < mendAgain {
		return nil
	}
	d.mended[key] = time.Now()
	return func(ctx context.Context) error {
		return d.Alone(ctx, func() error {
			dev, err := d.mach.GetOrFetchDeviceByKey(ctx, u, key)
			if dev == nil || err != nil {
				return err
			}
			d.Renew(key)
			return d.mach.SendEncryptedToDevice(ctx, dev, event.ToDeviceDummy, event.Content{Parsed: &event.DummyEventContent{}})
		})
	}
}

// Fetch tries to get a room key that did not come: from the account's backup if
// it can open it, else from the account's other devices, which answer by a
// to-device message. It asks once an hour at most.
func (d *Device) Fetch(r id.RoomID, session id.SessionID, sender id.SenderKey) Task {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.asked[session]) < mendAgain {
		return nil
	}
	d.asked[session] = time.Now()
	return func(ctx context.Context) error {
		return d.Alone(ctx, func() error {
			if err := d.fromBackup(ctx, r, session); !errors.Is(err, errNoBackup) {
				return err
			}
			devices, err := d.GetDevices(ctx, d.cli.UserID)
			if err != nil {
				return err
			}
			var to []id.DeviceID
			for _, dev := range devices {
				if dev.DeviceID != d.cli.DeviceID && d.verified(ctx, dev) {
					to = append(to, dev.DeviceID)
				}
			}
			if len(to) == 0 {
				return nil
			}
			return d.mach.SendRoomKeyRequest(ctx, r, sender, session, "", map[id.UserID][]id.DeviceID{d.cli.UserID: to})
		})
	}
}
