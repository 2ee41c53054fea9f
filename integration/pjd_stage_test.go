package integration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stage runs scripts in a folder. It has a thread of its own, with a working
// directory, a umask, mounts and credentials of its own, so that no process
// has to be started for a call by another user.
//
// A line of a script is a call: "[?][@user] name argument... [= result]". It
// has to succeed, or to have the result. Behind "?" any result is good that is
// also that of the plain folder. A user is "uid", "uid:gid" or
// "uid:gid,group,..."; without one it is the user of the test. {x255} stands
// for 255 times x, a pair of single quotes for nothing, \40 for a byte.
type stage struct {
	t       *testing.T
	outside int // the mounts that all others see
	dir     string
	plain   bool // the reference
	calls   chan func()
	me      cred
	files   map[string]int
	marks   map[string]unix.Stat_t
	mounts  []string
	folder  string                 // of the script that runs
	now     atomic.Pointer[string] // its line that runs
}

type cred struct {
	uid, gid int
	groups   []uint32
}

// newStage makes a stage in a folder that exists.
func newStage(t *testing.T, dir string, plain bool) *stage {
	t.Helper()
	s := &stage{t: t, dir: dir, plain: plain, calls: make(chan func()), files: map[string]int{}, marks: map[string]unix.Stat_t{}}
	s.me = cred{uid: unix.Geteuid(), gid: unix.Getegid()}
	ready := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		ready <- s.prepare()
		for call := range s.calls {
			call()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("prepare a thread: %v", err)
	}
	t.Cleanup(s.close)
	return s
}

// prepare gives the thread a state of its own.
func (s *stage) prepare() error {
	if s.me.uid != 0 {
		return unix.Unshare(unix.CLONE_FS)
	}
	var err error
	if s.outside, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return s.leaveOthers()
}

// leaveOthers takes the drives and disks of other tests out of the thread's view. What is
// mounted there too cannot end before this stage does.
func (s *stage) leaveOthers() error {
	table, err := os.ReadFile("/proc/thread-self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		at := strings.ReplaceAll(f[1], `\040`, " ")
		others := strings.HasPrefix(f[2], "fuse.") || strings.HasPrefix(at, os.TempDir()+"/")
		if !others || strings.HasPrefix(s.dir+"/", strings.TrimSuffix(at, "/")+"/") {
			continue
		}
		err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // it went with one above it
			return fmt.Errorf("leave %s: %w", at, err)
		}
	}
	return nil
}

// goOut gives up the thread's working directory and mounts, among which is one
// of the drive: the thread may outlive the stage, and the drive would stay mounted.
func (s *stage) goOut() error {
	if s.me.uid != 0 {
		return unix.Chdir("/")
	}
	return errors.Join(unix.Setns(s.outside, unix.CLONE_NEWNS), unix.Close(s.outside))
}

func (s *stage) close() {
	if s.calls == nil {
		return
	}
	gone := make(chan error, 1)
	s.calls <- func() { gone <- s.goOut() }
	if err := <-gone; err != nil {
		s.t.Errorf("leave the stage: %v", err)
	}
	close(s.calls)
	s.calls = nil
}

// do runs f on the stage's thread, and fails when a call does not return.
func (s *stage) do(f func()) error {
	done := make(chan struct{})
	s.calls <- func() { defer close(done); f() }
	select {
	case <-done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s hangs in %q", s.folder, *s.now.Load())
	}
}

// line is one call of a script.
type line struct {
	text string
	any  bool // no expectation but that of the plain folder
	who  *cred
	op   string
	args []string
	want string // "" means success
}

func parseLine(text string) (l line, err error) {
	l.text = text
	rest, any := strings.CutPrefix(text, "?")
	l.any = any
	call, want, _ := strings.Cut(rest+" ", " = ")
	l.want = strings.TrimSpace(want)
	fields := strings.Fields(call)
	if len(fields) > 0 && fields[0][0] == '@' {
		c, err := parseCred(fields[0][1:])
		if err != nil {
			return l, err
		}
		l.who, fields = &c, fields[1:]
	}
	if len(fields) == 0 || ops[fields[0]] == nil {
		return l, fmt.Errorf("%q is no call", text)
	}
	l.op = fields[0]
	for _, f := range fields[1:] {
		l.args = append(l.args, expand(f))
	}
	return l, nil
}

func parseCred(text string) (c cred, err error) {
	ids, groups, _ := strings.Cut(text, ",")
	uid, gid, both := strings.Cut(ids, ":")
	if !both {
		gid = uid
	}
	c.uid, err = strconv.Atoi(uid)
	if err == nil {
		c.gid, err = strconv.Atoi(gid)
	}
	for g := range strings.SplitSeq(groups, ",") {
		if g != "" && err == nil {
			var n int
			n, err = strconv.Atoi(g)
			c.groups = append(c.groups, uint32(n))
		}
	}
	return c, err
}

var (
	repeated = regexp.MustCompile(`\{([^}]*[^}0-9])([0-9]+)\}`)
	escaped  = regexp.MustCompile(`\\[0-9a-f]{2}`)
)

func expand(arg string) string {
	if arg == "''" {
		return ""
	}
	arg = repeated.ReplaceAllStringFunc(arg, func(m string) string {
		p := repeated.FindStringSubmatch(m)
		n, _ := strconv.Atoi(p[2])
		return strings.Repeat(p[1], n)
	})
	return escaped.ReplaceAllStringFunc(arg, func(m string) string {
		n, _ := strconv.ParseUint(m[1:], 16, 8)
		return string([]byte{byte(n)})
	})
}

// run runs a script in a new folder and returns the results of its lines,
// followed by what the folder then holds.
func (s *stage) run(name, script string) (lines []line, results []string, err error) {
	for text := range strings.Lines(script) {
		if text = strings.TrimSpace(text); text == "" || text[0] == '#' {
			continue
		}
		l, err := parseLine(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		lines = append(lines, l)
	}
	hangs := s.do(func() {
		if err = s.enter(name); err != nil {
			err = fmt.Errorf("enter the folder of %s: %w", name, err)
			return
		}
		for _, l := range lines {
			s.now.Store(&l.text)
			results = append(results, s.call(l))
		}
		results = append(results, s.leave()...)
	})
	if hangs != nil {
		return nil, nil, hangs
	}
	return lines, results, err
}

func (s *stage) enter(name string) error {
	unix.Umask(0)
	dir := filepath.Join(s.dir, strings.ReplaceAll(name, "/", "-"))
	s.folder = dir
	return errors.Join(unix.Mkdir(dir, 0o755), unix.Chdir(dir))
}

// leave closes and unmounts what a script left, and returns what is in its folder.
func (s *stage) leave() []string {
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		_ = unix.Close(s.files[name])
	}
	clear(s.files)
	clear(s.marks)
	for _, dir := range slices.Backward(s.mounts) {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	}
	s.mounts = nil
	// "..", of which a script may have changed the mode, is where the next one begins.
	if err := errors.Join(unix.Chmod(s.dir, 0o755), unix.Chdir(s.folder)); err != nil {
		return []string{"back to the folder: " + outcome(err)}
	}
	return listTree(".")
}

// call makes one call, as another user if the line says so.
func (s *stage) call(l line) string {
	if l.who != nil {
		if err := become(*l.who); err != nil {
			return "become: " + err.Error()
		}
	}
	value, err := ops[l.op](s, l.args)
	if l.who != nil {
		if err := become(s.me); err != nil {
			return "become: " + err.Error()
		}
	}
	if err != nil {
		return outcome(err)
	}
	return value
}

func outcome(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// become changes who the thread is. The saved user stays, so that there is a
// way back; it has no rights.
func become(c cred) error {
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep); errno != 0 {
		return errno
	}
	var groups unsafe.Pointer
	if len(c.groups) > 0 {
		groups = unsafe.Pointer(&c.groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(c.groups)), uintptr(groups), 0); errno != 0 {
		return errno
	}
	gid, uid := uintptr(c.gid), uintptr(c.uid)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, 0); errno != 0 {
		return errno
	}
	return nil
}
