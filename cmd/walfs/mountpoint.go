package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// fsType is how the kernel names our mounts: "fuse." and the subtype.
const fsType = "fuse.walfs"

// mountAt returns the type of the newest file system mounted at exactly dir, or "".
func mountAt(dir string) (string, error) {
	m, err := lookupMount(dir)
	return m.kind, err
}

// mountLine is what the kernel tells of a mount.
type mountLine struct {
	kind  string // "" for none
	minor int    // of the device; for FUSE the number of the connection
}

func lookupMount(dir string) (mountLine, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mountLine{}, fmt.Errorf("list mounts: %w", err)
	}
	return findMount(string(table), dir), nil
}

// findMount reads the table of proc(5): the device in the third field, the mount point in
// the fifth, the type after the lone dash. The newest mount comes last.
func findMount(table, dir string) (found mountLine) {
	escaped := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir)
	for line := range strings.Lines(table) {
		head, tail, _ := strings.Cut(line, " - ")
		fields, rest := strings.Fields(head), strings.Fields(tail)
		if len(fields) < 5 || len(rest) == 0 || fields[4] != escaped {
			continue
		}
		_, minor, _ := strings.Cut(fields[2], ":")
		number, err := strconv.Atoi(minor)
		if err == nil {
			found = mountLine{kind: rest[0], minor: number}
		}
	}
	return found
}

// connectionAt returns the number of the FUSE connection that serves dir.
func connectionAt(dir string) (int, error) {
	m, err := lookupMount(dir)
	if err == nil && m.kind != fsType {
		err = fmt.Errorf("%s is not mounted", dir)
	}
	return m.minor, err
}

// connections is where the kernel shows FUSE connections, once fusectl is mounted there.
const connections = "/sys/fs/fuse/connections"

// abort ends a FUSE connection: whoever uses the mount gets errors from now on.
func abort(connection int) (err error) {
	name := fmt.Sprintf("%s/%d/abort", connections, connection)
	if _, missing := os.Stat(name); missing != nil && unix.Mount("fusectl", connections, "fusectl", 0, "") == nil {
		defer func() { err = errors.Join(err, unix.Unmount(connections, 0)) }()
	}
	return wrapf(os.WriteFile(name, []byte("1"), 0), "end the connection of the mount")
}

// dead reports whether dir is a mount whose process is gone. It asks for what the kernel
// has in no cache: it goes on answering stat for a while. A process that is just ending
// has its last requests aborted.
func dead(dir string) bool {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
}

// prepareMountPoint makes dir ready to be mounted on: it takes away a dead mount of ours,
// makes the folder where there is none, and refuses one that is in use. It returns the
// folder without symbolic links.
func prepareMountPoint(dir string, h home, c config) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("mount point: %w", err)
	}
	dir = resolve(dir)
	if err := clearDead(dir); err != nil {
		return "", err
	}
	if err := checkPlaces(dir, h, c); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return "", ui.Errorf(ui.Failed, "%s is not a folder", dir)
		}
		return "", fmt.Errorf("make mount point: %w", err)
	}
	kind, err := mountAt(dir)
	if err != nil {
		return "", err
	}
	if kind == fsType {
		return "", ui.Errorf(ui.InUse, "a drive is mounted at %s already", dir).WithHint("walfs umount %s", dir)
	}
	return dir, checkEmpty(dir)
}

// fuseDevice is where the kernel hands out mounts. fusermount3 opens it with our rights.
const fuseDevice = "/dev/fuse"

// checkFUSE looks whether we can mount at all, before anything is made.
func checkFUSE(device string) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return ui.Errorf(ui.Failed, "no %s: this system cannot mount", device).
			WithHint("sudo modprobe fuse, or --device %s for the container", device)
	case errors.Is(err, os.ErrPermission):
		return ui.Errorf(ui.Failed, "no right to open %s", device).WithHint("sudo chmod 0666 %s", device)
	case err != nil:
		return fmt.Errorf("look for FUSE: %w", err)
	}
	return f.Close()
}

// checkOptions refuses, before anything is made, what fusermount3 would refuse in the end.
func checkOptions(options []string, conf string, uid int) error {
	if uid == 0 || !slices.Contains(options, "allow_other") {
		return nil
	}
	allowed, err := allowsOther(conf)
	if err == nil && !allowed {
		err = ui.Errorf(ui.Failed, "-o allow_other: %s does not let users open their mounts to others", conf).
			WithHint("echo user_allow_other | sudo tee -a %s", conf)
	}
	return err
}

// clearDead unmounts what a killed walfs left at dir, as often as it lies there.
func clearDead(dir string) error {
	for dead(dir) {
		kind, err := mountAt(dir)
		if err != nil {
			return err
		}
		if kind != fsType {
			return ui.Errorf(ui.Failed, "%s is a dead mount of type %q", dir, kind).WithHint("umount -l %s", dir)
		}
		if err := detach(dir); err != nil {
			return err
		}
	}
	return nil
}

// detach takes a mount out of the tree at once, whoever uses it.
func detach(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == nil || !errors.Is(err, unix.EPERM) {
		return wrapf(err, "unmount %s", dir)
	}
	return fusermount(dir, "-u", "-z")
}

// fusermount unmounts through the helper, which may do so for those who are not root.
func fusermount(dir string, flags ...string) error {
	out, err := exec.Command("fusermount3", append(flags, "--", dir)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unmount %s: %w: %s", dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// checkPlaces keeps what the drive lives on out of the drive.
func checkPlaces(dir string, h home, c config) error {
	cache, err := c.cacheFolder(h, os.Getenv)
	if err != nil {
		return err
	}
	for _, place := range append([]string{h.dir, c.networkFolder(h), cache}, c.NodeDirs...) {
		if inside(dir, place) {
			return usagef("%s lies inside the mount point %s", place, dir)
		}
	}
	if inside(h.dir, dir) {
		return usagef("the mount point %s lies inside the state folder %s", dir, h.dir)
	}
	return nil
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrPermission) {
		return ui.Errorf(ui.Failed, "%s belongs to another user", dir)
	}
	if err != nil {
		return fmt.Errorf("mount point: %w", err)
	}
	if len(entries) > 0 {
		return ui.Errorf(ui.Failed, "%s is not empty", dir).WithHint("mount at an empty or a new folder; what is in this one would be hidden")
	}
	return nil
}

// wrapf adds what was tried to err, if there is one.
func wrapf(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
