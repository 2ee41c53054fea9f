package integration

import (
	"os"
	"testing"
)

// TestManySmallFiles stores more files than the daemon may have open, so small
// that they would fit into one segment.
func TestManySmallFiles(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.limited(t, "-n 256")
	d.mount()
	d.makeFolders(0, 1, "first")
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
