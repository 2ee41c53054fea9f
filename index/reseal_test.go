package index_test

import (
	"bytes"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// reseal makes a segment again as the committer does: of what is not published
// any more, and of what was written since, nothing is left.
func (w *world) reseal() {
	w.giveUp()
	open := must(w.db.Segments(ctx, index.SegmentFilter{Below: walrus.Stored}))
	if len(open) == 0 {
		return
	}
	s := open[w.rng.IntN(len(open))]
	m := must(w.db.Material(ctx, s.Number))
	w.complete(m)
	missing, kept := make(map[int64]index.Ino), make(map[int64]bool)
	for _, r := range m.Ranges {
		lost := w.rng.IntN(2) == 0 // of a partial all or nothing
		for i := range r.Len {
			if r.Live && !w.moved(r.Ino, r.Off+i) || r.Version != 0 && !lost {
				kept[r.Pos+i] = true
			} else {
				missing[r.Pos+i] = r.Ino
			}
		}
	}
	plain := slices.Clone(w.segments[s.Number])
	var gaps []index.Gap
	for pos := range int64(len(plain)) {
		ino, ok := missing[pos]
		if !ok || kept[pos] {
			continue
		}
		plain[pos] = 0
		if last := len(gaps) - 1; last >= 0 && gaps[last].Ino == ino && gaps[last].Pos+gaps[last].Len == pos {
			gaps[last].Len++
		} else {
			gaps = append(gaps, index.Gap{Ino: ino, Pos: pos, Len: 1})
		}
	}
	header := s.Header
	header[63]++
	w.expect("reseal", w.db.Reseal(ctx, s.Number, header, gaps))
	w.gapped[s.Number] = plain
	w.dropLost(s.Number)
	receipt := must(w.db.Receipt(ctx, s.Number))
	receipt.Blob = s.Blob
	receipt.Blob[31]++
	w.expect("checkpoint", w.db.Checkpoint(ctx, s.Number, receipt))
	for _, c := range w.trailers {
		for i := range c.segments {
			if c.segments[i].Number == s.Number {
				c.segments[i].Blob = receipt.Blob
			}
		}
	}
}

// complete compares what the index says of a segment with all there is in its tables.
func (w *world) complete(m index.Material) {
	w.t.Helper()
	db := must(sql.Open("sqlite3", "file:"+w.path+"?mode=ro"))
	defer db.Close()
	var n int
	w.expect("count", db.QueryRow(`SELECT (SELECT count(*) FROM extents WHERE segment = ?1) +
		(SELECT count(*) FROM partials WHERE segment = ?1) - (SELECT count(*) FROM extents e JOIN moved m
		ON m.segment = e.segment AND m.pos <= e.pos AND e.pos < m.pos + m.len WHERE e.segment = ?1)`, int64(m.Segment.Number)).Scan(&n))
	for _, r := range m.Moved {
		from := w.segments[r.From.Number][r.FromPos : r.FromPos+r.Len]
		if got := w.segments[m.Segment.Number][r.Pos : r.Pos+r.Len]; !bytes.Equal(got, from) {
			w.t.Fatalf("moved to %d in segment %d: %x, segment %d has %x at %d", r.Pos, m.Segment.Number, got, r.From.Number, from, r.FromPos)
		}
	}
	if n != len(m.Ranges) {
		w.t.Fatalf("%d ranges in segment %d, want %d", len(m.Ranges), m.Segment.Number, n)
	}
	for _, c := range w.trailers {
		if c.segments[0].Number == m.Segment.Generation && (!bytes.Equal(c.encoded, m.Trailer) || len(c.segments) != len(m.Parts)) {
			w.t.Fatalf("trailer of %d bytes in %d parts, want %d in %d", len(m.Trailer), len(m.Parts), len(c.encoded), len(c.segments))
		}
	}
}

// moved reports whether a published byte of a file was written or cut off since.
func (w *world) moved(ino index.Ino, off int64) bool {
	f := w.files[ino]
	if f == nil {
		return true
	}
	if a, err := w.db.Get(ctx, ino); err != nil || a.Nlink == 0 {
		return w.rng.IntN(2) == 0
	}
	return f.dirty[off/block] || off >= f.base
}

// nothingGapped checks that gaps are forgotten once nothing needs them.
func (w *world) nothingGapped() {
	w.t.Helper()
	db := must(sql.Open("sqlite3", "file:"+w.path+"?mode=ro"))
	defer db.Close()
	for _, table := range []string{"gaps", "trailers"} {
		var n int
		w.expect("count", db.QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
		if n != 0 {
			w.t.Errorf("%d rows in %s at the end", n, table)
		}
	}
}

// TestReseal makes a segment again and looks at everything that has to change with it.
func TestReseal(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	tree(t, db, "a", "b")
	// a is complete, b in part.
	b := lookup(t, db, "b")
	packed := c.packed("a", 1, 3<<20)
	for i := range 3 {
		packed.Hashes = append(packed.Hashes, index.RangeHash{Index: int64(i), Hash: [32]byte{byte(i)}})
	}
	cut := c.cut(packed)
	s := segment(1)
	s.Size = 8 << 20
	commit := index.Commit{Trailer: cut, Segments: []index.SegmentRow{s}, Packed: []index.Packed{packed}, Encoded: []byte("the trailer"), Partials: []index.Partial{
		{Ino: b.Ino, Version: b.Version, Off: 0, Len: 100, Segment: 1, Pos: 4 << 20},
		{Ino: b.Ino, Version: b.Version, Off: 100, Len: 100, Segment: 1, Pos: 5 << 20},
	}}
	if err := db.CommitSegments(ctx, commit); err != nil {
		t.Fatal(err)
	}
	m := must(db.Material(ctx, 1))
	if string(m.Trailer) != "the trailer" || m.Segment.Size != s.Size || len(m.Parts) != 1 || len(m.Ranges) != 3 ||
		!m.Ranges[0].Live || m.Ranges[1].Version != b.Version || m.Ranges[2].Off != 100 {
		t.Fatalf("material %+v", m)
	}
	registered := must(db.Receipt(ctx, 1))
	registered.Stage, registered.Object, registered.EndEpoch, registered.RegisterTx = walrus.Registered, walrus.ObjectID{1}, 4, [32]byte{5}
	if err := db.Checkpoint(ctx, 1, registered); err != nil {
		t.Fatal(err)
	}
	header := [64]byte{1, 2, 3}
	gaps := []index.Gap{{Ino: b.Ino, Pos: 0, Len: 1}, {Ino: packed.Ino, Pos: 1 + 1<<20, Len: 10}, {Ino: b.Ino, Pos: 4<<20 + 99, Len: 1}}

	// Nothing is about to take the place of what a has lost.
	if err := db.Reseal(ctx, 1, header, gaps); !errors.Is(err, index.ErrStale) {
		t.Fatalf("gap in a clean file: %v", err)
	}
	if r := must(db.Receipt(ctx, 1)); r != registered {
		t.Errorf("after a refusal: %+v", r)
	}
	version := must(db.MarkDirty(ctx, packed.Ino, 0))
	for _, wrong := range [][]index.Gap{
		{{Pos: 5, Len: 0}}, {{Pos: -1, Len: 5}}, {{Pos: 8<<20 - 1, Len: 2}}, {{Pos: 5, Len: 2}, {Pos: 6, Len: 2}}, {{Pos: 9, Len: 1}, {Pos: 1, Len: 1}},
	} {
		if err := db.Reseal(ctx, 1, header, wrong); !errors.Is(err, index.ErrRange) {
			t.Errorf("gaps %v: %v", wrong, err)
		}
	}
	if err := db.Reseal(ctx, 1, header, gaps); err != nil {
		t.Fatal(err)
	}
	if r := must(db.Receipt(ctx, 1)); r != (walrus.Receipt{Stage: walrus.Encoded, Size: s.Size}) {
		t.Errorf("receipt %+v", r)
	}
	if e := must(db.Extents(ctx, packed.Ino, 0, 1)); len(e) != 1 || e[0].Header != header {
		t.Errorf("extents %+v", e)
	}
	if h := must(db.RangeHashes(ctx, packed.Ino)); len(h) != 0 { // the extent covers all
		t.Errorf("hashes %v", h)
	}
	if m = must(db.Material(ctx, 1)); len(m.Ranges) != 2 || m.Ranges[1].Off != 100 {
		t.Errorf("ranges %+v", m.Ranges)
	}
	if inos := must(db.Gapped(ctx)); !slices.Equal(inos, []index.Ino{packed.Ino}) {
		t.Errorf("gapped %v", inos)
	}

	// The anchor waits for what comes next.
	first := must(db.Receipt(ctx, 1))
	first.Blob = blob(1)
	if err := db.Checkpoint(ctx, 1, first); err != nil {
		t.Fatal(err)
	}
	if g := certify(t, db, 1); g != 0 {
		t.Errorf("anchor at %d", g)
	}
	if err := db.Reseal(ctx, 1, header, nil); !errors.Is(err, index.ErrStale) {
		t.Errorf("reseal of a certified segment: %v", err)
	}
	next := index.Packed{Ino: packed.Ino, Version: version, Size: 5, Mtime: 7, Ops: []index.Op{{Len: 5, Segment: 2}}}
	if err := db.CommitSegments(ctx, index.Commit{Trailer: c.cut(next), Segments: []index.SegmentRow{segment(2)}, Packed: []index.Packed{next}}); err != nil {
		t.Fatal(err)
	}
	if inos := must(db.Gapped(ctx)); len(inos) != 0 {
		t.Errorf("gapped %v", inos)
	}
	if g := certify(t, db, 2); g != 2 {
		t.Errorf("anchor at %d", g)
	}
	if _, _, err := db.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Material(ctx, 2); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("material of a finished segment: %v", err)
	}
	if p := must(db.Check(ctx)); len(p) != 0 {
		t.Errorf("check: %q", p)
	}
}

// A file that is deleted while it is open has no name that could show its gap.
func TestResealOrphan(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	tree(t, db, "a")
	packed := c.packed("a", 1, 10)
	c.commit(c.cut(packed), packed)
	must(db.Unlink(ctx, index.Root, []byte("a")))
	if err := db.Reseal(ctx, 1, [64]byte{7}, []index.Gap{{Ino: packed.Ino, Pos: 1, Len: 10}}); err != nil {
		t.Fatal(err)
	}
	r := must(db.Receipt(ctx, 1))
	r.Blob = blob(1)
	if err := db.Checkpoint(ctx, 1, r); err != nil {
		t.Fatal(err)
	}
	if g := certify(t, db, 1); g != 0 {
		t.Errorf("anchor at %d, where the name is", g)
	}
	c.commit(c.cut())
	if g := certify(t, db, 2); g != 2 {
		t.Errorf("anchor at %d, want 2", g)
	}
	if p := must(db.Check(ctx)); len(p) != 0 {
		t.Errorf("check: %q", p)
	}
}

// Check tells of what Reseal and NextAnchor never leave behind.
func TestCheckGaps(t *testing.T) {
	for want, sql := range map[string]string{
		"gap in no segment":                    `INSERT INTO gaps VALUES (9, 0, 1, 2)`,
		"overlapping gaps":                     `INSERT INTO gaps VALUES (1, 100, 5, 2), (1, 104, 5, 2)`,
		"gap in the anchored generation":       `INSERT INTO gaps VALUES (1, 1, 5, 2)`,
		"gap in a file that waits for nothing": `INSERT INTO gaps VALUES (1, 1, 5, 2); UPDATE meta SET value = 0 WHERE key = 'anchored'`,
		"segment without its trailer":          `UPDATE segments SET stage = 2`,
		"trailer of no segment":                `INSERT INTO trailers VALUES (9, x'00')`,
	} {
		t.Run(want, func(t *testing.T) {
			path := t.TempDir() + "/index"
			db := openPath(t, path)
			if err := db.Init(ctx, index.Drive{ID: [16]byte{1}}); err != nil && !errors.Is(err, index.ErrExist) {
				t.Fatal(err)
			}
			c := &committer{t: t, db: db}
			tree(t, db, "a")
			packed := c.packed("a", 1, 10)
			c.commit(c.cut(packed), packed)
			certify(t, db, 1)
			if _, _, err := db.Finish(ctx); err != nil {
				t.Fatal(err)
			}
			closeDB(t, db)
			if err := execute(path, sql); err != nil {
				t.Fatal(err)
			}
			db = openPath(t, path)
			defer closeDB(t, db)
			if p := must(db.Check(ctx)); !slices.ContainsFunc(p, func(s string) bool { return strings.HasPrefix(s, want) }) {
				t.Errorf("problems %q", p)
			}
		})
	}
}
