package commit_test

import (
	"context"
	"testing"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// TestDrainWhileCreated drains between the two halves of a create(2): the
// index has the file, staging not yet.
func TestDrainWhileCreated(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	ctx := context.Background()
	attr, err := r.db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("new"), Mode: 0o100644})
	r.must(err)
	r.drain()

	f, err := r.stage.File(ctx, attr.Ino, staging.Shape{Mtime: attr.Mtime, Version: attr.Version})
	r.must(err)
	content := random(1, 1000)
	r.writeAt(f, content, 0)
	r.must(r.db.Queue(ctx, attr.Ino, f.State()))
	f.Release()
	if live, err := r.db.Get(ctx, attr.Ino); err != nil || live.Size != int64(len(content)) {
		t.Errorf("size %d, %v", live.Size, err)
	}
	r.drain()
	r.restored().same("/new", content)
}
