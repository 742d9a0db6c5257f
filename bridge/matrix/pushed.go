package matrix

import (
	"context"
	"encoding/json"

	"maunium.net/go/mautrix/id"
)

// deviceNews is what a transaction says of the ghosts' devices, where the homeserver
// puts that into transactions (MSC4203, before MSC2409, and MSC3202; the names are
// not final).
type deviceNews struct {
	ToDevice []json.RawMessage                 `json:"de.sorunome.msc2409.to_device"`
	Lists    deviceLists                       `json:"org.matrix.msc3202.device_lists"`
	Counts   byDevice[map[id.KeyAlgorithm]int] `json:"org.matrix.msc3202.device_one_time_keys_count"`
	Spare    byDevice[[]id.KeyAlgorithm]       `json:"org.matrix.msc3202.device_unused_fallback_key_types"`
}

// byDevice is something for each device of each user.
type byDevice[T any] map[id.UserID]map[id.DeviceID]T

// of is what concerns one device, as its /sync would say it.
func (n *deviceNews) of(u id.UserID, d id.DeviceID) (resp *syncResponse, some bool) {
	resp = &syncResponse{DeviceLists: n.Lists, OneTimeKeys: n.Counts[u][d]}
	if types, ok := n.Spare[u][d]; ok {
		resp.FallbackKeys = &types
	}
	for _, raw := range n.ToDevice {
		to, _ := decode[struct {
			User   id.UserID   `json:"to_user_id"`
			Device id.DeviceID `json:"to_device_id"`
		}](raw)
		if to.User == u && to.Device == d {
			resp.ToDevice.Events = append(resp.ToDevice.Events, raw)
		}
	}
	return resp, len(resp.ToDevice.Events)+len(n.Lists.Changed)+len(n.Lists.Left)+len(resp.OneTimeKeys) > 0 || resp.FallbackKeys != nil
}

// inform gives the ghosts what a transaction says of their devices.
func (s *service) inform(ctx context.Context, n *deviceNews, h *harvest) error {
	if len(n.ToDevice) > 0 {
		s.brings.Store(true)
	}
	for _, g := range s.all() {
		if g.olm() == nil {
			continue
		}
		if resp, some := n.of(g.cli.UserID, g.device.DeviceID); some {
			h.add(g)
			if err := g.receiveKeys(ctx, resp, "pushed"); err != nil {
				return err
			}
		}
	}
	return nil
}
