package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"image"
	"io"
)

// jpegHead is what stands before the points of a JPEG.
type jpegHead struct {
	progressive bool
	turn        int // how the camera was held: EXIF's Orientation, 1 upright to 8
}

// maxSegments is how many parts are looked through.
const maxSegments = 200

// readJPEGHead reads the parts of a JPEG up to the first scan (ITU T.81, B.1). One
// that is not in order counts as progressive, which takes more memory: the decoder
// is more lenient.
func readJPEGHead(from io.Reader) jpegHead {
	h := jpegHead{progressive: true, turn: 1}
	r := bufio.NewReader(from)
	if b, err := r.Peek(2); err != nil || b[0] != 0xff || b[1] != 0xd8 {
		return h
	}
	r.Discard(2)
	progressive := false
	for range maxSegments {
		var b [4]byte
		if _, err := io.ReadFull(r, b[:]); err != nil || b[0] != 0xff {
			return h
		}
		size := int(binary.BigEndian.Uint16(b[2:])) - 2
		switch m := b[1]; {
		case size < 0 || m < 0xc0 || m >= 0xd0 && m <= 0xd9:
			return h
		case m == 0xda: // the first scan
			h.progressive = progressive
			return h
		case m == 0xe1:
			exif := make([]byte, size)
			if _, err := io.ReadFull(r, exif); err != nil {
				return h
			}
			if t := orientation(exif); t != 0 {
				h.turn = t
			}
			continue
		case m == 0xc4 || m == 0xc8 || m == 0xcc: // not a frame
		case m == 0xc0 || m == 0xc1:
		case m <= 0xcf:
			progressive = true
		}
		if n, _ := r.Discard(size); n < size {
			return h
		}
	}
	return h
}

// orientation finds tag 0x0112 in the first directory of an EXIF part (a TIFF file,
// TIFF 6.0 §2), 0 when it is not there.
func orientation(part []byte) int {
	tiff, ok := bytes.CutPrefix(part, []byte("Exif\x00\x00"))
	if !ok || len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(tiff[:2]) == "MM" {
		order = binary.BigEndian
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 0
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 0
		}
		if order.Uint16(entries) == 0x0112 && order.Uint16(entries[2:]) == 3 {
			if t := order.Uint16(entries[8:]); t >= 1 && t <= 8 {
				return int(t)
			}
			return 0
		}
		entries = entries[12:]
	}
	return 0
}

// fit is the size for a picture before it is put upright.
func (h jpegHead) fit(has image.Point) image.Point {
	w, hi := maxW, maxH
	if h.turn >= 5 {
		w, hi = hi, w
	}
	p := has
	if p.X > w {
		p = image.Pt(w, max(1, has.Y*w/has.X))
	}
	if p.Y > hi {
		p = image.Pt(max(1, has.X*hi/has.Y), hi)
	}
	return p
}

// upright turns and mirrors a picture so that it shows as it was taken (EXIF 2.32,
// 4.6.5, Orientation).
func (h jpegHead) upright(img *image.RGBA) *image.RGBA {
	if h.turn == 1 {
		return img
	}
	w, hi := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewRGBA(image.Rect(0, 0, w, hi))
	if h.turn >= 5 {
		out = image.NewRGBA(image.Rect(0, 0, hi, w))
	}
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			sx, sy := x, y
			if h.turn >= 5 {
				sx, sy = y, x
			}
			switch h.turn {
			case 2, 3, 7, 8:
				sx = w - 1 - sx
			}
			switch h.turn {
			case 3, 4, 6, 7:
				sy = hi - 1 - sy
			}
			out.SetRGBA(x, y, img.RGBAAt(sx, sy))
		}
	}
	return out
}

// consistent tells whether a WebP in its extended form has the size that it says
// it has: the decoder believes the one when it is asked for it, and the other when
// it decodes (WebP container, "Extended File Format").
func consistent(from *io.SectionReader, conf image.Config) bool {
	const head = 12 // RIFF, size, WEBP
	for at := int64(head); ; {
		var b [18]byte
		n, _ := from.ReadAt(b[:], at)
		if n < 8 {
			return false
		}
		size, data := int64(binary.LittleEndian.Uint32(b[4:])), b[8:n]
		switch string(b[:4]) {
		case "VP8 ":
			return len(data) == 10 && int(binary.LittleEndian.Uint16(data[6:])&0x3fff) == conf.Width &&
				int(binary.LittleEndian.Uint16(data[8:])&0x3fff) == conf.Height
		case "VP8L":
			if len(data) < 5 {
				return false
			}
			bits := binary.LittleEndian.Uint32(data[1:])
			return int(bits&0x3fff)+1 == conf.Width && int(bits>>14&0x3fff)+1 == conf.Height
		}
		at += 8 + size + size%2
	}
}
