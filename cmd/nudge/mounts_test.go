package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mounts are those of a Raspberry Pi as the service sees them.
const mounts = `22 1 179:2 / / ro,noatime shared:1 - ext4 /dev/root rw
23 22 0:21 / /proc rw shared:2 - proc proc rw
24 22 179:1 / /boot/firmware rw shared:3 - vfat /dev/mmcblk0p1 rw
25 22 179:2 /var/lib/nudge /var/lib/nudge rw shared:1 - ext4 /dev/root rw
30 22 8:1 / /media/nudge/KINGSTON rw,nosuid shared:9 - vfat /dev/sda1 rw,uid=998
31 22 0:55 / /media/nudge/my\040nas rw shared:10 - cifs //nas/backup rw
32 22 0:56 / /mnt/nfs rw - nfs4 nas:/export rw
33 22 0:57 / /media/nudge/auto rw - autofs systemd-1 rw
34 22 0:58 / /mnt/ram rw - tmpfs tmpfs rw
35 22 179:2 / /mnt/card rw - ext4 /dev/root rw
36 22 8:17 /photos /mnt/photos rw - ext4 /dev/sdb1 rw
37 22 8:33 / /run/media/pi/OLD rw - vfat /dev/sdc1 rw
38 22 0:58 / /run/media/pi/OLD rw - tmpfs tmpfs rw
39 22 8:49 / /home rw - ext4 /dev/sdd1 rw
no line
40 22 x:y / /media/nudge/z rw - vfat /dev/sde1 rw
41 22 8:65
`

func TestMedia(t *testing.T) {
	all, err := readMounts(strings.NewReader(mounts))
	if err != nil || len(all) != 14 {
		t.Errorf("%d mounts, %v", len(all), err)
	}
	got := ""
	for _, m := range choose(all, unix.Mkdev(179, 2)) {
		kind := "stick"
		if m.Share {
			kind = "share"
		}
		got += kind + " " + m.Name + " " + m.Path + "\n"
	}
	const want = "stick KINGSTON /media/nudge/KINGSTON\nshare my nas /media/nudge/my nas\nshare nfs /mnt/nfs\n"
	if got != want {
		t.Errorf("found\n%swant\n%s", got, want)
	}
}

// FuzzMounts: whatever the list is, what is picked is below the folders where media
// are mounted, and once.
func FuzzMounts(f *testing.F) {
	f.Add(mounts)
	f.Add("30 22 8:1 / /media/ rw - vfat /dev/sda1 rw\n30 22 8:1 / /media/a rw - vfat /dev/sda1 rw\n30 22 8:1 / /media/a rw - nfs x rw")
	f.Fuzz(func(t *testing.T, list string) {
		all, _ := readMounts(strings.NewReader(list))
		seen := map[string]bool{}
		for _, m := range choose(all, 0) {
			if seen[m.Path] || !strings.HasPrefix(m.Path, "/m") && !strings.HasPrefix(m.Path, "/run/media/") || m.Name == "" {
				t.Errorf("%+v", m)
			}
			seen[m.Path] = true
		}
	})
}
