package keep

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/index"
)

// Compaction moves what is left of sparse segments into new ones.
const (
	// sparsePart is how many times what is left of a segment, packed tight, has
	// to go into what it takes on the nodes. At two, compaction never writes more
	// than it frees, and garbage never takes more than content.
	sparsePart = 2
	// garbageShare is the part of all that is stored that has to be gained
	// before a Collector compacts by itself.
	garbageShare = 10
	// moveRate bounds it then, in bytes a second, and restTimes how long it rests
	// for the time that it worked.
	moveRate  = 16 << 20
	restTimes = 3
	// roomTimes is how many times what is moved must fit beside what is staged.
	roomTimes = 2
	// trailerRoom is about what a trailer takes of a segment, in bytes.
	trailerRoom = 64 << 10
	// How long to wait for foreground work to end, when nobody asked and when somebody did.
	restAlone = 10 * time.Minute
	restAsked = 2 * time.Second
	restLook  = 100 * time.Millisecond
)

// packed returns what n bytes take on the nodes in full segments.
func (r *round) packed(n int64) int64 {
	capacity := r.c.cfg.Committer.Capacity()
	return int64(float64(r.encoded(capacity)) / float64(capacity) * float64(n))
}

// sparse reports whether a segment is worth compacting: it has some content
// left, and nothing else would keep it. A small blob takes much more than its
// bytes, so that a segment can be sparse that has no garbage.
func (r *round) sparse(u *index.SegmentUse) bool {
	return u.Live > 0 && !u.Trailer && !u.Held && !u.Trash && !u.Gaps && !u.Deleting &&
		sparsePart*r.packed(u.Live) < r.encoded(u.Size)
}

// batches deals sparse segments, the emptiest first, into loads of a segment.
// The last one is left out when what it frees is not worth a blob of its own.
func (r *round) batches(uses []index.SegmentUse) (list [][]index.SegmentUse) {
	uses = slices.DeleteFunc(slices.Clone(uses), func(u index.SegmentUse) bool { return !r.sparse(&u) })
	slices.SortFunc(uses, func(a, b index.SegmentUse) int {
		return cmp.Or(cmp.Compare(float64(a.Live)/float64(a.Size), float64(b.Live)/float64(b.Size)), cmp.Compare(a.Number, b.Number))
	})
	limit := r.c.cfg.Committer.Capacity() - trailerRoom
	for len(uses) > 0 {
		live, freed, n := int64(0), int64(0), 0
		for n < len(uses) && (n == 0 || live+uses[n].Live <= limit) {
			live, freed = live+uses[n].Live, freed+r.encoded(uses[n].Size)
			n++
		}
		if freed >= sparsePart*r.encoded(live+trailerRoom) {
			list = append(list, uses[:n])
		}
		uses = uses[n:]
	}
	return list
}

// compact moves what is left of sparse segments, which are condemned once the
// anchor covers the new places. It stops when room or rest is short: the next
// round goes on.
func (r *round) compact(ctx context.Context) error {
	if r.o.Asked && !r.o.Compact {
		return nil
	}
	uses, err := r.c.cfg.Index.SegmentUses(ctx)
	if err != nil {
		return err
	}
	all, gain := int64(0), int64(0)
	for i := range uses {
		all += r.encoded(uses[i].Size)
	}
	batches := r.batches(uses)
	total := 0
	for _, b := range batches {
		for i := range b {
			gain += r.encoded(b[i].Size) - r.packed(b[i].Live)
			total++
		}
	}
	if !r.o.Asked && gain < max(all/garbageShare, r.encoded(r.c.cfg.Committer.Capacity())) {
		return nil
	}
	for _, b := range batches {
		began := time.Now()
		if ok, err := r.rest(ctx); err != nil || !ok {
			return err
		}
		if r.short(b) {
			r.done.Hindered = "not enough room to write what is left of segments anew"
			break
		}
		if err := r.move(ctx, b); err != nil {
			return err
		}
		r.o.Progress("compact", r.done.Compacted.Segments, total)
		if err := r.breathe(ctx, b, time.Since(began)); err != nil {
			return err
		}
	}
	if r.done.Compacted.Segments == 0 {
		return nil
	}
	if err := r.c.cfg.Committer.Settle(ctx); err != nil {
		return err
	}
	return r.hear(ctx)
}

// short reports whether what a batch writes would be missing elsewhere.
func (r *round) short(b []index.SegmentUse) bool {
	live := int64(0)
	for i := range b {
		live += b[i].Live
	}
	return r.c.cfg.Room != nil && r.c.cfg.Room() < roomTimes*live+r.c.cfg.Committer.Capacity()
}

// rest waits while somebody else needs the nodes. False: they do all the time.
func (r *round) rest(ctx context.Context) (ok bool, err error) {
	limit := restAlone
	if r.o.Asked {
		limit = restAsked
	}
	for end := time.Now().Add(limit); r.c.cfg.Blobs.Busy() && time.Now().Before(end); {
		if err := pause(ctx, restLook); err != nil {
			return false, err
		}
	}
	if r.c.cfg.Blobs.Busy() && !r.o.Asked {
		r.done.Hindered = "the nodes are busy"
		return false, nil
	}
	return true, nil
}

// breathe keeps to the rate, unless somebody waits.
func (r *round) breathe(ctx context.Context, b []index.SegmentUse, took time.Duration) error {
	if r.o.Asked {
		return ctx.Err()
	}
	live := int64(0)
	for i := range b {
		live += b[i].Live
	}
	return pause(ctx, max(restTimes*took, time.Duration(live)*time.Second/moveRate))
}

// move reads what is left of some segments and has it packed into a new one.
func (r *round) move(ctx context.Context, batch []index.SegmentUse) error {
	var moves []index.Move
	var data []byte
	for i := range batch {
		s, list, err := r.c.cfg.Index.Movable(ctx, batch[i].Number)
		if err != nil {
			return err
		}
		for _, m := range list {
			data = append(data, make([]byte, m.Len)...)
			if err := r.read(ctx, &s, data[int64(len(data))-m.Len:], m.Pos); err != nil {
				return fmt.Errorf("read segment %d: %w", s.Number, err)
			}
		}
		moves = append(moves, list...)
	}
	if len(moves) == 0 {
		return nil
	}
	if err := r.c.cfg.Committer.Move(ctx, moves, data); err != nil {
		return err
	}
	r.c.stage("after-move")
	for i := range batch {
		r.add(&r.done.Compacted, batch[i].Size)
	}
	r.done.Moved += int64(len(data))
	return nil
}

// read fills p from the plaintext of a certified segment. Each byte is checked
// against the blob ID and its seal.
func (r *round) read(ctx context.Context, s *index.SegmentRow, p []byte, off int64) error {
	opener, err := r.c.cfg.Keys.Open(seal.Header(s.Header), s.Size)
	if err != nil {
		return err
	}
	source := func(ctx context.Context, p []byte, off int64) (int, error) {
		return r.c.cfg.Blobs.ReadAt(ctx, s.Blob, p, off)
	}
	return readAt(ctx, opener, source, p, off)
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
