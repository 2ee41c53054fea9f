package commit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// lend lends a file of the root to the kernel, for which the test writes.
func (r *rig) lend(f *staging.File) *os.File {
	r.Helper()
	return r.lendBack(f, nil)
}

// lendBack is lend with what takes the file back when somebody asks for it.
func (r *rig) lendBack(f *staging.File, back func()) *os.File {
	r.Helper()
	_, err := r.stage.Probe(func(int) error { return nil })
	r.must(err)
	r.must(f.Lend(context.Background(), back))
	kernel, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0)
	r.must(err)
	return kernel
}

// TestLentRests leaves a file open that the kernel may write, and writes nothing: it is
// not packed again and again, neither by and by nor for who waits for all. What is written
// then is stored.
func TestLentRests(t *testing.T) {
	t.Parallel()
	policy := quick
	policy.OpenAge = 50 * time.Millisecond
	r := newRig(t, options{policy: policy})
	content := random(1, 50_000)
	r.put("rests", content)
	r.drain()
	f := r.file(index.Root, "rests")
	kernel := r.lend(f)
	defer kernel.Close()
	before := r.lookup("rests")
	if !before.Dirty {
		t.Fatal("the file is not marked, and may be written")
	}
	open := r.file(index.Root, "open") // is packed with each look at what is open
	for i := range 4 {
		r.writeAt(open, random(uint64(i), 3000), 0)
		r.must(r.db.Queue(context.Background(), f.Ino(), f.State())) // as fsync does
		r.awaitPublished("open")
		r.drain()
		if now := r.lookup("rests"); now.PubVersion != before.PubVersion || now.Version != before.Version || !now.Dirty {
			t.Fatalf("packed although nothing was written: %+v, before %+v", now, before)
		}
	}
	r.done(open)
	r.drain()
	last := r.last()
	r.drain()
	if now := r.last(); now != last {
		t.Errorf("%d segments of nothing", now-last)
	}

	_, err := kernel.WriteAt([]byte("written"), 20_000)
	r.must(err)
	copy(content[20_000:], "written")
	r.drain()
	r.restored().same("/rests", content)
	r.done(f)
}

// TestLentBack takes a file back, since it was closed, while it is packed, and somebody
// waits for the version that it was marked with meanwhile. That one never comes.
func TestLentBack(t *testing.T) {
	t.Parallel()
	var wait atomic.Bool
	reached, goOn := make(chan bool, 1), make(chan bool)
	r := newRig(t, options{hook: func(name string) {
		if name == "before-outbox" && wait.CompareAndSwap(true, false) {
			reached <- true
			<-goOn
		}
	}})
	r.put("file", random(1, 50_000))
	r.drain()
	f := r.file(index.Root, "file")
	kernel := r.lend(f)
	content := random(2, 50_000)
	_, err := kernel.WriteAt(content, 0)
	r.must(err)
	r.await("the write to be so long ago that a stamp proves something", func() bool {
		var st unix.Stat_t
		r.must(unix.Fstat(int(kernel.Fd()), &st))
		return time.Since(time.Unix(st.Ctim.Unix())) > 11*time.Second // Source: staging.longestFault
	})
	drained := make(chan error, 2)
	drain := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		drained <- r.c.Drain(ctx, nil)
	}
	wait.Store(true)
	go drain()
	<-reached
	marked := r.lookup("file")
	go drain()
	r.await("somebody to wait for the new mark", func() bool { return r.c.Aims(f.Ino()) == marked.Version })
	r.must(kernel.Close())
	if done, err := f.TakeBack(context.Background()); !done || err != nil {
		t.Fatalf("take back: %t, %v", done, err)
	}
	if now := r.lookup("file"); now.Version != marked.Version-1 {
		t.Fatalf("version %d, marked %d: the mark was not taken back", now.Version, marked.Version)
	}
	close(goOn)
	for range 2 {
		var pending *commit.PendingError
		if err := <-drained; errors.As(err, &pending) {
			t.Errorf("drain: %v, %v", err, pending.Paths)
		} else if err != nil {
			t.Error(err)
		}
	}
	r.done(f)
	r.drain()
	r.restored().same("/file", content)
}

// TestLentClosed drains when the kernel has closed files that were lent, and has not said
// so yet: all is certified then, and nothing of it is stored again. What is open stays lent.
func TestLentClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{policy: calm})
	contents := map[string][]byte{"written": random(1, 50_000), "not written": random(2, 50_000), "open": random(3, 50_000)}
	r.put("not written", contents["not written"])
	r.put("written", nil)
	r.put("open", contents["open"])
	r.drain()
	files := map[string]*staging.File{}
	for name := range contents {
		f := r.file(index.Root, name)
		defer r.done(f)
		files[name] = f
		kernel := r.lendBack(f, func() {
			if done, err := f.TakeBack(context.Background()); err != nil || done && name == "open" {
				t.Errorf("take %q back: %t, %v", name, done, err)
			}
		})
		defer kernel.Close()
		if name == "written" {
			_, err := kernel.WriteAt(contents[name], 0)
			r.must(err)
		}
		if name != "open" {
			r.must(kernel.Close())
		}
	}
	r.drain()
	for name, f := range files {
		if now := r.lookup(name); now.Dirty != (name == "open") || f.Lent() != now.Dirty {
			t.Errorf("%q: lent %t, %+v", name, f.Lent(), now)
		}
	}
	last := r.last()
	for _, f := range files { // as the release does that comes now
		r.must(r.db.Queue(context.Background(), f.Ino(), f.State()))
	}
	r.drain()
	if now := r.last(); now != last {
		t.Errorf("%d segments of nothing", now-last)
	}
	restored := r.restored()
	for name, content := range contents {
		restored.same("/"+name, content)
	}
}

// TestLentGrows packs a file that the kernel goes on writing: each time what was written since
// is stored, and the rest stays where it is.
func TestLentGrows(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	content := random(1, 3*index.HashRange+5000)
	r.put("grows", nil)
	f := r.file(index.Root, "grows")
	kernel := r.lend(f)
	defer kernel.Close()
	_, err := kernel.WriteAt(content, 0)
	r.must(err)
	r.drain()
	for i := range 3 {
		before, known := r.last(), int64(len(content))/index.HashRange*index.HashRange
		where, err := r.db.Extents(context.Background(), f.Ino(), index.HashRange, index.HashRange)
		r.must(err)
		more := random(uint64(2+i), 2*index.HashRange)
		_, err = kernel.WriteAt(more, int64(len(content)))
		r.must(err)
		content = append(content, more...)
		_, err = kernel.WriteAt([]byte{byte(i)}, 5)
		r.must(err)
		content[5] = byte(i)
		r.drain()
		if stored, most := r.stored(before), int64(len(content))-known+2*index.HashRange; stored > most {
			t.Errorf("%d bytes were stored of a file of %d, of which %d were stored before", stored, len(content), known)
		}
		now, err := r.db.Extents(context.Background(), f.Ino(), index.HashRange, index.HashRange)
		r.must(err)
		if !slices.Equal(now, where) {
			t.Errorf("what did not change is at %+v, was at %+v", now, where)
		}
		if known, err := r.db.RangeHashes(context.Background(), f.Ino()); err != nil || len(known) != (len(content)+index.HashRange-1)/index.HashRange {
			t.Errorf("%d hashes of %d bytes, %v", len(known), len(content), err)
		}
	}
	r.restored().same("/grows", content)
	r.must(kernel.Close())
	if done, err := f.TakeBack(context.Background()); !done || err != nil {
		t.Fatalf("take back: %t, %v", done, err)
	}
	r.done(f)
	r.drain()
	r.restored().same("/grows", content)
}

// TestOpenFor has a file that stays open wait for its packing so that what is read for that
// of one that is lent stays in proportion to what was written.
func TestOpenFor(t *testing.T) {
	t.Parallel()
	const gib, age = 1 << 30, 5 * time.Minute
	for _, c := range []struct {
		size, published int64
		lent            bool
		want            time.Duration
	}{
		{100 * gib, 99 * gib, false, age}, {100 * gib, 0, true, age}, {gib / 2, gib / 2, true, age},
		{100 * gib, 50 * gib, true, age}, {100 * gib, 51 * gib, true, 101 * age}, {3 * gib, 2 * gib, true, 4 * age},
	} {
		if got := commit.OpenFor(age, c.size, c.published, c.lent); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	// A download of 100 GB at 10 MB/s, looked at whenever others would be packed.
	var size, published, read int64
	packed := time.Duration(0)
	for now := age; size < 100*gib; now += age {
		size = int64(now.Seconds()) * 10_000_000
		if now-packed >= commit.OpenFor(age, size, published, true) {
			published, packed, read = size, now, read+2*size
		}
	}
	if read > 8*size || published < size/2 {
		t.Errorf("%d bytes were read of a file of %d, and %d of it are stored", read, size, published)
	}
}
