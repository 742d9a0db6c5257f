package media

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"testing"
)

// TestPortrait: whatever is shown, its middle becomes what old Messengers take, also
// when it has too few points.
func TestPortrait(t *testing.T) {
	few := quartered(image.NewPaletted(image.Rect(0, 0, 30, 20), color.Palette{red, blue, white}))
	p := New(Config{Dir: t.TempDir(), Space: func() int64 { return 0 }})
	defer p.Close()
	for name, from := range map[string]string{
		"png": encoded(t, "png", 1200, 420), "high": encoded(t, "jpeg", 40, 2100), "square": encoded(t, "png", 96, 96),
		"small": encoded(t, "png", 64, 64), "point": encoded(t, "png", 1, 1), "gif": encode(t, "gif", few), "webp": unbase(dot), "turned": turned(t, 6, 900, 400),
	} {
		b, err := p.Portrait(t.Context(), []byte(from))
		if err != nil || decoded(t, b) != "png 96x96" {
			t.Errorf("%s: %v, %v", name, decoded(t, b), err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	p.spool.decoding <- struct{}{}
	if _, err := p.Portrait(over, []byte(encoded(t, "png", 64, 64))); !errors.Is(err, context.Canceled) {
		t.Errorf("while another is made: %v", err)
	}
}

// TestPortraitMiddle: of what is wide the middle is shown, upright.
func TestPortraitMiddle(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 300, 100))
	for x := range 300 {
		for y := range 100 {
			img.Set(x, y, []color.Color{red, blue, white}[x/100])
		}
	}
	b, err := portrait(section(encode(t, "png", img)))
	if err != nil {
		t.Fatal(err)
	}
	made, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []image.Point{{}, {95, 0}, {50, 50}, {0, 95}} {
		if r, g, b, _ := made.At(at.X, at.Y).RGBA(); r>>8 != 0 || g != 0 || b>>8 != uint32(blue.B) {
			t.Errorf("%v is %v", at, made.At(at.X, at.Y))
		}
	}
}

// TestWritePNG: what is written is read back, point for point.
func TestWritePNG(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {3, 2}, {96, 96}} {
		img := image.NewRGBA(image.Rectangle{Max: size})
		for i := range img.Pix {
			img.Pix[i] = byte(i * i / 7)
			if i%4 == 3 {
				img.Pix[i] = 255
			}
		}
		b, err := writePNG(img)
		if err != nil {
			t.Fatal(err)
		}
		back, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(size, err)
		}
		have := image.NewRGBA(img.Rect)
		draw.Draw(have, have.Rect, back, image.Point{}, draw.Src)
		if !bytes.Equal(have.Pix, img.Pix) {
			t.Errorf("%v is read back as something else", size)
		}
	}
}
