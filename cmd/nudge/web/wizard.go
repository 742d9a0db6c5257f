package web

import (
	"cmp"

	"nudge/cmd/nudge/control"
)

// zones are offered for the box's time zone; any other can be typed in.
var zones = []string{
	"Europe/London", "Europe/Lisbon", "Europe/Berlin", "Europe/Paris", "Europe/Madrid", "Europe/Rome", "Europe/Vienna", "Europe/Zurich",
	"Europe/Amsterdam", "Europe/Brussels", "Europe/Copenhagen", "Europe/Stockholm", "Europe/Oslo", "Europe/Helsinki", "Europe/Warsaw", "Europe/Prague",
	"Europe/Budapest", "Europe/Athens", "Europe/Bucharest", "Europe/Kyiv", "Europe/Istanbul", "Europe/Moscow",
	"Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Asia/Jerusalem", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Bangkok", "Asia/Jakarta",
	"Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Seoul", "Asia/Tokyo", "Australia/Perth", "Australia/Adelaide", "Australia/Sydney", "Pacific/Auckland",
	"America/St_Johns", "America/Halifax", "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Anchorage",
	"Pacific/Honolulu", "America/Mexico_City", "America/Bogota", "America/Lima", "America/Santiago", "America/Sao_Paulo", "America/Argentina/Buenos_Aires", "UTC",
}

// wizardData is what the first page of a new box shows.
type wizardData struct {
	Users []control.User // that were made without the pages
	Zones []string
}

// wizard is for a box that nobody owns yet.
func (v *visit) wizard() error {
	if v.me != nil {
		return v.goTo(v.base)
	}
	users, err := v.control().Users(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "wizard", "Welcome to your box", wizardData{users, zones})
}

// firstAccount makes the owner: a new account, or one that is there.
func (v *visit) firstAccount() error {
	ctx := v.r.Context()
	handle, password := v.field("handle"), v.r.PostFormValue("password")
	if zone := cmp.Or(v.field("otherzone"), v.field("zone")); zone != "" {
		if err := v.control().SetSetting(ctx, "time-zone", zone); err != nil {
			return v.done("wizard", "", err)
		}
	}
	status, err := v.control().Status(ctx)
	if err == nil && status.Owned {
		err = control.ErrOwned // by another claim meanwhile
	}
	if err != nil {
		return v.done("wizard", "", err)
	}
	if known := v.field("known"); known != "" {
		on := true
		handle, err = known, v.control().SetUser(ctx, control.UserChange{Handle: known, Owner: &on})
	} else {
		var made control.NewPassword
		made, err = v.control().AddUser(ctx, control.NewUser{Handle: handle, Name: v.field("name"), Password: password, MD5: v.field("md5") != "", Owner: true})
		password = made.Password
	}
	if err != nil {
		return v.done("wizard", "", err)
	}
	v.pages.sessions.change(v.session.token, func(s *session) { s.handle = handle })
	good := "This box is yours now, " + handle + "."
	if password != "" && v.r.PostFormValue("password") == "" && v.field("known") == "" {
		good += " Your password is " + password + ": write it down."
	}
	return v.done("pcs", good, nil)
}

// pcsData is what is needed to lead old PCs here.
type pcsData struct {
	Status control.Status
	Hosts  []string
}

// hosts are the names that a hosts file must lead here, for clients to MSN 7.5.
var hosts = []string{"messenger.hotmail.com", "gateway.messenger.hotmail.com", "nexus.passport.com", "login.passport.com", "loginnet.passport.com"}

// oldPCs tells how to lead old PCs here.
func (v *visit) oldPCs() error {
	s, err := v.control().Status(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "pcs", "Connect an old PC", pcsData{s, hosts})
}
