package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk keeps the home on a small file system and writes until it is
// full: the writer gets ENOSPC, reads go on, the drain finishes, and writes
// work again when room is back, without a remount.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 700)
	d := newDriveIn(t, disk)
	d.mount()
	must(t, os.WriteFile(filepath.Join(disk, "ballast"), nil, 0o600))
	shell(t, "fallocate -l 250M %s", filepath.Join(disk, "ballast"))

	const size = 4 << 20
	var whole []string
	var failed error
	for i := range 200 {
		path := d.path(fmt.Sprintf("file-%03d", i))
		start := time.Now()
		failed = writeWhole(path, size, uint64(i))
		if took := time.Since(start); took > 30*time.Second {
			t.Fatalf("a write of 4 MiB took %s on a full disk", took)
		}
		if failed != nil {
			break
		}
		whole = append(whole, path)
	}
	t.Logf("%d files of 4 MiB fitted; then: %v", len(whole), failed)
	if !errors.Is(failed, syscall.ENOSPC) {
		t.Fatalf("the writer got %v, want ENOSPC", failed)
	}
	checkWhole(t, whole, size)
	d.sync()
	checkWhole(t, whole, size)

	must(t, os.Remove(filepath.Join(disk, "ballast")))
	waitFor(t, 30*time.Second, "writes to work again", func() bool {
		return writeWhole(d.path("again"), size, 999) == nil
	})
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	checkWhole(t, whole, size)
	d.umount()
}

// smallDisk mounts an ext4 image of sizeMiB on a folder, for the test's time.
func smallDisk(t *testing.T, sizeMiB int) string {
	t.Helper()
	needFUSE(t)
	if os.Geteuid() != 0 {
		t.Skip("a disk image can be mounted by root only")
	}
	needTool(t, "mkfs.ext4")
	dir := t.TempDir()
	image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	must(t, os.Mkdir(mnt, 0o755))
	shell(t, "truncate -s %dM %s && mkfs.ext4 -q -F -m 0 %s", sizeMiB, image, image)
	if out, err := shellErr("mount -o loop %s %s", image, mnt); err != nil {
		t.Skipf("no loop mounts here: %s", out)
	}
	t.Cleanup(func() {
		if _, err := shellErr("umount %s || umount -l %s", mnt, mnt); err != nil {
			t.Error(err)
		}
	})
	return mnt
}

func writeWhole(path string, size int, seed uint64) (err error) {
	body := make([]byte, size)
	if _, err := randomBytes(seed).Read(body); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, werr := f.Write(body)
	return errors.Join(werr, f.Close())
}

func checkWhole(t *testing.T, paths []string, size int) {
	t.Helper()
	want := make([]byte, size)
	for i, path := range paths {
		_, _ = randomBytes(uint64(i)).Read(want)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("%s: other bytes than were written", path)
		}
	}
}
