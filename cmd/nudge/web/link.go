package web

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"nudge/cmd/nudge/control"
)

// linkWait is how long a page waits for a link to be up.
const linkWait = 30 * time.Second

// fileField is the key of fields that name a file of the box: only owners may,
// nobody else is to find out what files there are.
const fileField = "ca"

var errNotSure = errors.New("tick the box before it, so that this doesn't happen by chance")

// linkData is the form of one network.
type linkData struct {
	Network control.Network
	Old     *control.Link // the link there is already
}

// chooseData is what can be linked, and what links ask.
type chooseData struct {
	Networks []control.Network
	Asking   []control.Link
}

// choose is what somebody sees who came by an invitation to link.
func (v *visit) choose() (err error) {
	var d chooseData
	if d.Networks, err = v.control().Networks(v.r.Context()); err != nil {
		return err
	}
	links, err := v.control().Links(v.r.Context(), v.me.Handle, "")
	if err != nil {
		return err
	}
	d.Asking = v.asking(links)
	return v.render(200, "choose", "Link your account", d)
}

func (v *visit) linkForm() error {
	d, err := v.network(v.r.FormValue("n"))
	if err != nil || d == nil {
		return err
	}
	return v.render(200, "link", "Link "+v.about.Handle+" to "+d.Network.Name, *d)
}

// network finds what a form is about; without it the visitor was told.
func (v *visit) network(name string) (*linkData, error) {
	ctx := v.r.Context()
	all, err := v.control().Networks(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(n control.Network) bool { return n.Name == name })
	if i < 0 {
		v.refuse(404, "There is no such network.")
		return nil, nil
	}
	d := &linkData{Network: all[i]}
	if v.me == nil || !v.me.Owner {
		d.Network.Fields = slices.DeleteFunc(d.Network.Fields, func(f control.Field) bool { return f.Key == fileField })
	}
	links, err := v.control().Links(ctx, v.about.Handle, name)
	if len(links) > 0 {
		d.Old = &links[0]
	}
	return d, err
}

func (v *visit) addLink() error {
	name := v.field("n")
	d, err := v.network(name)
	if err != nil || d == nil {
		return err
	}
	values := map[string]string{}
	form := "link?h=" + url.QueryEscape(v.about.Handle) + "&n=" + url.QueryEscape(name)
	for _, f := range d.Network.Fields {
		value := v.r.PostFormValue("f-" + f.Key)
		if !f.Secret {
			value = v.field("f-" + f.Key)
		}
		if value != "" {
			values[f.Key] = value
		} else if f.Required {
			return v.done(form, "", errors.New(f.Label+" is missing"))
		}
	}
	l, err := v.control().AddLink(v.r.Context(), control.NewLink{Account: v.about.Handle, Network: name, Values: values, Wait: linkWait})
	return v.linked(l, err, form)
}

// linked tells how a link is, on the account's page or, when it has to be made
// anew, where it was made.
func (v *visit) linked(l control.Link, err error, form string) error {
	switch {
	case err != nil:
		return v.done(form, "", err)
	case l.State == "down":
		return v.done(form, "", fmt.Errorf("%s is not connected: %s", l.Network, l.Text))
	case v.session.linkOnly:
		return v.done("", l.Network+" is connected. You can close this page.", nil)
	}
	return v.done(v.here(), sentence(l.Network+" is connected "+l.Text), nil)
}

// changeLink tests, changes or removes a link.
func (v *visit) changeLink() error {
	ctx, name := v.r.Context(), v.field("n")
	switch v.field("do") {
	case "test":
		l, err := v.control().TestLink(ctx, v.about.Handle, name, linkWait)
		return v.linked(l, err, v.here())
	case "remove":
		if v.field("sure") == "" {
			return v.done(v.here(), "", errNotSure)
		}
		return v.done(v.here(), "The link to "+name+" is gone, and its contacts with it.", v.control().RemoveLink(ctx, v.about.Handle, name))
	}
	set := control.LinkSetting{Account: v.about.Handle, Network: name, Key: v.field("key"), Value: v.field("value")}
	return v.done(v.here(), "It is changed.", v.control().SetLink(ctx, set))
}
