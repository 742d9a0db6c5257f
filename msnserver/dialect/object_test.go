package dialect

import (
	"crypto/sha1"
	"strings"
	"testing"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// TestDisplayPicture holds the check sums to the vector of MSNP.md J.2, and tells
// who gets the object.
func TestDisplayPicture(t *testing.T) {
	const want = `<msnobj Creator="alice@example.com" Size="7" Type="3" Location="TFR2C.tmp" Friendly="AAA=" SHA1D="EauWsvSkKIGXsFwwiYnlVjjBQGE=" SHA1C="VZV8cyMuRccI5R90D/jw+wdzOgg="/>`
	now := im.Presence{Status: im.Online, Picture: &im.Picture{SHA1: sha1.Sum([]byte("PNGDATA")), Size: 7}}
	who := im.Person{Addr: im.Addr{Net: "xmpp", ID: "alice@example.com"}, Name: "Alice"}
	for _, d := range versions {
		args := d.Presence("", who, now).Args
		object := wire.Unescape(args[len(args)-1])
		switch {
		case d.Pictures && (object != want || strings.ContainsAny(args[len(args)-1], " ")):
			t.Errorf("%s: %q", d.Name, args)
		case !d.Pictures && strings.HasPrefix(object, "<"):
			t.Errorf("%s is told of pictures: %q", d.Name, args)
		}
	}
}

func TestParsePicture(t *testing.T) {
	const object = `<msnobj Creator="alice@example.com" Size="7" Type="3" Location="TFR2C.tmp" Friendly="AAA=" SHA1D="EauWsvSkKIGXsFwwiYnlVjjBQGE=" SHA1C="VZV8cyMuRccI5R90D/jw+wdzOgg="/>`
	if p := ParsePicture(wire.Escape(object)); p == nil || p.Size != 7 || p.SHA1 != sha1.Sum([]byte("PNGDATA")) {
		t.Errorf("it is read as %+v", p)
	}
	for _, arg := range []string{"", "0", "%3Cmsnobj%2F%3E", strings.Replace(object, `"3"`, `"2"`, 1), strings.Replace(object, `"7"`, `"0"`, 1),
		strings.Replace(object, "EauW", "Eau", 1), strings.Replace(object, "EauW", "", 1), strings.Replace(object, ` SHA1D="`, "", 1)} {
		if p := ParsePicture(arg); p != nil {
			t.Errorf("%q is read as %+v", arg, p)
		}
	}
}
