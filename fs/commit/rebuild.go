package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// Sealed bytes that are lost before the nodes have them are made again from
// what staging still holds, under a new salt. What has moved on since it was
// packed is left out, as gaps; the anchor then waits for the newer content.

// errRebuilt ends a pass of the packer: a segment was rebuilt since it began,
// and what it knows of published content may be gone.
var errRebuilt = errors.New("a segment was made again meanwhile")

// rebuilds keep making a segment again and committing new ones apart: what a
// commit publishes must not refer to what a rebuild leaves out.
type rebuilds struct {
	mu   sync.Mutex // held while a segment is rebuilt or committed; guards done
	done uint64     // how many segments were rebuilt
}

func (r *rebuilds) count() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// rebuild makes a segment again whose sealed bytes are lost, and returns them.
// Cause, which says so, is part of the error when staging has lost content too.
// First comes the index: what a crash cuts off then is lost once more, and
// rebuilt. The other order would not do for a plain drive, in which the header
// of a segment does not tell one sealing from another.
func (c *Committer) rebuild(ctx context.Context, number uint64, cause error) ([]byte, error) {
	c.rebuilds.mu.Lock()
	defer c.rebuilds.mu.Unlock()
	material, err := c.cfg.Index.Material(ctx, number)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cause, err)
	}
	s, err := c.shapeOf(&material)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cause, err)
	}
	if err := c.collectMoved(ctx, material.Moved, s.plain[:s.data]); err != nil {
		return nil, fmt.Errorf("make segment %d again, of which %w: %w", number, cause, err)
	}
	gaps, missing, err := c.collect(ctx, &material, s.plain[:s.data])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cause, err)
	}
	if err := c.secure(ctx, gaps); err != nil {
		return nil, fmt.Errorf("make segment %d again: %w", number, err)
	}
	sealed, header, err := c.sealed(s.plain, missing)
	if err == nil && int64(len(sealed)) != material.Segment.Size {
		err = fmt.Errorf("%d bytes, want %d: %w", len(sealed), material.Segment.Size, ErrOutboxLost)
	}
	if err != nil {
		return nil, fmt.Errorf("make segment %d again: %w", number, err)
	}
	if err := c.cfg.Index.Reseal(ctx, number, header, gaps); err != nil {
		return nil, err
	}
	c.rebuilds.done++
	c.logRebuilt(&material.Segment, gaps, cause)
	if len(gaps) > 0 {
		c.clock.demand()
	}
	return sealed, c.keep(number, sealed)
}

func (c *Committer) logRebuilt(before *index.SegmentRow, gaps []index.Gap, cause error) {
	bytes := int64(0)
	for _, g := range gaps {
		bytes += g.Len
	}
	c.log.Warn("sealed segment was lost and is made again", "op", "put", "segment", before.Number,
		"size", before.Size, "gaps", bytes, "err", cause)
	if before.Stage >= walrus.Registered || before.RegisterTx != [32]byte{} {
		c.log.Warn("registration of the lost segment is given up", "op", "put", "segment", before.Number,
			"blob", before.Blob, "object", before.Object)
	}
}

// shape is the plaintext of a segment whose data is missing yet.
type shape struct {
	plain []byte
	data  int64 // bytes of extents that it begins with
}

// shapeOf lays trailer and footer of a segment out as they were. What it does
// not know by itself it knows from the lengths of all segments of the trailer:
// only the first of them has data.
func (c *Committer) shapeOf(m *index.Material) (shape, error) {
	var lengths []int64
	rest := int64(len(m.Trailer))
	for i := range m.Parts {
		n, err := seal.Header(m.Parts[i].Header).PlainSize(m.Parts[i].Size)
		if err != nil {
			return shape{}, err
		}
		lengths = append(lengths, n)
		if i > 0 {
			rest -= n - index.FooterSize
		}
	}
	part := m.Segment.Part
	s := shape{plain: make([]byte, lengths[part])}
	from, n := int64(0), rest // of the piece of the trailer
	if part == 0 {
		s.data = lengths[0] - index.FooterSize - rest
	} else {
		n = lengths[part] - index.FooterSize
		from = rest
		for _, length := range lengths[1:part] {
			from += length - index.FooterSize
		}
	}
	if s.data < 0 || n < 0 || from < 0 || from+n > int64(len(m.Trailer)) {
		return shape{}, fmt.Errorf("trailer of %d bytes in segments of %d: %w", len(m.Trailer), lengths, index.ErrTrailer)
	}
	footer, err := index.Footer{
		Drive: c.drive.ID, Number: m.Segment.Number, Generation: m.Segment.Generation, Part: part, Parts: len(m.Parts),
		PartSize: int(n), Size: len(m.Trailer), Sum: index.TrailerSum(m.Trailer), Writer: c.tag(),
	}.Marshal()
	if err != nil {
		return shape{}, err
	}
	copy(s.plain[s.data:], m.Trailer[from:from+n])
	copy(s.plain[s.data+n:], footer[:])
	return s, nil
}

// collect fills in the data of a segment from staging and returns what is missing
// of it: what the index refers to, and all. Trailers may speak of what the index
// has forgotten.
func (c *Committer) collect(ctx context.Context, m *index.Material, data []byte) ([]index.Gap, []seal.Gap, error) {
	l := collection{c: c, data: data}
	byIno := map[index.Ino][]index.SegmentRange{}
	for _, r := range m.Ranges {
		if r.Pos+r.Len > int64(len(data)) {
			return nil, nil, fmt.Errorf("range %+v in %d bytes of data: %w", r, len(data), index.ErrCorrupt)
		}
		byIno[r.Ino] = append(byIno[r.Ino], r)
	}
	for ino, ranges := range byIno {
		if err := l.add(ctx, ino, ranges); err != nil {
			return nil, nil, fmt.Errorf("inode %d: %w", ino, err)
		}
	}
	gaps := l.gaps(m.Ranges)
	return gaps, l.missing(m.Moved), nil
}

// collection gathers the data of a segment.
type collection struct {
	c    *Committer
	data []byte
	have []stretch // of data
}

// stretch is a range of the plaintext of a segment.
type stretch struct{ from, to int64 }

// add takes what staging has of the ranges of a file. A live range that has
// neither been kept nor changed is lost, unless the file was deleted.
func (l *collection) add(ctx context.Context, ino index.Ino, ranges []index.SegmentRange) error {
	file, ok, err := l.c.cfg.Staging.Lookup(ino)
	if err != nil {
		return err
	}
	if ok {
		defer file.Release()
	}
	// A file that was packed whole knows so only as long as it is open.
	if err := l.c.settle(ctx, ino); err != nil {
		return err
	}
	lost := false
	for _, r := range ranges {
		switch {
		case r.Version != 0 && ok:
			l.addPartial(file, r)
		case r.Live && ok:
			gone, err := l.addLive(file, r)
			if err != nil {
				return err
			}
			lost = lost || gone
		case r.Live:
			lost = true
		}
	}
	if !lost {
		return nil
	}
	attr, err := l.c.cfg.Index.Get(ctx, ino)
	if errors.Is(err, index.ErrNotExist) || err == nil && attr.Nlink == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return ErrStagingLost
}

// addPartial takes a range of a version that is not published. The index
// forgets it before the file is written again, and then nobody needs the bytes.
func (l *collection) addPartial(file *staging.File, r index.SegmentRange) {
	p := l.data[r.Pos : r.Pos+r.Len]
	if n, _ := file.ReadAt(p, r.Off); n == len(p) { // else it is a gap, and packed again
		l.have = append(l.have, stretch{r.Pos, r.Pos + r.Len})
		return
	}
	clear(p)
}

// addLive takes what was not changed of a published range, and reports whether
// a part is gone without that.
func (l *collection) addLive(file *staging.File, r index.SegmentRange) (gone bool, err error) {
	kept, err := file.ReadPacked(l.data[r.Pos:r.Pos+r.Len], r.Off)
	if err != nil {
		return false, err
	}
	for _, k := range kept {
		at := r.Pos + k.Off - r.Off
		switch k.Fate {
		case staging.Kept:
			l.have = append(l.have, stretch{at, at + k.Len})
		case staging.Gone:
			gone = true
		}
	}
	return gone, nil
}

// gaps returns, in order, the parts of the ranges that the collection does not have.
func (l *collection) gaps(ranges []index.SegmentRange) (gaps []index.Gap) {
	slices.SortFunc(l.have, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	ranges = slices.Clone(ranges)
	slices.SortStableFunc(ranges, func(a, b index.SegmentRange) int { return cmp.Compare(a.Pos, b.Pos) })
	done, have := int64(0), l.have // up to done all is told
	for _, r := range ranges {
		for at, end := max(done, r.Pos), r.Pos+r.Len; at < end; {
			for len(have) > 0 && have[0].to <= at {
				have = have[1:]
			}
			stop := end
			if len(have) > 0 {
				stop = min(stop, max(at, have[0].from))
			}
			if at < stop {
				gaps = append(gaps, index.Gap{Ino: r.Ino, Pos: at, Len: stop - at})
			}
			at = stop
			if len(have) > 0 && have[0].from <= at {
				at = min(end, have[0].to)
			}
			done = at
		}
	}
	return gaps
}

// missing returns, in order, all of the data that is not there.
func (l *collection) missing(moved []index.MovedRange) (list []seal.Gap) {
	have := slices.Clone(l.have)
	for _, m := range moved {
		have = append(have, stretch{m.Pos, m.Pos + m.Len})
	}
	slices.SortFunc(have, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	at := int64(0)
	for _, h := range append(have, stretch{int64(len(l.data)), int64(len(l.data))}) {
		if at < h.from {
			list = append(list, seal.Gap{Pos: at, Len: h.from - at})
		}
		at = max(at, h.to)
	}
	return list
}

// secure brings the newer content of files that have gaps to the disk, and
// makes sure that it is packed: nothing else is left of them.
func (c *Committer) secure(ctx context.Context, gaps []index.Gap) error {
	var held []index.Held
	seen := map[index.Ino]bool{}
	for _, g := range gaps {
		if seen[g.Ino] {
			continue
		}
		seen[g.Ino] = true
		file, ok, err := c.cfg.Staging.Lookup(g.Ino)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		h, err := file.Sync(ctx)
		file.Release()
		if err != nil {
			return err
		}
		held = append(held, h)
	}
	if len(held) == 0 {
		return nil
	}
	return c.cfg.Index.Barrier(ctx, held)
}

// held reports whether the anchor waits for newer content than what a rebuilt
// segment has. Then sealed segments that are certified make room in the outbox,
// so that it can be packed: they are not needed any more.
func (c *Committer) held(ctx context.Context) (bool, error) {
	inos, err := c.cfg.Index.Gapped(ctx)
	if err != nil || len(inos) == 0 {
		return false, err
	}
	rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Below: index.Finished})
	if err != nil {
		return false, err
	}
	for _, r := range rows {
		if r.Stage >= walrus.Certified {
			c.finishSegment(r.Number)
		}
	}
	return true, nil
}

// heldBy returns why a file that the anchor waits for cannot be packed, or nil.
func (c *Committer) heldBy(ctx context.Context) error {
	inos, err := c.cfg.Index.Gapped(ctx)
	if err != nil {
		return err
	}
	for _, ino := range inos {
		if err := c.trouble.failure(ino); err != nil {
			return fmt.Errorf("inode %d: %w", ino, err)
		}
	}
	return nil
}
