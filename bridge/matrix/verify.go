package matrix

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nudge/bridge/im"
	"nudge/bridge/matrix/olm"
	"nudge/bridge/matrix/sas"
)

// answerFor is how long the user may compare emoji.
const answerFor = 5 * time.Minute

// verify lets another device of the account verify this one. The sync loop calls
// it, so the link has not ended.
func (l *link) verify(v *olm.Verification) {
	l.wg.Go(func() {
		err := v.Run(l.ctx, func(ctx context.Context, signs [7]sas.Emoji) (bool, error) {
			return l.sameSigns(ctx, string(v.Peer), signs)
		})
		text := fmt.Sprintf("signed in as %s; this box and your device %s have verified each other", l.cli.UserID, v.Peer)
		if err != nil {
			l.log.Info("a verification came to nothing", "device", v.Peer, "why", words(err))
			var why *olm.Unverified
			if l.ctx.Err() != nil || v.Peer == "" || !errors.As(err, &why) {
				return
			}
			text = fmt.Sprintf("signed in as %s%s; the verification with your device %s came to nothing: %s", l.cli.UserID, l.standing(l.ctx), v.Peer, why.Reason)
		}
		if err := l.deliver(l.ctx, delivery{events: []im.Event{im.LinkState{Net: Name, State: im.Up, Text: text}}}); err != nil {
			l.log.Debug("the end of a verification is not told", "err", err)
		}
	})
}

// propose asks the account's other devices, once, to verify this one, as other apps
// do that are new. Who takes it up finds the pictures among the link's questions.
func (l *link) propose(ctx context.Context) error {
	if l.olm() == nil {
		return nil
	}
	if signed, can := l.olm().Signed(ctx); signed || !can {
		return nil
	}
	v, err := l.olm().Propose(ctx)
	if v != nil {
		l.verify(v)
	}
	return err
}

// sameSigns asks the user whether the other device shows the same emoji. They are
// no secret: whoever knows them can do nothing with them.
func (l *link) sameSigns(ctx context.Context, device string, signs [7]sas.Emoji) (bool, error) {
	var shown []string
	for _, s := range signs {
		shown = append(shown, s.Sign+" "+s.Name)
	}
	answer, err := l.host.Ask(ctx, l.user, im.Prompt{
		Text: fmt.Sprintf("Your Matrix device %s wants to verify this box. Does it show these seven pictures, in this order? %s. "+
			"Say yes only if you chose this there yourself.", device, strings.Join(shown, ", ")),
		Field: im.Field{Key: "verify", Label: "The same pictures", Choices: []string{"yes", "no"}},
		Until: time.Now().Add(answerFor),
	})
	if err != nil {
		return false, errors.Join(&olm.Unverified{Code: "m.user", Reason: "nobody compared the pictures"}, err)
	}
	return answer == "yes", nil
}
