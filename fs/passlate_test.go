package fs_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// holdReleases lets no Release reach the server until the returned function is
// called: the kernel sends one such request at a time now, and that is a read of
// the file far, of which the content does not come.
func holdReleases(t *testing.T, d *drive) (goOn func()) {
	t.Helper()
	control := t.TempDir()
	if err := syscall.Mount("none", control, "fusectl", 0, ""); err != nil {
		t.Skipf("the kernel cannot be told to send less at once: %v", err)
	}
	defer func() { must(t, syscall.Unmount(control, 0)) }()
	var st unix.Stat_t
	must(t, unix.Stat(d.mnt, &st))
	most := filepath.Join(control, fmt.Sprint(unix.Minor(st.Dev)), "max_background")
	must(t, os.WriteFile(most, []byte("1"), 0o600))
	d.do("hold")
	far, read := openFile(t, d.path("far"), os.O_RDONLY), make(chan error, 1)
	go func() {
		_, err := far.Read(make([]byte, 4096))
		read <- err
	}()
	eventually(t, d, "holding", "yes")
	return func() {
		d.do("go")
		must(t, errors.Join(<-read, far.Close()))
	}
}

// TestPassReleaseLate packs files that are closed when the kernel has not told of that
// yet: nobody has them open, and what is packed is all there is. Who has a descriptor still,
// or a mapping, or opens a file anew, writes it as ever.
func TestPassReleaseLate(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_TIMEOUT=1h")
	needPass(t, d)
	must(t, os.WriteFile(d.path("far"), content(1, 100_000), 0o644))
	d.forget()
	want := map[string][]byte{}
	for i, name := range []string{"written", "unwritten", "duplicated", "mapped"} {
		want[name] = content(uint64(2+i), 100_000)
		must(t, os.WriteFile(d.path(name), want[name], 0o644))
		eventually(t, d, "using "+name, "no")
	}
	d.do("publish")
	d.do("certify")
	goOn := holdReleases(t, d)
	open := func(name string) *os.File { return openFile(t, d.path(name), os.O_WRONLY) }
	write := func(f *os.File, off int64, text string) {
		t.Helper()
		_, err := f.WriteAt([]byte(text), off)
		must(t, err)
		copy(want[filepath.Base(f.Name())][off:], text)
	}
	packed := func(when string, lent ...string) {
		t.Helper()
		d.do("back")
		d.do("publish")
		for name := range want {
			is := yes(slices.Contains(lent, name))
			if got := d.do("dirty " + name); got != is {
				t.Errorf("%s: %s is dirty: %s", when, name, got)
			}
			if d.do("using "+name) != "yes" {
				t.Errorf("%s: the release of %s was not held back", when, name)
			}
		}
		if got := d.do("lent"); got != fmt.Sprint(len(lent)) {
			t.Errorf("%s: %s files are lent, want %q", when, got, lent)
		}
	}

	written, duplicated := open("written"), open("duplicated")
	reader := openFile(t, d.path("mapped"), os.O_RDONLY) // so that who may read and write passes too
	mapped := openFile(t, d.path("mapped"), os.O_RDWR)
	write(written, 50_000, "written")
	must(t, errors.Join(written.Close(), open("unwritten").Close()))
	fd, err := unix.Dup(int(duplicated.Fd()))
	must(t, err)
	twin := os.NewFile(uintptr(fd), duplicated.Name())
	must(t, duplicated.Close())
	m, err := unix.Mmap(int(mapped.Fd()), 0, 100_000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	must(t, errors.Join(mapped.Close(), reader.Close()))
	packed("closed, some of them", "duplicated", "mapped")

	write(twin, 0, "twin")
	m[99_999]++
	want["mapped"][99_999]++
	again := open("written")
	packed("one is open again", "duplicated", "mapped", "written")
	write(again, 70_000, "again")
	must(t, errors.Join(again.Close(), twin.Close(), unix.Munmap(m)))
	packed("nobody has one open")

	goOn()
	for name := range want {
		eventually(t, d, "using "+name, "no")
	}
	if n := d.do("publish"); n != "0" {
		t.Errorf("%s files were packed once more when their releases came", n)
	}
	d.forget()
	if staged := d.do("staged"); staged != "0" {
		t.Errorf("%s files staged", staged)
	}
	for name, body := range want {
		contentIs(t, "evicted", d.path(name), body)
	}
}

// TestPassBackOpens opens a clean copy again and again, while files that are closed are
// taken back all the time: none that the kernel is about to open.
func TestPassBackOpens(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	must(t, os.WriteFile(d.path("file"), make([]byte, 8), 0o644))
	d.do("backing on")
	defer d.do("backing off")
	b := make([]byte, 8)
	for i := range uint64(60) {
		d.do("back")
		d.do("publish")
		d.do("certify")
		binary.LittleEndian.PutUint64(b, i)
		f := openFile(t, d.path("file"), os.O_WRONLY)
		_, err := f.WriteAt(b, 0)
		must(t, errors.Join(err, f.Close()))
		d.do("back")
		d.do("publish")
		if n := number(t, d.do("published file 0 8")); n != i {
			t.Fatalf("%d was written and %d is published", i, n)
		}
	}
}
