package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDiskDelete fills the disk of the state folder to the last block, and again before each
// step: files become shorter and go all the same, as on ext4, whether they are here, staged or
// certified, or not here at all. What is left of them is what was there, and is stored later.
func TestFullDiskDelete(t *testing.T) {
	disk := smallDisk(t, 300).mnt
	nodes := t.TempDir() // so that no step frees what others need
	for _, options := range [][]string{nil, {"-o", "passthrough=off"}} {
		t.Run(fmt.Sprint(options), func(t *testing.T) { fullDiskDelete(t, disk, nodes, options) })
	}
}

func fullDiskDelete(t *testing.T, disk, nodes string, options []string) {
	mnt := t.TempDir() // before the drive, which goes first then
	d := newDriveIn(t, disk)
	d.home, d.mnt = filepath.Join(disk, fmt.Sprint("home", len(options))), mnt
	d.mustRun("init", "--nodes", "4", "--shards", "7", "--node-dir", filepath.Join(nodes, fmt.Sprint(len(options))))
	d.mount(options...)
	const size = 300_000
	write := func(kind string) {
		must(t, os.MkdirAll(d.path(kind, "dir"), 0o755))
		for i, name := range []string{"less", "little", "none", "emptied", "gone", "open", "dir/a", "dir/b"} {
			must(t, writeWhole(d.path(kind, name), size, uint64(i)))
		}
	}
	write("away")
	write("certified")
	d.sync()
	for _, name := range []string{"less", "little", "none", "emptied", "gone", "open"} {
		waitFor(t, "eviction", func() bool { // a copy stays until its last use has ended
			return syscall.Setxattr(d.path("away", name), "user.walfs.evict", []byte("1"), 0) == nil
		})
	}
	write("staged")
	ballast, full := fillDisk(t, filepath.Join(disk, "ballast"))
	sizes := map[string]int64{"less": 200_001, "little": 1, "none": 0, "emptied": 0, "open": 5000}
	for _, kind := range []string{"staged", "certified", "away"} {
		open, err := os.OpenFile(d.path(kind, "open"), os.O_RDWR, 0)
		must(t, err)
		defer open.Close() // if the test fails: it would keep the disk in use
		for _, step := range []struct {
			name string
			do   func(path string) error
		}{
			{"less", func(path string) error { return os.Truncate(path, sizes["less"]) }},
			{"little", func(path string) error { return os.Truncate(path, sizes["little"]) }},
			{"none", func(path string) error { return os.Truncate(path, 0) }},
			{"emptied", func(path string) error {
				f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
				return errors.Join(err, f.Close())
			}},
			{"open", func(string) error { return open.Truncate(sizes["open"]) }},
			{"gone", os.Remove},
			{"dir", os.RemoveAll},
		} {
			full()
			if err := step.do(d.path(kind, step.name)); err != nil {
				t.Errorf("%s: %s: %v", kind, step.name, err)
			}
		}
		must(t, open.Close())
	}
	look := func() {
		t.Helper()
		want := make([]byte, size)
		for i, name := range []string{"less", "little", "none", "emptied", "gone", "open", "dir"} {
			_, _ = randomBytes(uint64(i)).Read(want)
			for _, kind := range []string{"staged", "certified", "away"} {
				got, err := os.ReadFile(d.path(kind, name))
				n, stays := sizes[name]
				if stays && (err != nil || string(got) != string(want[:n])) || !stays && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s of what was %s has %d bytes, want %d of what was written, %v", name, kind, len(got), n, err)
				}
			}
		}
	}
	look()
	must(t, ballast.Truncate(0))
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount(options...)
	look()
	d.mustRun("check")
	d.umount()
}

// fillDisk writes a file until its disk has no block left. Again does so again.
func fillDisk(t *testing.T, path string) (f *os.File, again func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	var st syscall.Statfs_t
	must(t, syscall.Statfs(path, &st))
	must(t, syscall.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail-st.Bavail/20)*st.Bsize))
	again = func() {
		t.Helper()
		for _, size := range []int{1 << 20, 1 << 10} {
			block := make([]byte, size)
			for err = nil; err == nil; {
				_, err = f.Write(block)
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("fill the disk: %v", err)
			}
		}
	}
	again()
	return f, again
}
