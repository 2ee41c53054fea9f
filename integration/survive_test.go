package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// disks are folders that stand for the disks of a drive's nodes.
func (d *drive) disks(n int) (flags []string, dirs []string) {
	d.t.Helper()
	for i := range n {
		dir := filepath.Join(filepath.Dir(d.home), fmt.Sprint("disk", i))
		must(d.t, os.Mkdir(dir, 0o700))
		flags, dirs = append(flags, "--node-dir", dir), append(dirs, dir)
	}
	return flags, dirs
}

// folderOf returns the folder of a node on one of the disks.
func folderOf(t *testing.T, disks []string, name string) string {
	t.Helper()
	for _, dir := range disks {
		found, err := filepath.Glob(filepath.Join(dir, name+"-*"))
		must(t, err)
		if len(found) == 1 {
			return found[0]
		}
	}
	t.Fatalf("no folder of %s", name)
	return ""
}

// foldersOf returns the folders of all nodes.
func foldersOf(t *testing.T, disks []string) []string {
	t.Helper()
	folders := make([]string, 10)
	for i := range folders {
		folders[i] = folderOf(t, disks, fmt.Sprintf("node-%02d", i))
	}
	return folders
}

// restoreFrom makes a drive of node folders in a new home beside d's.
func (d *drive) restoreFrom(dirs []string, args ...string) *drive {
	d.t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(d.home), "survived-")
	must(d.t, err)
	r := newDriveIn(d.t, dir)
	r.bin = d.bin
	args = append([]string{"restore"}, args...)
	for _, dir := range dirs {
		args = append(args, "--node-dir", dir)
	}
	d.t.Log(r.mustRun(args...))
	return r
}

// TestOnlyNodeFolders writes files of all kinds, kills the daemon, deletes its
// home and three node folders, and restores from the other seven: by the sheet,
// or by the passphrase. All is there, heals to whole, and goes on.
func TestOnlyNodeFolders(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"sheet", "passphrase"} {
		t.Run(way, func(t *testing.T) {
			if way == "passphrase" && !soak() {
				t.Skip("each opening takes a second of scrypt: WALFS_SOAK=1 runs it")
			}
			d := newDrive(t)
			secret := filepath.Join(filepath.Dir(d.home), "secret")
			must(t, os.WriteFile(secret, []byte("correct horse\n"), 0o600))
			flags, disks := d.disks(3)
			var open []string
			if way == "passphrase" {
				open = []string{"--passphrase-file", secret}
			}
			d.mount(append(open, flags...)...)
			must(t, os.Mkdir(d.path("tree"), 0o755))
			makeTree(t, d.path("tree"), 150, 1)
			writeRandom(t, d.path("big"), 9<<20, 2)
			d.sync()
			must(t, os.Rename(d.path("big"), d.path("tree", "renamed")))
			must(t, os.WriteFile(d.path("late"), []byte("the last thing that was synced"), 0o640))
			d.sync()
			stored := blobsIn(t, foldersOf(t, disks))
			want := readTree(t, d.mnt)
			restore := open
			if way == "sheet" {
				sheet := filepath.Join(filepath.Dir(d.home), "sheet.txt")
				d.mustRun("key", "export", "--sheet", sheet)
				restore = []string{"--sheet", sheet}
			}
			must(t, os.WriteFile(d.path("unsynced"), []byte("x"), 0o600))
			taker := append(append([]string{"--home", d.home + "2", "restore"}, restore...), "--node-dir", disks[0], "--node-dir", disks[1], "--node-dir", disks[2])
			if out, errb, code := d.run(taker...); code != 11 {
				t.Errorf("restore beside the mount: exit %d\n%s%s", code, out, errb)
			}
			d.kill()
			shell(t, "umount -l %s", d.mnt)
			must(t, os.RemoveAll(d.home))
			lost := []string{"node-01", "node-04", "node-08"}
			for _, name := range lost {
				must(t, os.RemoveAll(folderOf(t, disks, name)))
			}

			r := d.restoreFrom(disks, append(restore, "--new-node-dir", disks[1])...)
			if way == "sheet" {
				open = nil
			}
			r.mount(open...)
			got := readTree(t, r.mnt)
			delete(got, "unsynced") // it may have been stored before the kill
			root := got["."]
			root.Mtime = want["."].Mtime
			got["."] = root
			diffTrees(t, "restored", want, got)
			for _, name := range lost {
				r.untilHealed(name)
			}
			had := blobsIn(t, foldersOf(t, disks))
			must(t, os.WriteFile(r.path("after"), []byte("written after"), 0o600))
			r.sync()
			for blob := range blobsIn(t, foldersOf(t, disks)) {
				if !had[blob] { // of what was being stored at the kill there may be a part for good
					stored[blob] = true
				}
			}
			if len(stored) < 3 {
				t.Errorf("the nodes have %d blobs", len(stored))
			}
			untilFilled(t, foldersOf(t, disks), stored)
			sameLogs(t, disks)
			// six of those that had survived go down: what was rebuilt has to do
			r.onlyThese("node-01", "node-04", "node-08", "node-00")
			r.umount()
			r.forgetLocal()
			r.mount(open...)
			want["after"] = readTree(t, r.mnt)["after"]
			got = readTree(t, r.mnt)
			delete(got, "unsynced")
			got["."] = want["."]
			diffTrees(t, "from the rebuilt nodes", want, got)
			r.umount()
		})
	}
}

func nodeFilesIn(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "blobs", "*", "*"))
	must(t, err)
	if len(files) < 3 {
		t.Errorf("%s has %d blobs", folder, len(files))
	}
	return files
}

// sameLogs waits until all node folders have the same ledger log.
func sameLogs(t *testing.T, disks []string) {
	t.Helper()
	waitFor(t, "the logs to be the same", func() bool {
		sizes := map[int64]bool{}
		for i := range 10 {
			info, err := os.Stat(filepath.Join(folderOf(t, disks, fmt.Sprintf("node-%02d", i)), "ledger.log"))
			must(t, err)
			sizes[info.Size()] = true
		}
		return len(sizes) == 1
	})
}

// TestSixFoldersLost keeps four of ten node folders: enough to read everything.
func TestSixFoldersLost(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("long: WALFS_SOAK=1 runs it")
	}
	d := newDrive(t)
	flags, disks := d.disks(2)
	d.mount(flags...)
	must(t, os.Mkdir(d.path("tree"), 0o755))
	makeTree(t, d.path("tree"), 1000, 3)
	writeRandom(t, d.path("big"), 100<<20, 4)
	d.sync()
	untilFilled(t, foldersOf(t, disks), blobsIn(t, foldersOf(t, disks))) // the four that stay may have been late
	want := readTree(t, d.mnt)
	keys := filepath.Join(filepath.Dir(d.home), "keys")
	d.mustRun("key", "export", "--out", keys)
	d.kill()
	shell(t, "umount -l %s", d.mnt)
	must(t, os.RemoveAll(d.home))
	for _, i := range []int{0, 2, 3, 5, 7, 9} {
		must(t, os.RemoveAll(folderOf(t, disks, fmt.Sprintf("node-%02d", i))))
	}
	r := d.restoreFrom(disks, "--identity", filepath.Join(keys, "identity.txt"))
	r.mount("-o", "ro")
	diffTrees(t, "from four folders", want, readTree(t, r.mnt))
	r.umount()
	// one more is too many
	must(t, os.RemoveAll(folderOf(t, disks, "node-08")))
	out, errb, code := r.run("--home", r.home+"2", "restore", "--node-dir", disks[0], "--node-dir", disks[1], "--identity", filepath.Join(keys, "identity.txt"))
	if code != 13 || !strings.Contains(errb, "1 more is missing") {
		t.Errorf("from three folders: exit %d\n%s%s", code, out, errb)
	}
}

// TestFileLostWithFolders loses a part of a file with three folders and what four
// other nodes had of it: restore brings back the others and names that one. The
// names are known without it, as a full snapshot stands above it.
func TestFileLostWithFolders(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("long: WALFS_SOAK=1 runs it")
	}
	d := newDrive(t)
	flags, disks := d.disks(2)
	d.mount(flags...)
	writeRandom(t, d.path("doomed"), 3<<20, 5)
	d.sync()
	writeRandom(t, d.path("fine"), 1<<20, 6)
	for i := range 90 { // until replaying all trailers is dear enough for a full snapshot
		must(t, os.WriteFile(d.path("counter"), []byte(fmt.Sprint(i)), 0o600))
		d.sync()
	}
	var at struct {
		Extents []struct {
			BlobID string `json:"blob_id"`
		} `json:"extents"`
	}
	must(t, json.Unmarshal([]byte(d.mustRun("stat", "--json", d.path("doomed"))), &at))
	if len(at.Extents) == 0 {
		t.Fatal("the file has no extent")
	}
	want := readTree(t, d.mnt)
	keys := filepath.Join(filepath.Dir(d.home), "keys")
	d.mustRun("key", "export", "--out", keys)
	d.umount()
	must(t, os.RemoveAll(d.home))
	for i := range 4 { // its first blob is gone from four more nodes
		for _, path := range nodeFilesIn(t, folderOf(t, disks, fmt.Sprintf("node-%02d", i))) {
			f := openNodeFile(t, path)
			if f.blobID() == at.Extents[0].BlobID {
				must(t, os.Remove(path))
			}
		}
	}
	for i := 4; i < 7; i++ {
		must(t, os.RemoveAll(folderOf(t, disks, fmt.Sprintf("node-%02d", i))))
	}
	dir, err := os.MkdirTemp(filepath.Dir(d.home), "survived-")
	must(t, err)
	r := newDriveIn(t, dir)
	r.bin = d.bin
	out, errb, code := r.run("restore", "--json", "--node-dir", disks[0], "--node-dir", disks[1], "--identity", filepath.Join(keys, "identity.txt"))
	var said struct {
		Problems []string `json:"problems"`
		Missing  []string `json:"missing"`
	}
	must(t, json.Unmarshal([]byte(out), &said))
	if code != 3 || len(said.Problems) != 1 || !strings.HasPrefix(said.Problems[0], "/doomed: ") || !slices.Equal(said.Missing, []string{"node-04", "node-05", "node-06"}) {
		t.Errorf("exit %d\n%s%s", code, out, errb)
	}
	r.mustRun("get", "/fine", filepath.Join(dir, "fine"))
	if sum, err := sumFile(filepath.Join(dir, "fine")); err != nil || sum != want["fine"].Sum {
		t.Errorf("the other file: %v", err)
	}
}
