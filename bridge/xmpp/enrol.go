package xmpp

import (
	"context"
	"errors"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/stream"
)

// registerField is the key of the field of the log-in form that says to make the account.
const registerField = "register"

// enrolledKey keeps the address of the account that was made for this link: it is made
// once, and not again when its server has removed it.
var enrolledKey = []byte("enrolled")

// signIn logs in, and makes the account before when the log-in form says so and there is
// none that the password fits.
func signIn(ctx context.Context, l im.Login, cfg stream.Config) (*stream.Stream, error) {
	s, err := stream.Dial(ctx, cfg)
	if l.Fields[registerField] != "yes" || !is(err, stream.Credentials) {
		return s, err
	}
	kv, address, made := l.Host.KV(l.User), cfg.JID.Bare().String(), ""
	failed := kv.View(func(tx im.Tx) error {
		made = string(tx.Get(enrolledKey))
		return nil
	})
	if failed != nil || made == address {
		return nil, err
	}
	if err := stream.Register(ctx, cfg); err != nil {
		return nil, err
	}
	if err := kv.Update(func(tx im.Tx) error { return tx.Put(enrolledKey, []byte(address)) }); err != nil {
		return nil, err
	}
	return stream.Dial(ctx, cfg)
}

func is(err error, kind stream.Kind) bool {
	var e *stream.Error
	return errors.As(err, &e) && e.Kind == kind
}
