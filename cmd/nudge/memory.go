package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// When the box counts as at rest, and when it is worth a look for memory.
const (
	restTime = 2 * time.Second
	atRest   = 64 << 10 // bytes allocated in restTime, at most
	worth    = 4 << 20  // bytes allocated since memory was given back, at least
)

// keepSmall gives memory back each time the box has come to rest after it was
// busy: after its start, and when many have signed on or off. While nothing
// happens it sleeps: who allocates so much that it is worth a look has made the
// runtime collect garbage. It returns when ctx ends.
func keepSmall(ctx context.Context) {
	collected := collections(ctx)
	var given uint64
	for {
		if !rest(ctx) {
			return
		}
		if now := allocated(); given == 0 || now-given > worth {
			giveBack()
			given = allocated()
		}
		select {
		case <-ctx.Done():
			return
		case <-collected:
		}
	}
}

// rest waits until the box is at rest; false when ctx has ended before.
func rest(ctx context.Context) bool {
	look := time.NewTicker(restTime)
	defer look.Stop()
	for before := uint64(0); ; {
		select {
		case <-ctx.Done():
			return false
		case <-look.C:
		}
		now := allocated()
		if now-before < atRest {
			return true
		}
		before = now
	}
}

// collections tells of garbage collections until ctx ends, one or more at a time:
// each finds something that was made for it to find.
func collections(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	type found struct{ _ *byte } // with a pointer it shares no memory with others
	var bait func()
	bait = func() {
		runtime.AddCleanup(new(found), func(c chan struct{}) {
			select {
			case c <- struct{}{}:
			default:
			}
			if ctx.Err() == nil {
				bait()
			}
		}, c)
	}
	bait()
	return c
}

// allocated is how many bytes of memory the program has ever asked for.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// giveBack returns the memory that only being busy needed: garbage of the heap,
// and the pages of the program itself that were mapped because they lie near
// others. The kernel keeps those in its cache and maps again what is used; on a
// small board it may now use the rest for something else.
func giveBack() {
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return // not Linux, or hidden by the unit: nothing is lost
	}
	defer maps.Close()
	var m mapping
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if m.read(lines.Text()) && m.clean() {
			unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
		}
	}
}

// mapping is one entry of /proc/PID/smaps, as far as it was read.
type mapping struct {
	from, to          uintptr
	perms, file       string
	anonymous, locked string // in kB: pages that are not the file's, pages that must stay
}

// read takes in one line and tells whether the entry is complete.
func (m *mapping) read(line string) bool {
	var perms, offset, dev, inode string
	var from, to uintptr
	f := strings.Fields(line)
	if n, _ := fmt.Sscanf(line, "%x-%x %s %s %s %s", &from, &to, &perms, &offset, &dev, &inode); n == 6 {
		*m = mapping{from: from, to: to, perms: perms}
		if len(f) > 5 {
			m.file = f[5]
		}
		return false
	}
	if len(f) < 2 {
		return false
	}
	switch f[0] {
	case "Anonymous:":
		m.anonymous = f[1]
	case "Locked:":
		m.locked = f[1]
	case "VmFlags:": // the last line
		return true
	}
	return false
}

// clean tells whether every page can be read from the file again: it can't be
// written to, and never was.
func (m *mapping) clean() bool {
	return strings.HasPrefix(m.file, "/") && strings.HasPrefix(m.perms, "r") && !strings.Contains(m.perms, "w") &&
		m.anonymous == "0" && m.locked == "0"
}
