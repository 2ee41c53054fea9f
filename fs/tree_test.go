package fs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// content returns n bytes that depend on seed.
func content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// makeTree fills a folder with one of everything.
func makeTree(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "sub", "empty"), 0o750))
	for i, size := range []int{0, 1, 100, 4095, 4096, 4097, 65536, 1<<20 + 17} {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("file", size)), content(uint64(i), size), os.FileMode(0o600+i%8)))
	}
	for i := range 300 {
		must(t, os.WriteFile(filepath.Join(dir, "sub", fmt.Sprint("small", i)), content(uint64(i), i*13), 0o644))
	}
	long := strings.Repeat("n", 255)
	must(t, os.WriteFile(filepath.Join(dir, long), []byte("long name"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "not\xff\xfeutf8 \n name"), []byte("bytes"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "mode000"), []byte("closed"), 0))
	must(t, os.Link(filepath.Join(dir, "file100"), filepath.Join(dir, "sub", "hardlink")))
	must(t, os.Symlink("../nowhere", filepath.Join(dir, "sub", "symlink")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o640))
	must(t, os.Chmod(filepath.Join(dir, "sub"), os.ModeSetgid|os.ModeSticky|0o755))
	must(t, syscall.Setxattr(filepath.Join(dir, "file1"), "user.color", []byte("blue\x00green"), 0))

	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	_, err = sparse.WriteAt(content(9, 5000), 3<<20)
	must(t, err)
	must(t, sparse.Truncate(8<<20))
	must(t, sparse.Close())

	// rsync leaves times of what is no file alone when they are of the same second.
	past := unix.NsecToTimespec(time.Date(2015, 5, 5, 5, 5, 5, 123456789, time.UTC).UnixNano())
	for _, name := range []string{"fifo", "sub/symlink", "sub/empty", "."} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), []unix.Timespec{past, past}, unix.AT_SYMLINK_NOFOLLOW))
	}
	for name, at := range map[string]time.Time{
		"file1":    time.Date(1969, 7, 20, 20, 17, 40, 123456789, time.UTC),
		"file100":  time.Date(2041, 1, 1, 0, 0, 0, 999999999, time.UTC),
		"file4096": time.Date(2001, 9, 9, 1, 46, 40, 1, time.UTC),
		"sub":      time.Date(2010, 10, 10, 10, 10, 10, 10, time.UTC),
	} {
		must(t, os.Chtimes(filepath.Join(dir, name), at, at))
	}
}

// describe returns a line for each entry below a folder.
func describe(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%q %o %d:%d %d %d.%09d %x", rel, st.Mode, st.Uid, st.Gid, st.Nlink, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", st.Size, hash(b))
			value := make([]byte, 100)
			if n, err := unix.Lgetxattr(path, "user.color", value); err == nil {
				line += fmt.Sprintf(" %q", value[:n])
			}
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		lines = append(lines, line)
		return nil
	}))
	return lines
}

func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range b {
		h = (h ^ uint64(v)) * 1099511628211
	}
	return h
}

// sameTree compares two folders.
func sameTree(t *testing.T, when, got, want string) {
	t.Helper()
	a, b := describe(t, got), describe(t, want)
	for _, line := range a {
		if !slices.Contains(b, line) {
			t.Errorf("%s: got  %s", when, line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			t.Errorf("%s: want %s", when, line)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

func TestTree(t *testing.T) {
	needTool(t, "rsync")
	src := t.TempDir()
	makeTree(t, src)
	d := newDrive(t)
	check := func(when string) {
		t.Helper()
		sameTree(t, when, d.path("cp"), src)
		sameTree(t, when, d.path("rsync"), src)
	}
	d.shell("cp -a " + src + " cp; rsync -aHX " + src + "/ rsync")
	check("copied")
	if again := d.shell("rsync -aHX --itemize-changes --checksum " + src + "/ rsync"); again != "" {
		t.Errorf("second rsync still finds changes:\n%s", again)
	}
	if n := d.do("publish"); n == "0" {
		t.Error("nothing was published")
	}
	check("published")
	d.do("certify")
	d.do("evict")
	d.unmount()
	d.mount()
	check("mounted again")
	if d.do("staged") != "0" || d.do("reads") == "0" {
		t.Errorf("%s files staged, %s reads of blobs", d.do("staged"), d.do("reads"))
	}
	d.shell("cp -a cp cp2")
	d.kill()
	d.mount()
	check("killed")
	sameTree(t, "killed", d.path("cp2"), src)
	d.shell("rm -rf cp cp2 rsync")
	if left := d.shell("ls -A"); left != "" {
		t.Errorf("left after rm -rf: %s", left)
	}
	if problems := d.do("check"); problems != "" {
		t.Error(problems)
	}
}

func TestNames(t *testing.T) {
	d := newDrive(t)
	if err := os.Mkdir(d.path(strings.Repeat("x", 256)), 0o755); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("mkdir of 256 bytes: %v", err)
	}
	if _, err := os.Stat(d.path(strings.Repeat("x", 256))); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("stat of 256 bytes: %v", err)
	}
	// Deep enough that no path of the drive would be one of the host.
	must(t, os.Chdir(d.mnt))
	defer func() { must(t, os.Chdir("/")) }()
	for i := range 17 {
		name := strings.Repeat(string(rune('a'+i)), 255)
		must(t, os.Mkdir(name, 0o755))
		must(t, os.Chdir(name))
	}
	must(t, os.WriteFile("deep", []byte("down here"), 0o644))
	d.do("publish")
	d.do("certify")
	d.do("evict")
	if b, err := os.ReadFile("deep"); err != nil || string(b) != "down here" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestReaddirStable changes a directory while it is read: an entry that is
// there all the time comes up once.
func TestReaddirStable(t *testing.T) {
	const files = 1500
	d := newDrive(t)
	must(t, os.Mkdir(d.path("dir"), 0o755))
	for i := range files {
		must(t, os.WriteFile(d.path("dir", fmt.Sprint(i)), nil, 0o644))
	}
	f, err := os.Open(d.path("dir"))
	must(t, err)
	defer f.Close()
	seen := map[string]int{}
	for round := 0; ; round++ {
		names, err := f.Readdirnames(100)
		for _, name := range names {
			seen[name]++
		}
		if err != nil {
			break
		}
		for i := range 20 { // odd ones go, and others come, behind those that are there
			if round > 20 {
				break
			}
			_ = os.Remove(d.path("dir", fmt.Sprint((round*20+i)*2+1)))
			must(t, os.WriteFile(d.path("dir", fmt.Sprint("new", round, "-", i)), nil, 0o644))
		}
	}
	for i := 0; i < files; i += 2 {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("entry %d came up %d times", i, n)
		}
	}
}

func TestGit(t *testing.T) {
	needTool(t, "git")
	src := t.TempDir()
	makeTree(t, src)
	d := newDrive(t)
	d.shell(`git init -q repo; cd repo
		git config user.email a@b; git config user.name n
		cp -a ` + src + `/. .; rm -f mode000 fifo
		git add -A; git commit -qm one; git status --short
		git fsck --strict; echo more >> file100; git commit -qam two; git gc -q
		git clone -q . ../clone; cd ../clone; git fsck; git log --oneline | wc -l`)
	d.do("publish")
	d.do("certify")
	d.do("evict")
	d.shell(`cd clone; git fsck --full; git status --short; git -C ../repo fsck --full`)
}

func TestSQLite(t *testing.T) {
	needTool(t, "sqlite3")
	d := newDrive(t)
	for _, mode := range []string{"delete", "wal"} {
		out := d.shell(`sqlite3 ` + mode + `.db 'PRAGMA journal_mode=` + mode + `; CREATE TABLE t(a, b);'
			for i in 1 2 3 4 5; do
			  sqlite3 -cmd '.timeout 30000' ` + mode + `.db 'BEGIN IMMEDIATE; WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<500)
			    INSERT INTO t SELECT x, randomblob(100) FROM c; COMMIT; UPDATE t SET b=randomblob(90) WHERE a%7=0;' & done; wait || true
			sqlite3 ` + mode + `.db 'PRAGMA integrity_check; SELECT count(*) > 0 FROM t'`)
		if !strings.HasSuffix(out, "ok\n1") {
			t.Errorf("%s: %s", mode, out)
		}
	}
	d.do("publish")
	d.do("certify")
	d.do("evict")
	if out := d.shell(`sqlite3 delete.db 'UPDATE t SET b=1 WHERE a=3; PRAGMA integrity_check'`); out != "ok" {
		t.Error(out)
	}
	d.kill()
	d.mount()
	if out := d.shell(`sqlite3 delete.db 'PRAGMA integrity_check'; sqlite3 wal.db 'PRAGMA integrity_check'`); out != "ok\nok" {
		t.Error(out)
	}
}

// TestSaveByRename replaces a file again and again: whoever opens it sees the
// whole of one version.
func TestSaveByRename(t *testing.T) {
	d := newDrive(t)
	version := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 3000+i*777) }
	must(t, os.WriteFile(d.path("file"), version(1), 0o644))
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			b, err := os.ReadFile(d.path("file"))
			if err == nil && (len(b) == 0 || !bytes.Equal(b, version(int(b[0])))) {
				err = fmt.Errorf("%d bytes, which are no version", len(b))
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for i := 2; i < 30; i++ {
		must(t, os.WriteFile(d.path("file.tmp"), version(i), 0o644))
		must(t, os.Rename(d.path("file.tmp"), d.path("file")))
		if i%5 == 0 {
			d.do("publish")
		}
	}
	close(stop)
	must(t, <-done)
	d.kill()
	d.mount()
	if b, err := os.ReadFile(d.path("file")); err != nil || !bytes.Equal(b, version(29)) {
		t.Errorf("after a kill: %d bytes, %v", len(b), err)
	}
}
