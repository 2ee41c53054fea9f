package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// fuseConf is where fusermount3 finds its settings. Source: fusermount3(1).
const fuseConf = "/etc/fuse.conf"

// machine looks at what mounting needs.
func (x *examination) machine() {
	if err := checkFUSE(fuseDevice); err != nil {
		x.fails("fuse", err)
	} else {
		x.ok("fuse", "%s opens", fuseDevice)
	}
	root := os.Geteuid() == 0
	switch helper, err := exec.LookPath("fusermount3"); {
	case err == nil:
		x.ok("fusermount3", "%s", helper)
	case root:
		x.ok("fusermount3", "is missing, and root does not need it")
	default:
		x.fails("fusermount3", err)
	}
	switch allowed, err := allowsOther(fuseConf); {
	case err != nil:
		x.fails("allow_other", err)
	case allowed || root:
		x.ok("allow_other", "mount -o allow_other may be used")
	default:
		x.ok("allow_other", "user_allow_other is not in %s; only -o allow_other needs it", fuseConf)
	}
}

// allowsOther reports whether the settings of FUSE let users open mounts for others.
func allowsOther(file string) (bool, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == "user_allow_other" {
			return true, err
		}
	}
	return false, err
}

// staleMounts looks for mounts of the drive whose process is gone.
func (x *examination) staleMounts(drive string) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		x.fails("mounts", err)
		return
	}
	stale := 0
	for _, dir := range mountsOf(string(table), drive) {
		if dead(dir) {
			stale++
			x.warn("mounts", "walfs umount "+dir+" takes it away", "%s is a dead mount", dir)
		}
	}
	if stale == 0 {
		x.ok("mounts", "none is dead")
	}
}

// leftBehind returns the dead mounts of the drive in h, as far as that can be told.
func (a *app) leftBehind(ctx context.Context, h home) []string {
	if !h.exists() {
		return nil
	}
	drive, err := a.driveID(ctx, h)
	if err != nil {
		return nil // what it is for can be told without
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(mountsOf(string(table), drive), func(dir string) bool { return !dead(dir) })
}

// mountsOf returns the mount points of a drive in the table of proc(5). The source of a mount,
// behind its type, names the drive.
func mountsOf(table, drive string) (dirs []string) {
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(table) {
		head, tail, _ := strings.Cut(line, " - ")
		fields, rest := strings.Fields(head), strings.Fields(tail)
		if len(fields) < 5 || len(rest) < 2 || rest[0] != fsType || rest[1] != mountName(drive) {
			continue
		}
		if dir := plain.Replace(fields[4]); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// room looks at the disks that the drive lives on. Below the reserve a writer gets ENOSPC.
func (x *examination) room(h home, c config) {
	places := append([]string{h.dir, c.networkFolder(h)}, c.NodeDirs...)
	if cache, err := c.cacheFolder(h, x.app.getenv); err == nil {
		places = append(places, cache)
	}
	seen := map[unix.Fsid]bool{}
	for _, place := range places {
		var st unix.Statfs_t
		err := unix.Statfs(place, &st)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a disk that is not here, or a cache that is not made yet
		}
		if err != nil {
			x.fails("room", fmt.Errorf("%s: %w", place, err))
			continue
		}
		if seen[st.Fsid] {
			continue
		}
		seen[st.Fsid] = true
		free, total := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
		if reserve := min(maxReserve, total/20); free < reserve {
			x.warn("room", "make room: below that nothing more is written",
				"%s are free on the disk of %s, less than the reserve of %s", ui.Size(free), place, ui.Size(reserve))
		} else {
			x.ok("room", "%s are free on the disk of %s", ui.Size(free), place)
		}
	}
}
