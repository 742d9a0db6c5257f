package kit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// testRoot is an authority's certificate.
var testRoot = sync.OnceValue(func() []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Nudge TEST"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return der
})

// registry is what Regedit makes of files: value by key and name. A key that exists
// has the name "".
type registry map[string]map[string]string

func (r registry) clone() registry {
	c := registry{}
	for k, v := range r {
		c[k] = maps.Clone(v)
	}
	return c
}

func (r registry) equal(o registry) bool { return maps.EqualFunc(r, o, maps.Equal) }

var (
	keyLine   = regexp.MustCompile(`^\[(-?)(HKEY_CURRENT_USER|HKEY_LOCAL_MACHINE)((?:\\[A-Za-z0-9 .]+)+)\]$`)
	valueLine = regexp.MustCompile(`^"([A-Za-z0-9 ]+)"=(-|"(?:[^"\\]|\\["\\])*"|dword:[0-9a-f]{8}|hex:[0-9a-f]{2}(?:,[0-9a-f]{2})*)$`)
)

// apply reads a file as strictly as Regedit of Windows 95 might.
func (r registry) apply(file []byte) error {
	text := string(file)
	for _, c := range file {
		if c >= 0x7f || c < ' ' && c != '\r' && c != '\n' {
			return fmt.Errorf("a byte %#x", c)
		}
	}
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") || strings.Count(text, "\r") != strings.Count(text, "\r\n") || !strings.HasSuffix(text, "\r\n\r\n") {
		return fmt.Errorf("line ends")
	}
	lines := strings.Split(strings.ReplaceAll(text, "\\\r\n  ", ""), "\r\n")
	if lines[0] != "REGEDIT4" || lines[1] != "" {
		return fmt.Errorf("it begins with %q", lines[:2])
	}
	for _, l := range strings.Split(text, "\r\n") {
		if len(l) > 120 {
			return fmt.Errorf("a line of %d letters", len(l))
		}
	}
	key := ""
	for _, l := range lines[1:] {
		k, v := keyLine.FindStringSubmatch(l), valueLine.FindStringSubmatch(l)
		switch {
		case l == "":
			key = ""
		case k != nil && k[1] == "-":
			maps.DeleteFunc(r, func(have string, _ map[string]string) bool {
				return have == k[2]+k[3] || strings.HasPrefix(have, k[2]+k[3]+`\`)
			})
		case k != nil:
			if key = k[2] + k[3]; r[key] == nil {
				r[key] = map[string]string{}
			}
		case v != nil && key != "" && v[2] == "-":
			delete(r[key], v[1])
		case v != nil && key != "":
			r[key][v[1]] = v[2]
		default:
			return fmt.Errorf("the line %q", l)
		}
	}
	return nil
}

// factory is the registry of a PC before, with a word of another server and lists
// kept from it.
func factory() registry {
	return registry{
		serviceKey: {"Server": text("messenger.hotmail.com"), "IM Color": "dword:00000000"},
		serviceKey + `\ListCache\.NET Messenger Service`: {"Allow0": text("x")},
		messengerKey:                               {"Server": text("messenger.hotmail.com;64.4.13.17"), "Window": "dword:00000001"},
		messengerKey + `\ListCache`:                {"Allow0": text("x")},
		messengerKey + `\Policies`:                 {"A": text("x")},
		messengerKey + `\PerPassportSettings\1234`: {"B": text("kept")},
		onlyTLS.key:                                {"ProxyEnable": "dword:00000000"},
	}
}

// Every .reg file parses, sets what its kit needs, and its undo leaves the registry as
// it was but for what the client had remembered of another server.
func TestRegistry(t *testing.T) {
	for _, k := range List() {
		t.Run(k.Name, func(t *testing.T) {
			files := map[string][]byte{}
			all, err := k.Build(testRoot())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				files[f.Name] = f.Data
			}
			if files["NUDGE.REG"] == nil {
				if len(k.settings) > 0 {
					t.Fatal("it has settings and no file of them")
				}
				return
			}
			before := factory()
			want := before.clone() // what an undo leaves
			for _, c := range k.caches {
				maps.DeleteFunc(want, func(key string, _ map[string]string) bool { return key == c || strings.HasPrefix(key, c+`\`) })
			}
			for _, s := range k.settings {
				if s.value == "" {
					delete(want[s.key], s.name)
				}
			}
			reg := before.clone()
			for _, name := range []string{"NUDGE.REG", "NUDGEPC.REG"} {
				if files[name] == nil && name == "NUDGEPC.REG" && !k.trust {
					continue
				}
				if err := reg.apply(files[name]); err != nil {
					t.Fatalf("%s: %v\n%s", name, err, files[name])
				}
			}
			checkSet(t, k, reg)
			for _, name := range []string{"UNDO.REG", "UNDOPC.REG"} {
				if files[name] == nil && name == "UNDOPC.REG" && !k.trust {
					continue
				}
				if err := reg.apply(files[name]); err != nil {
					t.Fatalf("%s: %v\n%s", name, err, files[name])
				}
			}
			if !reg.equal(want) {
				t.Errorf("the undo leaves\n%v, not\n%v", reg, want)
			}
		})
	}
}

// checkSet looks at what a kit has set.
func checkSet(t *testing.T, k Kit, reg registry) {
	t.Helper()
	for _, s := range k.settings {
		if got := reg[s.key][s.name]; got != s.value {
			t.Errorf("%s of %s is %s", s.name, s.key, got)
		}
	}
	for _, c := range k.caches {
		if reg[c] != nil {
			t.Errorf("%s is still there", c)
		}
	}
	if reg[messengerKey+`\PerPassportSettings\1234`] == nil {
		t.Error("settings of a person are gone")
	}
	if !k.trust {
		return
	}
	if got := reg[onlyTLS.key]["SecureProtocols"]; got != "dword:00000080" {
		t.Errorf("SecureProtocols is %s", got)
	}
	for _, root := range []string{currentUser, localMachine} {
		blob := reg[fmt.Sprintf(`%s\Software\Microsoft\SystemCertificates\Root\Certificates\%X`, root, sha1.Sum(testRoot()))]["Blob"]
		b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(blob, "hex:"), ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		found := map[uint32][]byte{}
		for len(b) >= 12 {
			n := binary.LittleEndian.Uint32(b[8:])
			found[binary.LittleEndian.Uint32(b)], b = b[12:12+n], b[12+n:]
		}
		print := sha1.Sum(testRoot())
		if len(b) > 0 || !bytes.Equal(found[3], print[:]) || !bytes.Equal(found[32], testRoot()) {
			t.Errorf("in %s there is %x", root, found)
		}
		if _, err := x509.ParseCertificate(found[32]); err != nil {
			t.Error(err)
		}
	}
}

// The parser of this test refuses what Regedit might.
func TestStrictness(t *testing.T) {
	for _, bad := range []string{
		"REGEDIT4\n\n", "Windows Registry Editor Version 5.00\r\n\r\n", "REGEDIT4\r\n\r\n\"a\"=-\r\n\r\n", "REGEDIT4\r\n\r\n[HKEY_X\\a]\r\n\r\n",
		"REGEDIT4\r\n\r\n[HKEY_CURRENT_USER\\a]\r\n\"a\"=dword:1\r\n\r\n", "REGEDIT4\r\n\r\n[HKEY_CURRENT_USER\\a]\r\n\"a\"=\"\\x\"\r\n\r\n",
		"REGEDIT4\r\n\r\n[HKEY_CURRENT_USER\\a]\r\n\"a\"=\"\xe4\"\r\n\r\n",
	} {
		if registry.apply(registry{}, []byte(bad)) == nil {
			t.Errorf("it takes %q", bad)
		}
	}
}
