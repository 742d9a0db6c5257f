package dialect

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"

	"nudge/bridge/im"
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
