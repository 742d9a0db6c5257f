package matrix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// realm is where the accounts of a box are users: their names on the homeserver begin
// with the prefix. Several boxes may have theirs on one homeserver.
type realm struct{ prefix, domain string }

// defaultPrefix is that of a homeserver's only box.
const defaultPrefix = "msn_"

// No prefix begins with another one: each has one _, at its end.
var isPrefix = regexp.MustCompile("^[a-z0-9]{1,32}_$")

func newRealm(prefix, domain string) (realm, error) {
	r := realm{cmp.Or(prefix, defaultPrefix), domain}
	if !isPrefix.MatchString(r.prefix) {
		return r, fmt.Errorf("user names can't begin with %q: give small letters and digits with a _ behind them, such as msn2_", prefix)
	}
	return r, nil
}

// service is the id of the application service in its registration.
func (r realm) service() string {
	if r.prefix == defaultPrefix {
		return serviceName
	}
	return serviceName + "-" + strings.TrimSuffix(r.prefix, "_")
}

// bot is the service's own user.
func (r realm) bot() id.UserID { return id.NewUserID(r.prefix+serviceName, r.domain) }

// userOf is the user that an account is (appendices, mapping from other character
// sets).
func (r realm) userOf(handle string) id.UserID {
	return id.NewUserID(r.prefix+id.EncodeUserLocalpart(handle), r.domain)
}

// handleOf is the way back. Not ok: it is nobody's.
func (r realm) handleOf(u id.UserID) (handle string, ok bool) {
	if !r.ours(u) {
		return "", false
	}
	handle, err := id.DecodeUserLocalpart(strings.TrimPrefix(u.Localpart(), r.prefix))
	return handle, err == nil && strings.Contains(handle, "@")
}

// ours tells whether a user belongs to the box.
func (r realm) ours(u id.UserID) bool {
	return u.Homeserver() == r.domain && strings.HasPrefix(u.Localpart(), r.prefix)
}

// Other boxes are services of the same homeserver, or of one that it talks to.

// neighbours are the other boxes that the owner named, as msn2_:example.org.
func (s *service) neighbours() (boxes []realm) {
	for _, box := range im.Words(s.host.Setting(im.Addr{}, im.Boxes)) {
		if prefix, domain, ok := strings.Cut(strings.ToLower(box), ":"); ok && prefix != "" && domain != "" {
			boxes = append(boxes, realm{prefix, domain})
		}
	}
	return boxes
}

// neighbour tells whether a user is on another box.
func (s *service) neighbour(u id.UserID) bool {
	for _, box := range s.neighbours() {
		if _, ok := box.handleOf(u); ok {
			return true
		}
	}
	return false
}

// askBox is how long one of the other boxes may take to say whether it knows somebody.
const askBox = 2 * time.Second

// findInBoxes asks the other boxes who has the address there: homeservers ask the
// service for the users that they don't know. ErrNotFound when all know nobody; while
// one can't be asked nobody knows.
func (s *service) findInBoxes(ctx context.Context, handle string) (im.Person, error) {
	answer := im.ErrNotFound
	if !strings.Contains(handle, "@") {
		return im.Person{}, answer
	}
	for _, box := range s.neighbours() {
		u := box.userOf(strings.ToLower(strings.TrimSpace(handle)))
		ctx, cancel := context.WithTimeout(ctx, askBox)
		p, err := s.bot.cli.GetProfile(ctx, u)
		cancel()
		switch {
		case err == nil:
			return im.Person{Addr: im.Addr{Net: Name, ID: string(u)}, Name: p.DisplayName}, nil
		case !errors.Is(err, mautrix.MNotFound):
			answer = err // that box can't be reached, for example, which Dendrite calls an error of its own
		}
	}
	return im.Person{}, answer
}
