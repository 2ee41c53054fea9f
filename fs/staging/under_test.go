package staging

import (
	"bytes"
	"context"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestUnder wants a map to tell which versions show through, and never one that shows something else.
func TestUnder(t *testing.T) {
	const size = 10*BlockSize + 1000
	content := published(bytes.Repeat([]byte("p"), size))
	write := func(t *testing.T, f *File, off int64) {
		t.Helper()
		_, err := f.WriteAt(ctx, []byte("written"), off, content.fill)
		must(t, err)
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, f *File)
		before bool // the version before shows the same
	}{
		{"written", func(t *testing.T, f *File) { write(t, f, 2*BlockSize) }, true},
		{"appended", func(t *testing.T, f *File) { write(t, f, size) }, true},
		{"cut off", func(t *testing.T, f *File) { must(t, f.Truncate(ctx, 5*BlockSize)) }, true},
		{"cut off and grown", func(t *testing.T, f *File) {
			must(t, f.Truncate(ctx, 5*BlockSize))
			must(t, f.Truncate(ctx, size))
		}, false},
		{"cut off within a block and grown", func(t *testing.T, f *File) {
			must(t, f.Truncate(ctx, size-BlockSize-100))
			must(t, f.Truncate(ctx, size))
		}, false},
		{"grown", func(t *testing.T, f *File) { must(t, f.Truncate(ctx, 2*size)) }, false},
		{"punched", func(t *testing.T, f *File) { must(t, f.Punch(ctx, 3*BlockSize, BlockSize, content.fill)) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			d := newDir(t, dir)
			d.c.MarkDirty = func(context.Context, index.Ino, uint64) (uint64, error) { return 2, nil }
			f := d.mustFile(t, 7, Shape{Size: size, Base: size, Under: 1})
			write(t, f, 0)
			tt.change(t, f)
			check := func(f *File, version uint64, want bool) {
				t.Helper()
				if f.Under(version) != want {
					t.Errorf("version %d shows through: %v, by %+v", version, !want, f.under)
				}
			}
			check(f, 1, true)
			check(f, 2, false)
			if f.IsCopyOf(1) {
				t.Error("a copy, although it was written")
			}
			p, err := f.Pack(ctx, true)
			must(t, err)
			must(t, p.Commit())
			if f.IsCopyOf(p.Version) {
				t.Error("a copy, although it is not certified")
			}
			must(t, f.Finished())
			f.Release()
			f, _, err = newDir(t, dir).Lookup(7)
			must(t, err)
			defer f.Release()
			check(f, p.Version, true)
			check(f, p.Version+1, false)
			check(f, 1, tt.before)
			if !f.IsCopyOf(p.Version) || f.IsCopyOf(1) {
				t.Errorf("no copy of version %d, or one of 1: %+v", p.Version, f.under)
			}
		})
	}
}
