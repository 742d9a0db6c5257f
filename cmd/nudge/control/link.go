package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"nudge/bridge"
	"nudge/bridge/im"
)

// Field is one input of a network's log-in form or settings.
type Field struct {
	Key      string   `json:"key"`
	Label    string   `json:"label"`
	Help     string   `json:"help,omitempty"`
	Default  string   `json:"default,omitempty"`
	Secret   bool     `json:"secret,omitempty"`
	Required bool     `json:"required,omitempty"`
	Choices  []string `json:"choices,omitempty"`
}

// Network is a network that accounts can be linked to.
type Network struct {
	Name     string  `json:"name"`
	Fields   []Field `json:"fields"`
	Settings []Field `json:"settings"`
}

// Link is an account's link to a network, or, without an account, a gateway that
// speaks for all; without its secrets.
type Link struct {
	Account  string            `json:"account,omitempty"`
	Network  string            `json:"network"`
	State    string            `json:"state"` // up, degraded, down
	Text     string            `json:"text,omitempty"`
	Since    *time.Time        `json:"since,omitempty"`   // of the state, while known
	Stuck    bool              `json:"stuck,omitempty"`   // down until a person does what Text says
	Resting  bool              `json:"resting,omitempty"` // closed until somebody signs in, as its settings say
	Waiting  int               `json:"waiting"`           // messages and edits that the network has not confirmed
	Fields   map[string]string `json:"fields,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
	Question *Question         `json:"question,omitempty"` // that waits for an answer
}

// Question is what a link asks of its user or of the owner.
type Question struct {
	ID    string     `json:"id"`
	Text  string     `json:"text"`
	Link  string     `json:"link,omitempty"` // the page in Text that is to be opened
	Input Field      `json:"input"`
	Until *time.Time `json:"until,omitempty"` // then it is given up
}

// LinkAnswer answers the question of a link: the one of that ID, or without one
// whichever it asks now.
type LinkAnswer struct {
	Account string `json:"account"`
	Network string `json:"network"`
	ID      string `json:"id,omitempty"`
	Answer  string `json:"answer"`
}

// NewLink asks for a link. Wait bounds how long to wait for it to be up.
type NewLink struct {
	Account string            `json:"account"`
	Network string            `json:"network"`
	Values  map[string]string `json:"values"`
	Wait    time.Duration     `json:"wait"`
}

// LinkName names a link. In /link/list an empty Account or Network means all,
// in /link/test Wait bounds how long to wait for it to be up.
type LinkName struct {
	Account string        `json:"account,omitempty"`
	Network string        `json:"network,omitempty"`
	Wait    time.Duration `json:"wait,omitempty"`
}

// LinkSetting changes a setting of a link.
type LinkSetting struct {
	Account string `json:"account"`
	Network string `json:"network"`
	Key     string `json:"key"`
	Value   string `json:"value"`
}

var (
	networkList = call[Done, []Network]{"/network/list", (*Box).networkList}
	linkAdd     = call[NewLink, Link]{"/link/add", (*Box).linkAdd}
	linkList    = call[LinkName, []Link]{"/link/list", (*Box).linkList}
	linkSet     = call[LinkSetting, Done]{"/link/set", (*Box).linkSet}
	linkAnswer  = call[LinkAnswer, Done]{"/link/answer", (*Box).linkAnswer}
	linkTest    = call[LinkName, Link]{"/link/test", (*Box).linkTest}
	linkRemove  = call[LinkName, Done]{"/link/remove", (*Box).linkRemove}
)

// Networks lists what accounts can be linked to.
func (cl *Client) Networks(ctx context.Context) ([]Network, error) {
	return ask(ctx, cl, networkList, Done{})
}

// AddLink links an account and tells how the link is after the wait. A link
// that is not up is kept nevertheless.
func (cl *Client) AddLink(ctx context.Context, l NewLink) (Link, error) {
	return ask(ctx, cl, linkAdd, l)
}

// Links lists links; an empty account or network means all.
func (cl *Client) Links(ctx context.Context, account, network string) ([]Link, error) {
	return ask(ctx, cl, linkList, LinkName{Account: account, Network: network})
}

// SetLink changes a setting of a link.
func (cl *Client) SetLink(ctx context.Context, s LinkSetting) error {
	_, err := ask(ctx, cl, linkSet, s)
	return err
}

// AnswerLink answers the question that a link asks.
func (cl *Client) AnswerLink(ctx context.Context, a LinkAnswer) error {
	_, err := ask(ctx, cl, linkAnswer, a)
	return err
}

// TestLink tries a link that is down at once and tells how it is after the wait.
func (cl *Client) TestLink(ctx context.Context, account, network string, wait time.Duration) (Link, error) {
	return ask(ctx, cl, linkTest, LinkName{account, network, wait})
}

// RemoveLink ends a link and forgets it.
func (cl *Client) RemoveLink(ctx context.Context, account, network string) error {
	_, err := ask(ctx, cl, linkRemove, LinkName{Account: account, Network: network})
	return err
}

func (b *Box) networkList(context.Context, Done) ([]Network, error) {
	all := []Network{}
	for _, name := range b.Hub.Networks() {
		form, err := b.Hub.Form(name)
		if err != nil {
			return nil, err
		}
		settings, err := b.Hub.SettingsForm(name)
		if err != nil {
			return nil, err
		}
		all = append(all, Network{name, fields(form), fields(settings)})
	}
	return all, nil
}

func fields(form []im.Field) []Field {
	out := []Field{}
	for _, f := range form {
		out = append(out, Field(f))
	}
	return out
}

func (b *Box) linkAdd(ctx context.Context, l NewLink) (Link, error) {
	if err := b.Hub.AddLink(ctx, l.Account, l.Network, l.Values); err != nil {
		return Link{}, err
	}
	return b.linkAfter(ctx, LinkName{l.Account, l.Network, l.Wait})
}

func (b *Box) linkTest(ctx context.Context, n LinkName) (Link, error) {
	if !b.Running {
		return Link{}, fmt.Errorf("a link can only be tested while the box runs: %w", ErrNotRunning)
	}
	if err := b.Hub.RetryLink(n.Account, n.Network); err != nil {
		return Link{}, err
	}
	return b.linkAfter(ctx, n)
}

// linkAfter waits for a link to be up, or to fail for good, and shows it.
func (b *Box) linkAfter(ctx context.Context, n LinkName) (Link, error) {
	if b.Running && n.Wait > 0 {
		wait, cancel := context.WithTimeout(ctx, n.Wait)
		defer cancel()
		b.Hub.TestLink(wait, n.Account, n.Network) // its error is the link's Text
	}
	links, err := b.linkList(ctx, n)
	if err != nil {
		return Link{}, err
	}
	if len(links) == 0 {
		return Link{}, fmt.Errorf("the link was removed meanwhile")
	}
	return links[0], nil
}

func (b *Box) linkList(_ context.Context, n LinkName) ([]Link, error) {
	if n.Account != "" {
		if _, err := b.Hub.AccountContacts(n.Account); err != nil {
			return nil, err
		}
	}
	links := []Link{}
	for _, l := range b.Hub.Links(n.Account) {
		if n.Network == "" || n.Network == l.Net {
			links = append(links, b.link(l))
		}
	}
	return links, nil
}

func (b *Box) link(l bridge.LinkInfo) Link {
	out := Link{
		Account: l.Account, Network: l.Net, State: stateWord(l.State), Text: l.Text,
		Waiting: l.Waiting, Fields: l.Fields, Settings: l.Settings,
	}
	if !b.Running {
		out.Text = "the box is not running"
	}
	out.Stuck, out.Resting = l.Stuck, l.Resting
	if !l.Since.IsZero() {
		since := b.Hub.In(l.Since)
		out.Since = &since
	}
	if q := l.Question; q.Text != "" {
		out.Question = &Question{ID: l.Asked, Text: q.Text, Link: q.Link, Input: Field(q.Field)}
		if !q.Until.IsZero() {
			until := b.Hub.In(q.Until)
			out.Question.Until = &until
		}
	}
	return out
}

func (b *Box) linkSet(ctx context.Context, s LinkSetting) (Done, error) {
	return Done{}, b.Hub.SetLink(ctx, s.Account, s.Network, s.Key, s.Value)
}

func (b *Box) linkAnswer(_ context.Context, a LinkAnswer) (Done, error) {
	return Done{}, b.Hub.AnswerLink(a.Account, a.Network, a.ID, a.Answer)
}

func (b *Box) linkRemove(ctx context.Context, n LinkName) (Done, error) {
	return Done{}, b.Hub.RemoveLink(ctx, n.Account, n.Network)
}

func stateWord(s im.State) string {
	switch s {
	case im.Up:
		return "up"
	case im.Degraded:
		return "degraded"
	}
	return "down"
}

// fold is how handles are compared.
func fold(handle string) string { return strings.ToLower(strings.TrimSpace(handle)) }
