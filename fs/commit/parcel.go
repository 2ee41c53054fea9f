package commit

import (
	"slices"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// parcel is one version of a file on its way into segments.
type parcel struct {
	job     index.Job
	version uint64
	attr    index.Attr
	file    *staging.File
	pack    *staging.Pack

	ops    []index.Op
	hashes []index.RangeHash
	known  map[int64][32]byte // hashes of the published version; nil: not asked yet

	// Of the open segment: where the parcel begins in it, and what it has there
	// so far, for the journal if the file does not end in this segment.
	start int
	fresh []index.Partial
}

func newParcel(job index.Job, attr index.Attr, file *staging.File, pack *staging.Pack) *parcel {
	return &parcel{job: job, version: pack.Version, attr: attr, file: file, pack: pack}
}

// moved reports whether the file changed since the snapshot.
func (par *parcel) moved() bool { return par.pack.Moved() }

// drop gives the snapshot up: the file stays as it is, dirty.
func (par *parcel) drop() {
	par.pack.Abort()
	par.file.Release()
}

// published tells staging that the index has the version.
func (par *parcel) published() error {
	defer par.file.Release()
	return par.pack.Commit()
}

// ranges returns what there is to pack. Ranges that went into committed
// segments before a crash are in ops already.
func (par *parcel) ranges() []staging.PackRange {
	ranges := par.pack.Ranges()
	if par.job.Version != par.version || len(par.job.Partials) == 0 || slices.ContainsFunc(ranges, func(r staging.PackRange) bool { return r.Same }) {
		return ranges
	}
	partials := slices.Clone(par.job.Partials)
	slices.SortFunc(partials, func(a, b index.Partial) int { return int(min(1, max(-1, a.Off-b.Off))) })
	for _, q := range partials {
		par.op(index.Op{Off: q.Off, Len: q.Len, Segment: q.Segment, Pos: q.Pos})
	}
	return subtract(ranges, partials)
}

// subtract returns the ranges without the partials; both are in order.
func subtract(ranges []staging.PackRange, partials []index.Partial) []staging.PackRange {
	var rest []staging.PackRange
	for _, r := range ranges {
		for len(partials) > 0 && partials[0].Off+partials[0].Len <= r.Off {
			partials = partials[1:]
		}
		for _, q := range partials {
			if q.Off >= r.Off+r.Len {
				break
			}
			if q.Off > r.Off {
				rest = append(rest, staging.PackRange{Off: r.Off, Len: q.Off - r.Off, Hole: r.Hole})
			}
			r.Off, r.Len = q.Off+q.Len, r.Off+r.Len-q.Off-q.Len
			if r.Len <= 0 {
				break
			}
		}
		if r.Len > 0 {
			rest = append(rest, r)
		}
	}
	return rest
}

func bytesOf(ranges []staging.PackRange) (n int64) {
	for _, r := range ranges {
		if !r.Hole && !r.Same {
			n += r.Len
		}
	}
	return n
}

// hole makes a range read as zeros. Where nothing published shows through it does so already.
func (par *parcel) hole(off, n int64) {
	if end := min(off+n, par.pack.Base); off < end {
		par.op(index.Op{Off: off, Len: end - off})
	}
}

// refer makes a range be what published extents are, which are in order and lie in it.
func (par *parcel) refer(extents []index.Extent, off, n int64) {
	at := off
	for _, e := range extents {
		par.hole(at, e.Off-at)
		par.op(index.Op{Off: e.Off, Len: e.Len, Segment: e.Segment, Pos: e.Pos})
		at = e.Off + e.Len
	}
	par.hole(at, off+n-at)
}

// put notes a range that went into the open segment.
func (par *parcel) put(o index.Op) {
	par.op(o)
	if last := len(par.fresh) - 1; last >= 0 {
		q := &par.fresh[last]
		if q.Off+q.Len == o.Off && q.Pos+q.Len == o.Pos {
			q.Len += o.Len
			return
		}
	}
	par.fresh = append(par.fresh, index.Partial{
		Ino: par.job.Ino, Version: par.version, Off: o.Off, Len: o.Len, Segment: o.Segment, Pos: o.Pos,
	})
}

// op adds an operation, or makes the last one longer.
func (par *parcel) op(o index.Op) {
	if last := len(par.ops) - 1; last >= 0 {
		q := &par.ops[last]
		adjacent := q.Off+q.Len == o.Off && q.Segment == o.Segment
		if adjacent && (o.Segment == 0 || q.Pos+q.Len == o.Pos) {
			q.Len += o.Len
			return
		}
	}
	par.ops = append(par.ops, o)
}

// packed returns what the index records of the version.
func (par *parcel) packed() index.Packed {
	return index.Packed{
		Ino: par.job.Ino, Version: par.version,
		Size: par.pack.Size, Mtime: par.pack.Mtime, Base: par.pack.Base,
		Ops: par.ops, Hashes: par.hashes, Seq: par.pack.Seq,
	}
}

// How long the rows of a trailer are, in bytes, about twice of what compression
// usually leaves: the segments that it announces, then for each version inode,
// content and name, and an extent.
const (
	announcedSize = 6 << 10
	rowsSize      = 40
	opSize        = 8
)

// trailerSize estimates the bytes that the version needs in a trailer.
func (par *parcel) trailerSize() int { return rowsSize + len(par.job.Name) + opSize*len(par.ops) }
