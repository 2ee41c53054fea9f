package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limited makes the daemon of a drive run under a limit of the shell's ulimit.
func (d *drive) limited(t *testing.T, ulimit string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "walfs")
	must(t, os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nulimit %s && exec %s \"$@\"\n", ulimit, d.bin), 0o700))
	d.bin = script
}

// TestFewFiles serves a drive with 256 open files at most, while many more are
// written and read at the same time: no call fails but for want of files, and
// what was written is there.
func TestFewFiles(t *testing.T) {
	d := newDrive(t)
	bin := d.bin
	d.limited(t, "-n 256")
	d.mount()
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for w := range 8 {
		wg.Go(func() {
			for i := range 60 {
				name := fmt.Sprintf("file-%d-%03d", w, i)
				if err := os.WriteFile(d.path(name), []byte(name), 0o600); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	d.bin = bin
	d.mustRun("sync", "--timeout", "90s")
	d.mustRun("cache", "clear")
	for w := range 8 {
		for i := range 60 {
			name := fmt.Sprintf("file-%d-%03d", w, i)
			if got, err := os.ReadFile(d.path(name)); err != nil || string(got) != name {
				t.Fatalf("%s: %q, %v", name, got, err)
			}
		}
	}
	d.umount()
}

// TestFileSize serves a drive whose process may write files of 8 MiB at most:
// who writes a longer one is told, the daemon lives, and the rest works.
func TestFileSize(t *testing.T) {
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	bin := d.bin
	d.limited(t, "-f 16384") // of 512 bytes
	d.mount()
	must(t, os.WriteFile(d.path("small"), []byte("small"), 0o600))
	f, err := os.Create(d.path("long"))
	must(t, err)
	for i := 0; i < 20 && err == nil; i++ {
		_, err = f.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, syscall.EFBIG) && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("20 MiB with a limit of 8: %v", err)
	}
	must(t, errors.Join(f.Close(), os.Remove(d.path("long"))))
	must(t, os.WriteFile(d.path("after"), []byte("after"), 0o600))
	d.bin = bin
	d.mustRun("sync", "--timeout", "90s")
	for _, name := range []string{"small", "after"} {
		if got, err := os.ReadFile(d.path(name)); err != nil || string(got) != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	d.umount()
}

// TestReadOnlyState starts a drive whose state folder is on a read-only file
// system: a clear error at once, no mount, and nothing else.
func TestReadOnlyState(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a read-only mount")
	}
	d := newDrive(t)
	d.mount()
	must(t, os.WriteFile(d.path("kept"), []byte("kept"), 0o600))
	d.sync()
	d.umount()
	must(t, unix.Mount(d.home, d.home, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(d.home, unix.MNT_DETACH) })
	must(t, unix.Mount("", d.home, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	d.refuse(t, refusal{"read-only state folder", []string{"mount", d.mnt}, 1, "read-only file system"})
	d.refuse(t, refusal{"status of it", []string{"status"}, 1, "read-only file system"})
	if mounted(d.mnt) {
		t.Error("mounted all the same")
	}
	must(t, unix.Unmount(d.home, 0))
	d.mount()
	if got, err := os.ReadFile(d.path("kept")); err != nil || string(got) != "kept" {
		t.Errorf("%q, %v", got, err)
	}
	d.umount()
}

// TestMissingNodeFolder starts a drive of which the folders of three nodes are
// gone, as when a disk is not there: it serves, says so, and makes no node on
// the bare mount point. Once they are back the nodes are up.
func TestMissingNodeFolder(t *testing.T) {
	d := newDrive(t)
	d.mount()
	body := bytes.Repeat([]byte("data"), 50_000)
	must(t, os.WriteFile(d.path("kept"), body, 0o600))
	d.sync()
	d.umount()
	gone := []string{"node-02", "node-05", "node-09"}
	folder := func(name string) string { return filepath.Join(d.home, "network", "nodes", name) }
	for i, name := range gone {
		must(t, os.Rename(folder(name), folder(name)+".away"))
		if i > 0 {
			must(t, os.Mkdir(folder(name), 0o700))
		}
	}
	start := time.Now()
	d.mount()
	d.mustRun("cache", "clear")
	if got, err := os.ReadFile(d.path("kept")); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	s := d.status()
	for _, name := range gone {
		if !strings.Contains(strings.Join(s.Problems, "\n"), name+" is down: ") {
			t.Errorf("%s is not told of: %q", name, s.Problems)
		}
	}
	t.Logf("served %s after the start, without three nodes", time.Since(start))
	d.umount()
	for _, name := range gone {
		if left, _ := os.ReadDir(folder(name)); len(left) > 0 {
			t.Errorf("%s: %v was made on the bare mount point", name, left)
		}
		_ = os.Remove(folder(name))
		must(t, os.Rename(folder(name)+".away", folder(name)))
	}
	d.mount()
	if s := d.status(); len(s.Problems) > 0 {
		t.Errorf("problems %q", s.Problems)
	}
	d.umount()
}
