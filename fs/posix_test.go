package fs_test

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// notOnExt4 are the cases of go-fuse's suite that a plain ext4 folder fails too.
var notOnExt4 = []string{"FcntlFlockLocksFile", "OpenSymlinkRace"}

// TestPOSIX runs go-fuse's public suite.
func TestPOSIX(t *testing.T) {
	d := newDrive(t)
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(notOnExt4, name) {
				t.Skip("ext4 fails it too")
			}
			dir, err := os.MkdirTemp(d.mnt, "posix")
			must(t, err)
			posixtest.All[name](t, dir)
		})
	}
	if problems := d.do("check"); problems != "" {
		t.Error(problems)
	}
}
