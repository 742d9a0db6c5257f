package kit

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Every file of a kit is as old as MSN Messenger: noon of 22 July 1999, as MS-DOS
// writes it.
const (
	dosTime = 12 << 11
	dosDate = (1999-1980)<<9 | 7<<5 | 22
)

// WriteZip writes files as a .zip, as they are: they are small, and a disk of 1.44 MB
// holds them all. (The standard library's writer would be a third of this package.)
func WriteZip(w io.Writer, files []File) error {
	var folder []byte
	at := 0
	write := func(parts ...[]byte) error {
		for _, p := range parts {
			n, err := w.Write(p)
			if at += n; err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range files {
		const version = 10 // of what is needed to read it
		about := fields(2, 0, 2, 0, 2, dosTime, 2, dosDate, 4, int(crc32.ChecksumIEEE(f.Data)), 4, len(f.Data), 4, len(f.Data), 2, len(f.Name), 2, 0)
		begins := at
		if err := write([]byte("PK\x03\x04"), fields(2, version), about, []byte(f.Name), f.Data); err != nil {
			return err
		}
		folder = append(folder, "PK\x01\x02"...)
		folder = append(folder, fields(2, version, 2, version)...)
		folder = append(folder, about...)
		folder = append(folder, fields(2, 0, 2, 0, 2, 0, 4, 0, 4, begins)...)
		folder = append(folder, f.Name...)
	}
	begins := at
	return write(folder, []byte("PK\x05\x06"), fields(2, 0, 2, 0, 2, len(files), 2, len(files), 4, len(folder), 4, begins, 2, 0))
}

// fields are numbers of so many bytes, the lowest first: size, number, size, number.
func fields(pairs ...int) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, binary.LittleEndian.AppendUint32(nil, uint32(pairs[i+1]))[:pairs[i]]...)
	}
	return b
}
