package bridge

import (
	"slices"

	"nudge/bridge/im"
)

// tidy makes what a network says fit to be shown, stored and passed on
// (im.Plain): the one place through which all of it comes.
func tidy(ev im.Event) im.Event {
	switch ev := ev.(type) {
	case im.Message:
		ev.Text, ev.Name, ev.Font = im.Plain(ev.Text), im.OneLine(ev.Name), im.OneLine(ev.Font)
		if ev.File != nil {
			f := *ev.File
			f.Name = im.OneLine(f.Name)
			ev.File = &f
		}
		ev.Poll = slices.Clone(ev.Poll)
		for i := range ev.Poll {
			ev.Poll[i].Text = im.Short(ev.Poll[i].Text, longChoice)
		}
		return ev
	case im.PresenceChanged:
		ev.Who.Name = im.OneLine(ev.Who.Name)
		ev.Now.Note, ev.Now.Media, ev.Now.Picture = im.OneLine(ev.Now.Note), im.OneLine(ev.Now.Media), nil
		return ev
	case im.Roster:
		ev.Items = slices.Clone(ev.Items)
		for i := range ev.Items {
			ev.Items[i] = tidyContact(ev.Items[i])
		}
		return ev
	case im.ContactEdit:
		ev.Who, ev.Note = tidyContact(ev.Who), im.OneLine(ev.Note)
		return ev
	case im.Room:
		ev.Name, ev.Topic = im.OneLine(ev.Name), im.OneLine(ev.Topic)
		ev.Members, ev.Joined, ev.Left = tidyPeople(ev.Members), tidyPeople(ev.Joined), tidyPeople(ev.Left)
		return ev
	case im.LinkState:
		ev.Text = im.OneLine(ev.Text)
		return ev
	}
	return ev
}

// longChoice is how many characters of an answer that a poll offers are kept.
const longChoice = 200

func tidyContact(c im.Contact) im.Contact {
	c.Name, c.Note = im.OneLine(c.Name), im.OneLine(c.Note)
	c.Groups = slices.Clone(c.Groups)
	for i, g := range c.Groups {
		c.Groups[i] = im.OneLine(g)
	}
	c.Groups = slices.DeleteFunc(c.Groups, func(g string) bool { return g == "" })
	return c
}

func tidyPeople(ps []im.Person) []im.Person {
	ps = slices.Clone(ps)
	for i := range ps {
		ps[i].Name = im.OneLine(ps[i].Name)
	}
	return ps
}
