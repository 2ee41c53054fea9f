package main

import (
	"os"
	"path/filepath"
	"testing"
)

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
