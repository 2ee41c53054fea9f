package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// fsType is how the kernel names our mounts: "fuse." and the subtype.
const fsType = "fuse.walfs"

// autoType is that of a folder at which systemd mounts when somebody looks. We must not look
// while it waits for us: it would wait for itself.
const autoType = "autofs"

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

// prepareMountPoint makes dir ready to be mounted on: it makes the folder where there is none,
// and refuses one that is in use. A dead mount of ours stays until openMountPoint takes it away.
// It returns the folder without symbolic links, and what takes it away again if it was made.
func prepareMountPoint(dir string, h home, c config) (_ string, undo func(), err error) {
	undo = func() {}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", undo, fmt.Errorf("mount point: %w", err)
	}
	dir = resolve(dir)
	if err := checkPlaces(dir, h, c); err != nil {
		return "", undo, err
	}
	if gone, err := deadAt(dir); gone || err != nil {
		return dir, undo, err
	}
	made, err := makeMountPoint(dir)
	if err != nil {
		return "", undo, err
	}
	if made {
		undo = func() { _ = os.Remove(dir) } // fails where something came into it, or onto it
	}
	m, err := openMountPoint(dir)
	if err != nil {
		undo()
		return "", undo, err
	}
	return dir, undo, m.Close()
}

// mountPoint is the folder that a mount covers, open so that it can be looked at below the mount.
type mountPoint struct {
	folder *os.File // nil where systemd mounts when somebody looks
}

// openMountPoint takes away a dead mount of ours, and refuses a folder that is in use. It is called
// right before the mount: whoever writes to the path meanwhile is to get an error from the dead
// mount, and not a file in the folder, which the mount would hide.
func openMountPoint(dir string) (*mountPoint, error) {
	if err := clearDead(dir); err != nil {
		return nil, err
	}
	kind, err := mountAt(dir)
	if err != nil || kind == autoType {
		return &mountPoint{}, err
	}
	if kind == fsType {
		return nil, ui.Errorf(ui.InUse, "a drive is mounted at %s already", dir).WithHint("walfs umount %s", dir)
	}
	folder, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil, ui.Errorf(ui.Failed, "%s belongs to another user", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("mount point: %w", err)
	}
	m := &mountPoint{folder}
	if err := m.checkEmpty(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// checkEmpty refuses a folder that holds something, also one that came while the mount was made.
func (m *mountPoint) checkEmpty() error {
	if m.folder == nil {
		return nil
	}
	if _, err := m.folder.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("mount point: %w", err)
	}
	switch names, err := m.folder.Readdirnames(1); {
	case len(names) > 0:
		return ui.Errorf(ui.Failed, "%s is not empty", m.folder.Name()).WithHint("mount at an empty or a new folder; what is in this one would be hidden")
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("mount point: %w", err)
	}
	return nil
}

// Close lets go of the folder; the mount stays.
func (m *mountPoint) Close() error {
	if m.folder == nil {
		return nil
	}
	return m.folder.Close()
}

// makeMountPoint makes the folder where there is none. The one that it lies in has to be
// there: a path that nobody has made is more likely a mistyped one.
func makeMountPoint(dir string) (made bool, err error) {
	switch err = os.Mkdir(dir, 0o700); {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrExist):
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return false, nil
		}
		return false, ui.Errorf(ui.Failed, "%s is not a folder", dir)
	case errors.Is(err, syscall.ENOTDIR):
		return false, ui.Errorf(ui.Failed, "%s is not a folder", dir)
	case errors.Is(err, fs.ErrNotExist):
		parent := filepath.Dir(dir)
		return false, ui.Errorf(ui.Failed, "there is no folder %s to mount in", parent).WithHint("if that is the place that is meant: mkdir -p %s", parent)
	default:
		return false, fmt.Errorf("make mount point: %w", err)
	}
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
func checkOptions(s mountSettings, conf string, uid int) error {
	if uid == 0 {
		return nil
	}
	for _, option := range []string{"suid", "dev"} {
		if last := lastOf(s.kernel, option, "no"+option); last == option { // fusermount3 would leave it out, and mount
			return usagef("-o %s: only root can mount so; a mount of yours is always no%s", option, option)
		}
	}
	if !s.allowOther {
		return nil
	}
	allowed, err := allowsOther(conf)
	if err == nil && !allowed {
		err = ui.Errorf(ui.Failed, "-o allow_other: %s does not let users open their mounts to others", conf).
			WithHint("echo user_allow_other | sudo tee -a %s", conf)
	}
	return err
}

// lastOf returns which of two options comes last in a list, "" if neither is in it.
func lastOf(list []string, a, b string) (last string) {
	for _, option := range list {
		if option == a || option == b {
			last = option
		}
	}
	return last
}

// deadAt reports whether a mount of ours whose process is gone lies at dir, and refuses one of another kind.
func deadAt(dir string) (bool, error) {
	kind, err := mountAt(dir)
	if err != nil || kind == autoType || !dead(dir) {
		return false, err
	}
	if kind != fsType {
		return false, ui.Errorf(ui.Failed, "%s is a dead mount of type %q", dir, kind).WithHint("umount -l %s", dir)
	}
	return true, nil
}

// clearDead unmounts what a killed walfs left at dir, as often as it lies there.
func clearDead(dir string) error {
	for {
		gone, err := deadAt(dir)
		if err != nil || !gone {
			return err
		}
		if err := detach(dir); err != nil {
			return err
		}
	}
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

// wrapf adds what was tried to err, if there is one.
func wrapf(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
