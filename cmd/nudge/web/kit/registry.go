package kit

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Roots of the registry.
const (
	currentUser  = "HKEY_CURRENT_USER"
	localMachine = "HKEY_LOCAL_MACHINE"
)

// setting is one value of the registry.
type setting struct {
	key, name string
	value     string // as it stands in a .reg file; "" removes it
	before    string // what the undo brings back; "" removes it
}

func (s setting) do() string       { return s.value }
func (s setting) takeBack() string { return s.before }

// onlyTLS ticks TLS 1.0 and neither SSL 2 nor SSL 3, in which Windows up to XP says
// hello as nobody can answer any more (MSNP.md K.22). Without the value Windows
// has its own default.
var onlyTLS = setting{currentUser + `\Software\Microsoft\Windows\CurrentVersion\Internet Settings`, "SecureProtocols", "dword:00000080", ""}

// trusted makes a user, or all of the PC, trust an authority. Windows 2000 and later
// believe only the latter without asking.
func trusted(root string, cert []byte) setting {
	print := sha1.Sum(cert)
	return setting{fmt.Sprintf(`%s\Software\Microsoft\SystemCertificates\Root\Certificates\%X`, root, print), "Blob", binaryValue(storedCertificate(cert)), ""}
}

// Properties of a certificate in a store of Windows.
const (
	propertySHA1        = 3
	propertyCertificate = 32
)

// storedCertificate is a certificate as Windows keeps it: properties of a number, a
// one, a length and the value.
func storedCertificate(cert []byte) (b []byte) {
	print := sha1.Sum(cert)
	for _, p := range []struct {
		number uint32
		value  []byte
	}{{propertySHA1, print[:]}, {propertyCertificate, cert}} {
		b = binary.LittleEndian.AppendUint32(b, p.number)
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.value)))
		b = append(b, p.value...)
	}
	return b
}

// text is a string value.
func text(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// binaryValue is a binary value, in lines of the length that Regedit writes.
func binaryValue(data []byte) string {
	const perLine = 25
	var b strings.Builder
	b.WriteString("hex:")
	for i, c := range data {
		if i > 0 {
			b.WriteByte(',')
			if i%perLine == 0 {
				b.WriteString("\\\r\n  ")
			}
		}
		fmt.Fprintf(&b, "%02x", c)
	}
	return b.String()
}

// regFile is a file for Regedit: it removes keys, then sets or removes values. The
// form is that of Windows 95 to 2000, which later ones read too.
func regFile(remove []string, settings []setting, value func(setting) string) []byte {
	var b strings.Builder
	b.WriteString("REGEDIT4\r\n")
	for _, key := range remove {
		fmt.Fprintf(&b, "\r\n[-%s]\r\n", key)
	}
	for _, s := range settings {
		v := value(s)
		switch {
		case v == "" && strings.Contains(s.key, `\Certificates\`):
			fmt.Fprintf(&b, "\r\n[-%s]\r\n", s.key) // the key is ours altogether
		case v == "":
			fmt.Fprintf(&b, "\r\n[%s]\r\n%s=-\r\n", s.key, text(s.name))
		default:
			fmt.Fprintf(&b, "\r\n[%s]\r\n%s=%s\r\n", s.key, text(s.name), v)
		}
	}
	return slices.Concat([]byte(b.String()), []byte("\r\n"))
}
