package matrix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix"

	"nudge/bridge/im"
)

// Why a sign-in by hand came to nothing.
var (
	errNoSingleSignOn = errors.New("no single sign-on")
	errTooLate        = errors.New("nobody signed in in time")
	errStopped        = errors.New("the sign-in was stopped")
)

// notSignedIn says what to do after a sign-in by hand that came to nothing.
func notSignedIn(why string) error {
	return &im.Lost{Class: im.Credentials, Text: why + " Link the account again, or try the link again, when somebody can."}
}

// byDevice signs in with a code that a person enters on a page of the server, on any
// device with a browser (OAuth 2.0 device authorization grant, RFC 8628). The box
// needs no address that the world can reach.
func (e *entrance) byDevice(ctx context.Context) error {
	a, err := e.authority(ctx)
	if err != nil {
		return e.explain(err)
	}
	if !a.offersDevices() {
		return errNoOAuth
	}
	in, err := e.invited(ctx, a)
	if st := status(err); st >= 400 && st < 500 && !passing(err) {
		e.log.Info("the OAuth server does not let this box sign in by a code", "why", words(err))
		return errNoOAuth
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(in.Seconds*float64(time.Second)), errTooLate)
	defer cancel()
	p, at, err := e.awaitPerson(ctx, a, in)
	switch {
	case errors.Is(err, errTooLate), code(err) == "expired_token":
		return notSignedIn("Nobody confirmed the code for Matrix in time.")
	case errors.Is(err, errStopped):
		return notSignedIn("The sign-in to Matrix was stopped.")
	case code(err) == "access_denied":
		return notSignedIn("The sign-in to Matrix was refused on the server's page.")
	case err != nil:
		return err
	}
	e.s.Homeserver = e.cli.HomeserverURL.String()
	if err := e.held.adopt(ctx, p, at, ""); err != nil {
		return err
	}
	err = retry(ctx, e.pause, passing, func() error { return e.whoAmI(ctx, e.s.Token) })
	if err != nil {
		return e.explain(err)
	}
	return e.arrive(ctx)
}

// invited gets a code. The server is told of the box first, once; and again when it
// has forgotten it.
func (e *entrance) invited(ctx context.Context, a *authority) (invitation, error) {
	for {
		known := e.s.Client != "" && e.s.Issuer == a.Issuer
		if !known {
			client, err := a.register(ctx)
			if err != nil {
				return invitation{}, err
			}
			e.s.Issuer, e.s.Client = a.Issuer, client
			if err := e.s.save(ctx); err != nil {
				return invitation{}, err
			}
		}
		in, err := a.invite(ctx, e.s.Client, string(e.s.Device))
		if !known || code(err) != "invalid_client" {
			return in, err
		}
		e.s.Client = ""
	}
}

// awaitPerson asks a person to enter the code, and the server whether he has. The
// pair was asked for at a time.
func (e *entrance) awaitPerson(ctx context.Context, a *authority, in invitation) (p pair, at time.Time, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer stop(nil)
	asking.Go(func() {
		page := in.Page
		if in.WithCode != "" {
			page = in.WithCode
		}
		_, err := e.s.login.Host.Ask(ctx, e.s.login.User, im.Prompt{
			Text: fmt.Sprintf("To let this box into the Matrix account %s, open %s in a browser, on a telephone for example, sign in there and confirm the code %s. "+
				"Only do so if you are linking this box now.", e.s.login.Fields["user"], page, in.Code),
			Link:  page,
			Field: im.Field{Key: "device-code", Label: "Give it up", Choices: []string{"stop"}},
		})
		if err == nil {
			err = errStopped
		}
		stop(err)
	})
	pause := time.Duration(in.Interval * float64(time.Second))
	for {
		if err := sleep(ctx, pause); err != nil {
			return pair{}, at, err
		}
		at = time.Now()
		p, err = a.byDevice(ctx, e.s.Client, in.Device)
		switch {
		case err == nil:
			return p, at, nil
		case ctx.Err() != nil:
			return pair{}, at, context.Cause(ctx)
		case code(err) == "authorization_pending":
		case code(err) == "slow_down":
			pause += slowDown
		case passing(err):
			pause = min(max(2*pause, retryAfter(err)), longestWait)
		default:
			return pair{}, at, err
		}
	}
}

// slowDown is how much longer the pauses become when the server wants it (RFC 8628
// §3.5).
const slowDown = 5 * time.Second

// elsewhere is where the browser ends up after single sign-on. Nobody listens there:
// the box has no address that a browser anywhere would reach, so the person copies
// the address, which has the token.
const elsewhere = "http://localhost/nudge"

// mayTry is how often a person may give a token that turns out to be wrong or over.
const mayTry = 3

// signOnWait is how long the box waits for each.
const signOnWait = 15 * time.Minute

// bySingleSignOn signs in with the token that a server's sign-on page hands to the
// browser (client-server API, SSO client login).
func (e *entrance) bySingleSignOn(ctx context.Context) error {
	flows, err := e.cli.GetLoginFlows(ctx)
	switch {
	case errors.Is(err, mautrix.MUnrecognized):
		return errNoSingleSignOn
	case err != nil:
		return e.explain(err)
	}
	if flows.FirstFlowOfType(mautrix.AuthTypeSSO) == nil || flows.FirstFlowOfType(mautrix.AuthTypeToken) == nil {
		return errNoSingleSignOn
	}
	page := e.at("v3", "login", "sso", "redirect") + "?" + url.Values{"redirectUrl": {elsewhere}}.Encode()
	how := ""
	for range mayTry {
		answer, err := e.s.login.Host.Ask(ctx, e.s.login.User, im.Prompt{
			Text: fmt.Sprintf("%sTo let this box into the Matrix account %s, open %s in a browser and sign in there. "+
				"The browser then says that it can't show a page at localhost: that is right. Copy the whole address of that page and give it here, within two minutes.",
				how, e.s.login.Fields["user"], page),
			Link:  page,
			Field: im.Field{Key: "login-token", Label: "Address after the sign-in", Help: "it has loginToken= in it", Secret: true},
			Until: time.Now().Add(signOnWait),
		})
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return notSignedIn("Nobody signed in to Matrix in time.")
		}
		err = e.login(ctx, &mautrix.ReqLogin{Type: mautrix.AuthTypeToken, Token: loginToken(answer), RefreshToken: true})
		if err == nil {
			return e.arrive(ctx)
		}
		if st := status(err); st < 400 || st >= 500 || st == http.StatusTooManyRequests {
			return e.explain(err)
		}
		how = fmt.Sprintf("That did not work (%s). ", words(err))
	}
	return notSignedIn("The sign-in to Matrix did not work.")
}

// loginToken finds the token in what a person pasted: the address of the page where
// the browser ended up, or the token alone.
func loginToken(pasted string) string {
	pasted = strings.TrimSpace(pasted)
	if u, err := url.Parse(pasted); err == nil {
		if t := u.Query().Get("loginToken"); t != "" {
			return t
		}
	}
	words := strings.FieldsFunc(pasted, func(r rune) bool { return strings.ContainsRune("?&# ", r) })
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "loginToken=") }); i >= 0 {
		pasted = strings.TrimPrefix(words[i], "loginToken=")
	}
	return pasted
}
