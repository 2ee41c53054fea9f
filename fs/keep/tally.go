package keep

import (
	"context"
	"time"

	"github.com/walfs/walfs/index"
)

// remaining counts what is left.
func (r *round) remaining(ctx context.Context) error {
	uses, err := r.c.cfg.Index.SegmentUses(ctx)
	if err != nil {
		return err
	}
	r.count(uses)
	return nil
}

// count sorts what is no content by what keeps it.
func (r *round) count(uses []index.SegmentUse) {
	for i := range uses {
		u := &uses[i]
		switch {
		case u.Live > 0:
			if r.sparse(u) {
				g := &r.done.Dead
				g.Segments++
				g.Payload += u.Size - u.Live
				g.Stored += r.encoded(u.Size) - r.packed(u.Live)
			}
		case u.Held:
		case u.Trailer:
			r.add(&r.done.Trailers, u.Size)
		case u.Trash:
			r.add(&r.done.Trash, u.Size)
		default:
			r.add(&r.done.Waiting, u.Size)
			r.due(u)
		}
	}
}

// due notes when a condemned segment can go. The ledger's clock and this one
// run alike while the drive is open.
func (r *round) due(u *index.SegmentUse) {
	left := max(0, r.grace)
	if u.Condemned != 0 {
		left = max(0, r.grace-r.now.Sub(time.Unix(0, u.Condemned)))
	}
	at := time.Now().Add(left).Round(time.Second)
	if r.done.First.IsZero() || at.Before(r.done.First) {
		r.done.First = at
	}
	if at.After(r.done.All) {
		r.done.All = at
	}
}

// foresee says what a round would do.
func (r *round) foresee(ctx context.Context) error {
	uses, err := r.c.cfg.Index.SegmentUses(ctx)
	if err != nil {
		return err
	}
	if r.done.Snapshot, err = r.worthSnapshot(ctx); err != nil {
		return err
	}
	var left []index.SegmentUse
	for _, u := range uses {
		free := u.Free() || r.done.Snapshot && u.Live == 0 && !u.Held
		u.Trailer = u.Trailer && !free
		if free && u.Condemned == 0 {
			r.add(&r.done.Condemned, u.Size)
			u.Condemned = r.now.UnixNano()
		}
		if free && !u.Trash && (u.Deleting || r.now.Sub(time.Unix(0, u.Condemned)) >= r.grace) {
			r.add(&r.done.Deleted, u.Size)
			continue
		}
		left = append(left, u)
	}
	r.count(left)
	if !r.o.Compact {
		return nil
	}
	for _, b := range r.batches(left) {
		for _, u := range b {
			r.add(&r.done.Compacted, u.Size)
			r.done.Moved += u.Live
		}
	}
	return nil
}
