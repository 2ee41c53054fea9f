package index_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/index"
)

var fullHead = index.FullHead{Drive: [16]byte{1}, Generation: 2, Last: 2, NextIno: 50}

func fullSegment(number uint64) index.FullSegment {
	s := segment(number)
	return index.FullSegment{Number: number, Generation: number, Parts: 1, Announced: min(number+1, 2), Blob: s.Blob, Size: s.Size, Header: s.Header}
}

// applyFull replays nothing but a full snapshot.
func applyFull(t testing.TB, snapshot []byte) (*index.DB, index.ReplayReport, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "replayed")
	r := must(index.NewReplay(ctx, path, index.Drive{ID: [16]byte{1}}))
	resolve := func(s *index.SegmentRow) error {
		s.Blob, s.Size = blob(s.Number), 1<<20
		return nil
	}
	if err := r.ApplyFull(ctx, snapshot, resolve); err != nil {
		return nil, index.ReplayReport{}, errors.Join(err, r.Abort())
	}
	report := must(r.Close(ctx, index.AnchorState{}))
	return openPath(t, path), report, nil
}

// TestFullRows says what is refused of a snapshot, and what of its rows only.
func TestFullRows(t *testing.T) {
	segments := index.SegmentFrame(fullSegment(1), fullSegment(2))
	root := inodeRow(1, dirMode)
	name := func(parent index.Ino, name string, ino index.Ino) []byte {
		return index.NameFrame(nameRow(parent, name, ino))
	}
	content := index.ContentRow{Ino: 2, Version: 4, Size: 30, Ops: []index.Op{{Off: 0, Len: 10, Segment: 1}, {Off: 20, Len: 10, Segment: 2}}}
	file := func(change func(*index.ContentRow)) []byte {
		c := content
		c.Ops = slices.Clone(c.Ops)
		change(&c)
		return index.InodeFrame([]index.InodeRow{root, inodeRow(2, fileMode)}, []index.ContentRow{c})
	}
	good := file(func(*index.ContentRow) {})
	for _, tt := range []struct {
		name     string
		head     func(*index.FullHead)
		frames   [][]byte
		want     string // the paths; "refused": no snapshot
		problems int
	}{
		{"whole", nil, [][]byte{segments, good, name(1, "a", 2)}, "a", 0},
		{"other drive", func(h *index.FullHead) { h.Drive[0] = 2 }, [][]byte{segments}, "refused", 0},
		{"segments end early", func(h *index.FullHead) { h.Generation, h.Last = 3, 3 }, [][]byte{segments, good}, "refused", 0},
		{"numbers that were skipped", func(h *index.FullHead) { h.Last = 9 }, [][]byte{segments, good, name(1, "a", 2)}, "a", 0},
		{"segment of the future", func(h *index.FullHead) { h.Generation, h.Last = 1, 1 }, [][]byte{segments}, "refused", 0},
		{"segment again", nil, [][]byte{segments, segments}, "refused", 0},
		{"segment was collected", nil, [][]byte{index.SegmentFrame(fullSegment(2)), index.InodeFrame([]index.InodeRow{root}, nil)}, "", 0},
		{"content was collected", nil, [][]byte{index.SegmentFrame(fullSegment(2)), good, name(1, "a", 2)}, "", 2},
		{"segments in disorder", nil, [][]byte{index.SegmentFrame(fullSegment(2)), index.SegmentFrame(fullSegment(1))}, "refused", 0},
		{"names before inodes", nil, [][]byte{segments, name(1, "a", 2), good}, "refused", 0},
		{"inodes again", nil, [][]byte{segments, good, good}, "refused", 0},
		{"names again", nil, [][]byte{segments, good, name(1, "a", 2), name(1, "a", 2)}, "refused", 0},
		{"half a frame", nil, [][]byte{segments, good[:len(good)-1]}, "refused", 0},
		{"unknown frame", nil, [][]byte{segments, {9, 0}}, "refused", 0},
		{"inode number", func(h *index.FullHead) { h.NextIno = 1 << 62 }, [][]byte{segments}, "refused", 0},
		{"odd name", nil, [][]byte{segments, good, name(1, "..", 2)}, "", 1},
		{"name of the root", nil, [][]byte{segments, good, name(1, "a", 1)}, "", 1},
		{"name of nothing", nil, [][]byte{segments, good, name(1, "a", 3)}, "", 1},
		{"file as a folder", nil, [][]byte{segments, good, index.NameFrame(nameRow(1, "a", 2), nameRow(2, "b", 2))}, "a", 1},
		{"no content", nil, [][]byte{segments, index.InodeFrame([]index.InodeRow{root, inodeRow(2, fileMode)}, nil), name(1, "a", 2)}, "", 2},
		{"content of nothing", nil, [][]byte{segments, index.InodeFrame([]index.InodeRow{root}, []index.ContentRow{content}), name(1, "a", 2)}, "", 1},
		{"extents that overlap", nil, [][]byte{segments, file(func(c *index.ContentRow) { c.Ops[1].Off = 9 }), name(1, "a", 2)}, "", 2},
		{"extent beyond the end", nil, [][]byte{segments, file(func(c *index.ContentRow) { c.Size = 29 }), name(1, "a", 2)}, "", 2},
		{"extent in no segment", nil, [][]byte{segments, file(func(c *index.ContentRow) { c.Ops[1].Segment = 3 }), name(1, "a", 2)}, "", 2},
		{"hole as an extent", nil, [][]byte{segments, file(func(c *index.ContentRow) { c.Ops[1].Segment = 0 }), name(1, "a", 2)}, "", 2},
		{"extent beyond the segment", nil, [][]byte{segments, file(func(c *index.ContentRow) { c.Ops[1].Pos = 1 << 40 }), name(1, "a", 2)}, "", 2},
		{"root is a file", nil, [][]byte{segments, index.InodeFrame([]index.InodeRow{inodeRow(1, fileMode)}, nil)}, "", 1},
		{"impossible mode", nil, [][]byte{segments, index.InodeFrame([]index.InodeRow{inodeRow(2, 0o170000)}, nil)}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := fullHead
			if tt.head != nil {
				tt.head(&h)
			}
			db, report, err := applyFull(t, index.FullOfRows(h, tt.frames...))
			if tt.want == "refused" {
				if !errors.Is(err, index.ErrTrailer) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer closeDB(t, db)
			if got := strings.Join(list(t, db), " "); got != tt.want || len(report.Problems) != tt.problems {
				t.Errorf("got %q, %d problems, want %q, %d: %q", got, len(report.Problems), tt.want, tt.problems, report.Problems)
			}
			if problems := must(db.Check(ctx)); len(problems) > 0 {
				t.Errorf("not sound: %q", problems)
			}
			if a := create(t, db, index.Root, "new", fileMode); a.Ino < 50 || a.Ino >= 1<<62 {
				t.Errorf("new inode %d", a.Ino)
			}
		})
	}
}

// TestFullGolden pins the rows of a snapshot that no trailer has, laid out by
// hand as ARCHITECTURE.md says.
func TestFullGolden(t *testing.T) {
	waits := index.FullSegment{Number: 301, Generation: 300, Part: 1, Parts: 2}
	known := index.FullSegment{Number: 302, Generation: 302, Parts: 1, Announced: 303,
		Blob: blobOf(0xb1), Object: blobOf(0x0b), Size: 1000, EndEpoch: 27, Header: [64]byte{0: 0xaa, 63: 0xbb}}
	want := "02" + "02" + "ad02" + "01" + "01" + "02" + "00" +
		"01" + "00" + "00" + "01" + "af02" + strings.Repeat("b1", 32) + strings.Repeat("0b", 32) + "e807" + "1b" +
		"aa" + strings.Repeat("00", 62) + "bb"
	if got := hex.EncodeToString(index.SegmentFrame(waits, known)); got != want {
		t.Errorf("segments\n got %s\nwant %s", got, want)
	}
	head := index.FullHead{Drive: [16]byte{0xd1, 15: 0xd2}, Generation: 300, Last: 302, NextIno: 70, Inodes: 5}
	want = "01" + "d1" + strings.Repeat("00", 14) + "d2" + "ac02" + "ae02" + "46" + "05"
	if got := hex.EncodeToString(index.HeadFrame(head)); got != want {
		t.Errorf("head\n got %s\nwant %s", got, want)
	}
}

func blobOf(b byte) (id [32]byte) {
	for i := range id {
		id[i] = b
	}
	return id
}

// TestFullDamaged changes every byte of a snapshot, and cuts it at every length.
func TestFullDamaged(t *testing.T) {
	t.Parallel()
	db := open(t)
	defer closeDB(t, db)
	c := &committer{t: t, db: db}
	tree(t, db, "d/", "d/a", "d/b", "c")
	c.both(c.packed("d/a", 1, 400), c.packed("d/b", 1, 10), c.packed("c", 1, 5))
	_, snapshot, err := db.EncodeFull(ctx)
	if err != nil {
		t.Fatal(err)
	}
	back, report, err := applyFull(t, snapshot)
	if err != nil || len(report.Problems) > 0 {
		t.Fatalf("%v, %q", err, report.Problems)
	}
	if got := strings.Join(list(t, back), " "); got != "c d/ d/a d/b" {
		t.Errorf("got %q", got)
	}
	closeDB(t, back)
	for i := range snapshot {
		flipped := bytes.Clone(snapshot)
		flipped[i] ^= 1 << (i % 8)
		for what, b := range map[string][]byte{"flipped": flipped, "cut": snapshot[:i]} {
			db, report, err := applyFull(t, b)
			if errors.Is(err, index.ErrTrailer) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			// A bit that means nothing to zstd. A cut between frames the trailer's checksum has to notice.
			if got := strings.Join(list(t, db), " "); what == "flipped" && (got != "c d/ d/a d/b" || len(report.Problems) > 0) {
				t.Errorf("bit of byte %d of %d: %q, %q", i, len(snapshot), got, report.Problems)
			}
			closeDB(t, db)
		}
	}
}

// TestFullOf finds a snapshot behind a trailer, or says that it is not there.
func TestFullOf(t *testing.T) {
	tr := sample()
	encoded := must(index.MarshalFull(tr, []byte("the snapshot")))
	got := must(index.UnmarshalTrailer(encoded))
	if full := must(index.FullOf(got, encoded)); string(full) != "the snapshot" || fmt.Sprint(got) != fmt.Sprint(tr) {
		t.Errorf("got %q behind %v", full, got)
	}
	for n := range encoded {
		if full, err := index.FullOf(got, encoded[:n]); !errors.Is(err, index.ErrTrailer) {
			t.Errorf("%d of %d bytes: %q, %v", n, len(encoded), full, err)
		}
	}
	got.Full = 0
	if full, err := index.FullOf(got, encoded); full != nil || err != nil {
		t.Errorf("none: %q, %v", full, err)
	}
}

// FuzzFull leaves the compression out, which a fuzzer does not get through.
// Whatever the rows say, the index is sound.
func FuzzFull(f *testing.F) {
	segments := index.SegmentFrame(fullSegment(1), fullSegment(2))
	f.Add(segments, index.InodeFrame([]index.InodeRow{inodeRow(1, dirMode), inodeRow(2, fileMode)},
		[]index.ContentRow{{Ino: 2, Version: 1, Size: 9, Ops: []index.Op{{Len: 9, Segment: 1}}}}), index.NameFrame(nameRow(1, "a", 2)))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		if len(a) == 0 || len(b) == 0 || len(c) == 0 {
			return
		}
		db, _, err := applyFull(t, index.FullOfRows(fullHead, a, b, c))
		if errors.Is(err, index.ErrTrailer) || errors.Is(err, index.ErrStale) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer closeDB(t, db)
		if problems := must(db.Check(ctx)); len(problems) > 0 {
			t.Errorf("not sound: %q", problems)
		}
	})
}

// FuzzFrame decodes the rows of frames without a database, and thus often.
func FuzzFrame(f *testing.F) {
	f.Add(index.HeadFrame(fullHead))
	f.Add(index.SegmentFrame(fullSegment(1), fullSegment(2)))
	f.Add(index.InodeFrame([]index.InodeRow{inodeRow(1, dirMode), inodeRow(2, fileMode)},
		[]index.ContentRow{{Ino: 2, Version: 1, Size: 9, Ops: []index.Op{{Len: 9, Segment: 1}}}}))
	f.Add(index.NameFrame(nameRow(1, "a", 2), nameRow(1, "b", 3)))
	f.Fuzz(func(t *testing.T, rows []byte) {
		if len(rows) == 0 {
			return
		}
		again, err := index.AgainFrame(rows)
		if err == nil && !bytes.Equal(again, rows) {
			t.Errorf("%x comes back as %x", rows, again)
		}
	})
}

// TestReplayCost counts what a restore would have to read.
func TestReplayCost(t *testing.T) {
	db := open(t)
	defer closeDB(t, db)
	c := &committer{t: t, db: db}
	for i := range 5 {
		tree(t, db, fmt.Sprint("f", i))
		c.both(c.packed(fmt.Sprint("f", i), 1, 10))
	}
	before := must(db.ReplayCost(ctx))
	if before.Trailers < 5*(256<<10) || before.Full <= 0 || before.Due() {
		t.Errorf("after 5 trailers: %+v", before)
	}
	if many := (index.ReplayCost{Trailers: 17 << 20, Full: 8 << 20}); !many.Due() {
		t.Error("not due at twice the cost")
	}
}
