package matrix

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"maunium.net/go/mautrix/id"
)

// hsKeys is what the homeserver keeps of a user's encryption.
type hsKeys struct {
	devices map[string]json.RawMessage            // device keys
	one     map[string]map[string]json.RawMessage // device to one-time keys
	spare   map[string]map[string]json.RawMessage // device to fallback key
	inbox   map[string][]hsToDevice               // device to what waits for it
	cross   map[string]json.RawMessage            // master_key, self_signing_key, user_signing_key
	changed int                                   // pos of the last change of the list
	backup  map[string]json.RawMessage            // room, session to key_backup_data
	version json.RawMessage                       // of the backup
}

type hsToDevice struct {
	pos int
	raw json.RawMessage
}

// encrypt makes it a server with encryption.
func (h *homeserver) encrypt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = map[id.UserID]*hsKeys{}
}

// of is a user's part. mu is held.
func (h *homeserver) of(u id.UserID) *hsKeys {
	if h.keys[u] == nil {
		h.keys[u] = &hsKeys{
			devices: map[string]json.RawMessage{}, one: map[string]map[string]json.RawMessage{}, spare: map[string]map[string]json.RawMessage{},
			inbox: map[string][]hsToDevice{}, cross: map[string]json.RawMessage{}, backup: map[string]json.RawMessage{},
		}
	}
	return h.keys[u]
}

// encryption does the requests of end-to-end encryption; false when it is none.
// mu is held.
func (h *homeserver) encryption(w http.ResponseWriter, r *http.Request, me id.UserID, device string, p []string, body []byte) bool {
	switch what := p[0] + "/" + p[min(1, len(p)-1)]; {
	case what == "keys/upload":
		h.uploadKeys(w, me, device, body)
	case what == "keys/query":
		req, _ := decode[struct {
			Users map[id.UserID]json.RawMessage `json:"device_keys"`
		}](body)
		resp := map[string]map[id.UserID]any{"device_keys": {}, "master_keys": {}, "self_signing_keys": {}, "user_signing_keys": {}}
		for u := range req.Users {
			resp["device_keys"][u] = h.of(u).devices
			for kind, key := range h.of(u).cross {
				resp[kind+"s"][u] = key
			}
		}
		answer(w, resp)
	case what == "keys/claim":
		h.claim(w, body)
	case what == "keys/device_signing":
		req, _ := decode[map[string]json.RawMessage](body)
		for kind, key := range req {
			if strings.HasSuffix(kind, "_key") {
				h.of(me).cross[kind] = key
			}
		}
		h.of(me).changed = h.happen()
		answer(w, struct{}{})
	case what == "keys/signatures":
		h.sign(me, body)
		answer(w, struct{}{})
	case p[0] == "sendToDevice":
		req, _ := decode[struct {
			Messages map[id.UserID]map[string]json.RawMessage
		}](body)
		for u, devices := range req.Messages {
			for d, content := range devices {
				h.sendTo(u, d, me, p[1], content)
			}
		}
		answer(w, struct{}{})
	case what == "room_keys/version" && h.of(me).version != nil:
		answer(w, h.of(me).version)
	case what == "room_keys/keys":
		h.backup(w, me, p[2:])
	default:
		return false
	}
	return true
}

func (h *homeserver) uploadKeys(w http.ResponseWriter, me id.UserID, device string, body []byte) {
	req, _ := decode[struct {
		Device json.RawMessage            `json:"device_keys"`
		One    map[string]json.RawMessage `json:"one_time_keys"`
		Spare  map[string]json.RawMessage `json:"fallback_keys"`
	}](body)
	k := h.of(me)
	if k.one[device] == nil {
		k.one[device] = map[string]json.RawMessage{}
	}
	for name, key := range req.One {
		if old, twice := k.one[device][name]; twice && string(old) != string(key) {
			refuse(w, 400, "M_INVALID_PARAM", "One time key "+name+" already exists")
			return
		}
	}
	maps.Copy(k.one[device], req.One)
	if req.Spare != nil {
		k.spare[device] = req.Spare
	}
	if req.Device != nil {
		k.devices[device] = req.Device
		k.changed = h.happen()
	}
	answer(w, map[string]any{"one_time_key_counts": map[string]int{"signed_curve25519": len(k.one[device])}})
}

func (h *homeserver) claim(w http.ResponseWriter, body []byte) {
	req, _ := decode[struct {
		Wanted map[id.UserID]map[string]string `json:"one_time_keys"`
	}](body)
	given := map[id.UserID]map[string]map[string]json.RawMessage{}
	for u, devices := range req.Wanted {
		given[u] = map[string]map[string]json.RawMessage{}
		for d := range devices {
			names := slices.Sorted(maps.Keys(h.of(u).one[d]))
			if len(names) == 0 {
				given[u][d] = h.of(u).spare[d]
				continue
			}
			given[u][d] = map[string]json.RawMessage{names[0]: h.of(u).one[d][names[0]]}
			delete(h.of(u).one[d], names[0])
		}
	}
	answer(w, map[string]any{"one_time_keys": given})
}

// sign adds signatures to keys. mu is held.
func (h *homeserver) sign(me id.UserID, body []byte) {
	type signed struct {
		Signatures map[id.UserID]map[string]string `json:"signatures"`
	}
	req, _ := decode[map[id.UserID]map[string]signed](body)
	for u, things := range req {
		for name, s := range things {
			for _, keys := range []map[string]json.RawMessage{h.of(u).devices, h.of(u).cross} {
				for k, raw := range keys {
					all, _ := decode[map[string]any](raw)
					if k != name && !strings.Contains(fmt.Sprint(all["keys"]), "ed25519:"+name) {
						continue
					}
					old, _ := decode[signed](raw)
					if old.Signatures == nil {
						old.Signatures = map[id.UserID]map[string]string{}
					}
					if old.Signatures[me] == nil {
						old.Signatures[me] = map[string]string{}
					}
					maps.Copy(old.Signatures[me], s.Signatures[me])
					all["signatures"] = old.Signatures
					keys[k], _ = json.Marshal(all)
				}
			}
		}
		h.of(u).changed = h.happen()
	}
}

// sendTo queues a to-device message, "*" for every device. mu is held.
func (h *homeserver) sendTo(u id.UserID, device string, from id.UserID, kind string, content json.RawMessage) {
	raw, _ := json.Marshal(map[string]any{"type": kind, "sender": from, "content": content})
	for d := range h.of(u).devices {
		if h.boxes != nil && h.boxes.lent[d] && h.boxes.brings {
			addressed, _ := json.Marshal(map[string]any{"type": kind, "sender": from, "content": content, "to_user_id": u, "to_device_id": d})
			h.boxes.post = append(h.boxes.post, addressed)
			h.happen()
			continue
		}
		if d == device || device == "*" {
			h.of(u).inbox[d] = append(h.of(u).inbox[d], hsToDevice{h.happen(), raw})
		}
	}
}

func (h *homeserver) backup(w http.ResponseWriter, me id.UserID, p []string) {
	kept := h.of(me).backup
	if len(p) == 2 {
		if kept[p[0]+" "+p[1]] == nil {
			refuse(w, 404, "M_NOT_FOUND", "no such key")
			return
		}
		answer(w, kept[p[0]+" "+p[1]])
		return
	}
	rooms := map[string]map[string]map[string]json.RawMessage{}
	for name, data := range kept {
		r, s, _ := strings.Cut(name, " ")
		if rooms[r] == nil {
			rooms[r] = map[string]map[string]json.RawMessage{"sessions": {}}
		}
		rooms[r]["sessions"][s] = data
	}
	answer(w, map[string]any{"rooms": rooms})
}

// keyPart adds to a /sync response what it says of encryption; true when that is
// news. What came before since is forgotten, as servers do. mu is held.
func (h *homeserver) keyPart(resp map[string]any, me id.UserID, device string, since int) bool {
	if h.keys == nil {
		return false
	}
	k := h.of(me)
	k.inbox[device] = slices.DeleteFunc(k.inbox[device], func(m hsToDevice) bool { return m.pos <= since })
	toDevice := []json.RawMessage{}
	for _, m := range k.inbox[device] {
		toDevice = append(toDevice, m.raw)
	}
	changed := []id.UserID{}
	for u, k := range h.keys {
		if k.changed > since && since > 0 {
			changed = append(changed, u)
		}
	}
	unused := []string{}
	if k.spare[device] != nil {
		unused = append(unused, "signed_curve25519")
	}
	resp["to_device"] = map[string]any{"events": toDevice}
	resp["device_lists"] = map[string]any{"changed": changed}
	resp["device_one_time_keys_count"] = map[string]int{"signed_curve25519": len(k.one[device])}
	resp["device_unused_fallback_key_types"] = unused
	return len(toDevice)+len(changed) > 0
}
