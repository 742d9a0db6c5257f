package xmpp

import (
	"context"
	"errors"
	"slices"
	"time"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// Other boxes are components of the same server, or of one that it talks to. What
// goes to their people is kept until the other box has it on disk and says so by its
// receipt: servers keep nothing for components, and what is in a line that breaks is
// lost.

// neighbour tells whether an address is on another box.
func (k *component) neighbour(j stream.JID) bool {
	return listed(j, k.host.Setting(im.Addr{}, im.Boxes))
}

// askBoxes is how long the other boxes may take to say whether they know somebody.
const askBoxes = 2 * time.Second

// findInBoxes asks all other boxes at once, as clients ask gateways (XEP-0100 §4.9).
// Who answers first is believed: the owner chose them. ErrNotFound when all know
// nobody; while one can't be asked nobody knows.
func (k *component) findInBoxes(ctx context.Context, who string) (found im.Person, err error) {
	boxes := addresses(k.host.Setting(im.Addr{}, im.Boxes))
	ctx, cancel := context.WithTimeout(ctx, askBoxes)
	defer cancel()
	type answer struct {
		who im.Person
		err error
	}
	answers := make(chan answer, len(boxes))
	for _, box := range boxes {
		go func() {
			p, err := k.findInBox(ctx, box, who)
			answers <- answer{p, err}
		}()
	}
	err = im.ErrNotFound
	for range boxes {
		switch a := <-answers; {
		case a.err == nil && found.ID == "":
			found, err = a.who, nil
			cancel()
		case a.err != nil && !errors.Is(a.err, im.ErrNotFound) && found.ID == "":
			err = a.err
		}
	}
	return found, err
}

// findInBox asks one.
func (k *component) findInBox(ctx context.Context, box stream.JID, who string) (im.Person, error) {
	q := element(nsGateway, "query")
	q.Nodes = []stanza.Node{words(nsGateway, "prompt", who)}
	iq := query(stanza.IQTypeSet, box.String(), q)
	iq.From = k.domain
	n, err := k.s.Do(ctx, iq)
	var no *stream.StanzaError
	if errors.As(err, &no) && !passing[no.Condition] {
		return im.Person{}, im.ErrNotFound
	} else if err != nil {
		return im.Person{}, err
	}
	j, err := stream.ParseJID(stream.Text(stream.Child(n, nsGateway, "query"), nsGateway, "jid"))
	if err != nil || j.Domain != box.Domain || j.Local == "" {
		return im.Person{}, im.ErrNotFound
	}
	return im.Person{Addr: addr(j)}, nil
}

// passing are the conditions by which a server says that a component is not there at
// the moment.
var passing = map[string]bool{"remote-server-timeout": true, "remote-server-not-found": true, "recipient-unavailable": true}

// owed is a message that another box has not given a receipt for. at is when it was
// sent last, zero when it waits behind others.
type owed struct {
	p     stanza.Message
	at    time.Time
	doubt bool // it did not arrive, as far as is known
}

// overdue is how long a receipt may take: the other box writes within a second.
const overdue = 5 * time.Second

// owe notes that p is owed a receipt. It waits when an earlier one does not come, or
// is the first of this connection: the other box may just be coming back, and it must
// not overtake. The lock is held.
func (r *resident) owe(conv string, p stanza.Message, now time.Time) (waits bool) {
	q := r.owed[conv]
	waits = len(q) > 0 && !r.met[conv] || slices.ContainsFunc(q, func(o owed) bool { return o.doubt || now.Sub(o.at) > overdue })
	o := owed{p: p, at: now}
	if waits {
		o.at = time.Time{}
	}
	r.owed[conv] = append(q, o)
	return waits
}

// paid notes what became of a message, and returns those that need not wait for it any
// more. The lock is held.
func (r *resident) paid(conv, id string, now time.Time) (next []stanza.Message) {
	q := r.owed[conv]
	for i := range q {
		if q[i].p.Id == id {
			q, r.met[conv] = append(q[:i:i], q[i+1:]...), true
			break
		}
	}
	if r.owed[conv] = q; len(q) == 0 {
		delete(r.owed, conv)
	} else if q[0].at.IsZero() {
		for i := range q {
			q[i].at = now
			next = append(next, q[i].p)
		}
	}
	return next
}

// owes tells whether n only says that another box can't be reached at the moment: what
// is owed is sent again. The lock is held.
func (r *resident) owes(n *stanza.Node, conv string) bool {
	q := r.owed[conv]
	if stream.Attr(n, "type") != "error" || len(q) == 0 || !passing[stream.ErrorOf(n).Condition] {
		return false
	}
	for i := range q {
		if q[i].p.Id == stream.Attr(n, "id") {
			q[i].doubt = true
		}
	}
	return true
}

// remind sends again what is overdue, and returns when to look again, 0 when nothing
// is owed. Only the first of a conversation goes out, and all others wait for its
// receipt: while the other box comes back the server refuses some of many, and those
// behind them would overtake.
func (k *component) remind(now time.Time) (next time.Duration) {
	var again []stanza.Message
	k.mu.Lock()
	for _, r := range k.residents {
		for _, q := range r.owed {
			next = overdue
			if now.Sub(q[0].at) <= overdue {
				continue
			}
			q[0].at, q[0].doubt = now, true
			again = append(again, q[0].p)
			for i := range q[1:] {
				q[1+i].at, q[1+i].doubt = time.Time{}, false
			}
		}
	}
	k.mu.Unlock()
	for _, p := range again {
		k.s.Send(p, nil)
	}
	return next
}
