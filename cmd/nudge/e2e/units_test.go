package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const units = "../../../systemd"

// TestUnits has systemd read the units that are shipped, and judge how much a
// box that was taken over could do. The programs in them are not installed here:
// a stand-in is named.
func TestUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("needs systemd-analyze")
	}
	dir := t.TempDir()
	for _, name := range []string{"nudge", "after-upgrade", "stick"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755))
	}
	installed := strings.NewReplacer("/usr/bin/nudge ", dir+"/nudge ", "/usr/lib/nudge/after-upgrade", dir+"/after-upgrade", "/usr/lib/nudge/stick", dir+"/stick")
	var files []string
	for _, pattern := range []string{"*.service", "*.path"} {
		found, err := filepath.Glob(filepath.Join(units, pattern))
		check(t, err)
		for _, f := range found {
			text, err := os.ReadFile(f)
			check(t, err)
			to := filepath.Join(dir, filepath.Base(f))
			check(t, os.WriteFile(to, []byte(installed.Replace(string(text))), 0o644))
			files = append(files, to)
		}
	}
	if len(files) < 4 {
		t.Fatalf("found only %v", files)
	}
	out, err := exec.Command("systemd-analyze", append([]string{"verify"}, files...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", filepath.Join(dir, "nudge.service")).CombinedOutput()
	m := regexp.MustCompile(`exposure level for nudge.service: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > 1.6 {
		t.Errorf("exposure level %s, more than 1.6\n%s", m[1], out)
	}
}

// TestSysusers has systemd make the user and groups in a folder.
func TestSysusers(t *testing.T) {
	if testing.Short() {
		t.Skip("needs systemd-sysusers")
	}
	root := t.TempDir()
	conf, err := filepath.Abs(filepath.Join(units, "nudge.sysusers"))
	check(t, err)
	check(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
	if out, err := exec.Command("systemd-sysusers", "--root="+root, conf).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	groups, err := os.ReadFile(filepath.Join(root, "etc/group"))
	check(t, err)
	if !regexp.MustCompile(`(?m)^gpio:x:\d+:nudge$`).Match(groups) || !regexp.MustCompile(`(?m)^nudge:x:`).Match(groups) {
		t.Errorf("the groups are\n%s", groups)
	}
}

// upgrade is a machine on which nudge was just upgraded, as far as the script
// after-upgrade sees it: systemctl is a stand-in that tells what lies in files.
type upgrade struct{ dir string }

func newUpgrade(t *testing.T) *upgrade {
	u := &upgrade{t.TempDir()}
	for _, d := range []string{"bin", "kept", "data"} {
		check(t, os.Mkdir(filepath.Join(u.dir, d), 0o755))
	}
	u.write(t, "bin/systemctl", `#!/bin/sh
cd "$(dirname "$0")/.."
case $1 in
show) name=${2#--property=}; cat $name; [ ! -e dying ] || echo $(($(cat NRestarts) + 1)) >NRestarts ;;
start) echo active >ActiveState; echo start >>calls ;;
*) echo $1 >>calls ;;
esac
`)
	u.write(t, "ActiveState", "active\n")
	u.write(t, "NRestarts", "1\n")
	u.write(t, "data/nudge.db.schema-1", "from long ago")
	u.write(t, "kept/nudge", "old program")
	u.write(t, "kept/nudge.since", "")
	long := time.Now().Add(-time.Hour)
	check(t, os.Chtimes(filepath.Join(u.dir, "data/nudge.db.schema-1"), long, long))
	check(t, os.Chtimes(filepath.Join(u.dir, "kept/nudge.since"), long.Add(time.Minute), long.Add(time.Minute)))
	u.write(t, "program", "#!/bin/sh\necho '{\"running\": true}'\n")
	u.write(t, "data/nudge.db", "new database")
	u.write(t, "data/nudge.db.schema-2", "database before")
	return u
}

func (u *upgrade) write(t *testing.T, name, text string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o755))
}

func (u *upgrade) read(name string) string {
	text, err := os.ReadFile(filepath.Join(u.dir, name))
	if err != nil {
		return ""
	}
	return string(text)
}

func TestUpgradeGoesBackWhenItDoesNotWork(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the script")
	}
	for name, c := range map[string]struct {
		spoil func(u *upgrade)
		back  string // what the script says of why, "" it stays
	}{
		"works":             {func(*upgrade) {}, ""},
		"stopped by hand":   {func(u *upgrade) { u.write(t, "ActiveState", "inactive\n") }, ""},
		"gave up":           {func(u *upgrade) { u.write(t, "ActiveState", "failed\n") }, "it gave up"},
		"keeps dying":       {func(u *upgrade) { u.write(t, "dying", "") }, "it keeps dying"},
		"never ready":       {func(u *upgrade) { u.write(t, "ActiveState", "activating\n") }, "it does not answer"},
		"silent":            {func(u *upgrade) { u.write(t, "program", "#!/bin/sh\nexit 1\n") }, "it does not answer"},
		"converted nothing": {func(u *upgrade) { u.write(t, "ActiveState", "failed\n"); os.Remove(u.dir + "/data/nudge.db.schema-2") }, "it gave up"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpgrade(t)
			c.spoil(u)
			converted, was := u.read("data/nudge.db.schema-2"), u.read("program")
			script := exec.Command("sh", filepath.Join(units, "after-upgrade"))
			script.Env = append(os.Environ(), "PATH="+u.dir+"/bin:"+os.Getenv("PATH"), "KEPT="+u.dir+"/kept", "DATA="+u.dir+"/data",
				"PROGRAM="+u.dir+"/program", "SECONDS_GIVEN=2", "PAUSE=0.1")
			out, err := script.CombinedOutput()
			if c.back == "" {
				if err != nil || u.read("program") != was || u.read("data/nudge.db") != "new database" || u.read("calls") != "" {
					t.Errorf("%v\n%s", err, out)
				}
				return
			}
			if err == nil || !strings.Contains(string(out), c.back) {
				t.Errorf("it said: %s (%v)", out, err)
			}
			if u.read("program") != "old program" || u.read("kept/nudge.failed") != was || u.read("ActiveState") != "active\n" {
				t.Errorf("the program is %q, the service %s", u.read("program"), u.read("ActiveState"))
			}
			want, failed := "database before", "new database"
			if converted == "" {
				want, failed = "new database", ""
			}
			if u.read("data/nudge.db") != want || u.read("data/nudge.db.failed") != failed || u.read("data/nudge.db.schema-1") != "from long ago" {
				t.Errorf("the database is %q", u.read("data/nudge.db"))
			}
		})
	}
}

// TestStick: what the script does with a partition, with stand-ins for the tools
// that look at it and that mount it.
func TestStick(t *testing.T) {
	script, err := filepath.Abs(filepath.Join(units, "stick"))
	check(t, err)
	for name, c := range map[string]struct {
		kind, label, disk, used, fstab string
		want                           string // what is mounted, with which options
	}{
		"FAT":             {kind: "vfat", label: "KING 1/..", disk: "sda", want: "-t vfat -o nosuid,nodev,noexec,uid=nudge,gid=nudge,umask=077,flush /dev/sda1 BELOW/KING_1___"},
		"exFAT, no label": {kind: "exfat", disk: "sda", want: "-t exfat -o nosuid,nodev,noexec,uid=nudge,gid=nudge,umask=077 /dev/sda1 BELOW/sda1"},
		"a label twice":   {kind: "exfat", label: "taken", want: "-t exfat -o nosuid,nodev,noexec,uid=nudge,gid=nudge,umask=077 /dev/sda1 BELOW/taken-sda1"},
		"no partitions":   {kind: "vfat", want: "-t vfat -o nosuid,nodev,noexec,uid=nudge,gid=nudge,umask=077,flush /dev/sda1 BELOW/sda1"},
		"Linux's own":     {kind: "ext4", disk: "sda"},
		"a boot disk":     {kind: "vfat", disk: "sda", used: "/boot"},
		"in fstab":        {kind: "vfat", disk: "sda", fstab: "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			u := &upgrade{t.TempDir()}
			below := filepath.Join(u.dir, "media")
			check(t, os.MkdirAll(filepath.Join(below, "taken"), 0o755))
			check(t, os.Mkdir(filepath.Join(u.dir, "bin"), 0o755))
			for tool, text := range map[string]string{
				"blkid":   "case $3 in TYPE) echo " + c.kind + ";; *) [ -z \"" + c.label + "\" ] || echo \"" + c.label + "\";; esac",
				"lsblk":   "case $* in *PKNAME*) echo " + c.disk + ";; *) echo " + c.used + ";; esac",
				"findmnt": "[ -n \"" + c.fstab + "\" ]",
				"mount":   "echo \"$*\" >>" + u.dir + "/mounted",
			} {
				u.write(t, "bin/"+tool, "#!/bin/sh\n"+text+"\n")
			}
			cmd := exec.Command("sh", script, "plug", "sda1")
			cmd.Env = []string{"PATH=" + u.dir + "/bin:" + os.Getenv("PATH"), "BELOW=" + below}
			out, err := cmd.CombinedOutput()
			if got := strings.ReplaceAll(strings.TrimSpace(u.read("mounted")), below, "BELOW"); err != nil || got != c.want {
				t.Errorf("%v, mounted %q, want %q\n%s", err, got, c.want, out)
			}
		})
	}
}
