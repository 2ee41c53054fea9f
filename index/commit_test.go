package index_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// committer packs files of an index as whole versions and keeps the trailers.
type committer struct {
	t        testing.TB
	db       *index.DB
	trailers []*index.Trailer
}

// packed describes a version of a file as one extent in a segment.
func (c *committer) packed(path string, segment uint64, size int64) index.Packed {
	c.t.Helper()
	a := lookup(c.t, c.db, path)
	return index.Packed{Ino: a.Ino, Version: a.Version, Size: size, Mtime: a.Mtime,
		Ops: []index.Op{{Len: size, Segment: segment, Pos: int64(segment)}}}
}

// cut reads a trailer, or ends the test.
func (c *committer) cut(completed ...index.Packed) *index.Trailer {
	c.t.Helper()
	t, err := c.db.CutTrailer(ctx, completed)
	if err != nil {
		c.t.Fatal(err)
	}
	return t
}

func (c *committer) commit(t *index.Trailer, completed ...index.Packed) {
	c.t.Helper()
	err := c.db.CommitSegments(ctx, index.Commit{Trailer: t, Segments: []index.SegmentRow{segment(t.Generation)}, Packed: completed})
	if err != nil {
		c.t.Fatal(err)
	}
	c.trailers = append(c.trailers, t)
}

// both cuts and commits.
func (c *committer) both(completed ...index.Packed) {
	c.t.Helper()
	c.commit(c.cut(completed...), completed...)
}

// restored returns "path:size" of all files and other paths after a replay, sorted by path.
func (c *committer) restored() string {
	c.t.Helper()
	db := c.replay()
	defer db.Close()
	paths := list(c.t, db)
	for i, p := range paths {
		if a := lookup(c.t, db, p); a.IsRegular() {
			extents := must(db.Extents(ctx, a.Ino, 0, -1))
			if a.Size > 0 && (len(extents) != 1 || extents[0].Len != a.Size) {
				c.t.Errorf("%s of %d bytes has extents %+v", p, a.Size, extents)
			}
			paths[i] += ":" + strings.Repeat("x", int(a.Size))
		}
	}
	return strings.Join(paths, " ")
}

func (c *committer) replay() *index.DB {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), "restored")
	r := must(index.NewReplay(ctx, path, index.Drive{ID: [16]byte{1}}))
	for _, t := range c.trailers {
		encoded := must(index.MarshalTrailer(t))
		if err := r.Apply(ctx, must(index.UnmarshalTrailer(encoded)), []index.SegmentRow{segment(t.Generation)}); err != nil {
			c.t.Fatal(err)
		}
	}
	report, err := r.Close(ctx, index.AnchorState{})
	if err != nil || len(report.Problems) > 0 {
		c.t.Fatalf("%v, problems %q", err, report.Problems)
	}
	return must(index.Open(ctx, index.Config{Path: path}))
}

func (c *committer) expect(want string) {
	c.t.Helper()
	if got := c.restored(); got != want {
		c.t.Errorf("a restore gives %q, want %q", got, want)
	}
}

func (c *committer) rename(from, to string) {
	c.t.Helper()
	r := index.RenameRequest{}
	r.OldParent, r.OldName = split(c.t, c.db, from)
	r.NewParent, r.NewName = split(c.t, c.db, to)
	must(c.db.Rename(ctx, r))
}

func (c *committer) unlink(path string) {
	c.t.Helper()
	parent, name := split(c.t, c.db, path)
	if a := must(c.db.Unlink(ctx, parent, name)); a.Nlink == 0 {
		must(c.db.Reap(ctx, a.Ino))
	}
}

// TestPublication goes through the rules one by one. x stands for a byte of a file.
func TestPublication(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(c *committer)
	}{
		{"a new file waits for its content", func(c *committer) {
			tree(c.t, c.db, "d/", "a", "d/b")
			c.both(c.packed("a", 1, 1))
			c.expect("a:x d/")
			c.both(c.packed("d/b", 2, 2))
			c.expect("a:x d/ d/b:xx")
		}},
		{"a file that was packed too early takes a place when it is whole", func(c *committer) {
			tree(c.t, c.db, "a")
			c.both(c.packed("a", 1, 3))
			tree(c.t, c.db, "t")
			c.both(c.packed("t", 2, 1))
			must(c.db.MarkDirty(ctx, lookup(c.t, c.db, "t").Ino, 0))
			c.rename("t", "a")
			c.both()
			c.expect("a:xxx t:x")
			c.both(c.packed("a", 4, 5))
			c.expect("a:xxxxx")
		}},
		{"it keeps the name that it had", func(c *committer) {
			tree(c.t, c.db, "t", "d/")
			c.both(c.packed("t", 1, 1))
			must(c.db.MarkDirty(ctx, lookup(c.t, c.db, "t").Ino, 0))
			c.rename("t", "d/a")
			c.both()
			c.expect("d/ t:x")
			tree(c.t, c.db, "t")
			c.both(c.packed("t", 3, 4))
			c.expect("d/ t:x")
			c.both(c.packed("d/a", 4, 5))
			c.expect("d/ d/a:xxxxx t:xxxx")
		}},
		{"unless it is asked to give way", func(c *committer) {
			tree(c.t, c.db, "t", "d/")
			c.both(c.packed("t", 1, 1))
			must(c.db.MarkDirty(ctx, lookup(c.t, c.db, "t").Ino, 0))
			c.rename("t", "d/a")
			tree(c.t, c.db, "t")
			changed := c.db.Changing()
			c.both(c.packed("t", 2, 4))
			c.expect("d/ t:x")
			if n := must(c.db.NamesWaiting(ctx, changed)); n != 2 {
				c.t.Errorf("%d names wait, want 2", n)
			}
			c.db.ForceNames(changed)
			if p := must(c.db.Pending(ctx)); !p.Names {
				c.t.Error("no cut would be made for the names")
			}
			c.both()
			c.expect("d/ d/a:x t:xxxx")
			if n := must(c.db.NamesWaiting(ctx, changed)); n != 0 {
				c.t.Errorf("%d names wait", n)
			}
			c.both(c.packed("d/a", 4, 5))
			c.expect("d/ d/a:xxxxx t:xxxx")
		}},
		{"it takes the place at once if it cannot keep the name", func(c *committer) {
			tree(c.t, c.db, "d/", "d/t")
			c.both(c.packed("d/t", 1, 1))
			must(c.db.MarkDirty(ctx, lookup(c.t, c.db, "d/t").Ino, 0))
			c.rename("d/t", "a")
			c.both()
			c.expect("d/ d/t:x")
			must(c.db.Rmdir(ctx, index.Root, []byte("d")))
			c.both()
			c.expect("a:x")
		}},
		{"what waits for a file that is deleted waits no longer", func(c *committer) {
			tree(c.t, c.db, "t")
			c.both(c.packed("t", 1, 1))
			must(c.db.MarkDirty(ctx, lookup(c.t, c.db, "t").Ino, 0))
			c.rename("t", "a")
			c.both()
			c.expect("t:x")
			c.unlink("a")
			c.both()
			c.expect("")
		}},
		{"a rewritten file stays as it was", func(c *committer) {
			tree(c.t, c.db, "a")
			c.both(c.packed("a", 1, 3))
			must(c.db.MarkDirty(ctx, lookup(c.t, c.db, "a").Ino, 0))
			zero := int64(0)
			must(c.db.SetAttr(ctx, lookup(c.t, c.db, "a").Ino, index.Change{Size: &zero}))
			c.both()
			c.expect("a:xxx")
			c.both(c.packed("a", 3, 5))
			c.expect("a:xxxxx")
		}},
		{"a save by rename shows the old file until the new one is packed", func(c *committer) {
			tree(c.t, c.db, "a")
			c.both(c.packed("a", 1, 1))
			tree(c.t, c.db, "tmp")
			c.rename("tmp", "a")
			c.both()
			c.expect("a:x")
			c.both(c.packed("a", 3, 2))
			c.expect("a:xx")
		}},
		{"the old file is not shown twice", func(c *committer) {
			tree(c.t, c.db, "a")
			c.both(c.packed("a", 1, 1))
			c.rename("a", "a~")
			tree(c.t, c.db, "a")
			c.both()
			c.expect("a~:x")
			c.both(c.packed("a", 3, 2))
			c.expect("a:xx a~:x")
		}},
		{"a successor that is removed takes the name with it", func(c *committer) {
			tree(c.t, c.db, "a")
			c.both(c.packed("a", 1, 1))
			tree(c.t, c.db, "tmp")
			c.rename("tmp", "a")
			c.both()
			c.unlink("a")
			c.both()
			c.expect("")
		}},
		{"a waiting file with two names gets both at once", func(c *committer) {
			tree(c.t, c.db, "d/", "a", "d/b=a")
			c.both()
			c.expect("d/")
			c.both(c.packed("a", 2, 1))
			c.expect("a:x d/ d/b:x")
		}},
		{"exchange with a waiting file", func(c *committer) {
			tree(c.t, c.db, "a")
			c.both(c.packed("a", 1, 1))
			tree(c.t, c.db, "b")
			must(c.db.Rename(ctx, index.RenameRequest{OldParent: 1, OldName: []byte("a"), NewParent: 1, NewName: []byte("b"), Exchange: true}))
			c.both()
			c.expect("b:x")
			c.both(c.packed("a", 3, 2))
			c.expect("a:xx b:x")
		}},
		{"a cut that is not committed is cut again", func(c *committer) {
			tree(c.t, c.db, "d/", "a")
			c.cut(c.packed("a", 1, 1))
			tree(c.t, c.db, "e/")
			c.both(c.packed("a", 1, 1))
			c.expect("a:x d/ e/")
		}},
		{"a change after the cut goes out with the next one", func(c *committer) {
			tree(c.t, c.db, "d/", "a")
			p := c.packed("a", 1, 1)
			t := c.cut(p)
			c.unlink("a")
			must(c.db.Rmdir(ctx, index.Root, []byte("d")))
			tree(c.t, c.db, "e/")
			c.commit(t, p)
			c.expect("a:x d/")
			c.both()
			c.expect("e/")
		}},
		{"a directory moves with what is in it", func(c *committer) {
			tree(c.t, c.db, "d/", "d/e/", "d/e/a", "f/")
			c.both(c.packed("d/e/a", 1, 1))
			c.rename("d/e", "f/g")
			c.both()
			c.expect("d/ f/ f/g/ f/g/a:x")
		}},
		{"a file written while it was packed is shown as packed", func(c *committer) {
			tree(c.t, c.db, "a")
			p := c.packed("a", 1, 1)
			must(c.db.MarkDirty(ctx, p.Ino, 0))
			c.both(p)
			c.expect("a:x")
			if a := lookup(c.t, c.db, "a"); !a.Dirty {
				c.t.Errorf("the file is clean: %+v", a)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			tt.run(&committer{t: t, db: db})
			if problems := must(db.Check(ctx)); len(problems) > 0 {
				t.Errorf("not sound: %q", problems)
			}
		})
	}
}

// certify takes the segments through to Certified and moves the anchor; it
// returns the generation of the anchor, or 0.
func certify(t testing.TB, db *index.DB, numbers ...uint64) uint64 {
	t.Helper()
	var blobs []walrus.BlobID
	for _, n := range numbers {
		blobs = append(blobs, blob(n))
	}
	a := must(db.NextAnchor(ctx, blobs))
	for _, n := range numbers {
		r := must(db.Receipt(ctx, n))
		r.Stage, r.Object, r.EndEpoch = walrus.Certified, walrus.ObjectID{byte(n)}, walrus.Epoch(n)
		if err := db.Checkpoint(ctx, n, r); err != nil {
			t.Fatal(err)
		}
	}
	if a == nil {
		return 0
	}
	if err := db.AnchorMoved(ctx, *a, 100+a.Generation); err != nil {
		t.Fatal(err)
	}
	return a.Generation
}

// TestDesignExample is the example of files a, b and c over three segments.
func TestDesignExample(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	tree(t, db, "a", "b", "c")
	a, b := c.packed("a", 1, 1), lookup(t, db, "b")
	t1 := c.cut(a)
	partial := index.Partial{Ino: b.Ino, Version: b.Version, Len: 8, Segment: 1, Pos: 1}
	if err := db.CommitSegments(ctx, index.Commit{Trailer: t1, Segments: []index.SegmentRow{segment(1)}, Packed: []index.Packed{a},
		Partials: []index.Partial{partial}}); err != nil {
		t.Fatal(err)
	}
	c.trailers = append(c.trailers, t1)
	c.expect("a:x")
	if err := db.Queue(ctx, b.Ino, index.Queued{Size: 20, Mtime: 7}); err != nil {
		t.Fatal(err)
	}
	jobs := must(db.Claim(ctx, 10, true))
	if len(jobs) != 1 || len(jobs[0].Partials) != 1 || jobs[0].Partials[0] != partial || string(jobs[0].Name) != "b" || jobs[0].Size != 20 {
		t.Fatalf("jobs %+v", jobs)
	}
	t2 := c.cut()
	if len(t2.Names)+len(t2.Contents) != 0 {
		t.Errorf("segment 2 publishes %+v", t2)
	}
	c.commit(t2)
	whole := index.Packed{Ino: b.Ino, Version: b.Version, Size: 20, Mtime: 7, Ops: []index.Op{
		{Len: 8, Segment: 1, Pos: 1}, {Off: 8, Len: 8, Segment: 2}, {Off: 16, Len: 4, Segment: 3}}}
	third := []index.Packed{whole, c.packed("c", 3, 1)}
	c.both(third...)

	// Certified out of order: the anchor waits for 2.
	if g := certify(t, db, 1); g != 1 {
		t.Errorf("anchor at %d, want 1", g)
	}
	if g := certify(t, db, 3); g != 0 {
		t.Errorf("anchor at %d while 2 is missing", g)
	}
	if s := must(db.State(ctx, b.Ino)); s.State != index.StateStoring || len(s.Extents) != 3 {
		t.Errorf("state of b %+v", s)
	}
	next := must(db.NextAnchor(ctx, []walrus.BlobID{blob(2)}))
	if next == nil || next.Generation != 3 || next.Head != blob(3) || len(next.Window) != 3 || next.Drive != [16]byte{1} || next.Writer != [16]byte{2} {
		t.Fatalf("anchor %+v", next)
	}
	if g := certify(t, db, 2); g != 3 {
		t.Errorf("anchor at %d, want 3", g)
	}
	files, segments, err := db.Finish(ctx)
	if err != nil || len(files) != 3 || len(segments) != 3 {
		t.Fatalf("finished %v, %v, %v", files, segments, err)
	}
	for _, f := range files {
		if !f.Clean {
			t.Errorf("inode %d is not clean", f.Ino)
		}
	}
	if s := must(db.State(ctx, b.Ino)); s.State != index.StateCertified || s.EndEpoch != 1 {
		t.Errorf("state of b %+v", s)
	}

	// The trailer of segment 4 repeats the ids, and the window shrinks.
	tree(t, db, "d/")
	c.both()
	if n := len(c.trailers[3].Segments); n != 3 {
		t.Errorf("trailer 4 announces %d segments", n)
	}
	if next = must(db.NextAnchor(ctx, []walrus.BlobID{blob(4)})); len(next.Window) != 1 || next.Window[0].Number != 4 {
		t.Errorf("window %v", next.Window)
	}
}

// TestAbandonedCut: what a cut without a commit left behind is certified with the
// cut that follows, in the same process or after a restart.
func TestAbandonedCut(t *testing.T) {
	for _, restart := range []string{"same process", "killed"} {
		t.Run(restart, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index")
			db := openPath(t, path)
			defer func() { closeDB(t, db) }()
			if err := db.Init(ctx, index.Drive{}); err != nil {
				t.Fatal(err)
			}
			c := &committer{t: t, db: db}
			tree(t, db, "d/", "a", "wait")
			c.cut(c.packed("a", 1, 1))
			tree(t, db, "e/", "b", "b2=b")
			c.rename("e", "f")
			c.rename("f", "e")
			c.cut()
			if restart == "killed" {
				if err := db.Kill(); err != nil {
					t.Fatal(err)
				}
				db = openPath(t, path)
				c.db = db
			}
			completed := []index.Packed{c.packed("a", 1, 1), c.packed("b", 1, 1)}
			c.both(completed...)
			if g := certify(t, db, 1); g != 1 {
				t.Fatalf("anchor at %d", g)
			}
			for _, p := range []string{"/", "d", "e", "a", "b", "b2"} {
				if s := state(t, db, p); s != index.StateCertified {
					t.Errorf("%s is %s", p, s)
				}
			}
			if s := state(t, db, "wait"); s != index.StateDirty {
				t.Errorf("wait is %s", s)
			}
			if p := must(db.Pending(ctx)); p.Names {
				t.Errorf("pending %+v", p)
			}
		})
	}
}

// TestInFlight fills the window: no cut beyond it.
func TestInFlight(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	for range index.MaxInFlight {
		c.both()
	}
	if _, err := db.CutTrailer(ctx, nil); !errors.Is(err, index.ErrInFlight) {
		t.Fatalf("got %v", err)
	}
	certify(t, db, 1)
	cut := c.cut()
	var many []index.SegmentRow
	for i := range 6 {
		s := segment(cut.Generation + uint64(i))
		s.Part, s.Parts = i, 6
		many = append(many, s)
	}
	if err := db.CommitSegments(ctx, index.Commit{Trailer: cut, Segments: many}); !errors.Is(err, index.ErrInFlight) {
		t.Errorf("six segments: %v", err)
	}
	for i := range many {
		many[i].Parts = 5
	}
	if err := db.CommitSegments(ctx, index.Commit{Trailer: cut, Segments: many[:5]}); err != nil {
		t.Errorf("five segments: %v", err)
	}
	if n := must(db.NextSegment(ctx)); n != cut.Generation+5 {
		t.Errorf("next segment %d", n)
	}
	if p := must(db.Pending(ctx)); p.Segments != 64 {
		t.Errorf("pending %+v", p)
	}
}

func TestStaleCommits(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	tree(t, db, "a")
	p := c.packed("a", 1, 1)
	first := c.cut(p)
	second := c.cut(p)
	commit := func(t *index.Trailer, s index.SegmentRow) error {
		return db.CommitSegments(ctx, index.Commit{Trailer: t, Segments: []index.SegmentRow{s}, Packed: []index.Packed{p}})
	}
	if err := commit(first, segment(1)); !errors.Is(err, index.ErrStale) {
		t.Errorf("older cut: %v", err)
	}
	if err := commit(second, segment(2)); !errors.Is(err, index.ErrStale) {
		t.Errorf("wrong number: %v", err)
	}
	if err := commit(second, segment(1)); err != nil {
		t.Errorf("commit: %v", err)
	}
	if err := commit(second, segment(2)); !errors.Is(err, index.ErrStale) {
		t.Errorf("twice: %v", err)
	}
	if _, err := db.CutTrailer(ctx, []index.Packed{p}); !errors.Is(err, index.ErrStale) {
		t.Errorf("published version: %v", err)
	}
	p.Version++
	if _, err := db.CutTrailer(ctx, []index.Packed{p}); !errors.Is(err, index.ErrStale) {
		t.Errorf("future version: %v", err)
	}
	must(db.MarkDirty(ctx, p.Ino, 0))
	p.Ops[0].Segment = 3
	if _, err := db.CutTrailer(ctx, []index.Packed{p}); !errors.Is(err, index.ErrRange) {
		t.Errorf("future segment: %v", err)
	}
	other := must(db.Receipt(ctx, 1))
	other.Blob[0]++
	if err := db.Checkpoint(ctx, 1, other); !errors.Is(err, index.ErrStale) {
		t.Errorf("checkpoint of another blob: %v", err)
	}
	if err := db.AnchorMoved(ctx, index.Anchor{Generation: 9}, 1); !errors.Is(err, index.ErrStale) {
		t.Errorf("anchor of the future: %v", err)
	}
}
