package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nudge/cmd/nudge/control"
)

// mountFolders are where machines mount what comes and goes.
var mountFolders = []string{"/media/", "/run/media/", "/mnt/"}

// remote are the file systems of other machines, and those of programs that speak
// to them.
var remote = []string{"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "fuse.rclone", "davfs", "fuse.davfs2"}

// mounted is a line of the kernel's list of mounts (proc_pid_mountinfo(5)).
type mounted struct {
	dev                uint64 // of the file system
	root               string // of the mount, within the file system
	path, kind, source string
}

// readMounts reads the list. Lines that it can't read are left out.
func readMounts(r io.Reader) (all []mounted, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		before, after, both := strings.Cut(lines.Text(), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !both || len(f) < 5 || len(g) < 2 {
			continue
		}
		var major, minor uint32
		if _, err := fmt.Sscanf(f[2], "%d:%d", &major, &minor); err != nil {
			continue
		}
		all = append(all, mounted{unix.Mkdev(major, minor), unescape(f[3]), unescape(f[4]), g[0], unescape(g[1])})
	}
	return all, lines.Err()
}

// unescape undoes what the kernel does to blanks and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// choose picks sticks and shares out of what is mounted: file systems that lie on a
// device, but not on one of those that home are on, or on another machine. The last
// mount at a path hides those before.
func choose(all []mounted, home ...uint64) (found []control.Medium) {
	for _, m := range all {
		found = slices.DeleteFunc(found, func(o control.Medium) bool { return o.Path == m.path })
		share := slices.Contains(remote, m.kind)
		below := slices.ContainsFunc(mountFolders, func(dir string) bool { return strings.HasPrefix(m.path, dir) })
		if below && (share || strings.HasPrefix(m.source, "/dev/") && m.root == "/" && !slices.Contains(home, m.dev)) {
			found = append(found, control.Medium{Path: m.path, Name: filepath.Base(m.path), Share: share})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Path < found[j].Path })
	return found
}

// removable lists what backups can be kept on: not what the box itself lies on.
func (s *server) removable() ([]control.Medium, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := readMounts(f)
	if err != nil {
		return nil, err
	}
	var home []uint64
	for _, path := range []string{"/", s.conf.Data} {
		var st syscall.Stat_t
		if e := syscall.Stat(path, &st); e != nil {
			err = errors.Join(err, e)
		}
		home = append(home, st.Dev)
	}
	return choose(all, home...), err
}
