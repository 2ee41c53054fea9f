package staging

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// states returns the state of each block of a file, for comparison.
func (f *File) states() (list []state) {
	for b := range blocksFor(f.size) {
		list = append(list, f.blocks.get(b))
	}
	return list
}

// TestMapFlips flips every bit of a block map: none of them may go unnoticed, since a
// block that is taken for another kind shows wrong bytes or is never stored.
func TestMapFlips(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, dir)
	const size = 600 * BlockSize // two units and a half
	f := d.mustFile(t, 7, Shape{Size: size, Base: size})
	content := published(bytes.Repeat([]byte("p"), size))
	for _, block := range []int64{0, 3, 4, 239, 240, 599} {
		_, err := f.WriteAt(ctx, []byte("written"), block*BlockSize, content.fill)
		must(t, err)
	}
	want := f.states()
	f.Release()
	path := d.mapPath(7)
	whole, err := os.ReadFile(path)
	must(t, err)
	for i := range whole {
		for bit := range 8 {
			b := slices.Clone(whole)
			b[i] ^= 1 << bit
			must(t, os.WriteFile(path, b, 0o600))
			if _, _, err := d.Lookup(7); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
	must(t, os.WriteFile(path, whole, 0o600))
	f, ok, err := newDir(t, dir).Lookup(7)
	if err != nil || !ok || !slices.Equal(f.states(), want) {
		t.Errorf("back as it was: %v, %v, %v", ok, err, f.states())
	}
	f.Release()
}

// oldMap puts a map from testdata beside a data file.
func oldMap(t *testing.T, d *Dir, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	old, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	must(t, err)
	must(t, os.WriteFile(d.mapPath(0x1234), old, 0o600))
	must(t, os.WriteFile(d.dataPath(0x1234), make([]byte, 90000), 0o600))
}

// TestMapVersion1 reads a map without checksums, which older versions wrote, and gives it them.
func TestMapVersion1(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, dir)
	oldMap(t, d, "map1.hex")
	for range 2 {
		f, ok, err := newDir(t, dir).Lookup(0x1234)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		for b, s := range f.states() {
			if held := b == 0 || b == 3 || b == 4 || b == 20; held != (s == dirty) {
				t.Errorf("block %d is %d", b, s)
			}
		}
		if f.Base() != 90000 {
			t.Errorf("base %d", f.Base())
		}
		f.Release()
	}
	got, err := os.ReadFile(d.mapPath(0x1234))
	must(t, err)
	if got[4] != mapVersion {
		t.Errorf("version %d after it was read", got[4])
	}
}

// TestMapVersion2 reads a map that does not tell versions, which older versions wrote; it
// tells them from the next Pack on.
func TestMapVersion2(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, dir)
	oldMap(t, d, "map2.hex")
	f, ok, err := newDir(t, dir).Lookup(0x1234)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if f.Under(0) || f.Under(1) || f.Base() != 90000 || f.states()[3] != dirty {
		t.Errorf("base %d, under %+v, blocks %v", f.Base(), f.under, f.states())
	}
	p, err := f.Pack(ctx, true)
	must(t, err)
	must(t, p.Commit())
	f.Release()
	f, _, err = newDir(t, dir).Lookup(0x1234)
	must(t, err)
	defer f.Release()
	if !f.Under(p.Version) || f.Under(p.Version-1) {
		t.Errorf("version %d was packed, and %+v shows through", p.Version, f.under)
	}
}

// TestRedirty stores a range of a clean file anew, and only that.
func TestRedirty(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		t.Run(fmt.Sprint("mapped ", mapped), func(t *testing.T) {
			dir := t.TempDir()
			d := newDir(t, dir)
			f := d.mustFile(t, 1, Shape{Size: 10 * BlockSize})
			_, err := f.WriteAt(ctx, bytes.Repeat([]byte("x"), 10*BlockSize), 0, nil)
			must(t, err)
			p, err := f.Pack(ctx, false)
			must(t, err)
			must(t, p.Commit())
			must(t, f.Finished())
			if mapped {
				must(t, f.createMap())
			}
			must(t, f.Redirty(2*BlockSize, 3*BlockSize))
			f.Release()
			f, _, err = newDir(t, dir).Lookup(1)
			must(t, err)
			defer f.Release()
			p, err = f.Pack(ctx, false)
			must(t, err)
			defer p.Abort()
			if got := p.Ranges(); len(got) != 1 || got[0] != (PackRange{Off: 2 * BlockSize, Len: 3 * BlockSize}) {
				t.Errorf("to be stored anew: %+v", got)
			}
		})
	}
}
