package media

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"
)

// encoded is a picture whose left half is red and whose right half is blue, and
// whose top left quarter is white.
func encoded(t testing.TB, format string, w, h int) string {
	t.Helper()
	return encode(t, format, quartered(image.NewRGBA(image.Rect(0, 0, w, h))))
}

type canvas interface {
	image.Image
	Set(x, y int, c color.Color)
}

var red, blue, white = color.RGBA{200, 0, 0, 255}, color.RGBA{0, 0, 200, 255}, color.RGBA{255, 255, 255, 255}

func quartered[C canvas](img C) C {
	b := img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			c := red
			switch {
			case x >= b.Dx()/2:
				c = blue
			case y < b.Dy()/2:
				c = white
			}
			img.Set(x, y, c)
		}
	}
	return img
}

func encode(t testing.TB, format string, img image.Image) string {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch format {
	case "png":
		err = png.Encode(&b, img)
	case "gif":
		err = gif.Encode(&b, img, nil)
	default:
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 95})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func decoded(t testing.TB, b []byte) string {
	t.Helper()
	conf, format, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%s %dx%d", format, conf.Width, conf.Height)
}

func section(s string) *io.SectionReader {
	return io.NewSectionReader(strings.NewReader(s), 0, int64(len(s)))
}

// dot is a WebP of one point.
const dot = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="

func unbase(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// extended is a WebP in the extended form that says it is w by h.
func extended(webp string, w, h int) string {
	b := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00")
	b = append(b, byte(w-1), byte((w-1)>>8), byte((w-1)>>16), byte(h-1), byte((h-1)>>8), byte((h-1)>>16))
	b = append(b, webp[12:]...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return string(b)
}

func TestShrink(t *testing.T) {
	few := quartered(image.NewPaletted(image.Rect(0, 0, 300, 200), color.Palette{red, blue, white}))
	many := quartered(image.NewPaletted(image.Rect(0, 0, 1300, 200), color.Palette{red, blue, white}))
	for name, c := range map[string]struct{ from, want string }{
		"png":        {encoded(t, "png", 1200, 420), "jpeg 600x210"},
		"high":       {encoded(t, "jpeg", 40, 2100), "jpeg 8x420"},
		"fits":       {encoded(t, "png", 60, 40), "jpeg 60x40"},
		"thread":     {encoded(t, "png", 5000, 1), "jpeg 600x1"},
		"gif":        {encode(t, "gif", few), "gif 300x200"},
		"few in png": {encode(t, "png", few), "gif 300x200"},
		"wide gif":   {encode(t, "gif", many), "jpeg 600x92"},
		"webp":       {unbase(dot), "jpeg 1x1"},
		"extended":   {extended(unbase(dot), 1, 1), "jpeg 1x1"},
		"turned":     {turned(t, 6, 400, 900), "jpeg 186x420"},
	} {
		p, err := shrink(section(c.from))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := decoded(t, p.data)
		if got != c.want || got != fmt.Sprintf("%s %dx%d", strings.TrimPrefix(p.kind, "image/"), p.w, p.h) {
			t.Errorf("%s became %s (%s %dx%d), want %s", name, got, p.kind, p.w, p.h, c.want)
		}
	}
}

// turned is a JPEG that a camera held in the way turn would have stored, of what
// encoded shows.
func turned(t testing.TB, turn uint16, w, h int) string {
	t.Helper()
	img := quartered(image.NewRGBA(image.Rect(0, 0, w, h)))
	back := map[uint16]int{6: 8, 8: 6}[turn] // the others are their own opposites
	if back == 0 {
		back = int(turn)
	}
	s := encode(t, "jpeg", jpegHead{turn: back}.upright(img))
	exif := binary.BigEndian.AppendUint16([]byte("Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01"), turn)
	exif = append(exif, 0, 0, 0, 0, 0, 0)
	part := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(exif)+2))
	return s[:2] + string(part) + string(exif) + s[2:]
}

// TestUpright: however the camera was held, the same is seen.
func TestUpright(t *testing.T) {
	near := func(c color.Color, want color.RGBA) bool {
		r, g, b, _ := c.RGBA()
		d := func(x uint32, y uint8) bool { v := int(x>>8) - int(y); return v > -12 && v < 12 }
		return d(r, want.R) && d(g, want.G) && d(b, want.B)
	}
	for turn := uint16(1); turn <= 8; turn++ {
		p, err := shrink(section(turned(t, turn, 64, 48)))
		if err != nil {
			t.Fatal(err)
		}
		img, err := jpeg.Decode(bytes.NewReader(p.data))
		if err != nil || img.Bounds().Dx() != 64 || img.Bounds().Dy() != 48 {
			t.Errorf("%d: %v, %v", turn, img.Bounds(), err)
			continue
		}
		if !near(img.At(10, 10), white) || !near(img.At(10, 40), red) || !near(img.At(50, 10), blue) || !near(img.At(50, 40), blue) {
			t.Errorf("%d: it shows %v %v %v %v", turn, img.At(10, 10), img.At(10, 40), img.At(50, 10), img.At(50, 40))
		}
	}
}

// TestTransparent: what can be seen through is white.
func TestTransparent(t *testing.T) {
	p, err := shrink(section(encode(t, "png", image.NewNRGBA(image.Rect(0, 0, 2000, 100)))))
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(p.data))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := img.At(300, 10).RGBA(); r>>8 < 250 || g>>8 < 250 || b>>8 < 250 {
		t.Errorf("it is %d %d %d", r>>8, g>>8, b>>8)
	}
}

// TestBombs: little that says it is much is not begun with.
func TestBombs(t *testing.T) {
	huge := encoded(t, "png", 10, 10)
	huge = huge[:16] + "\x00\x00\xc3\x50\x00\x00\xc3\x50" + huge[24:]
	wide := huge[:16] + "\x00\x40\x00\x00\x00\x00\x00\x01" + huge[24:]
	frame := encoded(t, "jpeg", 10, 10)
	at := strings.Index(frame, "\xff\xc0")
	camera := frame[:at+5] + "\x0b\xb8\x0f\xa0" + frame[at+9:] // 4000 by 3000
	progressive := frame[:at] + "\xff\xc2" + camera[at+2:]
	disordered := camera[:at] + "\x00" + camera[at:]
	for name, c := range map[string]struct{ from, want string }{
		"points":      {withSum(huge), "too large"},
		"width":       {withSum(wide), "too large"},
		"camera":      {camera, "no picture"}, // begun with, and found broken
		"progressive": {progressive, "too large"},
		"disordered":  {disordered, "too large"},
		"webp":        {extended(unbase(dot), 16384, 16384), "no picture"},
		"hidden webp": {extended(strings.Replace(unbase(dot), "\x2f\x00\x00\x00\x10", "\x2f\xff\xff\xff\x1f", 1), 1, 1), "no picture"},
		"nothing":     {"", "no picture"},
		"html":        {"<html><img src=x>", "no picture"},
		"cut":         {encoded(t, "png", 100, 100)[:60], "no picture"},
	} {
		var why *Refused
		if _, err := shrink(section(c.from)); !errors.As(err, &why) || !strings.Contains(why.Text, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// withSum mends the check sum of a PNG's first part.
func withSum(s string) string {
	return s[:29] + string(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s[12:29])))) + s[33:]
}

func FuzzShrink(f *testing.F) {
	for _, format := range []string{"png", "gif", "jpeg"} {
		f.Add([]byte(encoded(f, format, 30, 20)))
	}
	f.Add([]byte(turned(f, 6, 30, 20)))
	f.Add([]byte(unbase(dot)))
	f.Add([]byte(extended(unbase(dot), 1, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := shrink(section(string(b)))
		if err != nil {
			if why := new(Refused); !errors.As(err, &why) {
				t.Errorf("no words for a person: %v", err)
			}
			return
		}
		conf, _, err := image.DecodeConfig(bytes.NewReader(p.data))
		if err != nil || conf.Width != p.w || conf.Height != p.h || p.w > maxW || p.h > maxH || p.w < 1 || p.h < 1 {
			t.Errorf("it became %dx%d, %+v, %v", p.w, p.h, conf, err)
		}
		if small, err := portrait(section(string(b))); err != nil || decoded(t, small) != "png 96x96" {
			t.Errorf("what can be shown has no portrait: %v", err)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(turned(f, 6, 8, 8)))
	f.Add([]byte("Exif\x00\x00II\x2a\x00\x08\x00\x00\x00\xff\xff\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h := readJPEGHead(bytes.NewReader(b)); h.turn < 1 || h.turn > 8 {
			t.Errorf("turn %d", h.turn)
		}
		if o := orientation(b); o < 0 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}
