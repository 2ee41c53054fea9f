package index_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/walfs/walfs/index"
)

// helperEnv names what this test binary does instead of running tests.
const helperEnv = "WALFS_INDEX_HELPER"

func TestMain(m *testing.M) {
	what := os.Getenv(helperEnv)
	if what == "" {
		os.Exit(m.Run())
	}
	if err := helper(what, os.Getenv("WALFS_INDEX_PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0) // without Close, which would sync
}

// helper works on a fresh index while strace counts.
func helper(what, path string) error {
	db, err := index.Open(ctx, index.Config{Path: path})
	if err != nil {
		return err
	}
	if what == "dirty" {
		return dirtyTwice(db)
	}
	made, err := db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("made"), Mode: fileMode})
	if err != nil {
		return err
	}
	for i := range 20 {
		name := []byte(fmt.Sprint(i))
		switch what {
		case "create":
			_, err = db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: name, Mode: fileMode})
		case "hold":
			err = db.Hold(ctx, index.Held{Ino: made.Ino, Size: 1, Seq: uint64(i + 1)})
		case "barrier":
			err = db.Barrier(ctx, nil)
		case "rename":
			_, err = db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: name, Mode: fileMode})
			if err == nil {
				_, err = db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: name, NewParent: index.Root, NewName: []byte("x"), Full: true})
			}
		}
		if err != nil {
			return err
		}
	}
	_, err = db.Usage(ctx) // commits what was answered
	return err
}

// dirtyTwice publishes 20 files and marks each of them dirty twice.
func dirtyTwice(db *index.DB) error {
	if err := db.Init(ctx, index.Drive{}); err != nil {
		return err
	}
	var packed []index.Packed
	for i := range 20 {
		a, err := db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte(fmt.Sprint(i)), Mode: fileMode})
		if err != nil {
			return err
		}
		packed = append(packed, index.Packed{Ino: a.Ino, Version: a.Version})
	}
	t, err := db.CutTrailer(ctx, packed)
	if err != nil {
		return err
	}
	if err := db.CommitSegments(ctx, index.Commit{Trailer: t, Segments: []index.SegmentRow{segment(1)}, Packed: packed}); err != nil {
		return err
	}
	for range 2 {
		for _, p := range packed {
			if _, err := db.MarkDirty(ctx, p.Ino, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// syncs counts the fsyncs of a helper.
func syncs(t *testing.T, what string) int {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: fsyncs cannot be counted")
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "strace")
	cmd := exec.Command(strace, "-f", "-e", "trace=fsync,fdatasync", "-o", log, os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+what, "WALFS_INDEX_PATH="+filepath.Join(dir, "index"))
	if out, err := cmd.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("PTRACE")) || bytes.Contains(out, []byte("ptrace")) {
			t.Skipf("strace may not trace here: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	calls := must(os.ReadFile(log))
	return bytes.Count(calls, []byte("sync("))
}

// TestSyncs counts how often a commit reaches the disk: an ordinary one never,
// a barrier once, and MarkDirty once when a published file was clean. The first
// one of all, which each helper makes, begins the log anew, since Open copies it into the file.
func TestSyncs(t *testing.T) {
	idle := syncs(t, "idle")
	for _, what := range []string{"create", "hold"} {
		if got := syncs(t, what); got != idle {
			t.Errorf("20 times %s cost %d fsyncs, want 0", what, got-idle)
		}
	}
	for what, want := range map[string]int{"barrier": 20, "rename": 20, "dirty": 1 + 1 + 20} {
		if index.SyncFull != "FULL" {
			want = 0
		}
		if got := syncs(t, what); got != idle+want {
			t.Errorf("%s: %d fsyncs, want %d", what, got-idle, want)
		}
	}
}

// TestBarriersShare lets callers gather behind a running transaction: all of
// them share the next one, and one that fails harms no other.
func TestBarriersShare(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	release := db.HoldWriter()
	var done sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		done.Go(func() {
			if i%5 == 4 {
				_, errs[i] = db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte("missing"),
					NewParent: index.Root, NewName: []byte("x"), Full: true})
				return
			}
			errs[i] = db.Barrier(ctx, []index.Held{{Ino: a.Ino, Size: int64(i), Blocks: []byte{byte(i)}}})
		})
	}
	waitFor(t, func() bool { return db.Waiting() == len(errs) })
	release()
	done.Wait()
	for i, err := range errs {
		if i%5 == 4 && !errors.Is(err, index.ErrNotExist) || i%5 != 4 && err != nil {
			t.Errorf("caller %d: %v", i, err)
		}
	}
	if db.Waiting() != 0 {
		t.Errorf("%d callers are left", db.Waiting())
	}
	h := must(db.HeldAt(ctx, a.Ino))
	if h.Size != int64(h.Blocks[0]) {
		t.Errorf("held %+v mixes two barriers", h)
	}
}
