package main

import (
	"strings"

	"rsc.io/qr"
)

// longestQR is how many bytes make a code that fits a terminal of 80 columns.
const longestQR = 230

// drawQR is the QR code of a text in lines of half blocks, light on dark, with the
// margin that readers need; "" when it would be too large. A screen has no stains,
// so error correction is the lowest.
func drawQR(text string) string {
	code, err := qr.Encode(text, qr.L)
	if err != nil || text == "" || len(text) > longestQR {
		return ""
	}
	const margin = 4
	light := func(x, y int) int {
		if y < code.Size+margin && !code.Black(x, y) { // outside of the code all is light
			return 1
		}
		return 0
	}
	var b strings.Builder
	for y := -margin; y < code.Size+margin; y += 2 {
		for x := -margin; x < code.Size+margin; x++ {
			b.WriteString([]string{" ", "▄", "▀", "█"}[2*light(x, y)+light(x, y+1)])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
