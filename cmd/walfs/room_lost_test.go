package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

// A disk with nodes that is not here any more neither bounds what can be stored nor fails the look at the
// others; the disk of the state folder does.
func TestRoomOfLostDisk(t *testing.T) {
	gone := disk{path: filepath.Join(t.TempDir(), "gone"), share: 1}
	if left, short, err := gone.spare(backlog{staged: 1 << 40}); err != nil || left < 1<<60 || short != 0 {
		t.Errorf("nodes: %d, %d, %v", left, short, err)
	}
	if more, err := gone.relieved(); more || err != nil {
		t.Errorf("nodes: %t, %v", more, err)
	}
	gone.home = true
	if _, _, err := gone.spare(backlog{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state folder: %v", err)
	}
}
