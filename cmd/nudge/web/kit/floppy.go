package kit

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// The form of a 3.5 inch disk of 1.44 MB with the file system FAT12: one sector for
// starting, two tables of which cluster follows on which, the folder, the files. A
// cluster is a sector.
const (
	sectorSize  = 512
	sectors     = 2880
	fatSectors  = 9
	rootEntries = 224
	entrySize   = 32
	dataSector  = 1 + 2*fatSectors + rootEntries*entrySize/sectorSize
	mostOnDisk  = (sectors - dataSector) * sectorSize
	media       = 0xf0
	lastCluster = 0xfff
)

// FloppySize is the size of a floppy's image in bytes.
const FloppySize = sectors * sectorSize

// WriteFloppy writes the image of a floppy disk with files in its root folder. Names
// are of up to eight and three capital letters, digits and hyphens.
func WriteFloppy(w io.Writer, files []File) error {
	if len(files) >= rootEntries {
		return fmt.Errorf("%d files do not fit the folder of a floppy", len(files))
	}
	var data bytes.Buffer
	fat := newFAT()
	root := entry("NUDGE      ", 0x08, 0, 0) // the disk's name
	for _, f := range files {
		name, err := dosName(f.Name)
		if err != nil {
			return err
		}
		n := (len(f.Data) + sectorSize - 1) / sectorSize
		if data.Len()+n*sectorSize > mostOnDisk {
			return fmt.Errorf("%s does not fit on the floppy", f.Name)
		}
		root = append(root, entry(name, 0x20, fat.chain(n), len(f.Data))...)
		data.Write(f.Data)
		data.Write(make([]byte, n*sectorSize-len(f.Data)))
	}
	root = append(root, make([]byte, rootEntries*entrySize-len(root))...)
	for _, part := range [][]byte{bootSector(), fat.table, fat.table, root, data.Bytes()} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	empty := make([]byte, sectorSize)
	for range sectors - dataSector - data.Len()/sectorSize {
		if _, err := w.Write(empty); err != nil {
			return err
		}
	}
	return nil
}

// fat12 is the table: 12 bits for each cluster, that of the next. The first cluster
// of the files has number 2.
type fat12 struct {
	table []byte
	next  int
}

func newFAT() *fat12 {
	f := &fat12{make([]byte, fatSectors*sectorSize), 2}
	f.set(0, 0xf00|media)
	f.set(1, lastCluster)
	return f
}

func (f *fat12) set(cluster, to int) {
	at := cluster * 3 / 2
	if cluster%2 == 0 {
		f.table[at], f.table[at+1] = byte(to), f.table[at+1]&0xf0|byte(to>>8)
	} else {
		f.table[at], f.table[at+1] = f.table[at]&0x0f|byte(to<<4), byte(to>>4)
	}
}

// chain takes the next n clusters and returns the first, 0 for none.
func (f *fat12) chain(n int) (first int) {
	if n == 0 {
		return 0
	}
	first = f.next
	for ; n > 1; n-- {
		f.set(f.next, f.next+1)
		f.next++
	}
	f.set(f.next, lastCluster)
	f.next++
	return first
}

// entry is one of the folder's.
func entry(name string, kind byte, cluster, size int) []byte {
	b := append([]byte(name), kind)
	b = append(b, make([]byte, 10)...)
	return append(b, fields(2, dosTime, 2, dosDate, 2, cluster, 4, size)...)
}

// dosName is a name as it stands in a folder.
func dosName(name string) (string, error) {
	base, ext, _ := strings.Cut(name, ".")
	if base == "" || len(base) > 8 || len(ext) > 3 || strings.Trim(base+ext, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return "", fmt.Errorf("%q is no name for a file on a floppy", name)
	}
	return fmt.Sprintf("%-8s%-3s", base, ext), nil
}

// bootSector says what the disk is like, and to who starts from it that there is
// nothing to start.
func bootSector() []byte {
	b := append([]byte{0xeb, 0x3c, 0x90}, "MSDOS5.0"...)
	b = append(b, fields(2, sectorSize, 1, 1, 2, 1, 1, 2, 2, rootEntries, 2, sectors, 1, media, 2, fatSectors, 2, 18, 2, 2, 4, 0, 4, 0,
		1, 0, 1, 0, 1, 0x29, 4, 0x19990722)...)
	b = append(b, "NUDGE      FAT12   "...)
	// For each letter of the text: print it (int 10). Then wait for a key (int 16)
	// and start anew (int 19).
	b = append(b, "\x31\xc0\x8e\xd8\xbe\x5b\x7c\xfc\xac\x08\xc0\x74\x09\xb4\x0e\xbb\x07\x00\xcd\x10\xeb\xf2\x31\xc0\xcd\x16\xcd\x19\x90"+
		"This disk starts no PC. Take it out and press a key.\r\n\x00"...)
	b = append(b, make([]byte, sectorSize-2-len(b))...)
	return append(b, 0x55, 0xaa)
}
