package control

import (
	"context"
	"time"
)

// Status is how the box is.
type Status struct {
	Version   string     `json:"version"`
	Running   bool       `json:"running"`
	Data      string     `json:"data"`
	Started   *time.Time `json:"started,omitempty"`
	Listeners []Listener `json:"listeners,omitempty"`
	Address   string     `json:"address,omitempty"` // by which old PCs reach it: the setting, or what is likely now
	Users     int        `json:"users"`
	Online    []User     `json:"online"` // who is signed in
	Waiting   int        `json:"waiting"`
	Links     []Link     `json:"links"`
	Gateways  []Link     `json:"gateways"`
	Troubled  []PC       `json:"troubled"`          // PCs that could not sign in lately
	Attention []string   `json:"attention"`         // what waits for a person, and what he is to do
	Lights    string     `json:"lights,omitempty"`  // which there are, or why there are none
	Pairing   *time.Time `json:"pairing,omitempty"` // open until
	Owned     bool       `json:"owned"`             // some account owns the box
	SignUp    bool       `json:"sign_up"`           // people may make accounts for themselves now
	Backup    *time.Time `json:"backup,omitempty"`  // when the last was made
}

var statusGet = call[Done, Status]{"/status", (*Box).status}

// Status tells how the box is.
func (cl *Client) Status(ctx context.Context) (Status, error) {
	return ask(ctx, cl, statusGet, Done{})
}

func (b *Box) status(ctx context.Context, _ Done) (Status, error) {
	s := Status{Version: b.Version, Running: b.Running, Data: b.Data, Listeners: b.Listeners, Online: []User{}, Troubled: []PC{}}
	if b.Running {
		started := b.Hub.In(b.started)
		s.Started = &started
	}
	s.Owned, s.SignUp = b.Hub.HasOwner(), b.SignUpOpen()
	if last := b.LastBackup(); !last.IsZero() {
		last = b.Hub.In(last)
		s.Backup = &last
	}
	if b.Lights != nil {
		s.Lights, _ = b.Lights.About()
	}
	if until := b.PairingUntil(); !until.IsZero() {
		s.Pairing = &until
	}
	users, err := b.userList(ctx, Done{})
	if err != nil {
		return s, err
	}
	s.Users = len(users)
	for _, u := range users {
		s.Waiting += u.Waiting
		if u.Address != "" {
			s.Online = append(s.Online, u)
		}
	}
	if s.Links, err = b.linkList(ctx, LinkName{}); err != nil {
		return s, err
	}
	if s.Gateways, err = b.gatewayList(ctx, LinkName{}); err != nil {
		return s, err
	}
	pcs, err := b.pcs(ctx)
	if err != nil {
		return s, err
	}
	s.Troubled = append(s.Troubled, pcs...)
	s.Attention = b.attention(s.Links, pcs)
	all, err := b.settingList(ctx, Done{})
	for _, set := range all {
		if set.Key == SettingAddress {
			s.Address = set.Value
		}
	}
	if s.Address == "" && b.Reach != nil {
		s.Address = b.Reach()
	}
	return s, err
}
