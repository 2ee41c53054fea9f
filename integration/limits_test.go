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
)

// limited makes the daemon of a drive run under a limit of the shell's ulimit.
func (d *drive) limited(t *testing.T, ulimit string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "walfs")
	writeProgram(t, script, fmt.Sprintf("#!/bin/sh\nulimit %s && exec %s \"$@\"\n", ulimit, d.bin))
	d.bin = script
}

// TestFewFiles serves a drive with 256 open files at most, while many more are
// written and read at the same time: no call fails but for want of files, and
// what was written is there.
func TestFewFiles(t *testing.T) {
	t.Parallel()
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
	d.sync()
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
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	bin := d.bin
	d.limited(t, "-f 16384")         // of 512 bytes
	d.mount("-o", "passthrough=off") // else the limit of the one who writes holds
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
	d.sync()
	for _, name := range []string{"small", "after"} {
		if got, err := os.ReadFile(d.path(name)); err != nil || string(got) != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	d.umount()
}

// TestMissingNodeFolder starts a drive of which the folders of three nodes are
// gone, as when a disk is not there: it serves, says so, and makes no node on
// the bare mount point. Once they are back the nodes are up.
func TestMissingNodeFolder(t *testing.T) {
	t.Parallel()
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
