package media

import (
	"bytes"
	"context"
	"image"
	"image/png"
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
	if part, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	}); ok { // all that are decoded
		img = part.SubImage(middle(img.Bounds()))
	}
	var out bytes.Buffer
	err = png.Encode(&out, head.upright(scale(img, image.Pt(portraitSide, portraitSide))))
	return out.Bytes(), err
}

// middle is the largest square in the middle of r.
func middle(r image.Rectangle) image.Rectangle {
	side := min(r.Dx(), r.Dy())
	at := r.Min.Add(image.Pt((r.Dx()-side)/2, (r.Dy()-side)/2))
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(side, side))}
}
