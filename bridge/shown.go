package bridge

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nudge/bridge/im"
	"nudge/store"
)

// A client takes only so many contacts (MSNP.md K.21). Who is left out is
// decided when it signs on, and holds as long as it is there: what SYN did not
// bring has no presence, and can neither be removed nor added while the list is
// full. Nobody is lost by it: the account still has him, he can be written to by
// his address and may write himself, and the assistant finds him.

// hide decides who does not fit. A list with holes never has the number of
// another one (MSNP.md K.3). The lock is held.
func (s *Session) hide() {
	a, most := s.acct, s.client.MaxContacts
	if most == 0 || a.count(FL) <= most {
		return
	}
	var friends []*contact
	for _, c := range a.contacts {
		if c.on(FL) {
			friends = append(friends, c)
		}
	}
	slices.SortFunc(friends, a.keepFirst)
	s.hidden = map[im.Addr]bool{}
	for _, c := range friends[most:] {
		s.hidden[c.addr()] = true
	}
	a.bump()
	a.hub.put(store.Lazy, a)
}

// keepFirst orders contacts by who stays when there is no room: the assistant
// and the people of this box, favourites, those talked to last, then people
// before rooms, and those whom the user put into a group.
func (a *account) keepFirst(x, y *contact) int {
	class := func(c *contact) int {
		switch {
		case c.addr() == a.hub.voice:
			return 0
		case c.Net == "":
			return 1
		case slices.ContainsFunc(a.groupNames(c.Groups), favourites):
			return 2
		}
		return 3
	}
	return cmp.Or(
		cmp.Compare(class(x), class(y)),
		cmp.Compare(y.Talked, x.Talked),
		cmp.Compare(number(x.Room), number(y.Room)),
		cmp.Compare(number(len(x.Groups) == 0), number(len(y.Groups) == 0)),
		cmp.Compare(canonical(x.Handle), canonical(y.Handle)),
	)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// favourites tells whether a group has the name that messengers give to the one
// for the people who matter most.
func favourites(group string) bool {
	switch strings.ToLower(group) {
	case "favorites", "favourites", "favoriten", "favoris", "favoritos", "preferiti", "favorieten", "★":
		return true
	}
	return false
}

// hides tells whether the client's list does not have c. The lock is held.
func (s *Session) hides(c *contact) bool { return s.hidden[c.addr()] }

// fit takes out of the account's lists what the client has no room for.
func (s *Session) fit(ls Lists) Lists {
	var more []uint32
	for _, g := range ls.Groups[min(maxGroups, len(ls.Groups)):] {
		more = append(more, g.ID)
	}
	ls.Groups = ls.Groups[:len(ls.Groups)-len(more)]
	for i := range ls.Contacts {
		c := &ls.Contacts[i]
		if len(s.hidden) > 0 && s.hides(s.acct.find(c.ID)) {
			c.Lists, c.Groups = c.Lists&^FL, nil
		}
		if len(more) > 0 {
			c.Groups = slices.DeleteFunc(c.Groups, func(g uint32) bool { return slices.Contains(more, g) })
		}
	}
	ls.Contacts = slices.DeleteFunc(ls.Contacts, func(c Contact) bool { return c.Lists == 0 })
	return ls
}

// full tells whether the client's list has no room. The lock is held.
func (s *Session) full() bool {
	most := s.client.MaxContacts
	return most > 0 && s.acct.count(FL)-len(s.hidden) >= most
}

// room makes sure that there is some before the client's user puts addr on l.
// back says that the account has him there, and only the client had not. The lock
// is held.
func (s *Session) room(l List, addr im.Addr) (back bool, err error) {
	c := s.acct.contacts.of(addr)
	listed := c != nil && c.on(FL)
	switch {
	case l != FL || listed && !s.hides(c):
		return false, nil
	case s.full():
		return false, ErrListFull
	}
	delete(s.hidden, addr)
	return listed, nil
}

// showsChange keeps up with a change of the forward list that was made
// elsewhere, and tells whether the client is to hear of it. The lock is held.
func (s *Session) showsChange(l List, c *contact, added bool) bool {
	switch most := s.client.MaxContacts; {
	case l != FL || most == 0:
		return true
	case !added:
		was := s.hides(c)
		delete(s.hidden, c.addr())
		return !was
	case s.acct.count(FL)-len(s.hidden) > most:
		if s.hidden == nil {
			s.hidden = map[im.Addr]bool{}
		}
		s.hidden[c.addr()] = true
		return false
	}
	return true
}

// sayHidden tells the user, once for each size of list, that not everybody is on
// it. The lock is held.
func (s *Session) sayHidden() {
	a, most := s.acct, strconv.Itoa(s.client.MaxContacts)
	key := "told-list-of-" + most
	voice := a.contacts.of(a.hub.voice)
	if len(s.hidden) == 0 || a.rec.Settings[key] != "" || voice == nil || !voice.on(FL) {
		return
	}
	a.setting(key, time.Now().UTC().Format(time.DateOnly))
	a.hub.put(store.Soon, a)
	a.notice(fmt.Sprintf("You have %d contacts. This version of Messenger takes %s, so it shows your favourites and the people you talked to last. "+
		"The others are still yours: write “find bob” to me for an address, and send a message to that address. Whoever you talk to is on the list the next time you sign in.",
		a.count(FL), most))
}

// talkedStep is how exactly it is kept when somebody was talked to, in seconds:
// the disk has more to do than that.
const talkedStep = 60 * 60

// talked remembers that the account and c talk now. The lock is held.
func (a *account) talked(c *contact, at time.Time) {
	if now := at.Unix(); now-c.Talked >= talkedStep {
		c.Talked = now - now%talkedStep
		if c.Lists != 0 {
			a.write(c)
		}
	}
}

// talkedTo is talked for two accounts of this box.
func (a *account) talkedTo(o *account, at time.Time) {
	if c := a.contacts.of(o.addr()); c != nil {
		a.talked(c, at)
	}
	if c := o.contacts.of(a.addr()); c != nil {
		o.talked(c, at)
	}
}
