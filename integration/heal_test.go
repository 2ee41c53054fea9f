package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// untilHealed waits until a node is up and lacks nothing, and returns how it stands.
func (d *drive) untilHealed(name string) (n node) {
	d.t.Helper()
	waitFor(d.t, name+" to be healed", func() bool {
		all := d.status().Nodes
		i := slices.IndexFunc(all, func(n node) bool { return n.Name == name })
		if i < 0 {
			return false
		}
		n = all[i]
		return n.State == "up" && n.Healing == "healthy" && n.Lacking == 0
	})
	return n
}

// untilStored waits until every node of an embedded drive has its part of all
// that is certified: a sync waits for a quorum of them.
func (d *drive) untilStored() {
	d.t.Helper()
	waitFor(d.t, "all nodes to have their part", func() bool {
		for i, n := range d.status().Nodes {
			if n.Healing != "healthy" || n.Lacking > 0 || len(d.nodeFiles(i)) == 0 || len(d.nodeFiles(i)) != len(d.nodeFiles(0)) {
				return false
			}
		}
		return true
	})
}

// untilReached waits until check tells of no slivers that their nodes have not got yet, wherever the network is.
func (d *drive) untilReached() {
	d.t.Helper()
	waitFor(d.t, "all slivers to have reached their nodes", func() bool { return !strings.Contains(d.mustRun("check"), "not reached") })
}

// onlyThese takes all nodes down but those named.
func (d *drive) onlyThese(names ...string) {
	d.t.Helper()
	for _, n := range d.status().Nodes {
		if n.State == "up" && !slices.Contains(names, n.Name) {
			d.mustRun("node", "stop", n.Name)
		}
	}
}

// TestNodeComesBack stops a node, stores files, starts it, and waits until it has
// what it missed. Then so many others are stopped that nothing can be read without
// it. A second node loses its folder while nothing is mounted, and is rebuilt.
func TestNodeComesBack(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	must(t, os.Mkdir(d.path("tree"), 0o755))
	makeTree(t, d.path("tree"), 100, 1)
	d.sync()
	d.mustRun("node", "stop", "node-02")
	writeRandom(t, d.path("big"), 20<<20, 2)
	makeTree(t, d.path("tree"), 150, 3)
	d.sync()
	want := readTree(t, d.mnt)
	d.mustRun("node", "start", "node-02")
	if n := d.untilHealed("node-02"); n.HealedBlobs < 3 || n.HealedBytes < 5<<20 {
		t.Errorf("healed %d blobs, %d bytes", n.HealedBlobs, n.HealedBytes)
	}
	d.umount()

	wiped := filepath.Join(d.home, "network", "nodes", "node-05")
	for _, name := range []string{"blobs", "catalogue.db", "catalogue.db-wal", "catalogue.db-shm"} {
		if err := os.RemoveAll(filepath.Join(wiped, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	d.mount()
	n := d.untilHealed("node-05")
	d.untilStored() // node-08 and node-09 may have been late
	t.Logf("node-05: %d blobs, %.2f bytes read for each rebuilt", n.HealedBlobs, float64(n.HealRead)/float64(n.HealedBytes))

	// 34 of 100 shards decode a blob, so that of these four nodes none can be missed.
	d.onlyThese("node-02", "node-05", "node-08", "node-09")
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(t, "with the two healed nodes and two others", want, readTree(t, d.mnt))
	for _, path := range append(d.nodeFiles(2), d.nodeFiles(5)...) {
		f := openNodeFile(t, path)
		for i, s := range f.slots {
			if err := f.checkSlot(s); err != nil {
				t.Errorf("%s slot %d: %v", path, i, err)
			}
		}
	}
}
