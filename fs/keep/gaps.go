package keep

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// The anchor passes over generations that refer to gaps, but a restore may end at
// one: when an older one is asked for, or younger ones cannot be read. What is in
// a gap is never given away. So that as little as can be is lost, a file is given
// the version that it had before.

// gapsOf returns the gaps of a segment. While the list cannot be read, nothing of the segment can.
func (r *restore) gapsOf(ctx context.Context, o *seal.Opener, blob walrus.BlobID) (list []index.Gap, err error) {
	gaps, err := o.Gaps(ctx, r.source(blob))
	if err != nil {
		return nil, err
	}
	for _, g := range gaps {
		list = append(list, index.Gap{Pos: g.Pos, Len: g.Len})
	}
	return list, nil
}

// gapsIn returns the gaps of a segment of which the index knows.
func (r *restore) gapsIn(ctx context.Context, s *index.SegmentRow) ([]index.Gap, error) {
	header := seal.Header(s.Header)
	if !header.Gapped() {
		return nil, nil
	}
	opener, err := r.cfg.Keys.Open(header, s.Size)
	if err != nil {
		return nil, err
	}
	return r.gapsOf(ctx, opener, s.Blob)
}

// tellGaps tells the replay the gaps of a segment. If they cannot be read, the
// files in it stay as they are: the nodes may have it again some day.
func (d *descent) tellGaps(ctx context.Context, s *index.SegmentRow) error {
	gaps, ok := d.gaps[s.Number]
	if !ok {
		var err error
		if gaps, err = d.r.gapsIn(ctx, s); err != nil {
			if fatal(ctx, err) {
				return err
			}
			d.r.cfg.Log.Warn("gaps of a segment cannot be read", "op", "restore", "segment", s.Number, "err", err)
		}
		d.gaps[s.Number] = gaps
	}
	return d.r.replay.Gaps(ctx, s.Number, gaps)
}

// reportOlder names the files that got the version before.
func (r *restore) reportOlder(ctx context.Context, db *index.DB, report *Report) error {
	for _, ino := range r.older {
		path, err := db.Path(ctx, ino)
		if errors.Is(err, index.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		report.Problems = append(report.Problems, fmt.Sprintf("%s is an older version: that of then was lost before it was stored", path))
	}
	return nil
}
