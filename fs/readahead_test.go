package fs

import "testing"

// TestReadaheadDepth doubles how far a sequential reader is read ahead of, up
// to his share, and leaves one alone who jumps.
func TestReadaheadDepth(t *testing.T) {
	fs := &FS{windows: make(chan struct{}, 100)}
	var a readahead
	const step = 128 << 10
	depths := map[int]bool{}
	for off := int64(0); off < 200<<20; off += step {
		a.note(fs, off, step)
		depths[a.depth] = true
		if most := max(1, int(off/windowSize)); a.depth > most {
			t.Fatalf("%d windows ahead of who has read %d", a.depth, most)
		}
	}
	for _, want := range []int{0, 1, 2, 4, 8, 16, 32} {
		if !depths[want] {
			t.Errorf("depths %v lack %d", depths, want)
		}
	}
	if len(depths) != 7 || fs.streams.Load() != 1 {
		t.Errorf("depths %v, %d readers", depths, fs.streams.Load())
	}
	// The kernel sends what it reads ahead in any order.
	for _, ahead := range []int64{3, 1, 0, 2, 7, 4, 5, 6} {
		a.note(fs, 200<<20+ahead<<20, 1<<20)
	}
	if a.depth == 0 {
		t.Error("reads that are out of order end it")
	}
	a.note(fs, 10<<20, 4096)
	if a.depth != 0 || fs.streams.Load() != 0 {
		t.Errorf("after a jump: depth %d, %d readers", a.depth, fs.streams.Load())
	}
	for i := range int64(1000) {
		a.note(fs, i*7919*4096%(1<<30), 4096)
		if a.depth != 0 {
			t.Fatalf("random read %d is read ahead of", i)
		}
	}
	readers := make([]readahead, 200)
	for off := int64(0); off < 10<<20; off += step {
		for i := range readers {
			readers[i].note(fs, off, step)
		}
	}
	if deepest := readers[199].depth; deepest != 1 {
		t.Errorf("one of 200 readers may have %d windows of 100", deepest)
	}
}

func TestInBackground(t *testing.T) {
	for name, want := range map[string]bool{
		"tracker-miner-f": true, "tracker-extract": true, "baloo_file": true, "updatedb.plocat": true, "ffmpegthumbnail": true,
		"localsearch-3": true, "cat": false, "rsync": false, "nautilus": false, "trackma": false, "bash": false,
	} {
		if inBackground(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
