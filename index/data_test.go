package index_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/walfs/walfs/index"
)

func state(t testing.TB, db *index.DB, path string) index.State {
	t.Helper()
	return must(db.State(ctx, lookup(t, db, path).Ino)).State
}

// TestStates follows a file through its states, with the sums that Usage gives.
func TestStates(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	a := create(t, db, index.Root, "a", fileMode)
	want := func(what string, s index.State, usage index.Usage) {
		t.Helper()
		usage.Inodes = 2
		if got := state(t, db, "a"); got != s {
			t.Errorf("%s: %s, want %s", what, got, s)
		}
		if got := must(db.Usage(ctx)); got != usage {
			t.Errorf("%s: usage %+v, want %+v", what, got, usage)
		}
	}
	want("created", index.StateDirty, index.Usage{})
	queue := func(size int64) {
		t.Helper()
		if err := db.Queue(ctx, a.Ino, index.Queued{Size: size, Mtime: 5}); err != nil {
			t.Fatal(err)
		}
	}
	queue(10)
	want("queued", index.StateStaged, index.Usage{Bytes: 10, Staged: 10})
	must(db.MarkDirty(ctx, a.Ino, 0))
	want("written", index.StateDirty, index.Usage{Bytes: 10, Dirty: 10})
	queue(12)
	want("queued again", index.StateStaged, index.Usage{Bytes: 12, Staged: 12})
	if p := must(db.Pending(ctx)); p.Jobs != 1 || p.Bytes != 12 || p.OldestQueued.IsZero() || !p.Names {
		t.Errorf("pending %+v", p)
	}
	c.both(c.packed("a", 1, 12))
	want("packed", index.StateStoring, index.Usage{Bytes: 12, Storing: 12})
	if p := must(db.Pending(ctx)); p.Jobs != 0 || p.Names || p.Segments != 1 {
		t.Errorf("pending %+v", p)
	}
	certify(t, db, 1)
	files, _, err := db.Finish(ctx)
	if err != nil || len(files) != 1 || !files[0].Clean {
		t.Fatalf("finished %v, %v", files, err)
	}
	want("certified", index.StateCertified, index.Usage{Bytes: 12, Certified: 12})
	if state(t, db, "/") != index.StateCertified {
		t.Error("the root is not certified")
	}
	mtime := int64(8)
	must(db.SetAttr(ctx, a.Ino, index.Change{Mtime: &mtime}))
	want("touched", index.StateStoring, index.Usage{Bytes: 12, Certified: 12})
	c.both()
	certify(t, db, 2)
	want("touched and certified", index.StateCertified, index.Usage{Bytes: 12, Certified: 12})
	must(db.Rename(ctx, index.RenameRequest{OldParent: 1, OldName: []byte("a"), NewParent: 1, NewName: []byte("b")}))
	if s := state(t, db, "b"); s != index.StateStoring {
		t.Errorf("renamed: %s", s)
	}
	// A file that is packed while it is written is not clean when that is certified.
	must(db.MarkDirty(ctx, a.Ino, 0))
	p := c.packed("b", 3, 12)
	must(db.MarkDirty(ctx, a.Ino, 0))
	c.both(p)
	certify(t, db, 3)
	if files, _, err = db.Finish(ctx); err != nil || len(files) != 1 || files[0].Clean {
		t.Errorf("finished %v, %v", files, err)
	}
}

// TestErrors shows why a job failed, and puts it off.
func TestFailures(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	db := openAt(t, func() time.Time { return now })
	a := create(t, db, index.Root, "a", fileMode)
	if err := db.Queue(ctx, a.Ino, index.Queued{Size: 1}); err != nil {
		t.Fatal(err)
	}
	if err := db.JobFailed(ctx, a.Ino, errors.New("staging is gone"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if s := must(db.State(ctx, a.Ino)); s.State != index.StateStaged || s.Error != "staging is gone" {
		t.Errorf("state %+v", s)
	}
	now = now.Add(time.Minute - 1)
	if jobs := must(db.Claim(ctx, 10, false)); len(jobs) != 0 {
		t.Errorf("claimed too early: %+v", jobs)
	}
	if jobs := must(db.Claim(ctx, 10, true)); len(jobs) != 1 {
		t.Errorf("of all: %+v", jobs)
	}
	now = now.Add(1)
	jobs := must(db.Claim(ctx, 10, false))
	if len(jobs) != 1 || jobs[0].Waited != time.Minute || jobs[0].Tries != 1 || jobs[0].Error != "staging is gone" {
		t.Errorf("jobs %+v", jobs)
	}
	must(db.MarkDirty(ctx, a.Ino, 0))
	if err := db.Queue(ctx, a.Ino, index.Queued{Size: 1}); err != nil {
		t.Fatal(err)
	}
	if jobs = must(db.Claim(ctx, 10, false)); len(jobs) != 1 || jobs[0].Tries != 0 {
		t.Errorf("a new version starts afresh: %+v", jobs)
	}
}

// TestClockSteps sets the clock forward and back by years while a job rests:
// it is never put off for longer than it was to rest.
func TestClockSteps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, step := range map[string]time.Duration{"-10y": -10 * year, "-1h": -time.Hour, "+1h": time.Hour, "+10y": 10 * year} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1_800_000_000, 0)
			db := openAt(t, func() time.Time { return now })
			a := create(t, db, index.Root, "a", fileMode)
			if err := db.Queue(ctx, a.Ino, index.Queued{Size: 1}); err != nil {
				t.Fatal(err)
			}
			if err := db.JobFailed(ctx, a.Ino, errors.New("no room"), time.Hour); err != nil {
				t.Fatal(err)
			}
			now = now.Add(step)
			jobs := must(db.Claim(ctx, 10, false))
			if len(jobs) != 1 || jobs[0].Waited < time.Hour {
				t.Errorf("after the step: %+v", jobs)
			}
			if err := db.JobFailed(ctx, a.Ino, errors.New("no room"), time.Hour); err != nil {
				t.Fatal(err)
			}
			if jobs := must(db.Claim(ctx, 10, false)); len(jobs) != 0 {
				t.Errorf("does not rest any more: %+v", jobs)
			}
			now = now.Add(index.MaxPause)
			if jobs := must(db.Claim(ctx, 10, false)); len(jobs) != 1 {
				t.Errorf("rests longer than %s: %+v", index.MaxPause, jobs)
			}
		})
	}
}

// TestClaim gives the oldest jobs, sorted by directory and name.
func TestClaim(t *testing.T) {
	db := open(t)
	tree(t, db, "d/", "e/", "e/b", "d/z", "d/a", "e/a", "d/late")
	for _, path := range []string{"e/b", "d/z", "e/a", "d/a", "d/late"} {
		if err := db.Queue(ctx, lookup(t, db, path).Ino, index.Queued{}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, j := range must(db.Claim(ctx, 4, true)) {
		names = append(names, fmt.Sprintf("%d/%s", j.Parent, j.Name))
	}
	if want := []string{"2/a", "2/z", "3/a", "3/b"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	must(db.Unlink(ctx, lookup(t, db, "e").Ino, []byte("a")))
	if n := len(must(db.Claim(ctx, 10, true))); n != 4 {
		t.Errorf("%d jobs after an unlink, want 4", n)
	}
}

// TestTimes checks which mtime is published when it is set while the file waits.
func TestTimes(t *testing.T) {
	set := func(db *index.DB, ino index.Ino, mtime int64) {
		must(db.SetAttr(ctx, ino, index.Change{Mtime: &mtime}))
	}
	for _, tt := range []struct {
		name string
		run  func(c *committer, a index.Attr, p index.Packed)
		want int64
	}{
		{"written after it was queued", func(c *committer, a index.Attr, p index.Packed) {
			p.Mtime = 20
			c.both(p)
		}, 20},
		{"set after it was packed", func(c *committer, a index.Attr, p index.Packed) {
			set(c.db, a.Ino, 30)
			c.both(p)
		}, 30},
		{"set after the cut", func(c *committer, a index.Attr, p index.Packed) {
			t := c.cut(p)
			set(c.db, a.Ino, 40)
			c.commit(t, p)
			c.both()
		}, 40},
		{"set, written and closed after it was packed", func(c *committer, a index.Attr, p index.Packed) {
			set(c.db, a.Ino, 50)
			p.Mtime = 60
			c.both(p)
			if err := c.db.Queue(ctx, a.Ino, index.Queued{Size: 1, Mtime: 60}); err != nil {
				c.t.Fatal(err)
			}
			c.both()
		}, 60},
		{"set when it was clean", func(c *committer, a index.Attr, p index.Packed) {
			c.both(p)
			set(c.db, a.Ino, 70)
			if err := c.db.Queue(ctx, a.Ino, index.Queued{Size: 1, Mtime: 60}); err != nil {
				c.t.Fatal(err)
			}
			c.both()
		}, 70},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			c := &committer{t: t, db: db}
			a := create(t, db, index.Root, "a", fileMode)
			if err := db.Queue(ctx, a.Ino, index.Queued{Size: 1, Mtime: 10}); err != nil {
				t.Fatal(err)
			}
			tt.run(c, a, c.packed("a", 1, 1))
			live := must(db.Get(ctx, a.Ino))
			restored := c.replay()
			defer restored.Close()
			got := lookup(t, restored, "a")
			if live.Mtime != tt.want || got.Mtime != tt.want || got.Ctime != live.Ctime {
				t.Errorf("live mtime %d ctime %d, restored %d %d, want mtime %d", live.Mtime, live.Ctime, got.Mtime, got.Ctime, tt.want)
			}
		})
	}
}

// TestChangedBehind is told of a write whose time, of a clock that goes by ticks, lies before
// the last change of the attributes: that is another ctime all the same, and stays it.
func TestChangedBehind(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	told := index.Queued{Size: 1, Mtime: a.Ctime - 1}
	changed := told.Changed(&a, a.Ctime+1000)
	if changed <= a.Ctime {
		t.Errorf("ctime %d stays, though something was written", a.Ctime)
	}
	if err := db.Queue(ctx, a.Ino, told); err != nil {
		t.Fatal(err)
	}
	got := must(db.Get(ctx, a.Ino))
	if again := told.Changed(&got, got.Ctime+1000); got.Ctime != changed || again != changed {
		t.Errorf("ctime %d once it is written down, and %d then, want %d", got.Ctime, again, changed)
	}
}

func TestMarkDirty(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	a := create(t, db, index.Root, "a", fileMode)
	if v := must(db.MarkDirty(ctx, a.Ino, 0)); v != 2 {
		t.Errorf("version %d, want 2", v)
	}
	c.both(c.packed("a", 1, 1))
	if got := must(db.Get(ctx, a.Ino)); got.Dirty || got.PubVersion != 2 || got.Size != 1 {
		t.Errorf("packed %+v", got)
	}
	if err := db.Queue(ctx, a.Ino, index.Queued{Size: 9, Mtime: 9}); err != nil {
		t.Fatal(err)
	}
	if got := must(db.Get(ctx, a.Ino)); got.Size != 1 || len(must(db.Claim(ctx, 10, true))) != 0 {
		t.Errorf("queued while clean %+v", got)
	}
	size := int64(0)
	if _, err := db.SetAttr(ctx, a.Ino, index.Change{Size: &size}); !errors.Is(err, index.ErrStale) {
		t.Errorf("truncated while clean: %v", err)
	}
	if v := must(db.MarkDirty(ctx, a.Ino, 0)); v != 3 {
		t.Errorf("version %d, want 3", v)
	}
	if n := must(db.DirtyFiles(ctx)); n != 1 {
		t.Errorf("%d files are dirty", n)
	}
	if list := must(db.Dirties(ctx)); len(list) != 1 || list[0].Ino != a.Ino || !list[0].Dirty {
		t.Errorf("dirty files %+v", list)
	}
	for ino, want := range map[index.Ino]error{index.Root: index.ErrRange, 999: index.ErrNotExist} {
		if _, err := db.MarkDirty(ctx, ino, 0); !errors.Is(err, want) {
			t.Errorf("inode %d: %v", ino, err)
		}
		if err := db.Queue(ctx, ino, index.Queued{}); !errors.Is(err, want) {
			t.Errorf("queue inode %d: %v", ino, err)
		}
	}
}

// TestPartials: what was packed of a version is kept until the version is
// raised or the machine restarts.
func TestPartials(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	partials := func() []index.Partial {
		if err := db.Queue(ctx, a.Ino, index.Queued{Size: 9}); err != nil {
			t.Fatal(err)
		}
		return must(db.Claim(ctx, 1, true))[0].Partials
	}
	pack := func(version uint64) {
		number := must(db.NextSegment(ctx))
		err := db.CommitSegments(ctx, index.Commit{Trailer: must(db.CutTrailer(ctx, nil)), Segments: []index.SegmentRow{segment(number)},
			Partials: []index.Partial{{Ino: a.Ino, Version: version, Len: 4, Segment: number}, {Ino: 999, Version: 1, Len: 1, Segment: number}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	pack(1)
	if got := partials(); len(got) != 1 || got[0].Segment != 1 {
		t.Errorf("partials %+v", got)
	}
	must(db.MarkDirty(ctx, a.Ino, 0))
	if got := partials(); len(got) != 0 {
		t.Errorf("partials of an older version: %+v", got)
	}
	pack(1)
	if got := partials(); len(got) != 0 {
		t.Errorf("partials of an older version were added: %+v", got)
	}
	pack(2)
	for _, boot := range []struct {
		id       string
		rebooted bool
		left     int
	}{{"one", false, 1}, {"one", false, 1}, {"two", true, 0}, {"two", false, 0}} {
		if got := must(db.Boot(ctx, boot.id)); got != boot.rebooted {
			t.Errorf("boot %s: rebooted %v", boot.id, got)
		}
		if got := partials(); len(got) != boot.left {
			t.Errorf("boot %s: partials %+v, want %d", boot.id, got, boot.left)
		}
	}
}

func TestHeld(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	a := create(t, db, index.Root, "a", fileMode)
	h := index.Held{Ino: a.Ino, Size: 100, Base: 50, Mtime: 3, Blocks: []byte{1, 2}}
	if err := db.Barrier(ctx, []index.Held{h, {Ino: 999, Size: 1}}); err != nil {
		t.Fatal(err)
	}
	got := must(db.HeldAt(ctx, a.Ino))
	if fmt.Sprint(got) != fmt.Sprint(h) {
		t.Errorf("got %+v, want %+v", got, h)
	}
	if live := must(db.Get(ctx, a.Ino)); live.Size != 100 || live.Mtime != 3 || state(t, db, "a") != index.StateStaged {
		t.Errorf("after a barrier %+v", live)
	}
	create(t, db, index.Root, "b", fileMode)
	h.Size = 101
	rename := index.RenameRequest{
		OldParent: index.Root, OldName: []byte("a"), NewParent: index.Root, NewName: []byte("b"), Full: true, Held: []index.Held{h},
	}
	must(db.Rename(ctx, rename))
	if got := must(db.HeldAt(ctx, a.Ino)); got.Size != 101 {
		t.Errorf("a rename wrote %+v", got)
	}
	rename.OldName, rename.NewName, rename.Full, rename.Held = rename.NewName, rename.OldName, false, nil
	must(db.Rename(ctx, rename))
	if err := db.Barrier(ctx, []index.Held{{Ino: a.Ino, Size: -1}}); !errors.Is(err, index.ErrRange) {
		t.Errorf("negative size: %v", err)
	}
	c.both(c.packed("a", 1, 100))
	must(db.HeldAt(ctx, a.Ino))
	certify(t, db, 1)
	if _, _, err := db.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := db.HeldAt(ctx, a.Ino); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("a clean file is held: %v", err)
	}
}

func TestExtents(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	a := create(t, db, index.Root, "a", fileMode)
	// Published as AAAABB..CC, where dots are a hole.
	c.both(index.Packed{Ino: a.Ino, Version: 1, Size: 10, Ops: []index.Op{
		{Off: 0, Len: 6, Segment: 1, Pos: 100}, {Off: 4, Len: 6, Segment: 1, Pos: 200},
		{Off: 6, Len: 2}, {Off: 8, Len: 5, Segment: 1, Pos: 300}}})
	for _, tt := range []struct {
		off, n int64
		want   string
	}{
		{0, -1, "0+4@100 4+2@200 8+2@300 "},
		{0, 4, "0+4@100 "},
		{1, 4, "1+3@101 4+1@200 "},
		{5, 1, "5+1@201 "},
		{6, 2, ""},
		{7, 2, "8+1@300 "},
		{9, 100, "9+1@301 "},
		{10, 5, ""},
		{3, 0, ""},
	} {
		var got string
		for _, e := range must(db.Extents(ctx, a.Ino, tt.off, tt.n)) {
			got += fmt.Sprintf("%d+%d@%d ", e.Off, e.Len, e.Pos)
			if e.Blob != blob(1) || e.SealedSize != 1<<20 || e.Header[0] != 1 || e.Segment != 1 {
				t.Errorf("extent %+v", e)
			}
		}
		if got != tt.want {
			t.Errorf("%d+%d: got %q, want %q", tt.off, tt.n, got, tt.want)
		}
	}
}

// TestRangeHashes keeps hashes only of ranges that no publication has changed.
func TestRangeHashes(t *testing.T) {
	const m = index.HashRange
	db := open(t)
	c := &committer{t: t, db: db}
	a := create(t, db, index.Root, "a", fileMode)
	hash := func(indexes ...int64) (list []index.RangeHash) {
		for _, i := range indexes {
			list = append(list, index.RangeHash{Index: i, Hash: [32]byte{byte(i), byte(len(indexes))}})
		}
		return list
	}
	for i, tt := range []struct {
		packed index.Packed
		want   []int64
	}{
		{index.Packed{Size: 5*m + 9, Hashes: hash(0, 1, 2, 3, 4, 5)}, []int64{0, 1, 2, 3, 4, 5}},
		{index.Packed{Size: 5*m + 9, Base: 5*m + 9, Ops: []index.Op{{Off: m + 7, Len: m}}}, []int64{0, 3, 4, 5}},
		{index.Packed{Size: 5*m + 9, Base: 5*m + 9, Ops: []index.Op{{Off: m, Len: 2 * m}}, Hashes: hash(1)}, []int64{0, 1, 3, 4, 5}},
		{index.Packed{Size: 5*m + 10, Base: 5*m + 9}, []int64{0, 1, 3, 4}},
		{index.Packed{Size: 9 * m, Base: 4 * m}, []int64{0, 1, 3}},
		{index.Packed{Size: 2*m - 1, Base: 2*m - 1}, []int64{0}},
	} {
		tt.packed.Ino, tt.packed.Version = a.Ino, must(db.Get(ctx, a.Ino)).Version
		c.both(tt.packed)
		var got []int64
		for _, h := range must(db.RangeHashes(ctx, a.Ino)) {
			got = append(got, h.Index)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("step %d: got %v, want %v", i, got, tt.want)
		}
		must(db.MarkDirty(ctx, a.Ino, 0))
	}
}

func TestCopies(t *testing.T) {
	db := open(t)
	var inos []index.Ino
	for i := range 4 {
		a := create(t, db, index.Root, fmt.Sprint(i), fileMode)
		inos = append(inos, a.Ino)
		if err := db.CopyAdd(ctx, a.Ino, int64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{db.CopiesTouch(ctx, []index.Ino{inos[0], 1 << 40}), db.CopyDrop(ctx, inos[1]), db.CopyAdd(ctx, inos[2], 30)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []index.Ino
	for _, c := range must(db.CopiesOldest(ctx, 2)) {
		got = append(got, c.Ino)
	}
	if want := []index.Ino{inos[3], inos[2]}; !slices.Equal(got, want) {
		t.Errorf("oldest %v, want %v", got, want)
	}
	if sum := db.CopiesSum(); sum != (index.CopiesSum{Files: 3, Bytes: 1 + 30 + 4, Hot: 1}) {
		t.Errorf("sum %+v", sum)
	}
	if err := db.CopiesCool(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if list := must(db.CopiesOldest(ctx, 9)); len(list) != 3 || list[0].Hot || db.CopiesSum().Hot != 0 {
		t.Errorf("cooled: %+v, sum %+v", list, db.CopiesSum())
	}
}

// TestOrphans keeps unlinked inodes as long as someone needs them.
func TestOrphans(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	tree(t, db, "open", "old")
	c.both(c.packed("old", 1, 1))
	open, old := lookup(t, db, "open").Ino, lookup(t, db, "old").Ino
	if got := must(db.Reap(ctx, open, old)); len(got) != 0 {
		t.Errorf("linked inodes were reaped: %v", got)
	}
	for _, n := range []string{"open", "old"} {
		must(db.Unlink(ctx, index.Root, []byte(n)))
	}
	if got := must(db.Orphans(ctx)); !slices.Equal(got, []index.Ino{open, old}) {
		t.Errorf("orphans %v", got)
	}
	if got := must(db.Reap(ctx, open, index.Root, old)); !slices.Equal(got, []index.Ino{open, old}) {
		t.Errorf("reaped %v", got)
	}
	if _, err := db.Get(ctx, open); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("an unpublished orphan stays: %v", err)
	}
	if _, err := db.Get(ctx, old); err != nil {
		t.Errorf("a published orphan went before its removal was: %v", err)
	}
	c.both()
	if got := must(db.Orphans(ctx)); len(got) != 0 {
		t.Errorf("orphans after the cut %v", got)
	}
	if _, err := db.Get(ctx, old); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("reaped inode: %v", err)
	}
	if got := must(db.Reap(ctx, old)); !slices.Equal(got, []index.Ino{old}) {
		t.Errorf("reaped twice: %v", got)
	}
	if u := must(db.Usage(ctx)); u.Inodes != 1 || u.Bytes != 0 {
		t.Errorf("usage %+v", u)
	}
}
