package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// amount returns the short or the long form of a number.
func amount(short, long int) int {
	if soak() {
		return long
	}
	return short
}

// TestEdgesRestored makes what few programs make, and compares it after kill -9, after a mount with
// nothing local, and after a restore.
func TestEdgesRestored(t *testing.T) {
	t.Parallel()
	needTool(t, "setfacl")
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	if os.Geteuid() == 0 {
		d.opts = []string{"-o", "dev,suid"}
	}
	d.mount()
	makeDeep(t, d.mnt, 12)
	makeAttributes(t, d.path("attributes"))
	for i, at := range []syscall.Timespec{{Sec: -1<<31 + 1, Nsec: 1}, {Sec: -1, Nsec: 999_999_999}, {Sec: 1<<31 + 5, Nsec: 123_456_789}, {Sec: 1 << 32, Nsec: 7}} {
		path := d.path(fmt.Sprint("time", i))
		must(t, os.WriteFile(path, []byte("x"), 0o644))
		must(t, syscall.UtimesNano(path, []syscall.Timespec{at, at}))
	}
	must(t, unix.Mkfifo(d.path("fifo"), 0o640))
	must(t, unix.Mknod(d.path("socket"), unix.S_IFSOCK|0o600, 0))
	if os.Geteuid() == 0 {
		must(t, unix.Mknod(d.path("char"), unix.S_IFCHR|0o622, int(unix.Mkdev(1, 3))))
		must(t, unix.Mknod(d.path("block"), unix.S_IFBLK|0o660, int(unix.Mkdev(4095, 1<<20-1))))
		must(t, os.WriteFile(d.path("lower"), []byte("lower"), 0o644))
		must(t, unix.Renameat2(unix.AT_FDCWD, d.path("lower"), unix.AT_FDCWD, d.path("upper"), unix.RENAME_WHITEOUT))
	}
	makeTmpfile(t, d.mnt, d.path("from-tmpfile"))
	must(t, os.WriteFile(d.path("program"), []byte("#!/bin/sh\n"), 0o755))
	must(t, os.Chmod(d.path("program"), 0o755|os.ModeSetuid|os.ModeSetgid))
	must(t, os.Mkdir(d.path("group"), 0o755))
	must(t, os.Chmod(d.path("group"), 0o775|os.ModeSetgid|os.ModeSticky))
	shell(t, `cd %s && setfacl -d -m u:1234:rx,g:77:rwx,m:rwx group && mkdir group/below && echo x > group/below/file`, d.mnt)
	for _, name := range []string{"a", "b"} {
		must(t, os.WriteFile(d.path(name), []byte(name), 0o644))
	}
	must(t, unix.Renameat2(unix.AT_FDCWD, d.path("a"), unix.AT_FDCWD, d.path("b"), unix.RENAME_EXCHANGE))
	if err := unix.Renameat2(unix.AT_FDCWD, d.path("a"), unix.AT_FDCWD, d.path("b"), unix.RENAME_NOREPLACE); !errors.Is(err, unix.EEXIST) {
		t.Errorf("rename without replacing: %v", err)
	}

	want := readTree(t, d.mnt)
	d.kill()
	d.mount()
	diffTrees(t, "after kill -9", want, readTree(t, d.mnt))
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(t, "with nothing local", want, readTree(t, d.mnt))
	d.umount()
	r := d.restoreCopy()
	r.opts = d.opts
	r.mount()
	diffTrees(t, "restored", want, readTree(t, r.mnt))
	r.umount()
}

// makeDeep makes folders in one another whose names are 255 bytes long, of which few are UTF-8, and
// a file in each. No path of the machine is as long as that of the last.
func makeDeep(t *testing.T, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	for i := range depth {
		name := strings.Repeat(string([]byte{byte(0x80 + i), '\n'}), 127) + "n"
		must(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, errors.Join(err, unix.Close(fd)))
		fd = next
		file, err := unix.Openat(fd, strings.Repeat("\xff", 255), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		must(t, err)
		_, err = unix.Write(file, []byte{byte(i)})
		must(t, errors.Join(err, unix.Close(file)))
	}
	must(t, unix.Close(fd))
}

// makeAttributes gives a file the longest value, the longest name, and as many attributes as
// a list has room for; one more is refused, as is what is too long.
func makeAttributes(t *testing.T, path string) {
	t.Helper()
	must(t, os.WriteFile(path, nil, 0o644))
	must(t, unix.Setxattr(path, "user.longest", []byte(strings.Repeat("v", 64<<10)), 0))
	if err := unix.Setxattr(path, "user.longer", make([]byte, 64<<10+1), 0); !errors.Is(err, unix.E2BIG) {
		t.Errorf("a value of 64 KiB and 1 byte: %v", err)
	}
	long := "user." + strings.Repeat("n", 250)
	must(t, unix.Setxattr(path, long, []byte("x"), unix.XATTR_CREATE))
	if err := unix.Setxattr(path, long, nil, unix.XATTR_CREATE); !errors.Is(err, unix.EEXIST) {
		t.Errorf("an attribute that is there: %v", err)
	}
	if err := unix.Setxattr(path, "user.none", nil, unix.XATTR_REPLACE); !errors.Is(err, unix.ENODATA) {
		t.Errorf("an attribute that is not there: %v", err)
	}
	var err error
	made := 0
	for ; err == nil && made < 1000; made++ {
		err = unix.Setxattr(path, fmt.Sprintf("user.%0200d", made), fmt.Append(nil, made), 0)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("%d attributes with long names: %v", made, err)
	}
	must(t, unix.Setxattr(path, "user.longest", []byte("one that is there"), 0))
	list := make([]byte, 64<<10)
	n, err := unix.Listxattr(path, list)
	if err != nil || strings.Count(string(list[:n]), "\x00") != made+1 { // the last was refused
		t.Fatalf("a list of %d bytes, %v, want %d names", n, err, made+1)
	}
	if _, err := unix.Listxattr(path, list[:n-1]); !errors.Is(err, unix.ERANGE) {
		t.Errorf("a list that has no room: %v", err)
	}
}

// makeTmpfile makes a file without a name, writes it, and gives it one.
func makeTmpfile(t *testing.T, dir, path string) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o640)
	must(t, err)
	f := os.NewFile(uintptr(fd), path)
	_, err = f.WriteString("it had no name")
	must(t, err)
	must(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW))
	must(t, f.Close())
}

// TestInodeNumbers makes and removes files across remounts, a kill and a restore: no number comes twice.
func TestInodeNumbers(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	seen := map[uint64]string{}
	use := func(d *drive, when string) {
		t.Helper()
		for i := range amount(30, 3000) {
			path := d.path(fmt.Sprint("file", i))
			f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			must(t, err)
			var st unix.Stat_t
			must(t, unix.Fstat(int(f.Fd()), &st))
			must(t, f.Close())
			if before, ok := seen[st.Ino]; ok {
				t.Fatalf("%s: inode %d is used again, which was made %s", when, st.Ino, before)
			}
			seen[st.Ino] = when
			if i%3 != 0 {
				must(t, os.Remove(path))
			}
		}
		shell(t, "rm -f %s/file*", d.mnt)
	}
	d.mount()
	use(d, "at first")
	d.kill()
	d.mount()
	use(d, "after kill -9")
	must(t, os.WriteFile(d.path("last"), nil, 0o644))
	d.sync()
	d.umount()
	d.mount()
	use(d, "after umount")
	d.sync()
	d.umount()
	r := d.restoreCopy()
	r.mount()
	use(r, "after a restore")
	r.umount()
}

// TestBigDirectory lists a directory while others make, rename and remove entries in it. What is there
// all the time comes up once, and each offset leads to what it led to before.
func TestBigDirectory(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mount()
	dir := d.path("dir")
	must(t, os.Mkdir(dir, 0o755))
	entries := amount(2000, 100_000)
	for i := range entries {
		must(t, unix.Mknod(filepath.Join(dir, fmt.Sprintf("stays-%06d", i)), unix.S_IFREG|0o644, 0))
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	for w := range 3 {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				path := filepath.Join(dir, fmt.Sprintf("other-%d-%d", w, i))
				err := os.WriteFile(path, nil, 0o644)
				if err == nil && i%2 == 0 {
					err = errors.Join(os.Rename(path, path+"-renamed"), os.Remove(path+"-renamed"))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer others.Wait()
	defer close(stop)
	for range amount(2, 4) {
		f, err := os.Open(dir)
		must(t, err)
		seen := map[string]int{}
		type mark struct {
			off  int64
			next string
		}
		var marks []mark
		for {
			off, err := f.Seek(0, io.SeekCurrent)
			must(t, err)
			names := listSome(t, f)
			if names == nil {
				break
			}
			for _, name := range names {
				seen[name]++
			}
			if strings.HasPrefix(names[0], "stays") {
				marks = append(marks, mark{off, names[0]})
			}
		}
		for i := range entries {
			if n := seen[fmt.Sprintf("stays-%06d", i)]; n != 1 {
				t.Fatalf("entry %d came up %d times", i, n)
			}
		}
		for _, m := range marks {
			_, err := f.Seek(m.off, io.SeekStart)
			must(t, err)
			if names := listSome(t, f); len(names) == 0 || names[0] != m.next {
				t.Fatalf("at %d: %.1q, want %s", m.off, names, m.next)
			}
		}
		must(t, f.Close())
	}
}

// listSome reads some names with one system call, so that the offset is that behind them. Nil: the end.
func listSome(t *testing.T, f *os.File) (names []string) {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Getdents(int(f.Fd()), buf)
	must(t, err)
	_, _, names = unix.ParseDirent(buf[:n], -1, nil)
	if n > 0 && names == nil {
		return []string{"."} // dots alone
	}
	return names
}

// TestManyLinks gives a file as many names as it may have.
func TestManyLinks(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("long; the index has a test of the limit")
	}
	d := newDrive(t)
	d.mount()
	must(t, os.WriteFile(d.path("file"), []byte("x"), 0o644))
	const most = 65_000 // Source: EXT4_LINK_MAX
	for i := range most / 1000 {
		must(t, os.Mkdir(d.path(fmt.Sprint("dir", i)), 0o755))
	}
	for i := 1; i < most; i++ {
		must(t, os.Link(d.path("file"), d.path(fmt.Sprint("dir", i/1000), fmt.Sprint(i))))
	}
	if err := os.Link(d.path("file"), d.path("more")); !errors.Is(err, unix.EMLINK) {
		t.Errorf("one more: %v", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(d.path("dir7", "7777"), &st); err != nil || st.Nlink != most {
		t.Errorf("%d links, %v", st.Nlink, err)
	}
	d.sync()
	d.umount()
	r := d.restoreCopy()
	r.mount()
	if err := unix.Stat(r.path("file"), &st); err != nil || st.Nlink != most {
		t.Errorf("restored with %d links, %v", st.Nlink, err)
	}
	r.umount()
}

// lockEnv makes a process of this test binary try locks on the file that it names.
const lockEnv = "WALFS_TEST_LOCK"

// TestLocks takes locks of each kind in one process, and tries them in another.
func TestLocks(t *testing.T) {
	if path := os.Getenv(lockEnv); path != "" {
		tryLocks(path)
		return
	}
	t.Parallel()
	d := newDrive(t)
	d.mount()
	path := d.path("file")
	must(t, os.WriteFile(path, make([]byte, 100), 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	fd := int(f.Fd())
	record := func(cmd int, kind int16) error {
		return unix.FcntlFlock(uintptr(fd), cmd, &unix.Flock_t{Type: kind, Start: 10, Len: 10})
	}
	for _, lock := range []struct {
		what       string
		take, free func() error
		want       string // flock, fcntl and OFD of the range, of a range beside it
	}{
		{"nothing", func() error { return nil }, func() error { return nil }, "free free free free"},
		{"flock", func() error { return unix.Flock(fd, unix.LOCK_EX) }, func() error { return unix.Flock(fd, unix.LOCK_UN) }, "held free free free"},
		{"fcntl", func() error { return record(unix.F_SETLK, unix.F_WRLCK) }, func() error { return record(unix.F_SETLK, unix.F_UNLCK) }, "free held held free"},
		{"OFD", func() error { return record(unix.F_OFD_SETLK, unix.F_WRLCK) }, func() error { return record(unix.F_OFD_SETLK, unix.F_UNLCK) }, "free held held free"},
		{"nothing any more", func() error { return nil }, func() error { return nil }, "free free free free"},
	} {
		must(t, lock.take())
		out, err := shellErr("%s=%s %s -test.run '^TestLocks$'", lockEnv, path, os.Args[0])
		got, _, _ := strings.Cut(out, "\n")
		if err != nil || got != lock.want {
			t.Errorf("with %s: %q, %v, want %q", lock.what, got, err, lock.want)
		}
		must(t, lock.free())
	}
	must(t, f.Close())
	d.umount()
}

// tryLocks says which locks another process would get.
func tryLocks(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	say := func(err error) string {
		switch {
		case err == nil:
			return "free"
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
			return "held"
		}
		return err.Error()
	}
	record := func(cmd int, at int64) string {
		err := unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 5})
		got := say(err)
		return got
	}
	fmt.Println(say(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)), record(unix.F_SETLK, 12), func() string {
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}); err != nil {
			return err.Error()
		}
		return record(unix.F_OFD_SETLK, 12)
	}(), record(unix.F_OFD_SETLK, 30))
}

// TestStatfsWhileDraining asks for room while nothing can be stored, and while all of it is: the answer comes from
// memory, and waits for neither.
func TestStatfsWhileDraining(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mount()
	d.stopNodes(2)
	asked := 0
	ask := func() {
		var st unix.Statfs_t
		must(t, unix.Statfs(d.mnt, &st))
		asked++
		if st.Namelen != 255 || st.Bavail > st.Bfree || st.Bfree > st.Blocks || st.Bsize != st.Frsize {
			t.Fatalf("statfs %+v", st)
		}
	}
	for i := range amount(20, 200) {
		writeRandom(t, d.path(fmt.Sprint("file", i)), 1<<20, uint64(i))
		ask()
	}
	d.startNodes()
	done := make(chan error, 1)
	go func() {
		_, err := shellErr("XDG_STATE_HOME=%s %s --home %s sync", filepath.Join(filepath.Dir(d.home), "state"), d.bin, d.home)
		done <- err
	}()
	for {
		ask()
		select {
		case err := <-done:
			must(t, err)
			t.Logf("%d answers", asked)
			d.umount()
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}
