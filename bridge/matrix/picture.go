package matrix

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"

	"nudge/bridge/im"
)

// wear makes what the user's client shows the picture of his account, if he wants that
// (im.OwnPicture): each one once, so that another one which he chooses in another app
// stays. One that is not there any more stays too.
func (l *link) wear(p *im.Picture) {
	if p == nil || l.host.Setting(l.user, im.OwnPicture) != "yes" {
		return
	}
	l.soon.ask("picture", func(ctx context.Context) error {
		png := l.host.Picture(l.user)
		sum := sha1.Sum(png)
		name := hex.EncodeToString(sum[:])
		if sum != p.SHA1 || l.mem.wears(name) {
			return nil
		}
		if err := l.portray(ctx, png); err != nil {
			return err
		}
		l.mem.wear(name)
		return l.mem.save(ctx, l.kv)
	})
}

// portray gives the profile a picture.
func (l *link) portray(ctx context.Context, png []byte) error {
	uri, err := l.upload(ctx, im.File{Name: "picture.png", Type: "image/png", Size: int64(len(png))}, bytes.NewReader(png))
	if err != nil {
		return err
	}
	return l.cli.SetAvatarURL(ctx, uri)
}

// wears tells whether the profile was given a picture last, by its check sum; wear notes
// that it was.
func (m *memory) wears(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.worn == name
}

func (m *memory) wear(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	set(m, wornKey, &m.worn, name)
}
