package imtest

import (
	"reflect"
	"runtime"
	"strings"
	"time"
)

// leaks reports goroutines of the network's package that are still there. One
// that has just left its last function may be listed a moment longer, so it
// looks again until the deadline.
func (s *session) leaks() {
	s.Helper()
	typ := reflect.TypeOf(s.rig.Network)
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	limit := time.NewTimer(s.rig.Timeout)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var left []string
		for id, stack := range goroutines() {
			if _, old := s.began[id]; !old && ofPackage(stack, typ.PkgPath()) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			s.Errorf("%d goroutines are left after Close:\n%s", len(left), strings.Join(left, "\n\n"))
			return
		}
	}
}

// goroutines returns the stacks of all goroutines by their number.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	all := map[string]string{}
	for stack := range strings.SplitSeq(string(buf[:n]), "\n\n") {
		id, _, _ := strings.Cut(stack, " [")
		all[id] = strings.TrimSpace(stack)
	}
	return all
}

// ofPackage tells whether a stack has a frame of pkg or below it that is
// neither in a test file nor in a test helper package.
func ofPackage(stack, pkg string) bool {
	lines := strings.Split(stack, "\n")
	for i := 1; i+1 < len(lines); i += 2 {
		fn, file := strings.TrimPrefix(lines[i], "created by "), lines[i+1]
		rest, is := strings.CutPrefix(fn, pkg)
		if !is || rest == "" || rest[0] != '.' && rest[0] != '/' {
			continue
		}
		folder, _, _ := strings.Cut(rest, ".")
		if !strings.HasSuffix(folder, "test") && !strings.Contains(file, "_test.go:") {
			return true
		}
	}
	return false
}
