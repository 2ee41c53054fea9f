package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	// dir "2/x" lies on disk 2; each node has ten shards.
	device := func(dir string) (uint64, error) {
		if dir[0] == '?' {
			return 0, errors.New("not mounted")
		}
		return uint64(dir[0] - '0'), nil
	}
	for _, c := range []struct {
		dirs   string
		down   int // of the first nodes
		disks  int
		needed int
		text   string
	}{
		{"1111111111", 0, 1, 1, "this machine only"},
		{"1212121212", 0, 2, 1, "any 1 of them"},
		{"1231231231", 0, 3, 2, "any 2 of them"}, // one of three nodes does not do: 34 shards
		{"1234512345", 0, 5, 2, "any 2 of them"},
		{"1111111112", 0, 2, 2, "all of them"},
		{"1212121212", 3, 2, 2, "all of them"}, // two of the nodes on disk 1 do not count
		{"12??????12", 0, 2, 2, "all of them"},
		{"12????????", 0, 2, 0, "not even all"},
	} {
		var nodes []nodeStatus
		for i, disk := range c.dirs {
			n := nodeStatus{Shards: 10, State: "up", Dir: string(disk) + "/x"}
			if i < c.down {
				n.State = "down"
			}
			nodes = append(nodes, n)
		}
		s := spreadOf(nodes, device)
		if s.Disks != c.disks || s.DisksNeeded != c.needed || !strings.Contains(s.text(), c.text) {
			t.Errorf("%s with %d down: %+v, %q", c.dirs, c.down, s, s.text())
		}
	}
}

// TestKeptFiles looks that no identity is ever among the files that node folders keep.
func TestKeptFiles(t *testing.T) {
	h := home{dir: t.TempDir()}
	for _, name := range []string{"key.age", "wallet.age", "key-x.age", "wallet-x.age", "wallet-half.age", "identity.txt", "config.toml", "exported.json"} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := h.kept()
	if err != nil || len(files) != 5 {
		t.Errorf("%v, %v", files, err)
	}
	for _, name := range []string{"key.age", "wallet.age", "key-x.age", "wallet-x.age", "exported.json"} {
		if string(files[name]) != name {
			t.Errorf("%s: %q", name, files[name])
		}
	}
	if h.keysAtRisk(config{}) {
		t.Error("exported keys are at risk")
	}
	if err := os.Remove(h.exported()); err != nil {
		t.Fatal(err)
	}
	if !h.keysAtRisk(config{}) || h.keysAtRisk(config{Identity: filepath.Join(t.TempDir(), "id")}) {
		t.Error("at risk are keys whose identity lies beside them, and no others")
	}
	if err := os.Remove(h.identity()); err != nil {
		t.Fatal(err)
	}
	if h.keysAtRisk(config{}) {
		t.Error("keys with a passphrase are at risk")
	}
}
