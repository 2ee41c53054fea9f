package commit_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// unlink deletes a file of the root.
func (r *rig) unlink(name string) {
	r.Helper()
	attr, err := r.db.Unlink(context.Background(), index.Root, []byte(name))
	r.must(err)
	r.c.Wake()
	if attr.Nlink == 0 {
		r.bury(attr.Ino)
	}
}

// untrash restores the newest version of a path from the trash, under several names.
func (r *rig) untrash(path string, names ...string) {
	r.Helper()
	ctx := context.Background()
	list, err := r.db.Trash(ctx, index.TrashQuery{Path: []byte(path), Max: 1})
	r.must(err)
	if len(list) == 0 {
		r.Fatalf("%s is not in the trash", path)
	}
	for _, name := range names {
		done, err := r.db.Untrash(ctx, []index.UntrashRequest{{ID: list[0].ID, Path: []byte(name)}})
		r.must(err)
		r.must(done[0].Err)
	}
	r.c.Wake()
}

// TestUntrash restores a file several times, and does something to each before
// it is stored. No content is stored again, whether the newer version of one is
// packed with the same trailer or with a later one.
func TestUntrash(t *testing.T) {
	t.Parallel()
	for _, full := range []int64{1 << 50, 1} { // with full snapshots all the time, too
		policy := commit.Policy{Quiet: time.Hour, MaxAge: time.Hour, Fill: 1 << 40, FullAfter: full}
		r := newRig(t, options{policy: policy})
		was := random(1, 1_500_000)
		r.put("a", was)
		r.put("empty", nil)
		r.drain()
		r.unlink("a")
		r.unlink("empty")
		r.drain()
		stored := r.last()

		r.untrash("a", "plain", "patched", "cut", "gone", "renamed", "dir/below", "later")
		r.untrash("empty", "nothing", "filled")
		patch := random(2, 4096)
		r.patch("patched", patch, 700_000)
		f := r.file(index.Root, "cut")
		r.must(f.Truncate(context.Background(), 600_000))
		r.done(f)
		r.unlink("gone")
		r.rename("renamed", "moved")
		r.put("filled", patch)
		r.awaitState("plain", index.StateStoring)
		r.drain()
		r.patch("later", patch, 0)
		r.drain()

		want := map[string][]byte{
			"plain": was, "cut": was[:600_000], "moved": was, "nothing": nil, "filled": patch, "dir/below": was,
			"patched": slices.Concat(was[:700_000], patch, was[704_096:]), "later": slices.Concat(patch, was[4096:]),
		}
		got := r.restored()
		names := slices.Concat(got.names("/"), []string{"dir/below"})
		if len(names) != len(want)+1 {
			t.Errorf("a restore gives %q", names)
		}
		for name, content := range want {
			got.same("/"+name, content)
		}
		for _, name := range []string{"plain", "patched", "moved", "later", "nothing"} {
			r.awaitState(name, index.StateCertified)
		}
		if n := r.stored(stored); full > 1 && n > 300_000 {
			t.Errorf("%d bytes were stored for %d bytes that changed", n, 3*len(patch))
		}
		if problems, err := r.db.Check(context.Background()); err != nil || len(problems) > 0 {
			t.Errorf("%v, problems %q", err, problems)
		}
	}
}
