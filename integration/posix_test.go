package integration

import (
	"os"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// notOnExt4 are the cases of go-fuse's suite that a plain ext4 folder fails too.
var notOnExt4 = []string{"FcntlFlockLocksFile", "OpenSymlinkRace"}

// TestPOSIX runs go-fuse's public suite on the mount. The suite opens files without O_CLOEXEC:
// children that other tests start would keep them, and with them the mount.
func TestPOSIX(t *testing.T) {
	if !apart(t) {
		return
	}
	d := newDrive(t)
	d.mount()
	names := make([]string, 0, len(posixtest.All))
	for name := range posixtest.All {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(notOnExt4, name) {
				t.Skip("ext4 fails it too")
			}
			dir, err := os.MkdirTemp(d.mnt, "posix")
			must(t, err)
			posixtest.All[name](t, dir)
		})
	}
	d.umount()
}
