package fs_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPassCopied copies and sends from a second handle of a file that the kernel
// writes by itself. What it sees is never older than what was written before.
func TestPassCopied(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	const n = 100_000
	data := content(1, n)
	f := openFile(t, d.path("from"), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	_, err := f.Write(data)
	must(t, err)
	second := openFile(t, d.path("from"), os.O_RDWR) // reads and writes of this one come to us
	to := openFile(t, d.path("to"), os.O_RDWR|os.O_CREATE)
	mapping, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(mapping)
	must(t, unix.Fadvise(int(second.Fd()), 0, n, unix.FADV_WILLNEED))
	for round, change := range []func(){
		func() {},
		func() { copy(mapping[40_000:], data[:20_000]) },
		func() {
			_, err := f.WriteAt(data[:10_000], 70_000)
			must(t, err)
		},
		func() { must(t, f.Truncate(90_000)) },
		func() {
			_, err := second.WriteAt(data[:5000], 90_000)
			must(t, err)
		},
	} {
		change()
		want, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20)) // opening it would make the kernel forget pages
		must(t, err)
		must(t, to.Truncate(0))
		if copied, err := copyRange(second, to, 0, 0, n); err != nil || copied != len(want) {
			t.Fatalf("round %d: %d bytes are copied, %v, want %d", round, copied, err, len(want))
		}
		if got, err := os.ReadFile(d.path("to")); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("round %d: the copy differs, %v", round, err)
		}
		if got, err := sent(t, second, len(want)); !errors.Is(err, unix.EINVAL) && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("round %d: what was sent differs, %v", round, err)
		}
		if got, err := sent(t, f, len(want)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("round %d: what was sent through the first handle differs, %v", round, err)
		}
	}
	if copied, err := copyRange(second, second, 0, 1<<20, 8192); err != nil || copied != 8192 {
		t.Errorf("within the file: %d bytes are copied, %v", copied, err)
	}
	got := make([]byte, 8192)
	if _, err := f.ReadAt(got, 1<<20); err != nil || !bytes.Equal(got, data[:8192]) {
		t.Errorf("within the file: the copy differs, %v", err)
	}
}

// sent returns what sendfile(2) gives of the first n bytes of a file.
func sent(t *testing.T, f *os.File, n int) ([]byte, error) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer out.Close()
	for off := int64(0); off < int64(n); {
		k, err := unix.Sendfile(int(out.Fd()), int(f.Fd()), &off, n-int(off))
		if err != nil {
			return nil, err
		}
		if k == 0 {
			break
		}
	}
	return os.ReadFile(out.Name())
}
