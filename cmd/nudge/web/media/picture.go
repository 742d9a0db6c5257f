package media

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"io"
	"net/http"
	"os"

	_ "golang.org/x/image/webp" // likewise
)

// The largest picture on a page: what a screen of 800 by 600 has room for under
// the bars of a browser.
const (
	maxW = 600
	maxH = 420
)

// maxMemory is how much a picture may take while it is decoded, in bytes: one of 16
// million points from a camera. Few bytes can say that they are a picture of
// billions; those are not begun with.
const (
	maxMemory = 64 << 20
	maxSide   = 1 << 16 // points
)

// quality is that of a JPEG, of 100.
const quality = 80

var errNoPicture = &Refused{"This is no picture that the box can show. Save it, and open it with another program."}

// picture is one for old browsers.
type picture struct {
	data []byte
	kind string // MIME type
	w, h int
}

// shrink makes a picture anew so that old browsers can show it: one of few colours
// and points as GIF, else as JPEG on white. Of one that moves it is the first frame.
func shrink(from *io.SectionReader) (p picture, err error) {
	defer stumbled(&err)
	img, head, err := read(from)
	if err != nil {
		return p, err
	}
	var out bytes.Buffer
	if few, ok := img.(*image.Paletted); ok && fits(img.Bounds().Size()) {
		p = picture{kind: "image/gif", w: few.Rect.Dx(), h: few.Rect.Dy()}
		err = gif.Encode(&out, few, nil)
	} else {
		fitted := head.upright(scale(img, img.Bounds(), head.fit(img.Bounds().Size())))
		p = picture{kind: "image/jpeg", w: fitted.Rect.Dx(), h: fitted.Rect.Dy()}
		err = jpeg.Encode(&out, fitted, &jpeg.Options{Quality: quality})
	}
	p.data = out.Bytes()
	return p, err
}

// stumbled makes an error of what decoders do about something that nobody made by
// accident.
func stumbled(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w (%v)", errNoPicture, r)
	}
}

// read decodes a picture that is small enough for that.
func read(from *io.SectionReader) (img image.Image, head jpegHead, err error) {
	at := func() io.Reader { return io.NewSectionReader(from, 0, from.Size()) }
	conf, format, err := image.DecodeConfig(at())
	if err != nil || conf.Width <= 0 || conf.Height <= 0 {
		return nil, head, errNoPicture
	}
	head.turn = 1
	switch format {
	case "jpeg":
		head = readJPEGHead(at())
	case "webp":
		if !consistent(from, conf) {
			return nil, head, errNoPicture
		}
	}
	if max(conf.Width, conf.Height) > maxSide || int64(conf.Width)*int64(conf.Height) > maxMemory/perPoint(conf, format, head.progressive) {
		return nil, head, &Refused{fmt.Sprintf("This picture is too large to be shown here: it has %d by %d points. Save it, and open it with another program.", conf.Width, conf.Height)}
	}
	img, _, err = image.Decode(at())
	if err != nil || img.Bounds().Empty() {
		return nil, head, errNoPicture
	}
	return img, head, nil
}

// perPoint is how many bytes of memory decoding takes for each point, at most.
func perPoint(c image.Config, format string, progressive bool) int64 {
	switch {
	case format == "jpeg" && progressive:
		return 16 // keeps what it has of all colours until the end
	case format == "jpeg":
		return 4
	case format == "gif":
		return 1
	case format == "webp":
		return 8
	}
	switch c.ColorModel { // of a PNG; one that is interlaced takes half as much again
	case color.GrayModel:
		return 2
	case color.Gray16Model:
		return 3
	case color.RGBA64Model, color.NRGBA64Model:
		return 12
	}
	return 6
}

func fits(p image.Point) bool { return p.X <= maxW && p.Y <= maxH }

// scale is the part b of img on white with as many points as size says: each the mean of those it stands for, or
// one of them where there are too few. It takes memory for little more than the result.
func scale(img image.Image, b image.Rectangle, size image.Point) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: size})
	row := image.NewRGBA(image.Rect(0, 0, b.Dx(), 1))
	sums := make([]uint32, 3*size.X)
	for y := range size.Y {
		clear(sums)
		from, to := span(y, size.Y, b.Dy())
		for sy := from; sy < to; sy++ {
			draw.Draw(row, row.Rect, image.White, image.Point{}, draw.Src)
			draw.Draw(row, row.Rect, img, image.Pt(b.Min.X, b.Min.Y+sy), draw.Over)
			add(sums, row.Pix, size.X)
		}
		for x := range size.X {
			left, right := span(x, size.X, b.Dx())
			n := uint32(right-left) * uint32(to-from)
			for c := range 3 {
				out.Pix[y*out.Stride+4*x+c] = uint8((sums[3*x+c] + n/2) / n)
			}
			out.Pix[y*out.Stride+4*x+3] = 255
		}
	}
	return out
}

// span says for which of has points number i of n stands.
func span(i, n, has int) (from, to int) {
	from = i * has / n
	return from, max(from+1, (i+1)*has/n)
}

// add adds the points of a row, in w groups.
func add(sums []uint32, row []uint8, w int) {
	points := len(row) / 4
	for x := range w {
		for p, to := span(x, w, points); p < to; p++ {
			sums[3*x] += uint32(row[4*p])
			sums[3*x+1] += uint32(row[4*p+1])
			sums[3*x+2] += uint32(row[4*p+2])
		}
	}
}

// extension is the usual one for a picture, "" when it is none.
func extension(file *os.File) string {
	var b [512]byte
	n, _ := file.ReadAt(b[:], 0)
	return map[string]string{"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}[http.DetectContentType(b[:n])]
}
