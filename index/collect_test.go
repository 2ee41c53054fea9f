package index_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// haul copies what is left of some segments into the one that is made next, as
// compaction does.
func (w *world) haul(number uint64) (moves []index.Move) {
	for _, u := range must(w.db.SegmentUses(ctx)) {
		if u.Live == 0 || u.Gaps || u.Deleting || w.rng.IntN(4) > 0 {
			continue
		}
		_, list, err := w.db.Movable(ctx, u.Number)
		w.expect("movable", err)
		for _, m := range list {
			m.To, m.ToPos = number, int64(len(w.segments[number]))
			w.segments[number] = append(w.segments[number], w.segments[m.Segment][m.Pos:m.Pos+m.Len]...)
			moves = append(moves, m)
			w.hauled++
		}
	}
	w.rng.Shuffle(len(moves), func(i, j int) { moves[i], moves[j] = moves[j], moves[i] })
	return moves
}

// collect does a round of garbage collection, now and then one that a crash
// interrupts, and checks that nothing that is deleted is missing anywhere.
func (w *world) collect(meanwhile func()) {
	now := w.clock.now()
	_, _, err := w.db.Condemn(ctx, now)
	w.expect("condemn", err)
	meanwhile()
	tx := [32]byte{byte(w.rng.IntN(256)), byte(w.rng.IntN(256)), 1}
	list, err := w.db.BeginDeletion(ctx, tx, now.Add(-time.Duration(w.rng.IntN(3))*time.Microsecond), 1+w.rng.IntN(4))
	w.expect("begin deletion", err)
	if len(list) == 0 {
		return
	}
	if w.rng.IntN(4) == 0 {
		w.crash()
	}
	journalled := must(w.db.Deletions(ctx))
	if len(journalled) != 1 || journalled[0].Tx != tx || !slices.Equal(journalled[0].Segments, list) {
		w.t.Fatalf("journal has %+v, want %x with %+v", journalled, tx, list)
	}
	anchored := must(w.db.Anchored(ctx)).Anchor
	for _, s := range list {
		if anchored.Snapshot == nil || s.Number >= anchored.Snapshot.Generation || w.collected[s.Number] {
			w.t.Fatalf("segment %d is collected, the anchor names %+v", s.Number, anchored.Snapshot)
		}
		w.collected[s.Number] = true
		delete(w.segments, s.Number)
	}
	meanwhile()
	w.expect("deleted", w.db.Deleted(ctx, list))
	w.remembered(anchored.Generation)
	w.sound(w.db)
}

// collecting is a drive with a full snapshot that the anchor covers, over
// segments of which the first is garbage.
func collecting(t *testing.T) *world {
	t.Helper()
	w := newWorldOf(t, 1, false)
	t.Cleanup(func() { w.expect("close", w.db.Close()) })
	for _, name := range []string{"old", "kept", "new"} {
		w.file(name, name)
	}
	_, err := w.db.Unlink(ctx, index.Root, []byte("old"))
	w.expect("unlink", err)
	_, err = w.db.Reap(ctx, must(w.db.Orphans(ctx))[0])
	if err != nil && !errors.Is(err, index.ErrNotExist) {
		t.Fatal(err)
	}
	w.store(nil)
	w.snapshotNow()
	return w
}

// file makes a file in a segment of its own.
func (w *world) file(name, content string) index.Ino {
	w.t.Helper()
	a := must(w.db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte(name), Mode: fileMode}))
	version := must(w.db.MarkDirty(ctx, a.Ino, 0))
	w.expect("queue", w.db.Queue(ctx, a.Ino, index.Queued{Size: int64(len(content))}))
	number := must(w.db.NextSegment(ctx))
	w.segments[number] = []byte(content)
	w.store([]index.Packed{{Ino: a.Ino, Version: version, Size: int64(len(content)),
		Ops: []index.Op{{Len: int64(len(content)), Segment: number}}, Hashes: []index.RangeHash{{Hash: [32]byte{byte(number)}}}}})
	return a.Ino
}

// store commits and certifies a segment, and finishes it.
func (w *world) store(packed []index.Packed, moves ...index.Move) {
	w.t.Helper()
	w.storeFull(packed, false, moves...)
}

// snapshotNow stores a full snapshot.
func (w *world) snapshotNow() { w.storeFull(nil, true) }

func (w *world) storeFull(packed []index.Packed, full bool, moves ...index.Move) {
	w.t.Helper()
	t := must(w.db.CutTrailer(ctx, packed, moves...))
	c := index.Commit{Trailer: t, Packed: packed, Segments: []index.SegmentRow{segment(t.Generation)}}
	c.Encoded = must(index.MarshalTrailer(t))
	if full {
		_, snapshot, err := w.db.EncodeFull(ctx)
		w.expect("full snapshot", err)
		c.Encoded = must(index.MarshalFull(t, snapshot))
	}
	w.expect("commit", w.db.CommitSegments(ctx, c))
	if w.committed != nil {
		w.committed(t.Generation)
	}
	a := must(w.db.NextAnchor(ctx, []walrus.BlobID{c.Segments[0].Blob}))
	r := must(w.db.Receipt(ctx, t.Generation))
	r.Stage, r.EndEpoch, r.Object = walrus.Certified, 9, walrus.ObjectID{byte(t.Generation)}
	w.expect("checkpoint", w.db.Checkpoint(ctx, t.Generation, r))
	w.expect("anchor moved", w.db.AnchorMoved(ctx, *a, a.Generation))
	_, _, err := w.db.Finish(ctx)
	w.expect("finish", err)
}

// condemned returns the numbers of the condemned segments.
func (w *world) condemned(now time.Time) []uint64 {
	w.t.Helper()
	_, _, err := w.db.Condemn(ctx, now)
	w.expect("condemn", err)
	var list []uint64
	for n := range must(w.db.Condemned(ctx)) {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// TestCondemn: a segment without content is condemned once a full snapshot
// stands for its trailer, and deleted when it has been so for long enough.
func TestCondemn(t *testing.T) {
	w := newWorldOf(t, 1, false)
	defer func() { w.expect("close", w.db.Close()) }()
	w.file("old", "old")
	w.file("kept", "kept")
	_, err := w.db.Unlink(ctx, index.Root, []byte("old"))
	w.expect("unlink", err)
	for _, ino := range must(w.db.Orphans(ctx)) {
		_, err := w.db.Reap(ctx, ino)
		w.expect("reap", err)
	}
	w.store(nil)
	start := time.Unix(1000, 0)
	if got := w.condemned(start); got != nil {
		t.Fatalf("condemned without a full snapshot: %d", got)
	}
	w.snapshotNow()
	if got := w.condemned(start); !slices.Equal(got, []uint64{1}) { // 3 was announced by the snapshot's trailer
		t.Fatalf("condemned %d, want 1", got)
	}
	due := func(grace time.Duration, now time.Time) []index.DeletedSegment {
		return must(w.db.BeginDeletion(ctx, [32]byte{7}, now.Add(-grace), 10))
	}
	if got := due(time.Hour, start.Add(59*time.Minute)); len(got) > 0 {
		t.Errorf("deleted within the grace period: %+v", got)
	}
	w.condemned(start.Add(-24 * time.Hour)) // another ledger, whose clock is behind
	if got := due(time.Hour, start.Add(-23*time.Hour-time.Minute)); len(got) > 0 {
		t.Errorf("deleted by a clock that was set back: %+v", got)
	}
	got := due(time.Hour, start)
	if len(got) != 1 || got[0].Number != 1 || got[0].Object != (walrus.ObjectID{1}) {
		t.Fatalf("to delete: %+v", got)
	}
	w.expect("deleted", w.db.Deleted(ctx, got))
	if rows := must(w.db.Segments(ctx, index.SegmentFilter{Number: 1})); len(rows) > 0 {
		t.Errorf("its row is still there")
	}
	w.sound(w.db)
}

// TestDeletionIsFinal: nothing can refer to a segment once its deletion is
// written down, nor when it is gone.
func TestDeletionIsFinal(t *testing.T) {
	for _, gone := range []bool{false, true} {
		w := collecting(t)
		kept := must(w.db.Lookup(ctx, index.Root, []byte("kept"))).Ino
		w.condemned(time.Unix(1000, 0))
		list := must(w.db.BeginDeletion(ctx, [32]byte{7}, time.Unix(1000, 0), 10))
		if len(list) != 1 || list[0].Number != 1 {
			t.Fatalf("to delete: %+v", list)
		}
		if gone {
			w.expect("deleted", w.db.Deleted(ctx, list))
		}
		version := must(w.db.MarkDirty(ctx, kept, 0))
		w.expect("queue", w.db.Queue(ctx, kept, index.Queued{Size: 3}))
		packed := []index.Packed{{Ino: kept, Version: version, Size: 3, Ops: []index.Op{{Len: 3, Segment: 1}}}}
		c := index.Commit{Trailer: must(w.db.CutTrailer(ctx, packed)), Packed: packed}
		c.Segments = []index.SegmentRow{segment(c.Trailer.Generation)}
		if err := w.db.CommitSegments(ctx, c); !errors.Is(err, index.ErrCollected) {
			t.Errorf("gone %v: content in a collected segment: %v", gone, err)
		}
		c = index.Commit{Trailer: must(w.db.CutTrailer(ctx, nil)), Partials: []index.Partial{{Ino: kept, Version: version, Len: 3, Segment: 1}}}
		c.Segments = []index.SegmentRow{segment(c.Trailer.Generation)}
		if err := w.db.CommitSegments(ctx, c); !errors.Is(err, index.ErrCollected) {
			t.Errorf("gone %v: a partial in a collected segment: %v", gone, err)
		}
		for _, insert := range []string{
			`INSERT INTO trash_extents (id, off, len, segment, pos) VALUES (1, 0, 3, 1, 0)`,
			`INSERT INTO moved (segment, pos, len, from_seg, from_pos) VALUES (9, 0, 3, 1, 0)`,
			`INSERT INTO extents (ino, dead, off, len, segment, pos, born) VALUES (2, 9223372036854775807, 0, 3, 1, 0, 1)`,
		} {
			if err := w.sql(insert); err == nil {
				t.Errorf("gone %v: accepted %s", gone, insert)
			}
		}
		if _, _, err := w.db.Movable(ctx, 1); !errors.Is(err, index.ErrNotExist) {
			t.Errorf("gone %v: content of a collected segment can be moved: %v", gone, err)
		}
		w.sound(w.db)
	}
}

// sql changes the database behind the index's back.
func (w *world) sql(statement string) error {
	w.t.Helper()
	db := must(sql.Open("sqlite3", "file:"+filepath.Clean(w.path)+"?_busy_timeout=5000"))
	defer db.Close()
	_, err := db.Exec(statement)
	return err
}

// TestAcquit: a condemned segment that content refers to again is not
// condemned, and the trash keeps one from being deleted.
func TestAcquit(t *testing.T) {
	w := collecting(t)
	now := time.Unix(1000, 0)
	w.condemned(now)
	w.expect("trash", w.sql(`INSERT INTO trash (id, deleted, passed, replaced, path, mode, uid, gid, size, atime, mtime, btime) VALUES (1, 0, 0, 0, x'61', 33188, 0, 0, 3, 0, 0, 0)`))
	w.expect("trash", w.sql(`INSERT INTO trash_extents (id, off, len, segment, pos) VALUES (1, 0, 3, 1, 0)`))
	if got := must(w.db.BeginDeletion(ctx, [32]byte{7}, now, 10)); len(got) > 0 {
		t.Errorf("deleted from under the trash: %+v", got)
	}
	if got := must(w.db.Condemned(ctx)); len(got) == 0 {
		t.Error("the trash acquits")
	}
	w.expect("trash", w.sql(`DELETE FROM trash_extents`))

	kept := must(w.db.Lookup(ctx, index.Root, []byte("kept"))).Ino
	version := must(w.db.MarkDirty(ctx, kept, 0))
	w.expect("queue", w.db.Queue(ctx, kept, index.Queued{Size: 3}))
	w.store([]index.Packed{{Ino: kept, Version: version, Size: 3, Ops: []index.Op{{Len: 3, Segment: 1}}}})
	if got := must(w.db.Condemned(ctx)); len(got) > 0 {
		t.Errorf("condemned although it is needed: %v", got)
	}
	if got := must(w.db.BeginDeletion(ctx, [32]byte{7}, now, 10)); len(got) > 0 {
		t.Errorf("deleted although it is needed: %+v", got)
	}
}

// TestAnchorObjectStays: a row that claims the anchor object deletes nothing.
func TestAnchorObjectStays(t *testing.T) {
	w := collecting(t)
	w.expect("set anchor", w.db.SetAnchor(ctx, walrus.ObjectID{1}, 100))
	w.condemned(time.Unix(1000, 0))
	if got := must(w.db.BeginDeletion(ctx, [32]byte{7}, time.Unix(1000, 0), 10)); len(got) > 0 {
		t.Errorf("about to delete the anchor: %+v", got)
	}
}

// TestMoveIsInvisible: moved content keeps its version, dates, hashes and state,
// and what is no longer where it was read stays where it is.
func TestMoveIsInvisible(t *testing.T) {
	w := collecting(t)
	kept := must(w.db.Lookup(ctx, index.Root, []byte("kept"))).Ino
	changed := must(w.db.Lookup(ctx, index.Root, []byte("new"))).Ino
	before, state := must(w.db.Get(ctx, kept)), must(w.db.State(ctx, kept))
	_, a, err := w.db.Movable(ctx, 2)
	w.expect("movable", err)
	_, b, err := w.db.Movable(ctx, 3)
	w.expect("movable", err)
	moves := append(a, b...)
	number := must(w.db.NextSegment(ctx)) + 1
	plain := []byte("keptnew")
	w.segments[number] = plain
	for i := range moves {
		moves[i].To, moves[i].ToPos = number, int64(4*i)
	}
	// "new" is rewritten from its second byte on, and that is published before the move.
	version := must(w.db.MarkDirty(ctx, changed, 0))
	w.expect("queue", w.db.Queue(ctx, changed, index.Queued{Size: 3}))
	w.segments[number-1] = []byte("EW")
	w.store([]index.Packed{{Ino: changed, Version: version, Size: 3, Base: 3, Ops: []index.Op{{Off: 1, Len: 2, Segment: number - 1}}}})
	w.committed = func(number uint64) {
		if after := must(w.db.State(ctx, kept)); after.State != index.StateCertified {
			t.Errorf("it is %s while it is moved", after.State)
		}
		if u := must(w.db.Usage(ctx)); u.Storing != 0 {
			t.Errorf("%d bytes count as being stored", u.Storing)
		}
		m := must(w.db.Material(ctx, number))
		if len(m.Moved) != 2 || m.Moved[0].From.Number != 2 || m.Moved[1].From.Number != 3 || len(m.Ranges) > 0 {
			t.Errorf("made of %+v", m)
		}
	}
	w.store(nil, moves...)
	if got := must(w.db.RangeHashes(ctx, kept)); len(got) != 1 || got[0].Hash != [32]byte{2} {
		t.Errorf("hashes %x", got)
	}
	if after := must(w.db.Get(ctx, kept)); after != before {
		t.Errorf("attributes changed from %+v to %+v", before, after)
	}
	if after := must(w.db.State(ctx, kept)); after.State != state.State || len(after.Extents) != 1 || after.Extents[0].Segment != number {
		t.Errorf("state %+v, before %+v", after, state)
	}
	got := must(w.db.Extents(ctx, changed, 0, -1))
	if text := string(w.read(got, 3)); text != "nEW" || got[0].Segment != number || got[1].Segment != number-1 {
		t.Errorf("%q in %+v", text, got)
	}
	w.sound(w.db)
}

// TestMoveKeepsItsSource: where content was moved from stays as long as it may
// have to be moved again.
func TestMoveKeepsItsSource(t *testing.T) {
	w := collecting(t)
	w.condemned(time.Unix(1000, 0))
	w.expect("move", w.sql(`INSERT INTO moved (segment, pos, len, from_seg, from_pos) VALUES (9, 0, 3, 1, 0)`))
	if got := must(w.db.BeginDeletion(ctx, [32]byte{7}, time.Unix(1000, 0), 10)); len(got) > 0 {
		t.Errorf("about to delete %+v", got)
	}
	if got := w.condemned(time.Unix(1000, 0)); len(got) > 0 {
		t.Errorf("condemned %d", got)
	}
}

// TestMoveOfTheNameless: what no published name leads to is not moved, since a
// reader of trailers may not know it.
func TestMoveOfTheNameless(t *testing.T) {
	w := collecting(t)
	_, moves, err := w.db.Movable(ctx, 2)
	w.expect("movable", err)
	_, err = w.db.Unlink(ctx, index.Root, []byte("kept")) // and somebody has it open
	w.expect("unlink", err)
	w.store(nil)
	if _, got, err := w.db.Movable(ctx, 2); err != nil || len(got) > 0 {
		t.Errorf("movable: %+v, %v", got, err)
	}
	moves[0].To = must(w.db.NextSegment(ctx))
	if c := must(w.db.CutTrailer(ctx, nil, moves...)); len(c.Contents) > 0 {
		t.Errorf("the trailer says %+v", c.Contents)
	}
}

// TestFullLeavesDeletedOut: a full snapshot lists no segment that is being deleted.
func TestFullLeavesDeletedOut(t *testing.T) {
	w := collecting(t)
	w.condemned(time.Unix(1000, 0))
	if got := must(w.db.BeginDeletion(ctx, [32]byte{7}, time.Unix(1000, 0), 10)); len(got) != 1 {
		t.Fatalf("to delete: %+v", got)
	}
	_, full, err := w.db.EncodeFull(ctx)
	w.expect("full snapshot", err)
	path := filepath.Join(t.TempDir(), "replayed")
	r := must(index.NewReplay(ctx, path, index.Drive{ID: [16]byte{1}}))
	w.expect("apply", r.ApplyFull(ctx, full, func(s *index.SegmentRow) error {
		s.Blob = walrus.BlobID{byte(s.Number)}
		return nil
	}))
	_, err = r.Close(ctx, index.AnchorState{})
	w.expect("close", err)
	db := must(index.Open(ctx, index.Config{Path: path}))
	defer func() { w.expect("close", db.Close()) }()
	if rows := must(db.Segments(ctx, index.SegmentFilter{})); len(rows) == 0 || rows[0].Number != 2 {
		t.Errorf("segments %+v", rows)
	}
}
