package staging

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// TestFetch makes staging hold what shows through: of holes, of blocks that
// are held already, and of content whose end is not that of a block.
func TestFetch(t *testing.T) {
	d := newDir(t, t.TempDir())
	const size = 10*BlockSize + 100
	content := published(bytes.Repeat([]byte("published "), size/10+1)[:size])
	clear(content[4*BlockSize : 7*BlockSize])
	f := d.mustFile(t, 1, Shape{Size: size, Base: size})
	_, err := f.WriteAt(ctx, []byte("new"), 2*BlockSize+5, content.fill)
	must(t, err)
	want := bytes.Clone(content)
	copy(want[2*BlockSize+5:], "new")
	must(t, f.Fetch(ctx, BlockSize, 1, content.fill))
	if f.Complete() || !f.Holds(BlockSize, BlockSize) {
		t.Error("not the block that was asked for")
	}
	must(t, f.Fetch(ctx, 0, 1<<40, content.fill))
	if !f.Complete() || f.Size() != size {
		t.Errorf("complete %t, size %d", f.Complete(), f.Size())
	}
	if _, err := d.SyncAll(ctx, d.Unsynced()); err != nil {
		t.Error(err)
	}
	f.Release()
	f, _, err = d.Lookup(1) // what was held stays so
	must(t, err)
	defer f.Release()
	got := make([]byte, size)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) || !f.Complete() {
		t.Errorf("content differs, %v, complete %t", err, f.Complete())
	}
	p, err := f.Pack(ctx, false)
	must(t, err)
	defer p.Abort()
	if r := p.Ranges(); len(r) != 1 || r[0].Off != 2*BlockSize || r[0].Len != BlockSize {
		t.Errorf("what was fetched is packed again: %+v", r)
	}
}

// TestFetchRace lets a write and a truncation come while content is on its way.
func TestFetchRace(t *testing.T) {
	d := newDir(t, t.TempDir())
	const size = 4 * BlockSize
	content := published(bytes.Repeat([]byte("p"), size))
	f := d.mustFile(t, 1, Shape{Size: size, Base: size})
	defer f.Release()
	fills := 0
	fill := func(ctx context.Context, p []byte, off int64) error {
		if fills++; fills == 1 {
			if _, err := f.WriteAt(ctx, bytes.Repeat([]byte("w"), BlockSize), BlockSize, content.fill); err != nil {
				t.Error(err)
			}
			if err := f.Truncate(ctx, 2*BlockSize+10); err != nil {
				t.Error(err)
			}
			if err := f.Truncate(ctx, size); err != nil {
				t.Error(err)
			}
		}
		return content.fill(ctx, p, off)
	}
	must(t, f.Fetch(ctx, 0, size, fill))
	want := make([]byte, size)
	copy(want, bytes.Repeat([]byte("p"), 2*BlockSize+10))
	copy(want[BlockSize:], bytes.Repeat([]byte("w"), BlockSize))
	got := make([]byte, size)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("content differs: %v", err)
	}
	if fills < 2 {
		t.Error("what was cut off meanwhile was not asked for again")
	}
	broken := errors.New("broken")
	g := d.mustFile(t, 2, Shape{Size: size, Base: size})
	defer g.Release()
	err := g.Fetch(ctx, 0, size, func(context.Context, []byte, int64) error { return broken })
	if !errors.Is(err, broken) || g.Holds(0, 1) {
		t.Errorf("%v, holds %t", err, g.Holds(0, 1))
	}
}
