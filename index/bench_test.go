package index_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/walfs/walfs/index"
)

func BenchmarkCreate(b *testing.B) {
	db := open(b)
	dir := create(b, db, index.Root, "dir", dirMode)
	for i := 0; b.Loop(); i++ {
		create(b, db, dir.Ino, fmt.Sprintf("some-file-name-%08d", i), fileMode)
	}
}

func fill(b *testing.B, db *index.DB, files int) (dir index.Ino, names [][]byte) {
	b.Helper()
	dir = create(b, db, index.Root, "dir", dirMode).Ino
	for i := range files {
		name := fmt.Sprintf("some-file-name-%08d", i)
		create(b, db, dir, name, fileMode)
		names = append(names, []byte(name))
	}
	return dir, names
}

func BenchmarkLookup(b *testing.B) {
	db := open(b)
	dir, names := fill(b, db, 10_000)
	for i := 0; b.Loop(); i++ {
		must(db.Lookup(ctx, dir, names[i*7919%len(names)]))
	}
}

func BenchmarkGet(b *testing.B) {
	db := open(b)
	dir, names := fill(b, db, 10_000)
	first := must(db.Lookup(ctx, dir, names[0])).Ino
	for i := 0; b.Loop(); i++ {
		must(db.Get(ctx, first+index.Ino(i*7919%len(names))))
	}
}

func BenchmarkReadDir(b *testing.B) {
	db := open(b)
	dir, names := fill(b, db, 10_000)
	for b.Loop() {
		var after uint64
		n := 0
		for {
			entries := must(db.ReadDir(ctx, dir, after, 1000))
			if len(entries) == 0 {
				break
			}
			n += len(entries)
			after = entries[len(entries)-1].Cookie
		}
		if n != len(names) {
			b.Fatalf("%d entries", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(names)), "ns/entry")
}

func BenchmarkRename(b *testing.B) {
	db := open(b)
	dir, names := fill(b, db, 1000)
	for i := 0; b.Loop(); i++ {
		old, name := names[i%len(names)], []byte(fmt.Sprintf("renamed-%08d", i))
		must(db.Rename(ctx, index.RenameRequest{OldParent: dir, OldName: old, NewParent: dir, NewName: name}))
		names[i%len(names)] = name
	}
}

func BenchmarkSetAttr(b *testing.B) {
	db := open(b)
	dir, names := fill(b, db, 1000)
	first := must(db.Lookup(ctx, dir, names[0])).Ino
	for i := 0; b.Loop(); i++ {
		mtime := int64(i)
		must(db.SetAttr(ctx, first+index.Ino(i%len(names)), index.Change{Mtime: &mtime}))
	}
}

func BenchmarkQueue(b *testing.B) {
	db := open(b)
	dir, names := fill(b, db, 1000)
	first := must(db.Lookup(ctx, dir, names[0])).Ino
	for i := 0; b.Loop(); i++ {
		if err := db.Queue(ctx, first+index.Ino(i%len(names)), index.Queued{Size: int64(i), Mtime: int64(i)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBarrier(b *testing.B) {
	db := open(b)
	for b.Loop() {
		if err := db.Barrier(ctx, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCut2000 is one segment with 2,000 small files: claim, cut, marshal, commit.
func BenchmarkCut2000(b *testing.B) {
	const files = 2000
	db := open(b)
	for n := uint64(1); b.Loop(); n++ {
		b.StopTimer()
		dir := create(b, db, index.Root, fmt.Sprint("dir", n), dirMode).Ino
		for i := range files {
			a := create(b, db, dir, fmt.Sprintf("some-file-name-%08d", i), fileMode)
			if err := db.Queue(ctx, a.Ino, index.Queued{Size: 100, Mtime: int64(i)}); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		jobs := must(db.Claim(ctx, files, true))
		var packed []index.Packed
		for i, j := range jobs {
			packed = append(packed, index.Packed{Ino: j.Ino, Version: j.Version, Size: j.Size, Mtime: int64(i),
				Ops: []index.Op{{Len: j.Size, Segment: n, Pos: int64(i) * j.Size}}})
		}
		if len(packed) != files {
			b.Fatalf("%d jobs", len(packed))
		}
		t := must(db.CutTrailer(ctx, packed))
		encoded := must(index.MarshalTrailer(t))
		b.ReportMetric(float64(len(encoded))/files, "bytes/file")
		if err := db.CommitSegments(ctx, index.Commit{Trailer: t, Segments: []index.SegmentRow{segment(n)}, Packed: packed}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		r := must(db.Receipt(ctx, n))
		r.Stage = 4
		if err := db.Checkpoint(ctx, n, r); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkFull makes a full snapshot of a tree of 100,000 files in folders of
// 100, and an index of that.
func BenchmarkFull(b *testing.B) {
	const folders, files = 1000, 100
	db := open(b)
	defer closeDB(b, db)
	c := &committer{t: b, db: db}
	var packed []index.Packed
	for i := range folders {
		dir := create(b, db, index.Root, fmt.Sprintf("folder %04d", i), dirMode)
		for k := range files {
			a := create(b, db, dir.Ino, fmt.Sprintf("a file number %04d.txt", k), fileMode)
			packed = append(packed, index.Packed{Ino: a.Ino, Version: 1, Size: 4096, Mtime: 5,
				Ops: []index.Op{{Len: 4096, Segment: 1, Pos: int64(len(packed)) % 100 * 4096}}})
		}
	}
	c.both(packed...)
	certify(b, db, 1)
	var snapshot []byte
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			_, s, err := db.EncodeFull(ctx)
			if err != nil {
				b.Fatal(err)
			}
			snapshot = s
		}
		b.ReportMetric(float64(len(snapshot))/(folders*files), "bytes/file")
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			db, report, err := applyFull(b, snapshot)
			if err != nil || report.Inodes != folders*(files+1)+1 || len(report.Problems) > 0 {
				b.Fatalf("%v, %+v", err, report)
			}
			closeDB(b, db)
		}
	})
}

// BenchmarkUnlink deletes stored files of a folder three levels down, with and
// without the trash. The inodes stay.
func BenchmarkUnlink(b *testing.B) {
	for name, trash := range map[string]bool{"trash": true, "gone": false} {
		b.Run(name, func(b *testing.B) {
			db := open(b)
			if trash {
				db = openTrash(b)
			}
			c := &committer{t: b, db: db}
			tree(b, db, "some/", "some/folder/", "some/folder/below/")
			dir := lookup(b, db, "some/folder/below").Ino
			var packed []index.Packed
			for i := range b.N {
				a := create(b, db, dir, fmt.Sprintf("some-file-name-%08d", i), fileMode)
				packed = append(packed, index.Packed{Ino: a.Ino, Version: 1, Size: 4096, Mtime: 5,
					Ops: []index.Op{{Len: 4096, Segment: 1, Pos: int64(i) % 100 * 4096}}})
			}
			c.both(packed...)
			b.ResetTimer()
			for i := range b.N {
				must(db.Unlink(ctx, dir, fmt.Appendf(nil, "some-file-name-%08d", i)))
			}
		})
	}
}

// BenchmarkCreate8 makes files from eight goroutines, which share transactions.
func BenchmarkCreate8(b *testing.B) {
	db := open(b)
	dir := create(b, db, index.Root, "dir", dirMode)
	var next atomic.Int64
	b.SetParallelism(4) // of two processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			create(b, db, dir.Ino, fmt.Sprintf("some-file-name-%08d", next.Add(1)), fileMode)
		}
	})
}
