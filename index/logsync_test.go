package index_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/walfs/walfs/index"
)

var errDisk = errors.New("the disk failed")

// TestSyncFails has the disk fail while a barrier syncs the log: who waits is told, also
// while the log cannot be written anew, and what follows is safe again once it can.
func TestSyncFails(t *testing.T) {
	if index.SyncFull != "FULL" {
		t.Skip("nothing is synced")
	}
	db := open(t)
	create(t, db, index.Root, "a", fileMode)
	create(t, db, index.Root, "b", fileMode)
	var tries atomic.Int64
	db.FailSyncs(func() error { tries.Add(1); return errDisk })
	for range 2 {
		if err := db.Barrier(ctx, nil); !errors.Is(err, index.ErrUnsynced) || !errors.Is(err, errDisk) {
			t.Errorf("barrier: %v", err)
		}
	}
	displaced, err := db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte("a"), NewParent: index.Root, NewName: []byte("b"), Full: true})
	if !errors.Is(err, index.ErrUnsynced) || displaced.Ino == 0 {
		t.Errorf("rename over inode %d: %v", displaced.Ino, err)
	}
	if names(t, db) != 1 {
		t.Errorf("%d names are left", names(t, db))
	}
	if _, err := db.Boot(ctx, "another"); !errors.Is(err, errDisk) {
		t.Errorf("another transaction that is synced: %v", err)
	}
	if tries.Load() != 4 {
		t.Errorf("%d tries", tries.Load())
	}
	db.FailSyncs(nil)
	if err := db.Barrier(ctx, nil); err != nil {
		t.Errorf("the disk works again: %v", err)
	}
	if _, err := db.Boot(ctx, "another"); err != nil {
		t.Error(err)
	}
}

// TestSyncFailedForGood loses what a failed sync had to bring to the disk: the log is
// not what was written, and no barrier promises anything any more.
func TestSyncFailedForGood(t *testing.T) {
	if index.SyncFull != "FULL" {
		t.Skip("nothing is synced")
	}
	path := t.TempDir() + "/index"
	db := must(index.Open(ctx, index.Config{Path: path}))
	defer func() {
		if err := db.Kill(); !errors.Is(err, index.ErrCorrupt) {
			t.Errorf("the log was copied into the file: %v", err)
		}
	}()
	create(t, db, index.Root, "a", fileMode)
	db.FailSyncs(func() error { return errDisk })
	if err := db.Barrier(ctx, nil); !errors.Is(err, errDisk) {
		t.Fatalf("barrier: %v", err)
	}
	db.FailSyncs(nil)
	log := must(os.ReadFile(path + "-wal"))
	frames := (lastFrame(log) - 32) / (24 + 4096)
	flip(t, path+"-wal", 32+(frames-1)*(24+4096)+1000, 3)
	for range 2 {
		if err := db.Barrier(ctx, nil); !errors.Is(err, index.ErrCorrupt) || !errors.Is(err, index.ErrUnsynced) {
			t.Errorf("barrier: %v", err)
		}
	}
}

// lastFrame returns where the frames of a log end.
func lastFrame(log []byte) int64 {
	end := int64(32)
	for ; end+24+4096 <= int64(len(log)) && bytes.Equal(log[end+8:][:8], log[16:][:8]) && binary.BigEndian.Uint32(log[end:]) != 0; end += 24 + 4096 {
	}
	return end
}

// TestSyncAlone changes names while the log is synced: nobody waits for the disk who did not ask for it.
func TestSyncAlone(t *testing.T) {
	if index.SyncFull != "FULL" {
		t.Skip("nothing is synced")
	}
	db := open(t)
	began, end := make(chan struct{}), make(chan struct{})
	db.FailSyncs(func() error {
		close(began)
		<-end
		return nil
	})
	done := make(chan error)
	go func() { done <- db.Barrier(ctx, nil) }()
	<-began
	create(t, db, index.Root, "a", fileMode)
	must(db.Usage(ctx)) // commits
	if names(t, db) != 1 {
		t.Error("the name is not there")
	}
	close(end)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
