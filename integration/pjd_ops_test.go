package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// op is a call of a script. The arguments are there as often as the call takes
// them: a script that has fewer does not run.
type op func(s *stage, a []string) (string, error)

// ops are the calls that scripts are made of. Paths are relative to the
// script's folder.
var ops = allOps()

func plain(f func(s *stage, a []string) error) op {
	return func(s *stage, a []string) (string, error) { return "", f(s, a) }
}

func number(text string) int {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		panic(fmt.Sprintf("%q is no number in a script", text))
	}
	return int(n)
}

// flags reads names of flags, joined by commas.
func flags(text string, known map[string]int) (n int) {
	for name := range strings.SplitSeq(text, ",") {
		f, ok := known[name]
		if !ok {
			f = number(name)
		}
		n |= f
	}
	return n
}

var openNames = map[string]int{
	"RDONLY": unix.O_RDONLY, "WRONLY": unix.O_WRONLY, "RDWR": unix.O_RDWR, "CREAT": unix.O_CREAT, "EXCL": unix.O_EXCL,
	"TRUNC": unix.O_TRUNC, "APPEND": unix.O_APPEND, "NOFOLLOW": unix.O_NOFOLLOW, "DIRECTORY": unix.O_DIRECTORY,
	"NONBLOCK": unix.O_NONBLOCK, "PATH": unix.O_PATH, "TMPFILE": unix.O_TMPFILE, "NOATIME": unix.O_NOATIME, "DIRECT": unix.O_DIRECT,
}

var renameNames = map[string]int{
	"NOREPLACE": unix.RENAME_NOREPLACE, "EXCHANGE": unix.RENAME_EXCHANGE, "WHITEOUT": unix.RENAME_WHITEOUT,
}

var allocateNames = map[string]int{
	"KEEP": unix.FALLOC_FL_KEEP_SIZE, "PUNCH": unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, "BAREPUNCH": unix.FALLOC_FL_PUNCH_HOLE,
	"ZERO": unix.FALLOC_FL_ZERO_RANGE, "COLLAPSE": unix.FALLOC_FL_COLLAPSE_RANGE, "INSERT": unix.FALLOC_FL_INSERT_RANGE,
}

var whenceNames = map[string]int{"SET": 0, "CUR": 1, "END": 2, "DATA": unix.SEEK_DATA, "HOLE": unix.SEEK_HOLE}

func allOps() map[string]op {
	all := map[string]op{
		"mkdir":   plain(func(_ *stage, a []string) error { return unix.Mkdir(a[0], uint32(number(a[1]))) }),
		"rmdir":   plain(func(_ *stage, a []string) error { return unix.Rmdir(a[0]) }),
		"create":  plain(create),
		"make":    plain(func(_ *stage, a []string) error { return makeType(a[0], a[1]) }),
		"remove":  plain(func(_ *stage, a []string) error { return removeAny(a[0]) }),
		"unlink":  plain(func(_ *stage, a []string) error { return unix.Unlink(a[0]) }),
		"link":    plain(func(_ *stage, a []string) error { return unix.Link(a[0], a[1]) }),
		"symlink": plain(func(_ *stage, a []string) error { return unix.Symlink(a[0], a[1]) }),
		"rename":  plain(func(_ *stage, a []string) error { return unix.Rename(a[0], a[1]) }),
		"rename2": plain(func(_ *stage, a []string) error {
			return unix.Renameat2(unix.AT_FDCWD, a[0], unix.AT_FDCWD, a[1], uint(flags(a[2], renameNames)))
		}),
		"mkfifo": plain(func(_ *stage, a []string) error { return unix.Mkfifo(a[0], uint32(number(a[1]))) }),
		"mknod": plain(func(_ *stage, a []string) error {
			kind := map[string]int{"f": unix.S_IFREG, "p": unix.S_IFIFO, "b": unix.S_IFBLK, "c": unix.S_IFCHR, "s": unix.S_IFSOCK, "d": unix.S_IFDIR, "0": 0, "bad": unix.S_IFLNK}[a[1]]
			return unix.Mknod(a[0], uint32(kind|number(a[2])), int(unix.Mkdev(uint32(number(a[3])), uint32(number(a[4])))))
		}),
		"bind":   plain(func(_ *stage, a []string) error { return bindSocket(a[0]) }),
		"chmod":  plain(func(_ *stage, a []string) error { return unix.Chmod(a[0], uint32(number(a[1]))) }),
		"lchmod": plain(func(_ *stage, a []string) error { return lchmod(a[0], number(a[1])) }),
		"chown":  plain(func(_ *stage, a []string) error { return unix.Chown(a[0], number(a[1]), number(a[2])) }),
		"lchown": plain(func(_ *stage, a []string) error { return unix.Lchown(a[0], number(a[1]), number(a[2])) }),
		"truncate": plain(func(_ *stage, a []string) error {
			return unix.Truncate(a[0], int64(number(a[1])))
		}),
		"utimens":  plain(func(_ *stage, a []string) error { return setTimes(a[0], a[1], a[2], 0) }),
		"lutimens": plain(func(_ *stage, a []string) error { return setTimes(a[0], a[1], a[2], unix.AT_SYMLINK_NOFOLLOW) }),
		"access":   plain(func(_ *stage, a []string) error { return unix.Access(a[0], uint32(number(a[1]))) }),
		"chdir":    plain(func(_ *stage, a []string) error { return unix.Chdir(a[0]) }),
		"umask":    plain(func(_ *stage, a []string) error { unix.Umask(number(a[0])); return nil }),
		"setxattr": plain(func(_ *stage, a []string) error {
			return unix.Lsetxattr(a[0], a[1], []byte(a[2]), flags(a[3], map[string]int{"CREATE": 1, "REPLACE": 2}))
		}),
		"removexattr": plain(func(_ *stage, a []string) error { return unix.Lremovexattr(a[0], a[1]) }),
		"getxattr":    opGetxattr,
		"listxattr":   opListxattr,
		"readlink":    opReadlink,
		"stat": func(s *stage, a []string) (string, error) {
			return statFields(a[1], func(st *unix.Stat_t) error { return unix.Stat(a[0], st) })
		},
		"lstat": func(s *stage, a []string) (string, error) {
			return statFields(a[1], func(st *unix.Stat_t) error { return unix.Lstat(a[0], st) })
		},
		"same":      opSame,
		"list":      opList,
		"bindmount": plain((*stage).opBindMount),
		"remountro": plain(func(_ *stage, a []string) error {
			return unix.Mount("", a[0], "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		}),
		"mark":    plain((*stage).opMark),
		"changed": (*stage).opChanged,
		"fault":   plain(func(_ *stage, a []string) error { return badAddress(a[0]) }),
	}
	maps.Copy(all, fileOps())
	return all
}

func create(_ *stage, a []string) error {
	fd, err := unix.Open(a[0], unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, uint32(number(a[1])))
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// makeType makes an entry of a type, with mode 0644 or, a directory, 0755.
func makeType(kind, path string) error {
	switch kind {
	case "file":
		return create(nil, []string{path, "0644"})
	case "dir":
		return unix.Mkdir(path, 0o755)
	case "fifo":
		return unix.Mkfifo(path, 0o644)
	case "block":
		return unix.Mknod(path, unix.S_IFBLK|0o644, int(unix.Mkdev(1, 2)))
	case "char":
		return unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3)))
	case "socket":
		return errors.Join(bindSocket(path), unix.Chmod(path, 0o644))
	case "symlink":
		return unix.Symlink("target", path)
	}
	return fmt.Errorf("%q is no type", kind)
}

func removeAny(path string) error {
	err := unix.Unlink(path)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Rmdir(path)
	}
	return err
}

func bindSocket(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
}

func lchmod(path string, mode int) error {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	dir := unix.AT_FDCWD
	_, _, errno := unix.Syscall6(unix.SYS_FCHMODAT2, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(mode), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setTimes sets access and modification time: "now", "omit", or seconds and
// nanoseconds with a dot.
func setTimes(path, atime, mtime string, flags int) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{timespec(atime), timespec(mtime)}, flags)
}

func timespec(text string) unix.Timespec {
	switch text {
	case "now":
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	case "omit":
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	sec, nsec, _ := strings.Cut(text, ".")
	if nsec == "" {
		nsec = "0"
	}
	ns, err := strconv.Atoi(nsec)
	if err != nil {
		panic(fmt.Sprintf("%q is no time in a script", text))
	}
	return unix.Timespec{Sec: int64(number(sec)), Nsec: int64(ns)}
}

var typeNames = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFIFO: "fifo", unix.S_IFBLK: "block", unix.S_IFCHR: "char", unix.S_IFSOCK: "socket", unix.S_IFLNK: "symlink",
}

func statFields(fields string, stat func(*unix.Stat_t) error) (string, error) {
	var st unix.Stat_t
	if err := stat(&st); err != nil {
		return "", err
	}
	var values []string
	for field := range strings.SplitSeq(fields, ",") {
		values = append(values, statField(field, &st))
	}
	return strings.Join(values, ","), nil
}

func statField(field string, st *unix.Stat_t) string {
	switch field {
	case "type":
		return typeNames[st.Mode&unix.S_IFMT]
	case "mode":
		return fmt.Sprintf("%04o", st.Mode&0o7777)
	case "nlink":
		return fmt.Sprint(st.Nlink)
	case "uid":
		return fmt.Sprint(st.Uid)
	case "gid":
		return fmt.Sprint(st.Gid)
	case "size":
		return fmt.Sprint(st.Size)
	case "blocks":
		return fmt.Sprint(st.Blocks)
	case "rdev":
		return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	case "atime":
		return fmt.Sprintf("%d.%d", st.Atim.Sec, st.Atim.Nsec)
	case "mtime":
		return fmt.Sprintf("%d.%d", st.Mtim.Sec, st.Mtim.Nsec)
	}
	panic(fmt.Sprintf("%q is no field in a script", field))
}

func opSame(_ *stage, a []string) (string, error) {
	var x, y unix.Stat_t
	if err := errors.Join(unix.Lstat(a[0], &x), unix.Lstat(a[1], &y)); err != nil {
		return "", err
	}
	return fmt.Sprint(x.Ino == y.Ino && x.Dev == y.Dev), nil
}

func opReadlink(_ *stage, a []string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(a[0], buf)
	return string(buf[:max(n, 0)]), err
}

func opGetxattr(_ *stage, a []string) (string, error) {
	size := 1 << 16
	if len(a) > 2 {
		size = number(a[2])
	}
	buf := make([]byte, size)
	n, err := unix.Lgetxattr(a[0], a[1], buf)
	if size == 0 {
		return fmt.Sprint(n), err
	}
	return string(buf[:max(n, 0)]), err
}

func opListxattr(_ *stage, a []string) (string, error) {
	buf := make([]byte, 1<<16)
	n, err := unix.Llistxattr(a[0], buf)
	names := strings.FieldsFunc(string(buf[:max(n, 0)]), func(r rune) bool { return r == 0 })
	sort.Strings(names)
	return strings.Join(names, ","), err
}

func opList(_ *stage, a []string) (string, error) {
	entries, err := os.ReadDir(a[0])
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return strings.Join(names, ","), err
}

func (s *stage) opBindMount(a []string) error {
	from, err := filepath.Abs(a[0])
	if err != nil {
		return err
	}
	err = unix.Mount(from, a[1], "", unix.MS_BIND, "")
	if err == nil {
		s.mounts = append(s.mounts, a[1])
	}
	return err
}

// opMark remembers the times of paths, and waits until a change of any of them
// would give another time.
func (s *stage) opMark(paths []string) error {
	var last int64
	for _, path := range paths {
		var st unix.Stat_t
		if err := s.statMarked(path, &st); err != nil {
			return err
		}
		s.marks[path] = st
		last = max(last, st.Ctim.Nano(), st.Mtim.Nano())
	}
	for s.plain { // whose clock goes by ticks of some milliseconds
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil || now.Nano() > last || last > now.Nano()+int64(time.Second) {
			return err
		}
		time.Sleep(100 * time.Microsecond)
	}
	return nil
}

// statMarked looks at a path, or at an open file behind "#".
func (s *stage) statMarked(path string, st *unix.Stat_t) error {
	if name, ok := strings.CutPrefix(path, "#"); ok {
		return unix.Fstat(s.file(name), st)
	}
	return unix.Lstat(path, st)
}

// opChanged tells for each path which of its times changed since the mark: m, c.
// "new<old" is what had the name old when it was marked. Of atime it tells
// nothing: reads may leave it as it is.
func (s *stage) opChanged(paths []string) (string, error) {
	var all []string
	for _, path := range paths {
		path, marked, moved := strings.Cut(path, "<")
		if !moved {
			marked = path
		}
		var st unix.Stat_t
		if err := s.statMarked(path, &st); err != nil {
			return "", err
		}
		was, change := s.marks[marked], ""
		if st.Mtim != was.Mtim {
			change += "m"
		}
		if st.Ctim != was.Ctim {
			change += "c"
		}
		switch {
		case !moved && st.Ino != was.Ino:
			change = "another" // two that were made in one tick of a clock may have one time
		case change == "":
			change = "-"
		}
		all = append(all, change)
	}
	return strings.Join(all, ","), nil
}

// badAddress makes a call with an address that is none.
func badAddress(name string) error {
	const bad = 0xfff // in the page that is never there
	nr := map[string][4]uintptr{
		"chmod": {unix.SYS_FCHMODAT, cwd, bad, 0o644}, "chown": {unix.SYS_FCHOWNAT, cwd, bad, 0}, "truncate": {unix.SYS_TRUNCATE, bad},
		"unlink": {unix.SYS_UNLINKAT, cwd, bad}, "mkdir": {unix.SYS_MKDIRAT, cwd, bad, 0o755}, "mknod": {unix.SYS_MKNODAT, cwd, bad, unix.S_IFIFO},
		"open": {unix.SYS_OPENAT, cwd, bad}, "utimens": {unix.SYS_UTIMENSAT, cwd, bad, 0}, "symlink": {unix.SYS_SYMLINKAT, bad, cwd, bad},
	}[name]
	if nr[0] == 0 && name != "read" {
		return fmt.Errorf("%q cannot be made to fault", name)
	}
	_, _, errno := unix.Syscall6(nr[0], nr[1], nr[2], nr[3], 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

const cwd = ^uintptr(99) // AT_FDCWD, -100

// listTree tells all there is below a folder, for comparison.
func listTree(dir string) []string {
	var all []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		return []string{dir + ": " + outcome(err)}
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			all = append(all, path+": "+outcome(err))
			continue
		}
		fields := "type,mode,nlink,uid,gid"
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG, unix.S_IFLNK:
			fields += ",size"
		case unix.S_IFBLK, unix.S_IFCHR:
			fields += ",rdev"
		}
		text, _ := statFields(fields, func(to *unix.Stat_t) error { *to = st; return nil })
		all = append(all, fmt.Sprintf("%.40q %s %s", path, text, contentOf(path, &st)))
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			all = append(all, listTree(path)...)
		}
	}
	return all
}

func contentOf(path string, st *unix.Stat_t) string {
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		target, err := os.Readlink(path)
		return fmt.Sprintf("%.40q %v", target, err)
	case st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size <= 1<<20:
		b, err := os.ReadFile(path)
		return fmt.Sprintf("%.40q %x %v", b, checksum(b), err)
	}
	return ""
}

func checksum(b []byte) (sum uint64) {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	for ; len(b) > 0; b = b[8:] {
		sum = sum*1099511628211 + binary.LittleEndian.Uint64(b)
	}
	return sum
}
