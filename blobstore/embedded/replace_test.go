package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/blobstore/embedded"
)

// A node whose folder is lost comes back under its own key, where it was or elsewhere.
func TestReplace(t *testing.T) {
	cfg := embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10, NodeDirs: []string{t.TempDir()}}
	n := start(t, cfg)
	c := client(t, n)
	blob := put(t, c, "before")
	if err := n.Replace(t.Context(), "node-01", ""); !errors.Is(err, embedded.ErrUp) {
		t.Errorf("replace a node that is up: %v", err)
	}
	if err := n.Replace(t.Context(), "nobody", ""); !errors.Is(err, embedded.ErrUnknown) {
		t.Errorf("replace nobody: %v", err)
	}
	elsewhere := t.TempDir()
	for i, dir := range []string{"", elsewhere} {
		lost := n.Nodes()[i].Dir
		c.Close()
		n.Close()
		if err := os.RemoveAll(lost); err != nil {
			t.Fatal(err)
		}
		n = start(t, cfg)
		c = client(t, n)
		name := n.Nodes()[i].Name
		if s := n.Nodes()[i]; s.State != "down" {
			t.Fatalf("%+v", s)
		}
		if err := n.Replace(t.Context(), name, filepath.Join(elsewhere, "absent")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("replace on a disk that is not there: %v", err)
		}
		if err := n.Replace(t.Context(), name, dir); err != nil {
			t.Fatal(err)
		}
		s := n.Nodes()[i]
		if s.State != "up" || s.Blobs != 0 || s.Lacking != 1 || (dir != "") != (filepath.Dir(s.Dir) == elsewhere) {
			t.Errorf("%+v", s)
		}
		if _, err := c.Mend(t.Context(), n.Up()[i], blob); err != nil {
			t.Fatal(err)
		}
		if s := n.Nodes()[i]; s.Blobs != 1 || s.Lacking != 0 {
			t.Errorf("%+v", s)
		}
	}
	put(t, c, "after") // with all four nodes or three, under the keys that the ledger knows
	n.Close()
	n = start(t, cfg)
	for _, s := range n.Nodes() {
		if s.State != "up" || s.Blobs < 1 {
			t.Errorf("%+v", s)
		}
	}
}

// Replace does not take a folder that holds something, nor a node without its key.
func TestReplaceRefuses(t *testing.T) {
	cfg := embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10, NodeDirs: []string{t.TempDir()}}
	n := start(t, cfg)
	if err := n.Stop("node-02"); err != nil {
		t.Fatal(err)
	}
	// On the disk that it is on, its folder is there already.
	if err := n.Replace(t.Context(), "node-02", cfg.NodeDirs[0]); !errors.Is(err, embedded.ErrNotEmpty) {
		t.Errorf("replace over what is there: %v", err)
	}
	keys := filepath.Join(cfg.Dir, "keys")
	if err := os.Rename(filepath.Join(keys, "node-03"), filepath.Join(keys, "other")); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop("node-03"); err != nil {
		t.Fatal(err)
	}
	if err := n.Replace(t.Context(), "node-03", ""); !errors.Is(err, embedded.ErrKeyLost) {
		t.Errorf("replace without a key: %v", err)
	}
	if err := os.CopyFS(filepath.Join(keys, "node-03"), os.DirFS(filepath.Join(keys, "node-00"))); err != nil {
		t.Fatal(err)
	}
	if err := n.Replace(t.Context(), "node-03", ""); !errors.Is(err, embedded.ErrKeyLost) {
		t.Errorf("replace with the key of another: %v", err)
	}
	if s := n.Nodes()[3]; s.State != "down" {
		t.Errorf("%+v", s)
	}
}
