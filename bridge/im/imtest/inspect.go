package imtest

import (
	"slices"
	"unicode/utf8"

	"nudge/bridge/im"
)

// inspect notes what is wrong with a batch by itself, and counts receipts and
// link states. The box's lock is held.
func (h *host) inspect(batch im.Batch) {
	b := h.box
	own := im.Addr{}
	if !b.rig.Shared {
		own = b.rig.Account
	}
	if batch.User != own && batch.User != b.rig.Account {
		b.violated("batch for %v, which is neither the link's user nor an account of this box", batch.User)
	}
	for _, ev := range batch.Events {
		switch ev := ev.(type) {
		case im.Message:
			h.inspectMessage(ev)
		case im.Receipt:
			h.inspectReceipt(ev)
		case im.LinkState:
			h.inspectState(ev)
		case im.PresenceChanged:
			h.inspectWho("PresenceChanged.Who", ev.Who.Addr)
			if ev.Re != "" || ev.Now.Status == im.Hidden {
				b.violated("presence %+v: Re is for sinks, and nobody is seen hidden", ev)
			}
		case im.Typing:
			h.inspectWho("Typing.Who", ev.Who)
			if ev.Conv == "" {
				b.violated("typing without a conversation: %+v", ev)
			}
		case im.Roster:
			for _, c := range ev.Items {
				h.inspectWho("Roster.Items", c.Addr)
			}
		case im.ContactEdit:
			h.inspectWho("ContactEdit.Who", ev.Who.Addr)
			if ev.Op != im.Add && ev.Op != im.Remove && ev.Op != im.Unblock {
				b.violated("edit %d comes in; only Add, Remove and Unblock may", ev.Op)
			}
		case im.Room:
		default:
			b.violated("a network must not accept %T", ev)
		}
	}
}

func (h *host) inspectWho(what string, a im.Addr) {
	if a.Net != h.box.rig.Name || a.ID == "" {
		h.box.violated("%s is %+v; want an address of %q", what, a, h.box.rig.Name)
	}
}

func (h *host) inspectMessage(m im.Message) {
	if !m.Own {
		h.inspectWho("Message.From", m.From)
	}
	switch {
	case m.ID == "":
		h.box.violated("message without ID: it could not be told from a repetition")
	case m.Conv == "" || m.At.IsZero():
		h.box.violated("message %s lacks Conv or At: Conv %q, At %v", m.ID, m.Conv, m.At)
	case !utf8.ValidString(m.Text) || !utf8.ValidString(m.Name):
		h.box.violated("message %s is not valid UTF-8", m.ID)
	}
}

// inspectReceipt demands that no state comes twice and none goes backwards,
// except to Failed.
func (h *host) inspectReceipt(r im.Receipt) {
	b := h.box
	before := h.receipts[r.ID]
	switch {
	case r.ID == "":
		b.violated("receipt without ID")
	case r.State > im.Failed:
		b.violated("receipt for %s with unknown state %d", r.ID, r.State)
	case slices.Contains(before, im.Failed):
		b.violated("%s was Failed, then gets a receipt %d", r.ID, r.State)
	case len(before) > 0 && r.State <= before[len(before)-1]:
		b.violated("%s has receipts %v, then gets %d", r.ID, before, r.State)
	case r.State == im.Failed && (r.Err == nil || r.Err.Error() == ""):
		b.violated("%s Failed without a word why", r.ID)
	}
	for _, o := range b.outbox {
		if m, is := o.Event.(im.Message); is && o.id == r.ID && m.Conv != r.Conv {
			b.violated("receipt for %s names conversation %q, want %q", r.ID, r.Conv, m.Conv)
		}
	}
	h.receipts[r.ID] = append(before, r.State)
}

func (h *host) inspectState(s im.LinkState) {
	if s.Net != h.box.rig.Name {
		h.box.violated("LinkState.Net is %q, want %q", s.Net, h.box.rig.Name)
	}
	if s.State == im.Up || s.State == im.Degraded && h.ups == 0 {
		if h.ups++; h.ups > 1 {
			h.box.violated("Up came twice on one link")
		}
	}
}
