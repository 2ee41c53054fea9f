package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walfs/walfs/fs/commit"
)

// randomSize is the size of the one large file: 1 GiB in the long form.
func randomSize() int64 {
	if soak() {
		return 1 << 30
	}
	return 64 << 20
}

// TestDriveOutlivesNodes copies the Go source tree, in the short form without
// that of its commands, and one large random file, forgets everything that is
// local, and reads all of it back with as many nodes down as may be, in the long
// form with fewer before. With one more down reads fail, until the nodes are back.
func TestDriveOutlivesNodes(t *testing.T) {
	t.Parallel()
	needTool(t, "rsync")
	d := newDrive(t)
	src := goSource(t)
	d.mount()
	but, downs := "--exclude=cmd", []int{6}
	if soak() {
		but, downs = "--exclude=nothing", []int{3, 6}
	}
	shell(t, "rsync -a %s %s/ %s/", but, src, d.path("src"))
	big := filepath.Join(t.TempDir(), "random")
	writeRandom(t, big, randomSize(), 1)
	shell(t, "cp %s %s", big, d.path("random"))
	d.sync()

	for i, down := range downs {
		d.umount()
		d.forgetLocal()
		d.mount()
		if i == 0 {
			d.untilStored() // a node that was late may be one of the four that stay up
		}
		d.stopNodes(down)
		before := d.sliverReads()
		shell(t, "diff -r --no-dereference %s %s %s", but, src, d.path("src"))
		shell(t, "cmp %s %s", big, d.path("random"))
		if reads := d.sliverReads() - before; reads < int64(len(d.status().Nodes)) {
			t.Fatalf("%d nodes down: only %d slivers were read from nodes: something local served the reads", down, reads)
		}
	}

	d.umount()
	d.forgetLocal()
	d.mount()
	d.stopNodes(7)
	lost := map[string]string{
		"random":                 big,
		"src/fmt/print.go":       filepath.Join(src, "fmt", "print.go"),
		"src/net/http/server.go": filepath.Join(src, "net", "http", "server.go"),
		"src/unicode/tables.go":  filepath.Join(src, "unicode", "tables.go"),
	}
	d.expectEIO(lost)
	d.startNodes()
	for name, source := range lost {
		shell(t, "cmp %s %s", source, d.path(name))
	}
	if soak() {
		shell(t, "diff -r --no-dereference %s %s %s", but, src, d.path("src"))
	}
	d.umount()
}

// goSource is the source tree of the Go that runs the test.
func goSource(t *testing.T) string {
	t.Helper()
	root := strings.TrimSpace(shell(t, "go env GOROOT"))
	src, err := filepath.EvalSymlinks(filepath.Join(root, "src"))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// expectEIO reads each file while too few nodes are up: a read must end in an
// input/output error, after 30 s on a machine that is not busy. What comes
// out before, from slivers of the nodes that are left, must be right; a file
// that lies within one such sliver may come out whole.
func (d *drive) expectEIO(wants map[string]string) {
	d.t.Helper()
	var wg sync.WaitGroup
	for name, source := range wants {
		wg.Go(func() {
			want, err := os.ReadFile(source)
			if err != nil {
				d.t.Error(err)
				return
			}
			for range 2 {
				d.expectOneEIO(name, want)
			}
		})
	}
	wg.Wait()
}

func (d *drive) expectOneEIO(name string, want []byte) {
	start := time.Now()
	cmd := exec.Command("cat", d.path(name))
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	err := cmd.Run()
	if took := time.Since(start); took > patience {
		d.t.Errorf("%s: a failing read took %s", name, took)
	}
	if err == nil && len(want) < smallerThanSliver && bytes.Equal(out.Bytes(), want) {
		d.t.Logf("%s: lies in a sliver of a node that is up", name)
		return
	}
	if err == nil || !strings.Contains(errb.String(), "Input/output error") {
		d.t.Errorf("%s: %v, %q: want an input/output error", name, err, errb.String())
	}
	if !bytes.HasPrefix(want, out.Bytes()) || out.Len() == len(want) {
		d.t.Errorf("%s: %d of %d bytes came out, not the first ones of the file", name, out.Len(), len(want))
	}
}

// smallerThanSliver is the length below which a file may lie in one source
// sliver of a full segment at n = 100: 8,310,144 bytes / 34.
const smallerThanSliver = 244_416

// TestSmallFilesShareBlobs: 10,000 files of 4 KiB become at most 10 blobs, unless the
// writer pauses: what there is then is stored.
func TestSmallFilesShareBlobs(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	block := make([]byte, 4096)
	start := time.Now()
	last, pauses := start, 0
	for i := range 10_000 {
		if time.Since(last) > commit.DefaultQuiet/2 {
			pauses++
		}
		last = time.Now()
		dir := d.path(fmt.Sprintf("dir-%02d", i/100))
		if i%100 == 0 {
			must(t, os.Mkdir(dir, 0o755))
		}
		if _, err := randomBytes(uint64(i)).Read(block); err != nil {
			t.Fatal(err)
		}
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%04d", i)), block, 0o644))
	}
	pauses += int(time.Since(start) / commit.DefaultMaxAge)
	d.sync()
	if n := len(d.nodeFiles(0)); n > 10+pauses {
		t.Errorf("10,000 files of 4 KiB became %d blobs with %d pauses, want at most 10", n, pauses)
	}
	d.umount()
}

// TestRewrittenFile: a file that is rewritten all the time costs what changed,
// and sync still ends.
func TestRewrittenFile(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	size := randomSize()
	writeRandom(t, d.path("image"), size, 7)
	d.sync()
	d.untilStored() // what comes late is no cost of what follows
	before := d.status().StoredBytes

	f, err := os.OpenFile(d.path("image"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	stop, done := make(chan struct{}), make(chan int, 1)
	stopWriter := sync.OnceValue(func() int { close(stop); return <-done })
	defer stopWriter()
	go func() {
		n := 0
		defer func() { done <- n }()
		block := make([]byte, 4096)
		for rng := randomBytes(8); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			var at [8]byte
			if _, err := rng.Read(at[:]); err != nil {
				t.Error(err)
				return
			}
			off := int64(uint32(at[0])|uint32(at[1])<<8|uint32(at[2])<<16|uint32(at[3])<<24) % (size / 4096) * 4096
			if _, err := rng.Read(block); err != nil {
				t.Error(err)
				return
			}
			if _, err := f.WriteAt(block, off); err != nil {
				t.Errorf("write at %d: %v", off, err)
				return
			}
			time.Sleep(5 * time.Millisecond) // the pace of the writer, not a wait
		}
	}()
	for range 2 {
		d.sync() // ends although the writer goes on
	}
	writes := stopWriter()
	must(t, f.Close())
	d.sync()
	cost := d.status().StoredBytes - before
	// Each written block may be packed once for each sync that it falls into;
	// sealing, encoding and the trailers come on top of 4.43 bytes a byte.
	limit := int64(writes)*4096*3*5 + 8<<20
	t.Logf("%d writes of 4 KiB cost %d bytes stored (limit %d, whole file again would be %d)", writes, cost, limit, size*443/100)
	if cost > limit || cost > size*443/100 {
		t.Errorf("%d rewritten blocks cost %d bytes stored, want at most %d", writes, cost, limit)
	}
	want := shell(t, "sha256sum < %s", d.path("image"))
	d.umount()
	d.forgetLocal()
	d.mount()
	if got := shell(t, "sha256sum < %s", d.path("image")); got != want {
		t.Errorf("the image read from the nodes is %s, want %s", got, want)
	}
	d.umount()
}

// nodeFiles are the blob files of the i-th node of an embedded drive.
func (d *drive) nodeFiles(i int) []string {
	d.t.Helper()
	files, err := filepath.Glob(filepath.Join(d.home, "network", "nodes", fmt.Sprintf("node-%02d", i), "blobs", "*", "*"))
	if err != nil {
		d.t.Fatal(err)
	}
	return files
}
