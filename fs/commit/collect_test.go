package commit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// collector returns a Collector of the rig's drive.
func (r *rig) collector(hook func(string)) *keep.Collector {
	return keep.NewCollector(keep.CollectConfig{
		Index: r.db, Ledger: r.ledger, Blobs: r.blobs, Keys: r.keys, Committer: r.c, Stage: hook,
	})
}

// collect does a round without a grace period.
func (r *rig) collect(compact bool) keep.Collected {
	r.Helper()
	done, err := r.tryCollect(compact, nil)
	r.must(err)
	return done
}

func (r *rig) tryCollect(compact bool, hook func(string)) (keep.Collected, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return r.collector(hook).Collect(ctx, keep.CollectOptions{Grace: new(time.Duration), Compact: compact, Asked: true})
}

// remove deletes a file of the root.
func (r *rig) remove(name string) {
	r.Helper()
	ctx := context.Background()
	attr, err := r.db.Unlink(ctx, index.Root, []byte(name))
	r.must(err)
	_, err = r.db.Reap(ctx, attr.Ino)
	r.must(err)
	r.must(r.stage.Remove(attr.Ino))
	r.c.Wake()
}

// forgetCopies makes every read of a file come from the nodes.
func (r *rig) forgetCopies() {
	r.Helper()
	ctx := context.Background()
	copies, err := r.db.CopiesOldest(ctx, 1000)
	r.must(err)
	for _, c := range copies {
		r.must(r.db.CopyDrop(ctx, c.Ino))
		r.must(r.stage.Remove(c.Ino))
	}
}

// live reads a file's published content through the rig's own index.
func (r *rig) live() *tree { return &tree{TB: r.TB, db: r.db, blobs: r.blobs, keys: r.keys} }

// checkOwned compares the wallet's blob objects with the segments: nothing is
// paid for that no row knows.
func (r *rig) checkOwned() {
	r.Helper()
	owned, err := r.ledger.Owned(context.Background(), chain.OwnedQuery{})
	r.must(err)
	rows := r.segments()
	if len(owned) != len(rows)+1 {
		r.Errorf("%d objects for %d segments and the anchor", len(owned), len(rows))
	}
	for _, s := range rows {
		if !slices.ContainsFunc(owned, func(o chain.OwnedObject) bool { return o.Object == s.Object }) {
			r.Errorf("segment %d has no object", s.Number)
		}
	}
}

// sparse makes a drive whose segments are mostly garbage, and returns what is in it.
func sparse(r *rig) map[string][]byte {
	r.Helper()
	want := map[string][]byte{}
	for i := range 16 {
		want[fmt.Sprintf("f%02d", i)] = random(uint64(100+i), 200_000)
	}
	want["large"] = random(200, 1_500_000)
	for _, name := range slices.Sorted(keysOf(want)) {
		r.put(name, want[name])
	}
	r.drain()
	for i := range 16 {
		if name := fmt.Sprintf("f%02d", i); i%4 != 0 {
			r.remove(name)
			delete(want, name)
		}
	}
	fresh := random(201, 1_400_000)
	r.patch("large", fresh, 0)
	copy(want["large"], fresh)
	r.drain()
	return want
}

func keysOf(m map[string][]byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (r *rig) checkAll(t *tree, want map[string][]byte) {
	r.Helper()
	for name, content := range want {
		t.same("/"+name, content)
	}
}

// TestCompact rewrites sparse segments: what is left is read from its new
// place, here and by a restore, and the old ones are gone from the ledger.
func TestCompact(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		r := newRig(t, options{policy: commit.Policy{Quiet: time.Hour, MaxAge: time.Hour, Fill: 1 << 40}, plain: plain, noTrash: true})
		want := sparse(r)
		before := map[uint64]bool{}
		for _, s := range r.segments() {
			before[s.Number] = true
		}
		states := r.states(want)
		done := r.collect(true)
		if !done.Snapshot || done.Compacted.Segments < 3 || done.Deleted.Segments < done.Compacted.Segments {
			t.Fatalf("plain %v: collected %+v", plain, done)
		}
		left := 0
		for _, s := range r.segments() {
			if before[s.Number] {
				left++
			}
		}
		if left > 3 {
			t.Errorf("%d of %d old segments are left", left, len(before))
		}
		if got := r.states(want); !slices.Equal(got, states) {
			t.Errorf("states %v, before %v", got, states)
		}
		r.forgetCopies()
		r.checkAll(r.live(), want)
		r.checkAll(r.restored(), want)
		r.checkOwned()
		if again := r.collect(true); again.Compacted.Segments > 0 {
			t.Errorf("compacted once more: %+v", again)
		}
	}
}

// states tells version, date and state of files.
func (r *rig) states(files map[string][]byte) (list []string) {
	r.Helper()
	ctx := context.Background()
	for _, name := range slices.Sorted(keysOf(files)) {
		attr, err := r.db.Lookup(ctx, index.Root, []byte(name))
		r.must(err)
		s, err := r.db.State(ctx, attr.Ino)
		r.must(err)
		list = append(list, fmt.Sprint(name, attr.Version, attr.Mtime, attr.Ctime, attr.Dirty, s.State))
	}
	return list
}

// TestCompactUnderWork rewrites, patches, renames and deletes files while what
// is left of their segments is moved.
func TestCompactUnderWork(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{noTrash: true})
	want := sparse(r)
	ctx := context.Background()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := r.tryCollect(true, nil); err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range 12 {
		n := i % 4 * 4
		name := fmt.Sprintf("f%02d", n)
		switch i / 4 {
		case 0:
			p := random(uint64(300+i), 5000)
			r.patch(name, p, 50_000)
			copy(want[name][50_000:], p)
		case 1:
			to := "moved-" + name
			_, err := r.db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte(name), NewParent: index.Root, NewName: []byte(to)})
			r.must(err)
			want[to] = want[name]
			delete(want, name)
			r.c.Wake()
		case 2:
			name = "moved-" + name
			if n == 0 {
				r.remove(name)
				delete(want, name)
			} else {
				want[name] = random(uint64(400+i), 150_000)
				r.put(name, want[name])
			}
		}
		r.drain()
		r.checkAll(r.restored(), want)
	}
	close(stop)
	r.must(<-done)
	r.drain()
	r.collect(true)
	r.forgetCopies()
	r.checkAll(r.live(), want)
	r.checkAll(r.restored(), want)
	r.checkOwned()
	problems, err := r.db.Check(ctx)
	r.must(err)
	if len(problems) > 0 {
		t.Errorf("not sound: %q", problems)
	}
}

// TestMovedSegmentLost loses the sealed bytes of a segment into which content
// was moved before the nodes have it: it is made again from the old segments.
func TestMovedSegmentLost(t *testing.T) {
	t.Parallel()
	var r *rig
	var from, lost atomic.Uint64
	hook := func(name string) {
		if name != "after-commit" || from.Load() == 0 {
			return
		}
		boxes, err := r.stage.ListOutbox()
		if err != nil {
			t.Error(err)
		}
		for _, n := range boxes {
			if n >= from.Load() && lost.CompareAndSwap(0, n) {
				if err := r.stage.RemoveOutbox(n); err != nil {
					t.Error(err)
				}
			}
		}
	}
	r = newRig(t, options{policy: calm, hook: hook, noTrash: true})
	want := sparse(r)
	r.collect(false) // so that there is a full snapshot
	r.forgetCopies()
	from.Store(r.last() + 1)
	done := r.collect(true)
	if done.Compacted.Segments == 0 || lost.Load() == 0 {
		t.Fatalf("compacted %+v, lost segment %d", done, lost.Load())
	}
	r.checkAll(r.live(), want)
	r.checkAll(r.restored(), want)
}

// collectStages are the steps of a round at which a process is killed; a short
// test takes every other one.
var collectStages = []struct {
	name  string
	times int
}{
	{"before-delete", 1}, {"after-condemn", 1}, {"after-delete", 1}, {"after-forget", 1}, {"after-move", 1}, {"before-delete", 2},
	{"after-commit", 2}, {"after-outbox", 2}, {"after-certify", 2}, {"after-store", 2}, {"before-finish", 2}, {"after-delete", 2}, {"after-finish", 2},
}

// TestCollectCrash kills a process at each step of a round: nothing is lost,
// deleted or paid for twice, or forgotten.
func TestCollectCrash(t *testing.T) {
	for i, stage := range collectStages {
		if os.Getenv("WALFS_SOAK") == "" && i%2 != 0 {
			continue
		}
		t.Run(fmt.Sprintf("%s-%d", stage.name, stage.times), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := newRig(t, options{dir: dir, noTrash: true, policy: calm})
			want := sparse(r)
			r.close()
			child := exec.Command(os.Args[0], "-test.run=^TestCollectCrashChild$", "-test.v")
			child.Env = append(os.Environ(), "WALFS_CRASH_DIR="+dir, "WALFS_CRASH_STAGE="+stage.name, fmt.Sprintf("WALFS_CRASH_TIMES=%d", stage.times))
			out, err := child.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("child was not killed: %v\n%s", err, out)
			}
			r.reopen(options{noTrash: true, policy: calm, idle: true})
			r.checkAll(r.restored(), want)
			r.reopen(options{noTrash: true, policy: calm})
			r.drain()
			r.collect(true)
			r.forgetCopies()
			r.checkAll(r.live(), want)
			r.checkAll(r.restored(), want)
			r.checkOwned()
			for blob, n := range r.registrations() {
				if n != 1 {
					t.Errorf("blob %s was registered %d times", blob, n)
				}
			}
			if list, err := r.db.Deletions(context.Background()); err != nil || len(list) > 0 {
				t.Errorf("deletions without end: %+v, %v", list, err)
			}
		})
	}
}

// TestCollectCrashChild is what TestCollectCrash kills.
func TestCollectCrashChild(t *testing.T) {
	dir, stage, times := os.Getenv("WALFS_CRASH_DIR"), os.Getenv("WALFS_CRASH_STAGE"), 0
	if dir == "" {
		t.Skip("run by TestCollectCrash")
	}
	if _, err := fmt.Sscan(os.Getenv("WALFS_CRASH_TIMES"), &times); err != nil {
		t.Fatal(err)
	}
	left := make(chan int, 1)
	left <- times
	hook := func(name string) {
		if name != stage {
			return
		}
		n := <-left
		if n == 1 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		left <- n - 1
	}
	r := newRig(t, options{dir: dir, noTrash: true, policy: calm, hook: hook})
	done, err := r.tryCollect(true, hook)
	t.Fatalf("%s was not reached %d times: %+v, %v", stage, times, done, err)
}
