package commit_test

import (
	"testing"
	"time"

	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// TestTellsNobody renames a file again and again without waking the committer,
// which rests once it has nothing to do: it hears of each change from the index.
func TestTellsNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{policy: commit.Policy{Quiet: 50 * time.Millisecond, MaxAge: time.Minute, OpenAge: time.Hour}})
	r.put("a", random(1, 100))
	r.drain()
	for _, names := range [][2]string{{"a", "b"}, {"b", "c"}} {
		before := r.last()
		_, err := r.db.Rename(t.Context(), index.RenameRequest{OldParent: index.Root, OldName: []byte(names[0]),
			NewParent: index.Root, NewName: []byte(names[1])})
		r.must(err)
		for deadline := time.Now().Add(patience); r.last() == before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("nobody stores that %s is %s", names[0], names[1])
			}
		}
	}
}
