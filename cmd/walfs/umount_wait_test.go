package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestSaying ends a mount that takes long. What is said is said once, and when it cannot be found
// out the end is not held up.
func TestSaying(t *testing.T) {
	for name, tt := range map[string]struct {
		took  time.Duration
		hangs bool
		said  string
	}{
		"at once":         {silentFor / 2, false, ""},
		"long":            {2 * silentFor, false, "a container has it\n"},
		"nobody can tell": {2 * silentFor, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				release := make(chan struct{})
				defer close(release)
				err := newApp(&said, &said).saying(t.Context(), func() string {
					if tt.hangs {
						<-release
					}
					return "a container has it"
				}, func() error {
					time.Sleep(tt.took)
					return nil
				})
				if err != nil || said.String() != tt.said {
					t.Errorf("said %q, want %q, %v", said.String(), tt.said, err)
				}
			})
		})
	}
}

// TestFindKeeper looks through processes of which some have the mount, one of them in
// another mount namespace.
func TestFindKeeper(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	process := func(pid, space, table string) {
		t.Helper()
		dir := filepath.Join(proc, pid)
		must(t, os.MkdirAll(filepath.Join(dir, "ns"), 0o755))
		must(t, os.Symlink("mnt:["+space+"]", filepath.Join(dir, "ns", "mnt")))
		must(t, os.WriteFile(filepath.Join(dir, "comm"), []byte("name"+pid+"\n"), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "mountinfo"), []byte(table), 0o600))
	}
	const root = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	at := func(device, dir, kind string) string {
		return root + "90 22 " + device + " / " + dir + " rw,nosuid shared:9 - " + kind + " walfs rw\n"
	}
	process("self", "1", root)
	process("30", "1", at("0:77", "/bound", fsType))
	process("4", "1", at("0:76", "/of/another", fsType))
	process("5", "2", at("0:77", "/not/ours", "fuse.other"))
	if k, ok := findKeeper(proc, 77); !ok || k != (keeper{30, "name30", "/bound", true}) {
		t.Errorf("in the same namespace: %+v, %t", k, ok)
	}
	process("500", "2", at("0:77", `/with\040space`, fsType))
	if k, ok := findKeeper(proc, 77); !ok || k != (keeper{500, "name500", "/with space", false}) {
		t.Errorf("in another namespace: %+v, %t", k, ok)
	}
	for _, connection := range []int{0, 78} {
		if k, ok := findKeeper(proc, connection); ok {
			t.Errorf("connection %d: %+v", connection, k)
		}
	}
}
