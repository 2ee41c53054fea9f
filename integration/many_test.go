package integration

import (
	"os"
	"path/filepath"
	"testing"
)

// TestManySmallFiles stores more files than the daemon may have open, so small
// that they would fit into one segment.
func TestManySmallFiles(t *testing.T) {
	d := newDrive(t)
	limited := filepath.Join(t.TempDir(), "walfs")
	must(t, os.WriteFile(limited, []byte("#!/bin/sh\nulimit -n 256\nexec "+d.bin+" \"$@\"\n"), 0o755))
	d.bin = limited
	d.mount()
	d.makeFolders(1, "first")
	d.sync()
	if s := d.status(); s.PendingJobs != 0 || len(s.Problems) != 0 {
		t.Errorf("%d jobs wait, problems %q", s.PendingJobs, s.Problems)
	}
	d.umount()
	r := d.restoreCopy()
	r.mount()
	entries, err := os.ReadDir(r.path("folder-0000"))
	if err != nil || len(entries) != perFolder {
		t.Errorf("%d files restored, %v", len(entries), err)
	}
	r.umount()
}
