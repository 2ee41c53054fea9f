package fs_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walfs/walfs/fs"
)

// backgrounds are the kinds of fs.Background by the names that tests give to a child.
var backgrounds = map[string]fs.Background{"": fs.SlowBackground, "deny": fs.DenyBackground, "allow": fs.AllowBackground}

// cold makes files of so many bytes and leaves nothing of them here.
func (d *drive) cold(files, length int) (want [][]byte) {
	d.t.Helper()
	for i := range files {
		want = append(want, content(uint64(i), length))
		must(d.t, os.WriteFile(d.path(fmt.Sprintf("f%04d", i)), want[i], 0o644))
	}
	d.do("publish")
	d.do("certify")
	d.do("evict")
	for i := range files {
		dropCache(d.t, d.path(fmt.Sprintf("f%04d", i)))
	}
	d.do("bytes")
	return want
}

func (d *drive) number(command string) int {
	d.t.Helper()
	n, err := strconv.Atoi(d.do(command))
	must(d.t, err)
	return n
}

// TestHeadReads reads the first 4 KiB of every file, as file managers do: it
// does not fetch the rest.
func TestHeadReads(t *testing.T) {
	d := newDrive(t)
	const files, length = 20, 1 << 20
	want := d.cold(files, length)
	for i := range files {
		f, err := os.Open(d.path(fmt.Sprintf("f%04d", i)))
		must(t, err)
		p := make([]byte, 4096)
		_, err = f.ReadAt(p, 0)
		must(t, errors.Join(err, f.Close()))
		if !bytes.Equal(p, want[i][:4096]) {
			t.Errorf("file %d differs", i)
		}
	}
	if n := d.number("bytes"); n > files*(256<<10) {
		t.Errorf("%d bytes fetched for heads of %d files", n, files)
	}
}

// TestNeighbours reads small files one after another: those that come next are
// fetched before they are asked for.
func TestNeighbours(t *testing.T) {
	d := newDrive(t)
	const length = 5000
	want := d.cold(200, length)
	for i := range 10 {
		if b, err := os.ReadFile(d.path(fmt.Sprintf("f%04d", i))); err != nil || !bytes.Equal(b, want[i]) {
			t.Fatalf("file %d differs, %v", i, err)
		}
	}
	for deadline := time.Now().Add(patience); d.number("far") < 100*length; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("10 files of %d bytes read in order, and nothing fetched beyond %s", length, d.do("far"))
		}
	}
	for i, b := range want {
		if got, err := os.ReadFile(d.path(fmt.Sprintf("f%04d", i))); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("file %d differs, %v", i, err)
		}
	}
}

// TestBackgroundReaders reads with a program that has the name of an indexer.
func TestBackgroundReaders(t *testing.T) {
	cat, err := exec.LookPath("cat")
	must(t, err)
	program, err := os.ReadFile(cat)
	must(t, err)
	indexer := filepath.Join(t.TempDir(), "tracker-miner-fs")
	must(t, os.WriteFile(indexer, program, 0o755))
	d := newDrive(t, "WALFS_TEST_BACKGROUND=deny")
	want := d.cold(2, 100_000)
	out, err := exec.Command(indexer, d.path("f0000")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("an indexer that is denied reads %d bytes, %v", len(out), err)
	}
	if n := d.number("bytes"); n != 0 {
		t.Errorf("%d bytes fetched for an indexer that is denied", n)
	}
	if b, err := os.ReadFile(d.path("f0000")); err != nil || !bytes.Equal(b, want[0]) {
		t.Errorf("others: %d bytes, %v", len(b), err)
	}
	must(t, os.WriteFile(d.path("local"), want[1], 0o644))
	dropCache(t, d.path("local"))
	if out, err := exec.Command(indexer, d.path("local")).Output(); err != nil || !bytes.Equal(out, want[1]) {
		t.Errorf("an indexer reads %d bytes of what is here, %v", len(out), err)
	}
	d.unmount()
	d.env = nil // slow
	d.mount()
	var group sync.WaitGroup
	for range 4 {
		for i := range want {
			group.Go(func() {
				if out, err := exec.Command(indexer, d.path(fmt.Sprintf("f%04d", i))).Output(); err != nil || !bytes.Equal(out, want[i]) {
					t.Errorf("a slow indexer reads %d bytes, %v", len(out), err)
				}
			})
		}
	}
	group.Wait()
}

// TestManyReaders reads many files at once, each from the front to the back.
func TestManyReaders(t *testing.T) {
	d := newDrive(t, "GOMEMLIMIT=off")
	const files, length = 40, 3 << 20
	want := d.cold(files, length)
	var group sync.WaitGroup
	for i := range files {
		group.Go(func() {
			if b, err := os.ReadFile(d.path(fmt.Sprintf("f%04d", i))); err != nil || !bytes.Equal(b, want[i]) {
				t.Errorf("file %d: %d bytes, %v", i, len(b), err)
			}
		})
	}
	group.Wait()
	if n := d.number("bytes"); n > files*length*3/2 {
		t.Errorf("%d bytes fetched for %d", n, files*length)
	}
}
