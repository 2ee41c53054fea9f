package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk keeps the home on a small file system and writes until it is
// full: the writer gets ENOSPC, reads go on, the drain finishes, and writes
// work again when room is back, without a remount.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 700).mnt
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
		if took := time.Since(start); took > patience {
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
	waitFor(t, "writes to work again", func() bool {
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
func smallDisk(t *testing.T, sizeMiB int) *image {
	t.Helper()
	return newImage(t, sizeMiB, "defaults")
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

// TestDiskTurnsReadOnly has the file system of the state folder turn read-only under a mount, as ext4
// does after an error: who writes is told so, what was read goes on being read, and after a
// repair all that was synced is there.
func TestDiskTurnsReadOnly(t *testing.T) {
	disk := smallDisk(t, 700)
	d := newDriveIn(t, disk.mnt)
	d.mnt = t.TempDir() // so that the disk can be mended
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	for _, options := range [][]string{nil, {"-o", "passthrough=off"}} {
		d.mount(options...)
		name := fmt.Sprint("kept", len(options))
		f, err := os.Create(d.path(name))
		must(t, err)
		_, err = f.WriteString("kept")
		must(t, errors.Join(err, f.Sync(), f.Close()))
		d.sync()
		disk.damage()
		for what, change := range map[string]func() error{
			"create": func() error { return os.WriteFile(d.path("new"), []byte("x"), 0o644) },
			"mkdir":  func() error { return os.Mkdir(d.path("dir"), 0o755) },
			"rename": func() error { return os.Rename(d.path(name), d.path("renamed")) },
			"write":  func() error { return os.WriteFile(d.path(name), []byte("other"), 0o644) },
			"chmod":  func() error { return os.Chmod(d.path(name), 0o600) },
			"unlink": func() error { return os.Remove(d.path(name)) },
		} {
			if err := change(); !errors.Is(err, syscall.EROFS) {
				t.Errorf("%s on a disk that is read-only: %v", what, err)
			}
		}
		if got, err := os.ReadFile(d.path(name)); err != nil || string(got) != "kept" {
			t.Errorf("%s on a disk that is read-only: %q, %v", name, got, err)
		}
		d.kill()
		must(t, syscall.Unmount(d.mnt, syscall.MNT_DETACH)) // the kernel has data files open for it
		disk.mend()
		d.mount(options...)
		if got, err := os.ReadFile(d.path(name)); err != nil || string(got) != "kept" {
			t.Errorf("%s on a disk that was mended: %q, %v", name, got, err)
		}
		must(t, os.WriteFile(d.path("again"), []byte("again"), 0o644))
		d.sync()
		d.mustRun("check")
		d.umount()
	}
}

// damage has ext4 find an error on the disk, and turn it read-only.
func (i *image) damage() {
	i.t.Helper()
	out := shell(i.t, "findmnt -no SOURCE %s", i.mnt)
	device := filepath.Base(strings.TrimSpace(out))
	shell(i.t, "mount -o remount,errors=remount-ro %s", i.mnt)
	trigger := filepath.Join("/sys/fs/ext4", device, "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("test"), 0o200); err != nil {
		i.t.Skipf("no errors to be had: %v", err)
	}
	waitFor(i.t, "the disk to be read-only", func() bool {
		return errors.Is(os.WriteFile(filepath.Join(i.mnt, "probe"), nil, 0o600), syscall.EROFS)
	})
}

// mend repairs and mounts a disk that was damaged.
func (i *image) mend() {
	i.t.Helper()
	unmount(i.t, i.mnt)
	shell(i.t, "e2fsck -fy %s >/dev/null; test $? -le 1", i.path)
	if out, err := i.mount(); err != nil {
		i.t.Fatalf("mount the mended disk: %s", out)
	}
}

// TestFullDiskPassed fills the disk below a file that the kernel writes by itself, of which nobody tells
// before: its writer gets ENOSPC from a write and no error from close, others get ENOSPC, and
// all that was written is there and stored when there is room again.
func TestFullDiskPassed(t *testing.T) {
	disk := smallDisk(t, 4000).mnt // more has to be free for a file to be written so
	d := newDriveIn(t, disk)
	d.mnt = t.TempDir()
	d.mustRun("init", "--nodes", "4", "--shards", "7", "--node-dir", t.TempDir())
	d.mount()
	if !d.passes() {
		t.Skip("no passthrough here")
	}
	f, err := os.Create(d.path("file"))
	must(t, err)
	defer f.Close() // if the test fails: it would keep the disk in use
	var s struct {
		Passthrough struct {
			Lent int `json:"writable"`
		} `json:"passthrough"`
	}
	must(t, json.Unmarshal([]byte(d.mustRun("status", "--json")), &s))
	if s.Passthrough.Lent != 1 {
		t.Fatalf("%d files are written by the kernel, want 1", s.Passthrough.Lent)
	}
	ballast := filepath.Join(disk, "ballast")
	shell(t, "fallocate -l $(( $(stat -f -c '%%a * %%S' %s) - 64 * 1024 * 1024 )) %s", disk, ballast)
	block := make([]byte, 1<<20)
	written := 0
	for ; err == nil && written < 300; written++ {
		_, _ = randomBytes(uint64(written)).Read(block)
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the writer got %v after %d MiB, want ENOSPC", err, written)
	}
	if err := f.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := os.WriteFile(d.path("other"), block, 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("another writer got %v, want ENOSPC", err)
	}
	whole := func(when string) {
		t.Helper()
		got, err := os.ReadFile(d.path("file"))
		if err != nil || len(got) < (written-1)<<20 {
			t.Fatalf("%s: %d bytes, %v, want %d MiB", when, len(got), err, written-1)
		}
		for i := range written - 1 {
			_, _ = randomBytes(uint64(i)).Read(block)
			if string(got[i<<20:(i+1)<<20]) != string(block) {
				t.Fatalf("%s: other bytes at %d MiB", when, i)
			}
		}
	}
	whole("on a full disk")
	must(t, os.Remove(ballast))
	waitFor(t, "writes to work again", func() bool { return os.WriteFile(d.path("again"), block, 0o644) == nil })
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	whole("from the nodes")
	d.mustRun("check")
	d.umount()
}
