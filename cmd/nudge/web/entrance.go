package web

import (
	"errors"
	"net/http"

	"nudge/cmd/nudge/control"
)

// doorData is what the pages before the door show.
type doorData struct {
	Status control.Status
	Bad    string // what went wrong
	Handle string // as it was typed
	Name   string
	Made   control.NewPassword // a new account
}

// home is the door: signing in, or claiming a box that nobody owns.
func (p *Pages) home(v *visit) { v.door(http.StatusOK, "home", doorData{}) }

func (v *visit) door(status int, page string, d doorData) {
	var err error
	if d.Status, err = v.control().Status(v.r.Context()); err != nil {
		v.refuse(http.StatusInternalServerError, err.Error())
		return
	}
	title := "Nudge"
	if page == "join" {
		title = "Sign up"
	}
	v.show(status, page, title, d)
}

// comeIn begins a session and leads to its first page.
func (v *visit) comeIn(s session, page string) {
	s.from = v.from
	if err := v.goTo(sessionPath + v.pages.sessions.begin(s) + "/" + page); err != nil {
		v.pages.Log.Error("a page can't be shown", "err", err)
	}
}

func (p *Pages) signIn(v *visit) {
	handle := v.field("handle")
	u, err := p.Control.CheckUser(v.r.Context(), control.SignIn{Handle: handle, Password: v.r.PostFormValue("password"), Source: v.from})
	if err != nil {
		if errors.Is(err, control.ErrWrongPassword) { // not who must wait: he could fill the log
			p.Log.Info("somebody could not sign in to the pages", "from", v.from)
		}
		v.door(http.StatusForbidden, "home", doorData{Bad: sentence(err.Error()), Handle: handle})
		return
	}
	v.comeIn(session{handle: u.Handle}, "")
}

func (p *Pages) claim(v *visit) {
	err := p.Control.ClaimBox(v.r.Context(), control.Claim{Code: v.field("code"), Source: v.from})
	if err != nil {
		if errors.Is(err, control.ErrWrongCode) {
			p.Log.Warn("somebody tried to claim this box with a wrong code", "from", v.from)
		}
		v.door(http.StatusForbidden, "home", doorData{Bad: sentence(err.Error())})
		return
	}
	p.Log.Info("this box was claimed", "from", v.from)
	v.comeIn(session{}, "wizard")
}

func (p *Pages) joinForm(v *visit) { v.door(http.StatusOK, "join", doorData{}) }

func (p *Pages) join(v *visit) {
	d := doorData{Handle: v.field("handle"), Name: v.field("name")}
	made, err := p.Control.JoinUser(v.r.Context(), control.NewUser{
		Handle: d.Handle, Name: d.Name, Password: v.r.PostFormValue("password"), MD5: v.field("md5") != "",
	})
	switch {
	case errors.Is(err, control.ErrNoSignUp):
		d.Bad = sentence(err.Error())
		v.door(http.StatusForbidden, "join", d)
	case err != nil:
		d.Bad = sentence(err.Error())
		v.door(http.StatusBadRequest, "join", d)
	default:
		p.Log.Info("somebody signed up", "account", made.Handle, "from", v.from)
		d.Made = made
		v.door(http.StatusOK, "join", d)
	}
}

// invitation asks before it is spent: programs look at links that people get.
func (p *Pages) invitation(v *visit) { v.show(http.StatusOK, "invitation", "Link your account", nil) }

func (p *Pages) acceptInvitation(v *visit) {
	handle, ok := p.sessions.take(v.r.PathValue("token"))
	if !ok {
		v.refuse(http.StatusForbidden, "This link was used already, or is too old. Write “link” to Nudge for another one.")
		return
	}
	v.comeIn(session{handle: handle, linkOnly: true}, "")
}

func (v *visit) signOut() error {
	v.pages.sessions.end(v.session.token)
	return v.goTo("/")
}
