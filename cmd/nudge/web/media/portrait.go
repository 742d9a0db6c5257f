package media

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"hash/adler32"
	"hash/crc32"
	"image"
	_ "image/png" // is decoded
	"io"
)

// portraitSide is how wide and high a picture in a list of contacts is.
const portraitSide = 96

// Portrait makes a PNG of 96 by 96 points, which is what old Messengers show, of the
// middle of a picture. Like those of pages it is made when no other is.
func (p *Pages) Portrait(ctx context.Context, source []byte) ([]byte, error) {
	select {
	case p.spool.decoding <- struct{}{}:
		defer func() { <-p.spool.decoding }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return portrait(io.NewSectionReader(bytes.NewReader(source), 0, int64(len(source))))
}

func portrait(from *io.SectionReader) (b []byte, err error) {
	defer stumbled(&err)
	img, head, err := read(from)
	if err != nil {
		return nil, err
	}
	return writePNG(head.upright(scale(img, middle(img.Bounds()), image.Pt(portraitSide, portraitSide))))
}

// middle is the largest square in the middle of r.
func middle(r image.Rectangle) image.Rectangle {
	side := min(r.Dx(), r.Dy())
	at := r.Min.Add(image.Pt((r.Dx()-side)/2, (r.Dy()-side)/2))
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(side, side))}
}

// writePNG writes a picture without anything to see through (PNG, third edition, 5
// and 9.2): every point as its difference from the one before it. The library's
// encoder, which knows every kind, is larger than all of this.
func writePNG(img *image.RGBA) ([]byte, error) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	var data bytes.Buffer
	z, err := flate.NewWriter(&data, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	sum := adler32.New()
	row := make([]byte, 1+3*w)
	row[0] = 1 // differences from the left
	for y := range h {
		var left [3]byte
		for x := range w {
			p := img.Pix[y*img.Stride+4*x:]
			for i := range left {
				row[1+3*x+i], left[i] = p[i]-left[i], p[i]
			}
		}
		sum.Write(row)
		z.Write(row) // into memory: it can't fail
	}
	z.Close()
	out := []byte("\x89PNG\r\n\x1a\n")
	out = chunk(out, "IHDR", append(head, 8, 2, 0, 0, 0)) // bits, colours without alpha
	out = chunk(out, "IDAT", sum.Sum(append([]byte("\x78\xda"), data.Bytes()...)))
	return chunk(out, "IEND", nil), nil
}

// chunk appends a part of a PNG.
func chunk(to []byte, kind string, data []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(data)))
	from := len(to)
	to = append(append(to, kind...), data...)
	return binary.BigEndian.AppendUint32(to, crc32.ChecksumIEEE(to[from:]))
}
