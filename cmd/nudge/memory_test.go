package main

import (
	"context"
	"runtime"
	"strings"
	"testing"
)

// TestCollections: each collection of garbage is told of, so that nobody has to
// look for one.
func TestCollections(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	collected := collections(ctx)
	for range 3 {
		runtime.GC()
		<-collected
	}
}

// TestCleanMappings: only what can be read from a file again may be dropped.
func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00a9f000 r-xp 00000000 08:01 42 /usr/bin/nudge
Size:               6784 kB
Anonymous:             0 kB
Locked:                0 kB
VmFlags: rd ex mr mw me
00a9f000-0119f000 r--p 0069f000 08:01 42 /usr/bin/nudge
Anonymous:             4 kB
Locked:                0 kB
VmFlags: rd mr mw me
0119f000-012d0000 rw-p 00d9f000 08:01 42 /usr/bin/nudge
Anonymous:             0 kB
Locked:                0 kB
VmFlags: rd wr mr mw me
c000000000-c000400000 r--p 00000000 00:00 0 
Anonymous:             0 kB
Locked:                0 kB
VmFlags: rd mr mw me
7f0000000000-7f0000001000 r--p 00000000 08:01 43 /usr/bin/other
Anonymous:             0 kB
Locked:                4 kB
VmFlags: rd mr mw me lo
`
	var m mapping
	var clean []string
	entries := 0
	for line := range strings.Lines(smaps) {
		if m.read(strings.TrimSuffix(line, "\n")) {
			entries++
			if m.clean() {
				clean = append(clean, m.perms+" "+m.file)
			}
		}
	}
	if entries != 5 || len(clean) != 1 || clean[0] != "r-xp /usr/bin/nudge" {
		t.Errorf("%d entries, clean: %q", entries, clean)
	}
}
