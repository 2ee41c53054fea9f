package index_test

import (
	"testing"

	"github.com/walfs/walfs/index"
)

// TestTwin asks for the extents of a range by its hash: they are given only while the file has
// that content, in segments that are certified and stay.
func TestTwin(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	hash := index.RangeHash{Hash: [32]byte{7}}
	publish := func(segment uint64, h index.RangeHash) index.Ino {
		t.Helper()
		p := c.packed("a", segment, 10)
		p.Hashes = []index.RangeHash{h}
		c.both(p)
		return p.Ino
	}
	written(t, db, "a")
	ino := publish(1, hash)
	twin := func(h index.RangeHash) []index.Extent {
		t.Helper()
		list, ok, err := db.Twin(ctx, ino, h, index.HashRange)
		if err != nil || ok && len(list) == 0 {
			t.Fatalf("%v, %v, %v", list, ok, err)
		}
		if !ok {
			return nil
		}
		return list
	}
	if got := twin(hash); got != nil {
		t.Errorf("of a segment that is not certified: %v", got)
	}
	certify(t, db, 1)
	if got := twin(hash); len(got) != 1 || got[0].Len != 10 || got[0].Segment != 1 {
		t.Errorf("got %v", got)
	}
	if got := twin(index.RangeHash{Hash: [32]byte{8}}); got != nil {
		t.Errorf("of another hash: %v", got)
	}
	if got := twin(index.RangeHash{Index: 1, Hash: hash.Hash}); got != nil {
		t.Errorf("of another range: %v", got)
	}
	must(db.MarkDirty(ctx, ino, 0))
	if err := db.Queue(ctx, ino, index.Queued{Size: 10, Mtime: 6}); err != nil {
		t.Fatal(err)
	}
	if got := twin(hash); len(got) != 1 {
		t.Errorf("while it is written: %v", got)
	}
	publish(2, index.RangeHash{Hash: [32]byte{9}})
	certify(t, db, 2)
	if got := twin(hash); got != nil {
		t.Errorf("after other content was published: %v", got)
	}
	must(db.Unlink(ctx, index.Root, []byte("a")))
	c.both()
	certify(t, db, 3)
	if _, _, err := db.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	must(db.Reap(ctx, ino))
	if got := twin(index.RangeHash{Hash: [32]byte{9}}); got != nil {
		t.Errorf("of a file that is gone: %v", got)
	}
}
