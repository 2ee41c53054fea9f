package keep

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// What stands above a hole cannot be replayed, but much of it stands by itself:
// a file whose attributes and whole content a readable trailer tells is what it
// was then. Salvage brings back such files, and the names that are told, over the
// state below the hole. Only generations count to which a chain of blob IDs leads
// from the anchor, or from what its writer has sealed: a search may find what
// another history has left.

// maxRangeFailures is after how many ranges that cannot be read a segment counts as lost.
const maxRangeFailures = 3

// salvage is what readable generations above a hole tell, and where its content lies.
type salvage struct {
	later    *index.Later
	segments []index.SegmentRow // of the chosen contents, which the replay does not have
	placed   index.Placed
}

// gather collects what the readable generations above the hole tell.
func (d *descent) gather(ctx context.Context) error {
	d.r.salvage = nil
	if len(d.passed) == 0 {
		return nil
	}
	g := gathering{d: d, later: d.r.replay.Later(), rows: map[uint64]index.SegmentRow{}, gaps: map[uint64][]index.Gap{}, holes: map[uint64]*hole{}}
	for _, gen := range slices.Backward(d.above) {
		if gen.searched {
			continue
		}
		trailer, _, err := d.spooled(gen)
		if err != nil {
			return err
		}
		if err := g.later.Add(ctx, trailer); err != nil {
			return err
		}
		for _, row := range gen.rows {
			g.rows[row.Number] = row
		}
	}
	if err := g.locate(ctx); err != nil {
		return err
	}
	if err := g.later.Choose(func(op index.Op) (bool, error) { return g.readable(ctx, op) }); err != nil {
		return err
	}
	d.r.salvage = &salvage{later: g.later, segments: g.needed()}
	return nil
}

// gathering finds out which content can be had.
type gathering struct {
	d     *descent
	later *index.Later
	rows  map[uint64]index.SegmentRow // that trailers came in, then those of holes too
	gaps  map[uint64][]index.Gap      // of those with content that is known whole
	holes map[uint64]*hole            // segments of which only the end was looked at, in vain
	look  lookout
}

// hole is a segment whose trailer cannot be read. Its content may be.
type hole struct {
	blob     walrus.BlobID
	opener   *seal.Opener
	failures int
	ranges   map[index.Op]bool // that were read, by segment, position and length
}

// locate finds the segments of all content that is known whole, and asks the ledger for them.
func (g *gathering) locate(ctx context.Context) error {
	state, err := g.d.r.cfg.Ledger.State(ctx)
	if err != nil {
		return fmt.Errorf("ask the ledger for its epoch: %w", err)
	}
	g.look = lookout{r: g.d.r, epoch: state.Epoch, why: map[uint64]string{}}
	for numbers := range slices.Chunk(g.later.Segments(), chain.MaxBatch) {
		var rows []index.SegmentRow
		for _, number := range numbers {
			row, err := g.segment(ctx, number)
			if err != nil {
				return err
			}
			rows = append(rows, row)
			if g.gaps[number], err = g.d.r.gapsIn(ctx, &row); err != nil {
				if fatal(ctx, err) {
					return err
				}
				g.gaps[number] = []index.Gap{{Len: math.MaxInt64}}
			}
		}
		if err := g.look.ask(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// segment returns what is known of a segment; without a header it cannot be read.
func (g *gathering) segment(ctx context.Context, number uint64) (index.SegmentRow, error) {
	row, err := g.d.r.replay.Segment(ctx, number)
	if err == nil || !errors.Is(err, index.ErrNotExist) {
		return row, err
	}
	if row, ok := g.rows[number]; ok {
		return row, nil
	}
	row = index.SegmentRow{Number: number}
	s, ok := g.d.known[number]
	if !ok || s.searched {
		return row, nil
	}
	row.Blob, row.Size, row.Object, row.EndEpoch = s.blob, s.size, s.object, s.endEpoch
	header, opener, err := g.d.r.open(ctx, s)
	if err != nil {
		if fatal(ctx, err) {
			return row, err
		}
		return row, nil
	}
	row.Header = header
	g.rows[number] = row
	g.holes[number] = &hole{blob: s.blob, opener: opener, ranges: map[index.Op]bool{}}
	return row, nil
}

// readable reports whether a range can be had. Of a hole it is read.
func (g *gathering) readable(ctx context.Context, op index.Op) (bool, error) {
	if g.look.why[op.Segment] != "" || index.InGap(g.gaps[op.Segment], op) {
		return false, nil
	}
	h := g.holes[op.Segment]
	if h == nil {
		return true, nil
	}
	if op.Len > h.opener.PlainSize() || op.Pos > h.opener.PlainSize()-op.Len || h.failures >= maxRangeFailures {
		return false, nil
	}
	key := index.Op{Segment: op.Segment, Pos: op.Pos, Len: op.Len}
	ok, asked := h.ranges[key]
	if !asked {
		ok = g.d.r.readRange(ctx, h, op) == nil
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		h.ranges[key] = ok
		if !ok {
			h.failures++
		}
	}
	return ok, nil
}

func (r *restore) readRange(ctx context.Context, h *hole, op index.Op) error {
	p := make([]byte, min(op.Len, verifyStep))
	for at := int64(0); at < op.Len; at += int64(len(p)) {
		p = p[:min(int64(len(p)), op.Len-at)]
		if err := readAt(ctx, h.opener, r.source(h.blob), p, op.Pos+at); err != nil {
			return err
		}
	}
	return nil
}

// needed returns the segments of the chosen contents that were not replayed, in ascending order.
func (g *gathering) needed() (list []index.SegmentRow) {
	set := map[uint64]bool{}
	for _, n := range g.later.Inodes() {
		if n.Content == nil {
			continue
		}
		for _, op := range n.Content.Ops {
			if row, ok := g.rows[op.Segment]; ok && !set[op.Segment] {
				set[op.Segment] = true
				list = append(list, row)
			}
		}
	}
	slices.SortFunc(list, func(a, b index.SegmentRow) int { return int(int64(a.Number) - int64(b.Number)) })
	return list
}

// place lays what was gathered over what is replayed.
func (r *restore) place(ctx context.Context, found anchor) (err error) {
	s := r.salvage
	if s == nil || len(s.later.Inodes()) == 0 && len(s.later.Names()) == 0 {
		return nil
	}
	if err := r.replay.SkipTo(ctx, found.says.Last()); err != nil {
		return err
	}
	s.placed, err = r.replay.Place(ctx, s.later, s.segments)
	return err
}
