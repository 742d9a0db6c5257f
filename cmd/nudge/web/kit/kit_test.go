package kit

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	address = regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)
	dosFile = regexp.MustCompile(`^[A-Z0-9]{1,8}\.[A-Z]{3}$`)
	kitName = regexp.MustCompile(`^[a-z0-9]{1,8}$`)
)

// Every kit is whole, says how far it was proved, and holds no address.
func TestKits(t *testing.T) {
	names := map[string]bool{}
	for _, k := range List() {
		if !kitName.MatchString(k.Name) || names[k.Name] || k.Title == "" || k.ForClients == "" || k.Proof != notProved || len(k.Steps) < 3 || len(k.Hosts) < 2 {
			t.Errorf("%s is not whole: %+v", k.Name, k)
		}
		names[k.Name] = true
		files, err := k.Build(testRoot())
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, f := range files {
			have = append(have, f.Name)
			if len(f.Data) == 0 || !dosFile.MatchString(f.Name) {
				t.Errorf("%s: %s of %d bytes", k.Name, f.Name, len(f.Data))
			}
			if strings.HasSuffix(f.Name, ".CRT") {
				continue
			}
			if found := address.Find(f.Data); found != nil {
				t.Errorf("%s: %s holds the address %s", k.Name, f.Name, found)
			}
			for l := range strings.SplitSeq(string(f.Data), "\r\n") {
				if len(l) > 80 && !strings.HasPrefix(l, "[") && !strings.HasPrefix(l, `"`) || strings.ContainsFunc(l, func(c rune) bool { return c < ' ' || c > '~' }) {
					t.Errorf("%s: %s has the line %q", k.Name, f.Name, l)
				}
			}
		}
		if !slices.Equal(have, k.Files) {
			t.Errorf("%s has %v and says %v", k.Name, have, k.Files)
		}
		if found := address.FindString(card(k)); found != "" {
			t.Errorf("%s: its card holds the address %s", k.Name, found)
		}
		if _, err := k.Build(nil); (err != nil) != k.trust {
			t.Errorf("%s without a certificate: %v", k.Name, err)
		}
	}
	if _, err := Find("msn9"); err == nil || !strings.Contains(err.Error(), "msn75") {
		t.Errorf("an unknown kit: %v", err)
	}
}

// readFloppy reads an image by its own words, as the books of the time describe it.
func readFloppy(img []byte) (files map[string]string, err error) {
	le := binary.LittleEndian
	sector, perCluster := int(le.Uint16(img[11:])), int(img[13])
	reserved, fats, entries := int(le.Uint16(img[14:])), int(img[16]), int(le.Uint16(img[17:]))
	perFAT := int(le.Uint16(img[22:]))
	if len(img) != int(le.Uint16(img[19:]))*sector || img[510] != 0x55 || img[511] != 0xaa || img[21] != 0xf0 {
		return nil, fmt.Errorf("the first sector is %x", img[:62])
	}
	fat := img[reserved*sector:][:perFAT*sector]
	if second := img[(reserved+perFAT)*sector:][:perFAT*sector]; string(second) != string(fat) {
		return nil, fmt.Errorf("the tables differ")
	}
	next := func(c int) int {
		v := int(le.Uint16(fat[c*3/2:]))
		if c%2 == 1 {
			return v >> 4
		}
		return v & 0xfff
	}
	root := img[(reserved+fats*perFAT)*sector:][:entries*32]
	data := img[(reserved+fats*perFAT)*sector+len(root):]
	files = map[string]string{}
	used := map[int]bool{}
	for ; root[0] != 0; root = root[32:] {
		if root[11]&0x08 != 0 {
			continue
		}
		var text []byte
		c := int(le.Uint16(root[26:]))
		for c != 0 && c < 0xff8 {
			if c < 2 || used[c] {
				return nil, fmt.Errorf("cluster %d", c)
			}
			used[c] = true
			text = append(text, data[(c-2)*perCluster*sector:][:perCluster*sector]...)
			c = next(c)
		}
		name := strings.TrimRight(string(root[:8]), " ") + "." + strings.TrimRight(string(root[8:11]), " ")
		files[name] = string(text[:le.Uint32(root[28:])])
	}
	return files, nil
}

type buffer struct{ b []byte }

func (b *buffer) Write(p []byte) (int, error) { b.b = append(b.b, p...); return len(p), nil }

// What is written on a floppy can be read from it, up to the last byte.
func TestFloppy(t *testing.T) {
	full := strings.Repeat("0123456789abcde\n", mostOnDisk/16)
	for name, files := range map[string][]File{
		"none":  nil,
		"sizes": {{"A.TXT", nil}, {"B.TXT", []byte("b")}, {"C-1.REG", []byte(full[:512])}, {"LONGNAME.CRT", []byte(full[:513])}, {"E.TXT", []byte(full[:99999])}},
		"full":  {{"A.TXT", []byte("a")}, {"FULL.BIN", []byte(full[:mostOnDisk-512])}},
	} {
		var img buffer
		if err := WriteFloppy(&img, files); err != nil {
			t.Fatal(name, err)
		}
		if len(img.b) != FloppySize {
			t.Errorf("%s: %d bytes", name, len(img.b))
		}
		got, err := readFloppy(img.b)
		if err != nil || len(got) != len(files) {
			t.Fatalf("%s: %d files, %v", name, len(got), err)
		}
		for _, f := range files {
			if got[f.Name] != string(f.Data) {
				t.Errorf("%s: %s is another", name, f.Name)
			}
		}
	}
	for why, files := range map[string][]File{
		"too large": {{"A.TXT", []byte("a")}, {"FULL.BIN", []byte(full)}},
		"long name": {{"NUDGE-SETTINGS.REG", nil}},
		"small":     {{"nudge.reg", nil}},
		"no name":   {{".REG", nil}},
		"too many":  make([]File, rootEntries),
	} {
		if err := WriteFloppy(&buffer{}, files); err == nil {
			t.Errorf("%s: it is written", why)
		}
	}
}
