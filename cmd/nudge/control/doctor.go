package control

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nudge/store"
)

// Verdict is how a check went.
type Verdict string

// Good needs nothing, Warn may matter, Bad keeps something from working.
const (
	Good Verdict = "ok"
	Warn Verdict = "warning"
	Bad  Verdict = "bad"
)

// Check is one thing the doctor looked at, with what to do about it.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Text    string  `json:"text"`
}

var doctorRun = call[Done, []Check]{"/doctor", (*Box).doctor}

// Doctor looks at everything that can be wrong with the box from inside, and at
// what shows of PCs that can't sign in.
func (cl *Client) Doctor(ctx context.Context) ([]Check, error) {
	return ask(ctx, cl, doctorRun, Done{})
}

// littleRoom is how much free space the data folder should have at least.
const littleRoom = 64 << 20

func (b *Box) doctor(ctx context.Context, _ Done) ([]Check, error) {
	checks := []Check{b.checkFolder(), b.checkKey(), b.checkClock()}
	checks = append(checks, b.checkPorts()...)
	if b.Certificate != nil {
		checks = append(checks, b.checkCertificate())
	}
	checks = append(checks, b.checkOutside())
	if b.Lights != nil {
		c := Check{Name: "lights", Verdict: Good}
		missing := false
		if c.Text, missing = b.Lights.About(); missing {
			c.Verdict = Warn
		}
		checks = append(checks, c)
	}
	users := b.Hub.AccountList()
	switch {
	case len(users) == 0:
		checks = append(checks, Check{"accounts", Warn, "there is none yet; make the first with: nudge user add alice@hotmail.com"})
	default:
		checks = append(checks, Check{"accounts", Good, fmt.Sprintf("%d", len(users))})
	}
	links, err := b.linkList(ctx, LinkName{})
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		c := Check{"link " + l.Account + " " + l.Network, Good, l.State}
		switch {
		case l.Resting:
			c.Text = l.Text
		case l.State == "down" && b.Running:
			c.Verdict, c.Text = Bad, "down: "+l.Text
		case l.State != "up":
			c.Verdict, c.Text = Warn, l.State+": "+l.Text
		}
		checks = append(checks, c)
	}
	names, err := b.checkNames(ctx)
	if err != nil {
		return nil, err
	}
	checks = append(checks, names...)
	pcs, err := b.checkPCs(ctx)
	return append(checks, pcs...), err
}

func (b *Box) checkFolder() Check {
	c := Check{Name: "data folder", Verdict: Good}
	info, err := os.Stat(b.Data)
	if err != nil {
		return Check{c.Name, Bad, err.Error()}
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(b.Data, &fs); err != nil {
		return Check{c.Name, Bad, err.Error()}
	}
	free := fs.Bavail * uint64(fs.Bsize)
	c.Text = fmt.Sprintf("%s, %d MB free", b.Data, free>>20)
	switch {
	case free < littleRoom:
		c.Verdict, c.Text = Bad, c.Text+": make room, or nothing can be kept"
	case info.Mode().Perm()&0o007 != 0:
		c.Verdict, c.Text = Warn, c.Text+fmt.Sprintf("; everybody on this machine may look into it: chmod o-rwx %s", b.Data)
	}
	return c
}

func (b *Box) checkKey() Check {
	path := filepath.Join(b.Data, store.KeyFile)
	if _, err := os.Stat(path); err != nil {
		return Check{"sealing key", Good, "kept outside of the data folder"}
	}
	return Check{"sealing key", Good, path + "; a backup carries it, a copy of the database alone does not"}
}

// checkClock doubts a clock that is before the program's own making, or that
// the kernel says nobody sets.
func (b *Box) checkClock() Check {
	now := time.Now()
	c := Check{"clock", Good, now.Format("2 Jan 2006 15:04:05 MST")}
	var t syscall.Timex
	const unsynchronised = 5 // TIME_ERROR of adjtimex(2)
	state, err := syscall.Adjtimex(&t)
	switch {
	case now.Before(b.Built):
		c.Verdict, c.Text = Bad, c.Text+", which is before this program was made: set the clock, or certificates and messages get wrong dates"
	case err == nil && state == unsynchronised:
		c.Verdict, c.Text = Warn, c.Text+"; no time server has set it"
	}
	return c
}

// certificateFile is where the certificate is in the data folder, for people.
const certificateFile = "nudge-tls.pem"

func (b *Box) checkCertificate() Check {
	state := b.Certificate()
	text := "PCs that trust the root " + state.Authority + " (/nudge.crt of this box) can sign in over HTTPS"
	switch {
	case !state.Ended:
		return Check{"certificate", Warn, "it is still being made, which takes a small board minutes; until then nobody can sign in over HTTPS"}
	case state.Err != nil:
		return Check{"certificate", Bad, fmt.Sprintf("there is none, and nobody can sign in over HTTPS: %v; mend that and start the box again", state.Err)}
	case len(state.Lacks) > 0:
		return Check{"certificate", Warn, fmt.Sprintf("%s, but not those that were pointed to %s, which is not in the certificate: have the router give the box "+
			"its former address again, or remove %s, restart the box, and let every PC trust the new root",
			text, strings.Join(state.Lacks, ", "), filepath.Join(b.Data, certificateFile))}
	}
	return Check{"certificate", Good, text}
}

func (b *Box) checkPorts() []Check {
	if !b.Running {
		return []Check{{"ports", Warn, "the box is not running: start it with nudge, or systemctl start nudge"}}
	}
	var checks []Check
	for _, l := range b.Listeners {
		c := Check{"port " + l.Name, Good, "listens on " + l.Addr}
		switch {
		case l.Addr == "":
			c.Verdict, c.Text = Warn, l.Note
		case l.Note != "":
			c.Verdict, c.Text = Warn, c.Text+": "+l.Note
		}
		checks = append(checks, c)
	}
	return checks
}
