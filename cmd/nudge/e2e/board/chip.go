package board

// Chip is a GPIO chip, as its registers show it.
type Chip struct {
	addr  uint64 // physical, of the first word
	words int
	lit   func(words []uint32, line int) bool // driven, and high
}

// BCM is a Raspberry Pi's, whose peripherals begin at base. A line is an output
// when its three bits of GPFSEL are 1; QEMU keeps its bit of GPLEV when it is none
// any more (BCM2835 ARM Peripherals, 6.1).
func BCM(base uint64) Chip {
	const levels = 13 // GPLEV0, in words
	return Chip{base + 0x200000, levels + 2, func(w []uint32, line int) bool {
		return w[line/10]>>(line%10*3)&7 == 1 && w[levels+line/32]>>(line%32)&1 == 1
	}}
}

// PL061 is that of the board virt. Its data, all lines unmasked, lie before the
// directions (ARM DDI 0190, 3.2).
func PL061(base uint64) Chip {
	return Chip{base + 0x3fc, 2, func(w []uint32, line int) bool {
		return w[1]>>line&1 == 1 && w[0]>>line&1 == 1
	}}
}
