package fs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dropCache makes the kernel forget the content of a file.
func dropCache(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// publish makes a drive forget the content that it has, but for the blobs.
func (d *drive) forget() {
	d.t.Helper()
	d.do("publish")
	d.do("certify")
	d.do("evict")
}

func TestReadErrors(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_TIMEOUT=3s")
	want := content(1, 3<<20)
	must(t, os.WriteFile(d.path("file"), want, 0o644))
	d.forget()
	for _, fault := range []string{"broken", "corrupt", "hung"} {
		d.do("blobs " + fault)
		dropCache(t, d.path("file"))
		start := time.Now()
		got, err := os.ReadFile(d.path("file"))
		if !errors.Is(err, syscall.EIO) || len(got) > 0 {
			t.Errorf("%s: read %d bytes, %v", fault, len(got), err)
		}
		if took := time.Since(start); took > patience {
			t.Errorf("%s: a read took %s", fault, took)
		}
		// A write of a part of a block needs the rest of it.
		f, err := os.OpenFile(d.path("file"), os.O_WRONLY, 0)
		must(t, err)
		if _, err := f.WriteAt([]byte("x"), 100); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: write: %v", fault, err)
		}
		// Whole blocks need nothing.
		if _, err := f.WriteAt(want[8192:16384], 8192); err != nil {
			t.Errorf("%s: write of whole blocks: %v", fault, err)
		}
		must(t, f.Close())
	}
	d.do("blobs ")
	for deadline := time.Now().Add(patience); ; { // who asks again at once is not waited for as long as it may take
		got, err := os.ReadFile(d.path("file"))
		if errors.Is(err, syscall.EIO) && time.Now().Before(deadline) {
			continue
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("after the faults: %d bytes, %v", len(got), err)
		}
		break
	}
}

// TestKilledReader kills a program that waits for content that does not come.
func TestKilledReader(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_TIMEOUT=30m")
	must(t, os.WriteFile(d.path("file"), content(1, 1<<20), 0o644))
	d.forget()
	dropCache(t, d.path("file"))
	before := d.do("reads")
	d.do("blobs hung")
	reader := exec.Command("cat", d.path("file"))
	must(t, reader.Start())
	for deadline := time.Now().Add(patience); d.do("reads") == before; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is read")
		}
	}
	start := time.Now()
	must(t, reader.Process.Kill())
	_ = reader.Wait()
	if took := time.Since(start); took > patience { // after half an hour it would get an error
		t.Errorf("the reader died after %s", took)
	}
	d.do("blobs ")
}

func TestRoom(t *testing.T) {
	d := newDrive(t)
	must(t, os.WriteFile(d.path("old"), content(1, 1000), 0o644))
	d.do("room 1000000")
	err := os.WriteFile(d.path("new"), content(2, 2<<20), 0o644)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing too much: %v", err)
	}
	d.do("room 0")
	if _, err := os.Create(d.path("more")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("creating: %v", err)
	}
	if got, err := os.ReadFile(d.path("old")); err != nil || !bytes.Equal(got, content(1, 1000)) {
		t.Errorf("reading: %v", err)
	}
	must(t, os.Remove(d.path("new")))
	d.do("room -1")
	must(t, os.WriteFile(d.path("new"), content(2, 2<<20), 0o644))
	var st unix.Statfs_t
	must(t, unix.Statfs(d.mnt, &st))
	if st.Blocks*uint64(st.Bsize) != 1<<40 || st.Bavail*uint64(st.Bsize) != 1<<39 || st.Namelen != 255 {
		t.Errorf("statfs: %+v", st)
	}
}

// TestFullDisk fills the disk below staging: ENOSPC, never EIO, and what was
// there stays readable.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small disk can be mounted by root only")
	}
	home := t.TempDir()
	if err := unix.Mount("tmpfs", home, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("no tmpfs here: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(home, unix.MNT_DETACH)) })
	d := newDriveIn(t, home)
	first := content(1, 4<<20)
	must(t, os.WriteFile(d.path("first"), first, 0o644))
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = os.WriteFile(d.path(fmt.Sprint("more", i)), content(uint64(i), 1<<20), 0o644)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	dropCache(t, d.path("first"))
	if got, err := os.ReadFile(d.path("first")); err != nil || !bytes.Equal(got, first) {
		t.Errorf("reading on a full disk: %v", err)
	}
	d.shell("rm -f more*")
	must(t, os.WriteFile(d.path("again"), first, 0o644))
}

func TestSparse(t *testing.T) {
	d := newDrive(t)
	const size = 10 << 30
	f, err := os.Create(d.path("sparse"))
	must(t, err)
	must(t, f.Truncate(size))
	spots := []int64{1 << 20, 5 << 30, 8<<30 + 12345}
	for i, off := range spots {
		_, err := f.WriteAt(content(uint64(i), 10000), off)
		must(t, err)
	}
	must(t, f.Close())
	check := func(when string) {
		t.Helper()
		f, err := os.Open(d.path("sparse"))
		must(t, err)
		defer f.Close()
		var st unix.Stat_t
		must(t, unix.Fstat(int(f.Fd()), &st))
		if st.Size != size || st.Blocks*512 > 1<<20 {
			t.Errorf("%s: size %d, %d blocks", when, st.Size, st.Blocks)
		}
		pos := int64(0)
		for i, off := range spots {
			data, err := f.Seek(pos, unix.SEEK_DATA)
			if err != nil || data > off || data < off-65536 {
				t.Errorf("%s: data at %d, %v; want %d", when, data, err, off)
			}
			pos, err = f.Seek(off, unix.SEEK_HOLE)
			if err != nil || pos < off+10000 || pos > off+10000+65536 {
				t.Errorf("%s: hole at %d, %v; want %d", when, pos, err, off+10000)
			}
			got := make([]byte, 10000)
			if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, content(uint64(i), 10000)) {
				t.Errorf("%s: other bytes at %d, %v", when, off, err)
			}
		}
		if _, err := f.Seek(pos, unix.SEEK_DATA); !errors.Is(err, syscall.ENXIO) {
			t.Errorf("%s: data after the last: %v", when, err)
		}
		if _, err := f.Seek(size+1, unix.SEEK_HOLE); !errors.Is(err, syscall.ENXIO) {
			t.Errorf("%s: hole beyond the end: %v", when, err)
		}
	}
	check("written")
	d.do("publish")
	check("published")
	d.do("certify")
	d.do("evict")
	dropCache(t, d.path("sparse"))
	check("evicted")
	f, err = os.OpenFile(d.path("sparse"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("y"), 3<<30)
	must(t, err)
	must(t, f.Close())
	check2, err := os.Open(d.path("sparse"))
	must(t, err)
	defer check2.Close()
	if data, err := check2.Seek(2<<30, unix.SEEK_DATA); err != nil || data > 3<<30 || data < 3<<30-65536 {
		t.Errorf("data at %d, %v; want %d", data, err, 3<<30)
	}
}

// TestSeekMapped stores through mappings into a hole: lseek(2) sees that at once, as on a disk,
// whether the kernel keeps the pages or has the data file mapped.
func TestSeekMapped(t *testing.T) {
	const size, at = 4 << 20, 1<<20 + 5000
	page := int64(os.Getpagesize())
	for _, way := range []string{"kept", "passed"} {
		d := newDrive(t)
		flags := os.O_RDWR
		must(t, os.WriteFile(d.path("kept"), nil, 0o644))
		if way == "passed" {
			flags |= os.O_CREATE | os.O_EXCL // or through us where nothing is passed
		}
		f := openFile(t, d.path(way), flags)
		must(t, f.Truncate(size))
		mapped, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		defer unix.Munmap(mapped)
		reader := openFile(t, d.path(way), os.O_RDONLY)
		if pos, err := reader.Seek(0, unix.SEEK_DATA); !errors.Is(err, syscall.ENXIO) {
			t.Errorf("%s: data in an empty file at %d, %v", way, pos, err)
		}
		copy(mapped[at:], "stored")
		if pos, err := reader.Seek(0, unix.SEEK_DATA); err != nil || pos > at || pos < at-page {
			t.Errorf("%s: data at %d, %v, want %d", way, pos, err, at)
		}
		if pos, err := reader.Seek(at, unix.SEEK_HOLE); err != nil || pos <= at || pos > at+page {
			t.Errorf("%s: a hole at %d, %v, want one behind %d", way, pos, err, at)
		}
		copy(mapped[at+page:], "next to it")
		if pos, err := reader.Seek(at, unix.SEEK_HOLE); err != nil || pos <= at+page || pos > at+2*page {
			t.Errorf("%s: a hole at %d, %v, want one behind %d", way, pos, err, at+page)
		}
		copy(mapped[at:], "STORED")
		got := make([]byte, 6)
		if _, err := reader.ReadAt(got, at); err != nil || string(got) != "STORED" {
			t.Errorf("%s: read %q, %v", way, got, err)
		}
		d.do("publish")
		d.do("certify")
	}
}

func TestAllocate(t *testing.T) {
	d := newDrive(t)
	want := content(3, 100000)
	must(t, os.WriteFile(d.path("file"), want, 0o644))
	d.forget()
	f, err := os.OpenFile(d.path("file"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	fd := int(f.Fd())
	check := func(when string) {
		t.Helper()
		dropCache(t, d.path("file"))
		if got, err := os.ReadFile(d.path("file")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d, %v", when, len(got), len(want), err)
		}
	}
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 5000, 30000))
	clear(want[5000:35000])
	check("punched")
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 90000, 20000))
	clear(want[90000:])
	want = append(want, make([]byte, 10000)...)
	check("zeroed")
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 500000))
	check("kept its size")
	must(t, unix.Fallocate(fd, 0, 0, 120000))
	want = append(want, make([]byte, 10000)...)
	check("grown")
	if err := unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("collapse: %v", err)
	}
}

func TestUnlinkedOpen(t *testing.T) {
	d := newDrive(t)
	f, err := os.Create(d.path("file"))
	must(t, err)
	must(t, os.Remove(d.path("file")))
	_, err = f.Write([]byte("still here"))
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &st))
	if st.Nlink != 0 || st.Size != 10 {
		t.Errorf("%d links, size %d", st.Nlink, st.Size)
	}
	got := make([]byte, 10)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "still here" {
		t.Errorf("got %q, %v", got, err)
	}
	must(t, f.Sync())
	if d.do("orphans") != "1" || d.do("staged") != "1" {
		t.Errorf("%s orphans, %s staged", d.do("orphans"), d.do("staged"))
	}
	must(t, f.Close())
	for deadline := time.Now().Add(patience); d.do("orphans") != "0" || d.do("staged") != "0"; {
		if time.Now().After(deadline) {
			t.Fatalf("%s orphans, %s staged", d.do("orphans"), d.do("staged"))
		}
	}

	// What a crash interrupts the next start cleans up.
	f, err = os.Create(d.path("other"))
	must(t, err)
	must(t, os.Remove(d.path("other")))
	d.kill()
	_ = f.Close()
	d.mount()
	if d.do("orphans") != "0" || d.do("staged") != "0" {
		t.Errorf("after a kill: %s orphans, %s staged; %s", d.do("orphans"), d.do("staged"), d.said)
	}
}

func TestTmpfile(t *testing.T) {
	d := newDrive(t)
	fd, err := unix.Open(d.mnt, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		t.Skip("the kernel has no O_TMPFILE for FUSE")
	}
	must(t, err)
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("without a name"))
	must(t, err)
	must(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, d.path("named"), unix.AT_SYMLINK_FOLLOW))
	if b, err := os.ReadFile(d.path("named")); err != nil || string(b) != "without a name" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestHandles writes and reads one file in all the ways there are.
func TestHandles(t *testing.T) {
	d := newDrive(t)
	path := d.path("file")
	must(t, os.WriteFile(path, content(1, 50000), 0o644))
	d.forget()

	old, err := os.Open(path)
	must(t, err)
	defer old.Close()
	must(t, os.WriteFile(d.path("tmp"), []byte("new"), 0o644))
	must(t, os.Rename(d.path("tmp"), path))
	got, err := io.ReadAll(old)
	if err != nil || !bytes.Equal(got, content(1, 50000)) {
		t.Errorf("a handle from before a rename: %d bytes, %v", len(got), err)
	}

	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	must(t, err)
	for range 10 {
		_, err := f.WriteString("+more")
		must(t, err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "new"+strings.Repeat("+more", 10) {
		t.Errorf("appended: %q, %v", b, err)
	}
	must(t, f.Truncate(10000))
	m, err := unix.Mmap(int(f.Fd()), 0, 10000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	copy(m[5000:], "mapped")
	must(t, unix.Msync(m, unix.MS_SYNC))
	must(t, unix.Munmap(m))
	must(t, f.Close())
	dropCache(t, path)
	if b, err := os.ReadFile(path); err != nil || len(b) != 10000 || string(b[5000:5006]) != "mapped" || b[4999] != 0 {
		t.Errorf("mapped: %d bytes, %v", len(b), err)
	}
	must(t, os.Truncate(path, 5003))
	must(t, os.Truncate(path, 6000))
	if b, err := os.ReadFile(path); err != nil || len(b) != 6000 || string(b[5000:5006]) != "map\x00\x00\x00" {
		t.Errorf("cut and grown: %d bytes, %v", len(b), err)
	}
}

// TestReadAhead reads a long file, made of several segments, from the front to the back.
func TestReadAhead(t *testing.T) {
	d := newDrive(t)
	const part = 6<<20 + 1234
	var want []byte
	for i := range 4 {
		f, err := os.OpenFile(d.path("file"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		must(t, err)
		b := content(uint64(i), part)
		_, err = f.Write(b)
		must(t, err)
		must(t, f.Close())
		want = append(want, b...)
		d.do("publish")
	}
	d.do("certify")
	d.do("evict")
	dropCache(t, d.path("file"))
	got, err := os.ReadFile(d.path("file"))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	// In windows of 1 MiB: not one read of blobs for each request of the kernel.
	if reads := d.do("reads"); len(reads) > 2 {
		t.Errorf("%s reads of blobs for %d bytes", reads, len(want))
	}
}
