// Package qr draws a short text, such as a link, as a QR code for a terminal
// (ISO/IEC 18004).
//
// It knows what that takes and no more: bytes, the lowest level of error correction,
// because a screen has no stains, and one of the eight masks, because any of them can
// be read. It has no goroutines and no state.
package qr

import (
	"errors"
	"strings"
)

// Longest is how many bytes fit.
const Longest = 230

// ErrTooLong: the text has more than Longest bytes.
var ErrTooLong = errors.New("the text is too long for a QR code")

// version is one size of the symbol, at error correction level L (tables 1, 9 and
// E.1).
type version struct {
	data, blocks, check int   // codewords: data in all, blocks, error correction in each
	centres             []int // of alignment patterns, in both directions
}

var versions = []version{
	{19, 1, 7, nil},
	{34, 1, 10, []int{6, 18}},
	{55, 1, 15, []int{6, 22}},
	{80, 1, 20, []int{6, 26}},
	{108, 1, 26, []int{6, 30}},
	{136, 2, 18, []int{6, 34}},
	{156, 2, 20, []int{6, 22, 38}},
	{194, 2, 24, []int{6, 24, 42}},
	{232, 2, 30, []int{6, 26, 46}},
}

// Draw is the code of a text in lines of half blocks, light on dark, with the margin
// that readers need.
func Draw(text string) (string, error) {
	s, err := encode(text)
	if err != nil {
		return "", err
	}
	const margin = 4
	light := func(x, y int) bool {
		return x < 0 || y < 0 || x >= s.size || y >= s.size || !s.dark[y][x]
	}
	var b strings.Builder
	for y := -margin; y < s.size+margin; y += 2 {
		for x := -margin; x < s.size+margin; x++ {
			upper, lower := light(x, y), light(x, y+1) && y+1 < s.size+margin
			b.WriteString([]string{" ", "▄", "▀", "█"}[2*bit(upper)+bit(lower)])
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// symbol is a square of modules. fixed ones carry no data.
type symbol struct {
	size        int
	dark, fixed [][]bool
}

func encode(text string) (*symbol, error) {
	for i, v := range versions {
		if len(text)+2 <= v.data { // 4 bits of mode, 8 of length, 4 of end
			s := blank(i+1, v)
			s.fill(interleave(codewords(text, v.data), v))
			return s, nil
		}
	}
	return nil, ErrTooLong
}

// codewords are the text in byte mode, padded (7.4.5, 7.4.10).
func codewords(text string, n int) []byte {
	out := make([]byte, 0, n)
	half := byte(4) // the mode; each byte begins with the rest of the one before
	for _, c := range append([]byte{byte(len(text))}, text...) {
		out = append(out, half<<4|c>>4)
		half = c & 15
	}
	out = append(out, half<<4)
	for pad := byte(0xEC); len(out) < n; pad ^= 0xEC ^ 0x11 {
		out = append(out, pad)
	}
	return out
}

// interleave divides data into blocks, adds the error correction of each, and takes
// them by turns (7.6).
func interleave(data []byte, v version) (out []byte) {
	each := len(data) / v.blocks
	for i := range each {
		for b := range v.blocks {
			out = append(out, data[b*each+i])
		}
	}
	var checks [][]byte
	for b := range v.blocks {
		checks = append(checks, remainder(data[b*each:(b+1)*each], generator(v.check)))
	}
	for i := range v.check {
		for _, c := range checks {
			out = append(out, c[i])
		}
	}
	return out
}

// multiply is the product in the field of 256 elements (7.5.2).
func multiply(a, b byte) (p byte) {
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			p ^= a
		}
		carry := a >> 7
		a = a<<1 ^ carry*0x1D
	}
	return p
}

// generator is the polynomial with the first n powers of 2 as its roots, without its
// leading 1.
func generator(n int) []byte {
	g := make([]byte, n)
	g[n-1] = 1
	root := byte(1)
	for range n {
		for i := range g {
			g[i] = multiply(g[i], root)
			if i+1 < n {
				g[i] ^= g[i+1]
			}
		}
		root = multiply(root, 2)
	}
	return g
}

// remainder is what is left of data divided by a generator.
func remainder(data, g []byte) []byte {
	rest := make([]byte, len(g))
	for _, d := range data {
		factor := d ^ rest[0]
		copy(rest, rest[1:])
		rest[len(rest)-1] = 0
		for i := range rest {
			rest[i] ^= multiply(g[i], factor)
		}
	}
	return rest
}

// blank is a symbol with all that is the same whatever its data.
func blank(number int, v version) *symbol {
	n := 17 + 4*number
	s := &symbol{size: n, dark: make([][]bool, n), fixed: make([][]bool, n)}
	for i := range n {
		s.dark[i], s.fixed[i] = make([]bool, n), make([]bool, n)
	}
	for i := range n {
		s.set(6, i, i%2 == 0)
		s.set(i, 6, i%2 == 0)
	}
	for _, at := range [][2]int{{3, 3}, {n - 4, 3}, {3, n - 4}} {
		s.rings(at[0], at[1], 4, 2, 4)
	}
	last := len(v.centres) - 1
	for i, x := range v.centres {
		for j, y := range v.centres {
			if !(i == 0 && j == 0 || i == 0 && j == last || i == last && j == 0) {
				s.rings(x, y, 2, 1, -1)
			}
		}
	}
	s.format()
	if number >= 7 {
		code := number<<12 | bch(number, 12, 0x1F25)
		for i := range 18 {
			on := code>>i&1 == 1
			s.set(n-11+i%3, i/3, on)
			s.set(i/3, n-11+i%3, on)
		}
	}
	return s
}

// rings draws a pattern around its centre: dark but for two rings.
func (s *symbol) rings(cx, cy, radius, light1, light2 int) {
	for y := cy - radius; y <= cy+radius; y++ {
		for x := cx - radius; x <= cx+radius; x++ {
			if x < 0 || y < 0 || x >= s.size || y >= s.size {
				continue
			}
			far := max(x-cx, cx-x, y-cy, cy-y)
			s.set(x, y, far != light1 && far != light2)
		}
	}
}

func (s *symbol) set(x, y int, on bool) { s.dark[y][x], s.fixed[y][x] = on, true }

// format writes, twice, level L and mask 0 (7.9).
func (s *symbol) format() {
	const level = 1 << 3 // L; the mask's number is 0
	code := (level<<10 | bch(level, 10, 0x537)) ^ 0x5412
	n := s.size
	for i := range 15 {
		on := code>>i&1 == 1
		switch {
		case i < 6:
			s.set(8, i, on)
		case i < 8:
			s.set(8, i+1, on)
		case i == 8:
			s.set(7, 8, on)
		default:
			s.set(14-i, 8, on)
		}
		if i < 8 {
			s.set(n-1-i, 8, on)
		} else {
			s.set(8, n-15+i, on)
		}
	}
	s.set(8, n-8, true)
}

// bch is the check of a number: what is left after its division by a polynomial of
// that degree.
func bch(number, degree, poly int) int {
	rest := number << degree
	for i := 30; i >= degree; i-- {
		if rest>>i&1 == 1 {
			rest ^= poly << (i - degree)
		}
	}
	return rest
}

// fill lays the codewords out, two columns at a time from the right, up and down
// (7.7.3), under mask 0 (7.8).
func (s *symbol) fill(codewords []byte) {
	i, up := 0, true
	for right := s.size - 1; right > 0; right -= 2 {
		if right == 6 {
			right-- // the timing pattern
		}
		for step := range s.size {
			y := step
			if up {
				y = s.size - 1 - step
			}
			for x := right; x > right-2; x-- {
				if s.fixed[y][x] {
					continue
				}
				on := i/8 < len(codewords) && codewords[i/8]>>(7-i%8)&1 == 1
				s.dark[y][x] = on != ((x+y)%2 == 0)
				i++
			}
		}
		up = !up
	}
}
