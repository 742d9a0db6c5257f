package xmpp

import (
	"encoding/base64"
	"encoding/hex"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
)

// pictureUpdate goes into the presence of an account on a component: the check sum of
// the picture in its vCard (XEP-0153 §3.1). Servers do that for their own users.
func pictureUpdate(p *im.Picture) stanza.Node {
	x := element(nsPhoto, "x")
	x.Nodes = []stanza.Node{words(nsPhoto, "photo", hex.EncodeToString(p.SHA1[:]))}
	return x
}

// photo is a picture in a vCard (XEP-0054).
func photo(png []byte) stanza.Node {
	n := element(nsVCard, "PHOTO")
	n.Nodes = []stanza.Node{words(nsVCard, "TYPE", "image/png"), words(nsVCard, "BINVAL", base64.StdEncoding.EncodeToString(png))}
	return n
}
