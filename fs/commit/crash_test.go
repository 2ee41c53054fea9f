package commit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// stages are all that a segment goes through, and which of several segments a
// short test kills at. The change makes four.
var stages = []struct {
	name  string
	times int
}{
	{"before-outbox", 1}, {"after-outbox", 2}, {"after-commit", 4}, {"before-register", 1},
	{"after-register", 2}, {"before-store", 3}, {"after-store", 1}, {"before-certify", 2},
	{"after-certify", 3}, {"before-finish", 1}, {"after-finish", 2},
}

// The versions of each file before and after the change that a crash cuts off.
var (
	crashOld = map[string][]byte{
		"small": random(1, 3000), "large": random(2, 2_500_000), "cut": random(3, 200_000), "moved": random(4, 10_000),
		"patched": random(5, 300_000), "binned": random(6, 150_000),
	}
	crashNew = map[string][]byte{
		"small": random(11, 3500), "large": random(12, 2_500_000), "cut": crashOld["cut"][:70_000],
		"moved-away": crashOld["moved"], "new": random(15, 400_000),
		"patched": slices.Concat(crashOld["patched"][:100_000], random(16, 4096), crashOld["patched"][104_096:]),
		// Both are restored from the trash, and the second is written at once.
		"back": crashOld["binned"], "back-patched": slices.Concat(crashOld["binned"][:50_000], random(17, 4096), crashOld["binned"][54_096:]),
	}
)

// crashPolicy makes the change one pass, so that its names go out together.
var crashPolicy = func() commit.Policy {
	p := calm
	p.FullAfter = 1
	return p
}()

// TestCrash kills a process at each stage of its segments. Whatever is on the
// ledger then gives each file in one whole version; and what goes on from the
// disk pays for every segment once.
func TestCrash(t *testing.T) {
	for _, stage := range stages {
		for times := 1; times <= 4; times++ {
			if os.Getenv("WALFS_SOAK") == "" && times != stage.times {
				continue
			}
			t.Run(fmt.Sprintf("%s-%d", stage.name, times), func(t *testing.T) {
				t.Parallel()
				crashAt(t, stage.name, times)
			})
		}
	}
}

func crashAt(t *testing.T, stage string, times int) {
	dir := t.TempDir()
	r := newRig(t, options{dir: dir, policy: crashPolicy})
	for name, content := range crashOld {
		r.put(name, content)
	}
	r.drain()
	r.unlink("binned")
	r.close()

	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	child.Env = append(os.Environ(), "WALFS_CRASH_DIR="+dir, "WALFS_CRASH_STAGE="+stage, "WALFS_CRASH_TIMES="+strconv.Itoa(times))
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("child was not killed: %v\n%s", err, out)
	}

	r.reopen(options{policy: crashPolicy, idle: true})
	checkWhole(r)
	r.reopen(options{policy: crashPolicy})
	r.drain()
	got := r.restored()
	for name, content := range crashNew {
		got.same("/"+name, content)
	}
	if b := got.read("/moved"); b != nil {
		t.Errorf("moved is still there")
	}
	checkPaidOnce(r)
	if boxes, err := r.stage.ListOutbox(); err != nil || len(boxes) > 0 {
		t.Errorf("outbox: %v, %v", boxes, err)
	}
	checkClean(r)
}

// checkWhole restores and compares every file with both versions.
func checkWhole(r *rig) {
	r.Helper()
	got := r.restored()
	for name := range crashOld {
		b := got.read("/" + name)
		if b == nil {
			if crashNew[name] == nil {
				continue
			}
			r.Errorf("%s is gone", name)
		} else if !bytes.Equal(b, crashOld[name]) && (crashNew[name] == nil || !bytes.Equal(b, crashNew[name])) {
			r.Errorf("%s is neither the old nor the new version", name)
		}
	}
	if a, b := got.read("/moved"), got.read("/moved-away"); (a == nil) == (b == nil) {
		r.Errorf("renamed file: %d bytes under the old name, %d under the new", len(a), len(b))
	}
	if b := got.read("/back"); b != nil && !bytes.Equal(b, crashNew["back"]) {
		r.Errorf("a file from the trash is there, but not whole")
	}
	if b := got.read("/back-patched"); b != nil && !bytes.Equal(b, crashNew["back-patched"]) && !bytes.Equal(b, crashOld["binned"]) {
		r.Errorf("a file from the trash is neither as it was nor as it was written")
	}
	if b := got.read("/new"); b != nil && !bytes.Equal(b, crashNew["new"]) {
		r.Errorf("new is there, but not whole")
	}
}

// checkPaidOnce compares segments and registrations.
func checkPaidOnce(r *rig) {
	r.Helper()
	paid := r.registrations()
	for _, s := range r.segments() {
		if paid[s.Blob] != 1 {
			r.Errorf("segment %d was registered %d times", s.Number, paid[s.Blob])
		}
		delete(paid, s.Blob)
	}
	if len(paid) != 1 { // the anchor
		r.Errorf("%d blobs were registered that are no segment", len(paid)-1)
	}
}

// checkClean wants every file to be certified and to have a clean copy that can be evicted.
func checkClean(r *rig) {
	r.Helper()
	ctx := context.Background()
	r.await("a clean copy of each file in staging", func() bool {
		copies, err := r.db.CopiesOldest(ctx, 1000)
		r.must(err)
		return len(copies) == len(r.stage.Inos())
	})
	// Of this one staging keeps a map, which forgets nothing when it is closed.
	r.await("staging to know that it is clean", func() bool {
		f, ok, err := r.stage.Lookup(r.inoOf("patched"))
		if err != nil || !ok {
			r.Fatalf("lookup: %v, %v", ok, err)
		}
		defer f.Release()
		return !f.Dirty()
	})
	for _, ino := range r.stage.Inos() {
		if s, err := r.db.State(ctx, ino); err != nil || s.State != index.StateCertified {
			r.Errorf("inode %d is %s, %v", ino, s.State, err)
		}
	}
}

// TestCrashChild is what TestCrash kills.
func TestCrashChild(t *testing.T) {
	dir, stage := os.Getenv("WALFS_CRASH_DIR"), os.Getenv("WALFS_CRASH_STAGE")
	if dir == "" {
		t.Skip("run by TestCrash")
	}
	times, err := strconv.Atoi(os.Getenv("WALFS_CRASH_TIMES"))
	if err != nil {
		t.Fatal(err)
	}
	armed := make(chan struct{})
	left := make(chan int, 1)
	left <- times
	r := newRig(t, options{dir: dir, policy: crashPolicy, hook: func(name string) {
		select {
		case <-armed:
		default:
			return
		}
		if name != stage {
			return
		}
		n := <-left
		if n == 1 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		left <- n - 1
	}})
	r.drain() // what the start had to do
	close(armed)
	ctx := context.Background()
	for name, content := range crashNew {
		if !slices.Contains([]string{"moved-away", "cut", "patched", "back", "back-patched"}, name) {
			r.put(name, content)
		}
	}
	r.patch("patched", crashNew["patched"][100_000:104_096], 100_000)
	r.untrash("binned", "back", "back-patched")
	r.patch("back-patched", crashNew["back-patched"][50_000:54_096], 50_000)
	f := r.file(index.Root, "cut")
	r.must(f.Truncate(ctx, int64(len(crashNew["cut"]))))
	r.done(f)
	_, err = r.db.Rename(ctx, index.RenameRequest{
		OldParent: index.Root, OldName: []byte("moved"), NewParent: index.Root, NewName: []byte("moved-away"),
	})
	r.must(err)
	r.drain()
	for n := 0; ; n++ { // stages that come once per pass
		r.put("small", crashNew["small"])
		r.drain()
		if n > 10 {
			t.Fatalf("%s was not reached %d times", stage, times)
		}
	}
}
