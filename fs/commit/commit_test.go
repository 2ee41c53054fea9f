package commit_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

func TestCapacity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shards int
		want   int64
	}{
		{7, 15 * 61440}, {10, 1_720_320}, {100, 8_310_144}, {1000, 71_288_960},
	} {
		if got := commit.Capacity(walrus.Geometry{Shards: c.shards}); got != c.want {
			t.Errorf("%d shards: %d, want %d", c.shards, got, c.want)
		}
	}
}

func TestDrainAndRestore(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	ctx := context.Background()
	files := map[string][]byte{
		"empty": {}, "a": random(1, 1000), "block": random(2, 4096), "large": random(3, 3_000_000),
		"zeros": make([]byte, 300_000), "tail": append(make([]byte, 200_000), 1),
	}
	for name, content := range files {
		r.put(name, content)
	}
	sub := r.dirOf("sub")
	r.putIn(sub, "inner", random(4, 10_000))
	_, err := r.db.Create(ctx, index.CreateRequest{Parent: sub, Name: []byte("link"), Mode: 0o120777, Target: []byte("../a")})
	r.must(err)
	_, err = r.db.Create(ctx, index.CreateRequest{Parent: sub, Name: []byte("pipe"), Mode: 0o10600})
	r.must(err)
	r.drain()

	got := r.restored()
	for name, content := range files {
		got.same("/"+name, content)
	}
	got.same("/sub/inner", random(4, 10_000))
	if names := got.names("/sub"); !slices.Equal(names, []string{"inner", "link", "pipe"}) {
		t.Errorf("names: %q", names)
	}
	link, err := got.db.Resolve(ctx, "/sub/link")
	r.must(err)
	if target, err := got.db.Readlink(ctx, link.Ino); err != nil || string(target) != "../a" {
		t.Errorf("link to %q, %v", target, err)
	}
	s, err := r.c.Status(ctx)
	r.must(err)
	if s.Jobs != 0 || s.InFlight != 0 || s.Dirty+s.Staged+s.Storing != 0 || s.Certified == 0 || len(s.Problems) > 0 {
		t.Errorf("status after drain: %+v", s)
	}
	if boxes, err := r.stage.ListOutbox(); err != nil || len(boxes) > 0 {
		t.Errorf("outbox: %v, %v", boxes, err)
	}
}

// Nothing is drained when nothing waits, and no segment is made for it.
func TestDrainIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	r.drain()
	r.put("a", random(1, 100))
	r.drain()
	before := r.last()
	r.drain()
	if after := r.last(); after != before {
		t.Errorf("%d segments, then %d", before, after)
	}
	r.reopen(options{})
	r.drain()
	if after := r.last(); after != before {
		t.Errorf("%d segments, after a restart %d", before, after)
	}
}

func TestPlainDrive(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{plain: true})
	want := random(1, 2_000_000)
	r.put("a", want)
	r.drain()
	r.restored().same("/a", want)
}

// A name in a segment of its own, after the quiet time, without anybody waiting.
func TestNamesAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	r.dirOf("d")
	deadline := time.Now().Add(patience)
	for {
		if s, err := r.c.Status(context.Background()); err != nil || time.Now().After(deadline) {
			t.Fatalf("not anchored: %+v, %v", s, err)
		} else if s.Generation > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if names := r.restored().names("/"); !slices.Equal(names, []string{"d"}) {
		t.Errorf("names: %q", names)
	}
}

// What did not change is not stored again.
func TestRewriteCostsWhatChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	content := random(1, 5<<20+12345)
	r.put("f", content)
	r.drain()
	for _, c := range []struct {
		name   string
		change func()
		most   int64
	}{
		{"64 KiB overwritten", func() {
			copy(content[1<<20+4096:], random(2, 64<<10))
			r.patch("f", content[1<<20+4096:1<<20+4096+64<<10], 1<<20+4096)
		}, 70 << 10},
		{"200 KiB of zeros written over data", func() {
			clear(content[4<<20 : 4<<20+200<<10])
			r.patch("f", content[4<<20:4<<20+200<<10], 4<<20)
		}, 4 << 10},
		{"one byte", func() { content[17]++; r.patch("f", content[17:18], 17) }, 6 << 10},
		{"rewritten whole, two ranges changed", func() {
			content[3<<20]++
			r.put("f", content)
		}, 4<<20 + 70<<10}, // ranges 0, 1 and 4 lost their hashes above
		{"rewritten whole, the same", func() { r.put("f", content) }, 4 << 10},
		{"cut and grown", func() {
			content = content[:2<<20]
			f := r.file(index.Root, "f")
			r.must(f.Truncate(context.Background(), int64(len(content))))
			r.done(f)
		}, 4 << 10},
		{"appended", func() {
			more := random(9, 10_000)
			r.patch("f", more, int64(len(content)))
			content = append(content[:len(content):len(content)], more...)
		}, 16 << 10},
	} {
		before := r.last()
		c.change()
		r.drain()
		if n := r.stored(before); n > c.most {
			t.Errorf("%s: stored %d bytes, want at most %d", c.name, n, c.most)
		}
		r.restored().same("/f", content)
	}
}

func TestSmallFilesShareBlobs(t *testing.T) {
	t.Parallel()
	count, blobs := 1_000, 1
	if os.Getenv("WALFS_SOAK") != "" {
		count, blobs = 10_000, 6
	}
	r := newRig(t, options{
		network: embedded.Config{Nodes: 10, Shards: 100},
		policy:  calm,
	})
	dirs := make([]index.Ino, 10)
	for i := range dirs {
		dirs[i] = r.dirOf(fmt.Sprintf("d%d", i))
	}
	for i := range count {
		r.putIn(dirs[i%10], fmt.Sprintf("file-%05d", i), random(uint64(i), 4096))
	}
	r.drain()
	if n := len(r.segments()); n > blobs {
		t.Errorf("%d blobs for %d files of 4 KiB", n, count)
	}
	got := r.restored()
	for i := 0; i < count; i += 97 {
		got.same(fmt.Sprintf("/d%d/file-%05d", i%10, i), random(uint64(i), 4096))
	}
	if n := len(got.names("/d3")); n != count/10 {
		t.Errorf("%d names", n)
	}
}

// A file that is written all the time is packed from a copy, each version whole.
func TestDrainWhileWriting(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	const size = 2 << 20
	r.put("calm", random(1, 1000))
	f := r.file(index.Root, "busy")
	page := func(n byte) []byte { return bytes.Repeat([]byte{n}, size) }
	r.writeAt(f, page(1), 0)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := byte(2); ; n++ {
			select {
			case <-stop:
				return
			default:
				r.writeAt(f, page(max(n, 1)), 0)
			}
		}
	}()
	r.drain()
	r.drain()
	got := r.restored()
	got.same("/calm", random(1, 1000))
	b := got.read("/busy")
	close(stop)
	<-ended
	if len(b) != size || !bytes.Equal(b, page(b[0])) {
		t.Errorf("restored %d bytes that begin with %d and are not of one version", len(b), b[0])
	}
	r.done(f)
	r.drain()
	r.restored().same("/busy", page(r.readStaged(f.Ino())))
}

// A file that is written while it is packed is not published until a version of it went in whole.
func TestMovedWhilePacking(t *testing.T) {
	t.Parallel()
	const size = 2_500_000 // more than two segments
	page := func(n byte) []byte { return bytes.Repeat([]byte{n}, size) }
	var r *rig
	moves, seen := byte(1), 0
	r = newRig(t, options{policy: crashPolicy, hook: func(name string) {
		switch {
		case name == "before-outbox" && moves > 0 && moves < 5:
			// The packer waits in this hook, in the midst of the file.
			moves++
			r.put("f", page(moves))
		case name == "after-finish":
			if b := r.restored().read("/f"); b != nil {
				seen++
				if !bytes.Equal(b, page(b[0])) {
					t.Errorf("published a mixture that begins with %d", b[0])
				}
			}
		}
	}})
	r.put("f", page(1))
	r.drain()
	r.drain()
	if moves != 5 || seen == 0 {
		t.Errorf("%d moves, %d times published", moves, seen)
	}
	r.restored().same("/f", page(5))
}

// Segments that were committed before a restart are not stored again with the file that they began.
func TestPartials(t *testing.T) {
	t.Parallel()
	content := random(1, 5_000_000)
	var r *rig
	cuts := 0
	r = newRig(t, options{policy: crashPolicy, hook: func(name string) {
		if name == "after-commit" {
			if cuts++; cuts == 2 {
				r.stop()
			}
		}
	}})
	r.put("f", content)
	_ = r.c.Drain(context.Background(), nil) // ends with Run
	r.reopen(options{policy: crashPolicy})
	if n := len(r.segments()); n != 2 {
		t.Fatalf("%d segments before the restart", n)
	}
	r.drain()
	r.restored().same("/f", content)
	if n := r.stored(0); n > int64(len(content))*102/100 {
		t.Errorf("stored %d bytes of %d", n, len(content))
	}
}

// readStaged returns the first byte that staging holds of a file.
func (r *rig) readStaged(ino index.Ino) byte {
	r.Helper()
	f, ok, err := r.stage.Lookup(ino)
	if err != nil || !ok {
		r.Fatalf("lookup: %v, %v", ok, err)
	}
	defer f.Release()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 0)
	r.must(err)
	return b[0]
}

// Without a Drain a file open for writing waits until it was open for OpenAge.
func TestOpenFilesWait(t *testing.T) {
	t.Parallel()
	policy := quick
	policy.OpenAge = 300 * time.Millisecond
	r := newRig(t, options{policy: policy})
	began := time.Now() // the wait begins with the file, and not with its job
	f := r.file(index.Root, "open")
	r.writeAt(f, random(1, 5000), 0)
	r.must(r.db.Queue(context.Background(), f.Ino(), index.Queued{Size: f.Size(), Mtime: f.Mtime()}))
	r.c.Wake()
	for deadline := began.Add(patience); ; time.Sleep(time.Millisecond) {
		attr, err := r.db.Get(context.Background(), f.Ino())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("not packed: %+v, %v", attr, err)
		}
		if attr.PubVersion > 0 {
			break
		}
	}
	if took := time.Since(began); took < policy.OpenAge {
		t.Errorf("packed after %s, want %s", took, policy.OpenAge)
	}
	r.done(f)
	r.drain()
	r.restored().same("/open", random(1, 5000))
}

// More names than fit beside the data go on in segments that follow.
func TestTrailerSpansSegments(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{policy: calm})
	ctx := context.Background()
	var want []string
	// Names that do not compress, and extended attributes too.
	for i := range 8 {
		dir := r.dirOf(fmt.Sprintf("d%d", i))
		for k := range 16 {
			r.must(r.db.SetXattr(ctx, dir, fmt.Sprintf("user.%d", k), random(uint64(i*100+k), 60_000), 0))
		}
		want = append(want, fmt.Sprintf("d%d", i))
	}
	r.put("data", random(1, 100_000))
	r.drain()
	first := r.segments()[0]
	if first.Parts < 5 {
		t.Fatalf("%d parts, want a trailer that spans several", first.Parts)
	}
	r.put("after", random(2, 1000))
	r.drain()
	got := r.restored()
	if names := got.names("/"); !slices.Equal(names, append([]string{"after"}, append(want, "data")...)) {
		t.Errorf("names: %q", names)
	}
	got.same("/data", random(1, 100_000))
	got.same("/after", random(2, 1000))
	for i := range 8 {
		attr, err := got.db.Resolve(ctx, fmt.Sprintf("/d%d", i))
		r.must(err)
		value, err := got.db.GetXattr(ctx, attr.Ino, "user.3")
		if err != nil || !bytes.Equal(value, random(uint64(i*100+3), 60_000)) {
			t.Errorf("d%d: attribute of %d bytes, %v", i, len(value), err)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{policy: calm})
	r.put("a", random(1, 3_000_000))
	r.put("b", random(2, 1000))
	var seen []commit.Progress
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.must(r.c.Drain(ctx, func(p commit.Progress) { seen = append(seen, p) }))
	if len(seen) == 0 {
		t.Fatal("no progress")
	}
	last := seen[len(seen)-1]
	if last != (commit.Progress{Files: 2, FilesTotal: 2, Bytes: 3_001_000, BytesTotal: 3_001_000}) {
		t.Errorf("in the end %+v", last)
	}
	r.must(r.c.Drain(ctx, func(p commit.Progress) {
		if p != (commit.Progress{}) {
			t.Errorf("nothing was left, and progress is %+v", p)
		}
	}))
	for i := 1; i < len(seen); i++ {
		if seen[i].Bytes < seen[i-1].Bytes || seen[i].Files < seen[i-1].Files {
			t.Errorf("%+v after %+v", seen[i], seen[i-1])
		}
	}
}

// TestDrainNames has a file that is written and renamed all the time, and that
// had a name before which another file has now. A drain ends nevertheless, and
// the name leads to the file that has it. It takes a write between pack and cut
// to show, so it is tried some times.
func TestDrainNames(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		t.Run(fmt.Sprint(i), testDrainNames)
	}
}

func testDrainNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	r.put("n", []byte("the first"))
	r.drain()
	f := r.file(index.Root, "n")
	r.writeAt(f, []byte("written"), 0)
	r.rename("n", "m0")
	r.put("n", []byte("the second"))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			r.writeAt(f, fmt.Appendf(nil, "again %d", i), 0)
			r.rename(fmt.Sprint("m", i), fmt.Sprint("m", i+1))
		}
	}()
	r.drain()
	got := r.restored()
	close(stop)
	<-stopped
	r.done(f)
	if b := got.read("/n"); string(b) != "the second" {
		t.Errorf("n is %q", b)
	}
	if names := got.names("/"); len(names) != 2 {
		t.Errorf("names %q", names)
	}
	r.drain()
	last := r.restored()
	for _, name := range last.names("/") {
		if b := last.read("/" + name); name == "n" && string(b) != "the second" || name != "n" && !bytes.HasPrefix(b, []byte("again")) {
			t.Errorf("%s is %q", name, b)
		}
	}
}

// TestFilesInSegment limits how many files, and so open files, a segment takes.
func TestFilesInSegment(t *testing.T) {
	policy := quick
	policy.Files = 4
	r := newRig(t, options{policy: policy})
	for i := range 10 {
		r.put(fmt.Sprintf("file %d", i), []byte{byte(i)})
	}
	r.drain()
	if n := len(r.segments()); n < 3 {
		t.Errorf("10 files in %d segments", n)
	}
	r.sound()
}
