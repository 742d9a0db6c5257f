// Package codepage reads what is written in the encodings of before Unicode: the
// clients of the nineties write that of their Windows. The encodings and their
// labels are those of the Encoding Standard (encoding.spec.whatwg.org), which
// browsers read; nothing is ever written in them.
//
// The tables are packed, 80 kB instead of the 600 of golang.org/x/text, whose
// tables a program also carries the other way round; the tests make them of it
// and compare with it. A table is unpacked when the first text needs it and stays:
// up to 100 kB each, none for those who write UTF-8 or a Western or Russian page
// (7 kB). All functions may be called from any goroutine.
package codepage

import (
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"io"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// labels has a line for each encoding: its name and what else it is called.
// Those with one byte for a character come first, in the order of singleTable.
//
//go:embed labels.txt
var labels string

// western is the encoding that stands for what has no known label.
const western = "windows-1252"

// Known tells whether label names an encoding, such as koi8-r or cp1251.
func Known(label string) bool {
	_, name := find(label)
	return name != ""
}

// find returns the line and the name of an encoding, "" when there is none.
func find(label string) (line int, name string) {
	if label = strings.ToLower(strings.TrimSpace(label)); label == "" {
		return 0, ""
	}
	for l := range strings.Lines(labels) {
		for known := range strings.FieldsSeq(l) {
			if name == "" {
				name = known
			}
			if known == label {
				return line, name
			}
		}
		line, name = line+1, ""
	}
	return 0, ""
}

// Decode makes text of b, which is in the encoding that label names; an unknown
// label stands for Western European. What means nothing there becomes U+FFFD.
func Decode(b []byte, label string) string {
	line, name := find(label)
	if name == "" {
		line, name = find(western)
	}
	switch name {
	case "utf-8":
		return string([]rune(string(b)))
	case "utf-16le":
		return decodeUTF16(b, binary.LittleEndian)
	case "utf-16be":
		return decodeUTF16(b, binary.BigEndian)
	case "gbk", "gb18030": // one is part of the other
		return decode(b, gb18030)
	case "big5":
		return big5Marks.Replace(decode(b, double(big5Table())))
	case "euc-kr":
		return decode(b, double(eucKRTable()))
	case "shift_jis":
		return decode(b, shiftJIS)
	case "euc-jp":
		return decode(b, eucJP)
	case "iso-2022-jp":
		return decodeISO2022JP(b)
	case "replacement": // encodings that hide text from filters
		return strings.Repeat(string(utf8.RuneError), min(len(b), 1))
	}
	half := singleTable()[128*line:]
	return decode(b, func(b []byte) (rune, int) { return half[b[0]-0x80], 1 })
}

// decode makes text of b. char reads the character at its argument's start, which
// is not ASCII: its number and length.
func decode(b []byte, char func([]byte) (rune, int)) string {
	var s strings.Builder
	for len(b) > 0 {
		r, size := rune(b[0]), 1
		if r >= utf8.RuneSelf {
			r, size = char(b)
		}
		s.WriteRune(r)
		b = b[size:]
	}
	return s.String()
}

func decodeUTF16(b []byte, order binary.ByteOrder) string {
	units := make([]uint16, 0, len(b)/2+1)
	for ; len(b) > 1; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	if len(b) > 0 {
		units = append(units, utf8.RuneError)
	}
	return string(utf16.Decode(units))
}

// The tables, as pack in the tests writes them.
var (
	//go:embed single.table
	singlePacked string
	//go:embed gb18030.table
	gb18030Packed string
	//go:embed big5.table
	big5Packed string
	//go:embed euc-kr.table
	eucKRPacked string
	//go:embed jis.table
	jisPacked string

	singleTable  = sync.OnceValue(func() []rune { return unpack(singlePacked) })
	gb18030Table = sync.OnceValue(func() []rune { return unpack(gb18030Packed) })
	big5Table    = sync.OnceValue(func() []rune { return unpack(big5Packed) })
	eucKRTable   = sync.OnceValue(func() []rune { return unpack(eucKRPacked) })
	jisTable     = sync.OnceValue(func() []rune { return unpack(jisPacked) })
)

// unpack reads a table: the differences between its characters, first all their
// upper bytes, then the middle ones, then the lower ones, deflated.
func unpack(packed string) []rune {
	raw, err := io.ReadAll(flate.NewReader(strings.NewReader(packed)))
	if err != nil {
		panic("codepage: " + err.Error()) // the tests read every table
	}
	table := make([]rune, len(raw)/3)
	upper, middle, lower := raw[:len(table)], raw[len(table):2*len(table)], raw[2*len(table):]
	var last rune
	for i := range table {
		last += rune(upper[i])<<16 | rune(middle[i])<<8 | rune(lower[i])
		last &= 0xffffff
		table[i] = last
	}
	return table
}
