package node

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// certify has the ledger say that a sample is certified.
func (b *bench) certify(s sample) {
	b.ledger.say(chain.Event{Kind: chain.BlobCertified, Blob: s.Blob(), Object: walrus.ObjectID{s.object}, EndEpoch: 10, Deletable: s.object >= 100})
}

func (b *bench) gap(n *Node, s sample, depth Depth) Gap {
	b.t.Helper()
	g, err := n.Gap(b.t.Context(), s.Blob(), depth)
	if err != nil {
		b.t.Fatal(err)
	}
	return g
}

func (b *bench) lacking(n *Node, want ...sample) {
	b.t.Helper()
	blobs, err := n.Lacking(b.t.Context(), walrus.BlobID{}, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	got := map[walrus.BlobID]bool{}
	for _, blob := range blobs {
		got[blob] = true
	}
	for _, s := range want {
		if !got[s.Blob()] {
			b.t.Errorf("%s is not among what the node lacks", s.Blob())
		}
	}
	if len(blobs) != len(want) || n.Status().Lacking != len(want) {
		b.t.Errorf("node lacks %d blobs and says %d, want %d", len(blobs), n.Status().Lacking, len(want))
	}
}

// What the node lacks is what is certified and not there: from the event until it is stored, or ends.
func TestLacking(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	told := 0
	n.cfg.Lacks = func() { told++ }
	registered, missed, stored, gone := b.sample(1, 5000), b.sample(2, 5000), b.sample(3, 5000), b.sample(101, 5000)
	if err := n.Store(t.Context(), stored.handover()); err != nil {
		t.Fatal(err)
	}
	b.sync(n)
	b.lacking(n)
	for _, s := range []sample{missed, stored, gone} {
		b.certify(s)
	}
	if told != 0 {
		t.Error("told of something before there was anything")
	}
	b.sync(n)
	b.lacking(n, missed, gone)
	if told == 0 {
		t.Error("nobody was told")
	}
	if _, err := n.Gap(t.Context(), registered.Blob(), Marks); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("gap of what is not certified: %v", err)
	}
	n.Close()
	n = b.open(disk())
	b.lacking(n, missed, gone)
	b.delete(gone, 101)
	b.sync(n)
	b.lacking(n, missed)
	if err := n.Store(t.Context(), missed.handover(0)); err != nil {
		t.Fatal(err)
	}
	b.lacking(n, missed)
	if g := b.gap(n, missed, Marks); len(g.Missing) != 4 || len(g.Good) != 2 || g.Metadata == nil {
		t.Errorf("gap %+v, want four slots of six", g)
	}
	if err := n.Store(t.Context(), missed.handover()); err != nil {
		t.Fatal(err)
	}
	b.lacking(n)
	if g := b.gap(n, missed, Hashes); !g.None() {
		t.Errorf("gap %+v", g)
	}
}

// A read finds a slot damaged after it was looked at, and before all is said to be there: what it found stays noted.
func TestDamagedWhileLookedAt(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 5000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	b.certify(s)
	b.sync(n)
	n.Close()
	n = b.open(watch(func(op string, _ *os.File, _ string) error {
		if op == "sync" {
			n.damaged(t.Context(), walrus.SliverID{Blob: s.Blob(), Axis: s.handover().Slots[1].Axis(), Index: uint16(s.handover().Slots[1].Index())}, errRot)
		}
		return nil
	}))
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
		t.Fatal(err)
	}
	b.lacking(n, s)
	if g := b.gap(n, s, Marks); len(g.Missing) != 1 || g.Damaged != 1 {
		t.Errorf("gap %+v, want one slot", g)
	}
	n.os = disk()
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	b.lacking(n)
	if len(n.Status().BadSlots) != 0 {
		t.Errorf("%v", n.Status().BadSlots)
	}
}

// A catalogue of another version is made anew, and knows what is certified and what is lacking.
func TestOldCatalogue(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	stored, missed := b.sample(1, 5000), b.sample(2, 5000)
	if err := n.Store(t.Context(), stored.handover()); err != nil {
		t.Fatal(err)
	}
	b.certify(stored)
	b.certify(missed)
	n.Close()
	db, err := sql.Open("sqlite3", filepath.Join(b.dir, "catalogue.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"DROP TABLE lacking", "ALTER TABLE registration DROP COLUMN certified", "PRAGMA user_version = 1"} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	n = b.open(disk())
	b.lacking(n, missed)
	b.held(n, stored.handover())
}

// Each depth sees what it promises to see; what is seen is healed by a Store,
// which writes nothing else.
func TestSurvey(t *testing.T) {
	type damage struct {
		do   func(*testing.T, string, *layout)
		seen Depth
		want int // slots missing
		head bool
	}
	slotByte := func(l *layout) int64 { return l.offsets[2] + 10 }
	for what, d := range map[string]damage{
		"magic":         {flip(func(*layout) int64 { return 0 }), Marks, 6, true},
		"metadata":      {flip(func(l *layout) int64 { return l.metadataOffset() + 40 }), Marks, 0, true},
		"mark":          {flip(func(l *layout) int64 { return l.tailAt(3) }), Marks, 1, false},
		"wiped mark":    {wipeMark, Marks, 1, false},
		"slot":          {flip(slotByte), Checksums, 1, false},
		"fitting slots": {fitting, Hashes, 2, false},
		"cut":           {truncate(func(l *layout) int64 { return l.offsets[4] + 1 }), Marks, 2, false},
		"empty":         {truncate(func(*layout) int64 { return 0 }), Marks, 6, true},
		"gone":          {func(t *testing.T, path string, _ *layout) { os.Remove(path) }, Marks, 6, true},
	} {
		for depth := Marks; depth <= Hashes; depth++ {
			t.Run(what, func(t *testing.T) {
				b := newBench(t)
				n := b.open(disk())
				good, s := b.sample(1, 20_000), b.sample(2, 20_000)
				for _, s := range []sample{good, s} {
					if err := n.Store(t.Context(), s.handover()); err != nil {
						t.Fatal(err)
					}
					b.certify(s)
				}
				b.sync(n)
				f, err := openBlob(n.path(s.Blob()), s.Blob(), os.O_RDONLY)
				if err != nil {
					t.Fatal(err)
				}
				f.f.Close()
				d.do(t, n.path(s.Blob()), f.layout)
				blobs, missing := 0, 0
				if err := n.Survey(t.Context(), depth, walrus.BlobID{}, func(g Gap) error {
					blobs++
					missing += len(g.Missing)
					return nil
				}); err != nil || blobs != 2 {
					t.Fatalf("survey of %d blobs: %v", blobs, err)
				}
				if depth < d.seen {
					if missing != 0 {
						t.Errorf("saw %d slots already", missing)
					}
					b.lacking(n)
					return
				}
				if missing != d.want {
					t.Errorf("%d slots are missing, want %d", missing, d.want)
				}
				b.lacking(n, s)
				if g := b.gap(n, s, depth); (g.Metadata == nil) != d.head || len(g.Missing) != d.want {
					t.Errorf("gap again: %+v", g)
				}
				if err := n.Store(t.Context(), s.handover()); err != nil {
					t.Fatal(err)
				}
				b.lacking(n)
				b.held(n, s.handover())
				if st := n.Status(); len(st.BadSlots) != 0 {
					t.Errorf("bad slots are left: %v", st.BadSlots)
				}
				if g := b.gap(n, s, Hashes); !g.None() {
					t.Errorf("gap after the store: %+v", g)
				}
			})
		}
	}
}

func (l *layout) tailAt(i int) int64 { return l.offsets[i] + int64(l.sliverSize(l.table[i].axis)) }

// wipeMark makes a slot look as if it had never been filled.
func wipeMark(t *testing.T, path string, l *layout) {
	overwrite(t, path, l.tailAt(1), make([]byte, tailSize))
}

// fitting exchanges two slots of one axis, checksums and all.
func fitting(t *testing.T, path string, l *layout) {
	raw := contents(t, path)
	size := int64(l.sliverSize(l.table[0].axis) + tailSize)
	a, b := raw[l.offsets[0]:l.offsets[0]+size], raw[l.offsets[1]:l.offsets[1]+size]
	overwrite(t, path, l.offsets[0], append([]byte{}, b...))
	overwrite(t, path, l.offsets[1], a)
}

// Symbols are cut from what is good only.
func TestSymbols(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 20_000)
	h := s.handover()
	if err := n.Store(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	source := idOf(h, h.Slots[0])
	symbols, err := n.Symbols(t.Context(), source, []int{1, 9})
	if err != nil || len(symbols) != 2 {
		t.Fatalf("%d symbols, %v", len(symbols), err)
	}
	for i, target := range []uint16{1, 9} {
		id := walrus.SliverID{Blob: h.Blob, Axis: walrus.Secondary - source.Axis, Index: target}
		if err := b.codec.VerifySymbol(s.Metadata(), id, symbols[i]); err != nil {
			t.Error(err)
		}
	}
	if _, err := n.Symbols(t.Context(), source, []int{shards}); !errors.Is(err, ErrRefused) {
		t.Errorf("target out of range: %v", err)
	}
	foreign := walrus.SliverID{Blob: h.Blob, Axis: source.Axis, Index: (source.Index + 1) % shards}
	for range shards {
		if foreign.Index = (foreign.Index + 1) % shards; !holds(h, foreign) {
			break
		}
	}
	if _, err := n.Symbols(t.Context(), foreign, []int{1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("sliver of another node: %v", err)
	}
	f, err := openBlob(n.path(h.Blob), h.Blob, os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	f.f.Close()
	fitting(t, n.path(h.Blob), f.layout)
	bad := 0
	for _, slot := range h.Slots {
		if _, err := n.Symbols(t.Context(), idOf(h, slot), []int{1}); errors.Is(err, ErrNotFound) {
			bad++
		} else if err != nil {
			t.Error(err)
		}
	}
	if st := n.Status(); bad != 2 || len(st.BadSlots) != 2 || st.Lacking != 1 {
		t.Errorf("%d slots gave no symbols, status %+v", bad, st)
	}
}

func holds(h Handover, id walrus.SliverID) bool {
	for _, slot := range h.Slots {
		if idOf(h, slot) == id {
			return true
		}
	}
	return false
}
