package staging

import "testing"

// TestSynced asks whether a file needs no sync before a rename over another one.
func TestSynced(t *testing.T) {
	d := newDir(t, t.TempDir())
	expect := func(when string, want bool) {
		t.Helper()
		if got := d.Synced(1); got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	write := func(f *File) {
		t.Helper()
		_, err := f.WriteAt(ctx, []byte("x"), 0, nil)
		must(t, err)
	}
	sync := func(f *File) {
		t.Helper()
		_, err := f.Sync(ctx)
		must(t, err)
	}
	expect("not there", false)
	f := d.mustFile(t, 1, Shape{New: true})
	write(f)
	sync(f)
	expect("in use", false) // it may be mapped
	f.Release()
	expect("synced", true)

	f, _, err := d.Lookup(1)
	must(t, err)
	write(f)
	f.Release()
	expect("written", false)

	f, _, err = d.Lookup(1)
	must(t, err)
	must(t, f.SetMtime(5))
	sync(f)
	must(t, f.SetMtime(6))
	must(t, f.Stamp())
	f.Release()
	expect("a time was set", false)

	f, _, err = d.Lookup(1)
	must(t, err)
	sync(f)
	p, err := f.Pack(ctx, false)
	must(t, err)
	p.Abort()
	f.Release()
	expect("about to be published", false)
}
