package index_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestLocals asks for few and for nearly all inodes, which are found in two ways.
func TestLocals(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	settled := create(t, db, index.Root, "settled", fileMode).Ino
	c.both(c.packed("settled", 1, 1))
	certify(t, db, 1)
	dirty := create(t, db, index.Root, "dirty", fileMode).Ino
	c.both(c.packed("dirty", 2, 1))
	certify(t, db, 2)
	must(db.MarkDirty(ctx, dirty, 0))
	stored := create(t, db, index.Root, "stored", fileMode).Ino
	c.both(c.packed("stored", 3, 1)) // and the anchor does not cover it
	fresh := create(t, db, index.Root, "fresh", fileMode).Ino
	want := []index.Local{
		{Ino: settled, Size: 1, Bytes: 4096, Known: true, Published: true, Settled: true, Synced: true},
		{Ino: dirty, Size: 1, Known: true, Published: true, Dirty: true},
		{Ino: stored, Size: 1, Bytes: 4096, Known: true, Published: true, Doubtful: true},
		{Ino: fresh, Known: true, Dirty: true},
		{Ino: 1 << 40},
	}
	for _, ino := range []index.Ino{settled, stored} {
		if err := db.CopyKeep(ctx, index.KeptCopy{Ino: ino, Bytes: 4096, Whole: true}); err != nil {
			t.Fatal(err)
		}
	}
	versions := must(db.CopiesUnsynced(ctx, 10))
	if len(versions) != 2 {
		t.Errorf("unsynced: %v", versions)
	}
	versions[stored]-- // what was synced was an older one
	if err := errors.Join(db.CopiesSynced(ctx, versions), db.CopiesDoubt(ctx, []index.Ino{stored, dirty})); err != nil {
		t.Fatal(err)
	}
	byIno := func(a, b index.Local) int { return cmp.Compare(a.Ino, b.Ino) }
	slices.SortFunc(want, byIno)
	inos := make([]index.Ino, len(want))
	for i, l := range want {
		inos[i] = l.Ino
	}
	for _, others := range []int{0, 1000} {
		for i := range others {
			create(t, db, index.Root, fmt.Sprintf("other %d", i), fileMode)
		}
		var got []index.Local
		err := db.Locals(ctx, inos, func(l index.Local) error {
			got = append(got, l)
			return nil
		})
		slices.SortFunc(got, byIno)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("with %d other files: %+v, %v", others, got, err)
		}
	}
}
