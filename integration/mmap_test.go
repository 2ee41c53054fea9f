package integration

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSyncTakesMappedPages stores through a mapping whose file is closed. No
// system call tells of it: sync has to ask the kernel.
func TestSyncTakesMappedPages(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	must(t, os.WriteFile(d.path("file"), make([]byte, 8192), 0o644))
	f, err := os.OpenFile(d.path("file"), os.O_RDWR, 0)
	must(t, err)
	mapped, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	must(t, f.Close())
	copy(mapped[5000:], "stored")
	d.sync()
	d.kill()
	must(t, unix.Munmap(mapped))
	d.mount()
	got, err := os.ReadFile(d.path("file"))
	if want := append(make([]byte, 5000), "stored"...); err != nil || !bytes.HasPrefix(got, want) {
		t.Errorf("%d bytes, without what was stored, %v", len(got), err)
	}
	d.umount()
}
