package keep

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// verifyStep is how many bytes of a segment are read at a time.
const verifyStep = 4 << 20

// findLost finds out which segments cannot be read any more, notes that in the
// index, and reports the files that lie in them. The ledger is asked about all
// of them, the nodes only with Verify.
func (r *restore) findLost(ctx context.Context, db *index.DB, report *Report) error {
	state, err := r.cfg.Ledger.State(ctx)
	if err != nil {
		return fmt.Errorf("ask the ledger for its epoch: %w", err)
	}
	look := lookout{r: r, db: db, epoch: state.Epoch, why: map[uint64]string{}}
	if err := look.all(ctx); err != nil {
		return err
	}
	if err := db.MarkLost(ctx, look.why); err != nil {
		return fmt.Errorf("mark segments: %w", err)
	}
	report.Lost, report.LostIn, err = LostFiles(ctx, db)
	return err
}

// LostFiles returns the files that cannot be read any more, as far as was found
// out, at most maxLost, and how many there are.
func LostFiles(ctx context.Context, db *index.DB) (list []LostFile, n int, err error) {
	lost, n, err := db.LostFiles(ctx, maxLost)
	if err != nil {
		return nil, 0, fmt.Errorf("list lost files: %w", err)
	}
	for _, l := range lost {
		path, err := db.Path(ctx, l.Ino)
		if errors.Is(err, index.ErrNotExist) {
			path, err = fmt.Sprintf("inode %d", l.Ino), nil
		}
		if err != nil {
			return nil, 0, err
		}
		list = append(list, LostFile{Path: path, Bytes: l.Bytes, Why: l.Why})
	}
	return list, n, nil
}

// lookout looks at the segments of a restored drive.
type lookout struct {
	r     *restore
	db    *index.DB
	epoch walrus.Epoch
	why   map[uint64]string
	done  int
	bytes int64
}

func (l *lookout) all(ctx context.Context) error {
	filter := index.SegmentFilter{Max: chain.MaxBatch}
	for {
		rows, err := l.db.Segments(ctx, filter)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		filter.After = rows[len(rows)-1].Number
		if err := l.ask(ctx, rows); err != nil {
			return err
		}
		if !l.r.cfg.Verify {
			continue
		}
		for i := range rows {
			if err := l.verify(ctx, &rows[i]); err != nil {
				return err
			}
		}
	}
}

// ask asks the ledger whether segments are certified and paid for.
func (l *lookout) ask(ctx context.Context, rows []index.SegmentRow) error {
	blobs := make([]walrus.BlobID, len(rows))
	for i := range rows {
		blobs[i] = rows[i].Blob
	}
	owned, err := l.r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Blobs: blobs})
	if err != nil {
		return fmt.Errorf("look up %d blobs: %w", len(blobs), err)
	}
	ends := map[walrus.BlobID]walrus.Epoch{}
	for _, o := range owned {
		if o.Certified {
			ends[o.Blob] = max(ends[o.Blob], o.EndEpoch)
		}
	}
	for i := range rows {
		s := &rows[i]
		end, ok := ends[s.Blob]
		switch {
		case s.Header == [64]byte{}:
			l.why[s.Number] = fmt.Sprintf("segment %d could not be read", s.Number)
		case !ok:
			l.why[s.Number] = fmt.Sprintf("blob %s is not the wallet's any more, or not certified", s.Blob)
		case end <= l.epoch:
			l.why[s.Number] = fmt.Sprintf("storage of blob %s ended in epoch %d, this is epoch %d", s.Blob, end, l.epoch)
		}
	}
	return nil
}

// verify reads a segment from the nodes, whole.
func (l *lookout) verify(ctx context.Context, s *index.SegmentRow) error {
	l.done++
	defer func() { l.r.tell(Progress{Step: StepVerify, Done: l.done, Bytes: l.bytes}) }()
	b := make([]byte, min(verifyStep, s.Size))
	for off := int64(0); off < s.Size && l.why[s.Number] == ""; {
		n, err := l.r.cfg.Blobs.ReadAt(ctx, s.Blob, b, off)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case n == 0 || err != nil && !errors.Is(err, io.EOF):
			l.why[s.Number] = fmt.Sprintf("blob %s cannot be read: %v", s.Blob, err)
		}
		off += int64(n)
		l.bytes += int64(n)
	}
	return nil
}
