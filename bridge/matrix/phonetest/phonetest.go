// Package phonetest is another app of a Matrix account for tests, with mautrix's own
// encryption, stores and verification and nothing of ours. It sets up cross-signing
// for the account and compares emoji with the account's other devices (client-server
// API, key verification framework).
//
// Run is meant for a process of its own: commands in, events out, one JSON object a
// line. A command is {"op": NAME, "tag": N} and is answered by {"ev": "ok", "tag": N}
// or {"ev": "failed", "tag": N, "err": TEXT}:
//
//	verify       asks the other devices; it begins to compare when one is ready
//	accept id    is ready for one that asks
//	begin id     is ready for one that asks, and begins to compare without waiting for it
//	agree id     the pictures are the same
//	refuse id    they are not
//
// Events are online, asked, signs (the pictures), cancelled and verified.
//
// One goroutine reads commands and one does /sync; both hand over what came to Run,
// which does all the rest: mautrix's stores know no locks. They end with the process.
package phonetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/verificationhelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// command is a line that comes in.
type command struct {
	Op  string
	Tag int
	ID  id.VerificationTransactionID
}

// line is one that goes out.
type line struct {
	Ev    string                       `json:"ev"`
	Tag   int                          `json:"tag,omitempty"`
	Err   string                       `json:"err,omitempty"`
	ID    id.VerificationTransactionID `json:"id,omitempty"`
	User  id.UserID                    `json:"user,omitempty"`
	From  id.DeviceID                  `json:"frm,omitempty"`
	Code  string                       `json:"condition,omitempty"`
	Signs []string                     `json:"signs,omitempty"`
}

// phone is the app.
type phone struct {
	cli   *mautrix.Client
	mach  *crypto.OlmMachine
	help  *verificationhelper.VerificationHelper
	out   *json.Encoder
	begin map[id.VerificationTransactionID]bool // it begins to compare when both are ready
	todo  []func() error                        // after a response: callbacks come with a lock held
}

// Run signs in, sets up cross-signing and obeys until in ends.
func Run(ctx context.Context, homeserver, user, password string, in io.Reader, out io.Writer) error {
	p := &phone{out: json.NewEncoder(out), begin: map[id.VerificationTransactionID]bool{}}
	if err := p.signIn(ctx, homeserver, user, password); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	commands, failed := make(chan command), make(chan error, 1)
	go func() {
		defer close(commands)
		for s := bufio.NewScanner(in); s.Scan(); {
			var c command
			if err := json.Unmarshal(s.Bytes(), &c); err != nil {
				failed <- err
				return
			}
			commands <- c
		}
	}()
	type answer struct {
		*mautrix.RespSync
		since string
	}
	answers, taken := make(chan answer), make(chan string, 1)
	go func() {
		for since := range taken {
			resp, err := p.cli.FullSyncRequest(ctx, mautrix.ReqSync{Since: since, Timeout: 30_000})
			if err != nil {
				failed <- err
				return
			}
			answers <- answer{resp, since}
		}
	}()
	taken <- ""
	for {
		select {
		case c, more := <-commands:
			if !more {
				return nil
			}
			p.obey(ctx, c)
		case a := <-answers:
			if err := p.digest(ctx, a.RespSync, a.since); err != nil {
				return err
			}
			if a.since == "" {
				p.say(line{Ev: "online", User: p.cli.UserID, From: p.cli.DeviceID})
			}
			taken <- a.NextBatch
		case err := <-failed:
			return err
		}
	}
}

func (p *phone) say(l line) { p.out.Encode(l) }

func (p *phone) signIn(ctx context.Context, homeserver, user, password string) (err error) {
	if p.cli, err = mautrix.NewClient(homeserver, "", ""); err != nil {
		return err
	}
	_, err = p.cli.Login(ctx, &mautrix.ReqLogin{
		Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: user},
		Password: password, InitialDeviceDisplayName: "test phone", StoreCredentials: true,
	})
	if err != nil {
		return err
	}
	p.mach = crypto.NewOlmMachine(p.cli, nil, crypto.NewMemoryStore(nil), mautrix.NewMemoryStateStore().(crypto.StateStore))
	if err := p.mach.Load(ctx); err != nil {
		return err
	}
	if err := p.mach.ShareKeys(ctx, 0); err != nil {
		return err
	}
	_, keys, err := p.mach.GenerateAndUploadCrossSigningKeysWithPassword(ctx, password, "")
	if err != nil {
		return err
	}
	p.mach.CrossSigningKeys = keys
	if err := p.mach.SignOwnDevice(ctx, p.mach.OwnIdentity()); err != nil {
		return err
	}
	if err := p.mach.SignOwnMasterKey(ctx); err != nil {
		return err
	}
	p.cli.Crypto = struct{ mautrix.CryptoHelper }{} // encrypts nothing here
	p.cli.Syncer = mautrix.NewDefaultSyncer()
	p.help = verificationhelper.NewVerificationHelper(p.cli, p.mach, nil, p, false, false, true)
	return p.help.Init(ctx)
}

func (p *phone) digest(ctx context.Context, resp *mautrix.RespSync, since string) error {
	p.mach.ProcessSyncResponse(ctx, resp, since)
	if err := p.cli.Syncer.ProcessResponse(ctx, resp, since); err != nil {
		return err
	}
	return p.finish()
}

// finish does what callbacks have left to do, which may call back again.
func (p *phone) finish() error {
	for len(p.todo) > 0 {
		do := p.todo[0]
		p.todo = p.todo[1:]
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func (p *phone) obey(ctx context.Context, c command) {
	var err error
	switch c.Op {
	case "verify":
		c.ID, err = p.ask(ctx)
	case "accept":
		err = p.help.AcceptVerification(ctx, c.ID)
	case "begin":
		p.begin[c.ID] = true
		err = p.help.AcceptVerification(ctx, c.ID)
	case "agree":
		err = p.help.ConfirmSAS(ctx, c.ID)
	case "refuse":
		err = p.help.CancelVerification(ctx, c.ID, event.VerificationCancelCodeSASMismatch, "the pictures differ")
	default:
		err = errors.New("no such command: " + c.Op)
	}
	if err == nil {
		err = p.finish()
	}
	if err != nil {
		p.say(line{Ev: "failed", Tag: c.Tag, Err: err.Error()})
		return
	}
	p.say(line{Ev: "ok", Tag: c.Tag, ID: c.ID})
}

// ask asks all devices that the account has now.
func (p *phone) ask(ctx context.Context) (id.VerificationTransactionID, error) {
	if _, err := p.mach.FetchKeys(ctx, []id.UserID{p.cli.UserID}, true); err != nil {
		return "", err
	}
	txn, err := p.help.StartVerification(ctx, p.cli.UserID)
	p.begin[txn] = true
	return txn, err
}

// The callbacks of mautrix.

func (p *phone) VerificationRequested(_ context.Context, txn id.VerificationTransactionID, _ id.UserID, from id.DeviceID) {
	p.say(line{Ev: "asked", ID: txn, From: from})
}

func (p *phone) VerificationReady(ctx context.Context, txn id.VerificationTransactionID, _ id.DeviceID, _, _ bool, _ *verificationhelper.QRCode) {
	if p.begin[txn] {
		p.todo = append(p.todo, func() error { return p.help.StartSAS(ctx, txn) })
	}
}

func (p *phone) ShowSAS(_ context.Context, txn id.VerificationTransactionID, signs []rune, _ []string, _ []int) {
	l := line{Ev: "signs", ID: txn}
	for _, s := range signs {
		l.Signs = append(l.Signs, string(s))
	}
	p.todo = append(p.todo, func() error { p.say(l); return nil }) // it can be agreed to from now on
}

func (p *phone) VerificationCancelled(_ context.Context, txn id.VerificationTransactionID, code event.VerificationCancelCode, reason string) {
	p.say(line{Ev: "cancelled", ID: txn, Code: string(code), Err: reason})
}

func (p *phone) VerificationDone(_ context.Context, txn id.VerificationTransactionID, _ event.VerificationMethod) {
	p.say(line{Ev: "verified", ID: txn})
}
