package dialect

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"nudge/bridge/im"
	"nudge/msnserver/wire"
)

// displayPicture is the MSNObject of somebody's picture (MSNP.md B.10.2). The name of
// the file and the one for people mean nothing, but have to be there.
func displayPicture(creator string, p im.Picture) string {
	const kind, location, friendly = "3", "TFR2C.tmp", "AAA="
	size, data := number(p.Size), base64.StdEncoding.EncodeToString(p.SHA1[:])
	all := sha1.Sum([]byte("Creator" + creator + "Size" + size + "Type" + kind + "Location" + location + "Friendly" + friendly + "SHA1D" + data))
	return fmt.Sprintf(`<msnobj Creator="%s" Size="%s" Type="%s" Location="%s" Friendly="%s" SHA1D="%s" SHA1C="%s"/>`,
		creator, size, kind, location, friendly, data, base64.StdEncoding.EncodeToString(all[:]))
}

// ParsePicture reads, of the MSNObject that a client sends with its presence, which
// display picture it shows; nil when that is none.
func ParsePicture(arg string) *im.Picture {
	object := wire.Unescape(arg)
	value := func(name string) string {
		_, rest, _ := strings.Cut(object, " "+name+`="`)
		v, _, _ := strings.Cut(rest, `"`)
		return v
	}
	size, err := strconv.Atoi(value("Size"))
	sum, err2 := base64.StdEncoding.DecodeString(value("SHA1D"))
	if err != nil || err2 != nil || size <= 0 || len(sum) != sha1.Size || value("Type") != "3" {
		return nil
	}
	return &im.Picture{SHA1: [sha1.Size]byte(sum), Size: size}
}
