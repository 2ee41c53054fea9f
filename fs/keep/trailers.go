package keep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// segment is what is known of a segment before it is read.
type segment struct {
	blob     walrus.BlobID
	object   walrus.ObjectID
	size     int64 // sealed
	endEpoch walrus.Epoch
}

// generation is a trailer that was read on the way down, in the spool.
type generation struct {
	number   uint64
	rows     []index.SegmentRow
	off, len int64
	full     bool // a full snapshot of the generation before stands behind it
}

// descent walks from the anchor down. A trailer tells the IDs of older
// segments only, so all have to be read before the first can be replayed.
type descent struct {
	r     *restore
	known map[uint64]segment
	spool *os.File // encoded trailers
	end   int64
	list  []generation // newest first
	full  bool         // a full snapshot was passed on the way down
}

// replayTo brings the replay up to the generation that the anchor names.
func (r *restore) replayTo(ctx context.Context, found anchor) (err error) {
	// Beside the index, since names stand in it; without a name, so that a crash leaves nothing.
	spool, err := os.CreateTemp(filepath.Dir(r.cfg.Path), "restore-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	if err := os.Remove(spool.Name()); err != nil {
		return err
	}
	d := &descent{r: r, spool: spool, known: map[uint64]segment{}}
	if err := d.window(ctx, found.says); err != nil {
		return err
	}
	for g := found.says.Generation; g > r.up; {
		trailer, err := d.read(ctx, g)
		if err != nil && d.collected(ctx, g) {
			err = fmt.Errorf("%w: %w", ErrCollected, err)
		}
		if err != nil {
			return fmt.Errorf("generation %d: %w", g, err)
		}
		d.full = d.full || trailer.Full > 0
		if r.cfg.At.before(trailer) {
			d.list = d.list[:0] // it is younger than what is asked for
		} else if trailer.Full > 0 && r.up == 0 {
			break
		}
		g = trailer.Previous
	}
	if r.cfg.At != (At{}) && len(d.list) == 0 {
		return ErrNoGeneration
	}
	for i := len(d.list) - 1; i >= 0; i-- {
		if err := d.apply(ctx, d.list[i], i == len(d.list)-1 && r.up == 0); err != nil {
			return err
		}
	}
	if r.up = found.says.Generation; len(d.list) > 0 {
		r.up = d.list[0].number
	}
	return nil
}

// before reports whether a generation is younger than what is asked for.
func (a At) before(t *index.Trailer) bool {
	switch {
	case a.Generation > 0:
		return t.Generation > a.Generation
	case !a.Time.IsZero():
		return t.Time > a.Time.UnixNano()
	}
	return false
}

// window takes over the segments that the anchor lists. Their sizes stand on the ledger.
func (d *descent) window(ctx context.Context, says index.Anchor) error {
	if len(says.Window) == 0 {
		return nil
	}
	blobs := make([]walrus.BlobID, len(says.Window))
	for i, w := range says.Window {
		blobs[i] = w.Blob
	}
	owned, err := d.r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Blobs: blobs})
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	objects := make(map[walrus.BlobID]chain.OwnedObject, len(owned))
	for _, o := range owned {
		if before, ok := objects[o.Blob]; !ok || o.Certified && !before.Certified {
			objects[o.Blob] = o
		}
	}
	for _, w := range says.Window {
		o, ok := objects[w.Blob]
		if !ok {
			return fmt.Errorf("segment %d, blob %s: %w", w.Number, w.Blob, chain.ErrNotExist)
		}
		d.known[w.Number] = segment{blob: w.Blob, object: o.Object, size: o.Size, endEpoch: o.EndEpoch}
	}
	return nil
}

// read reads the trailer of a generation from the segments that carry it.
func (d *descent) read(ctx context.Context, g uint64) (*index.Trailer, error) {
	var gen generation
	var encoded []byte
	first, parts := index.Footer{}, 1
	for part := 0; part < parts; part++ {
		row, footer, b, err := d.part(ctx, g, part)
		if err != nil {
			return nil, fmt.Errorf("segment %d: %w", g+uint64(part), err)
		}
		if part == 0 {
			first, parts = footer, footer.Parts
		}
		if footer.Parts != first.Parts || footer.Size != first.Size || footer.Sum != first.Sum {
			return nil, fmt.Errorf("segment %d is of another trailer: %w", footer.Number, index.ErrTrailer)
		}
		gen.rows = append(gen.rows, row)
		encoded = append(encoded, b...)
	}
	if len(encoded) != first.Size || index.TrailerSum(encoded) != first.Sum {
		return nil, fmt.Errorf("checksum: %w", index.ErrTrailer)
	}
	trailer, err := index.UnmarshalTrailer(encoded)
	if err != nil {
		return nil, err
	}
	if trailer.Generation != g || trailer.Previous >= g {
		return nil, fmt.Errorf("says generation %d after %d: %w", trailer.Generation, trailer.Previous, index.ErrTrailer)
	}
	for _, s := range trailer.Segments {
		d.known[s.Number] = segment{s.Blob, s.Object, s.Size, s.EndEpoch}
	}
	if _, err := d.spool.WriteAt(encoded, d.end); err != nil {
		return nil, err
	}
	gen.number, gen.full = g, trailer.Full > 0
	gen.off, gen.len = d.end, int64(len(encoded))
	d.end += gen.len
	d.list = append(d.list, gen)
	return trailer, nil
}

// part reads one part of a trailer, from the end of its segment.
func (d *descent) part(ctx context.Context, g uint64, part int) (index.SegmentRow, index.Footer, []byte, error) {
	var row index.SegmentRow
	var footer index.Footer
	number := g + uint64(part)
	s, ok := d.known[number]
	if !ok {
		return row, footer, nil, fmt.Errorf("nothing tells its blob: %w", index.ErrTrailer)
	}
	header, opener, err := d.r.open(ctx, s)
	if err != nil {
		return row, footer, nil, err
	}
	source := d.r.source(s.blob)
	end := make([]byte, index.FooterSize)
	if err := readAt(ctx, opener, source, end, opener.PlainSize()-index.FooterSize); err != nil {
		return row, footer, nil, err
	}
	if footer, err = index.ParseFooter(end); err != nil {
		return row, footer, nil, err
	}
	if footer.Number != number || footer.Generation != g || footer.Part != part {
		return row, footer, nil, fmt.Errorf("says segment %d of generation %d: %w", footer.Number, footer.Generation, index.ErrTrailer)
	}
	b := make([]byte, footer.PartSize)
	if err := readAt(ctx, opener, source, b, opener.PlainSize()-index.FooterSize-int64(len(b))); err != nil {
		return row, footer, nil, err
	}
	row = index.SegmentRow{
		Number: number, Generation: g, Part: part, Parts: footer.Parts, Header: header,
		Blob: s.blob, Size: s.size, Object: s.object, EndEpoch: s.endEpoch,
	}
	return row, footer, b, nil
}

// apply replays a generation; the first one after its full snapshot, if it has one.
func (d *descent) apply(ctx context.Context, gen generation, first bool) error {
	encoded := make([]byte, gen.len)
	if _, err := d.spool.ReadAt(encoded, gen.off); err != nil {
		return err
	}
	trailer, err := index.UnmarshalTrailer(encoded)
	if err != nil {
		return err
	}
	d.r.time = time.Unix(0, trailer.Time)
	if first && gen.full {
		snapshot, err := index.FullOf(trailer, encoded)
		if err != nil {
			return err
		}
		if err := d.r.replay.ApplyFull(ctx, snapshot, func(s *index.SegmentRow) error { return d.resolve(ctx, s) }); err != nil {
			return err
		}
	}
	return d.r.replay.Apply(ctx, trailer, gen.rows)
}

// resolve fills in a segment that a full snapshot knows by number only: younger
// trailers or the anchor told the rest, and its header it has itself.
func (d *descent) resolve(ctx context.Context, row *index.SegmentRow) error {
	s, ok := d.known[row.Number]
	if !ok {
		return fmt.Errorf("nothing tells its blob: %w", index.ErrTrailer)
	}
	header, _, err := d.r.open(ctx, s)
	row.Blob, row.Size, row.Object, row.EndEpoch, row.Header = s.blob, s.size, s.object, s.endEpoch, header
	return err
}

// open reads the header of a segment.
func (r *restore) open(ctx context.Context, s segment) (seal.Header, *seal.Opener, error) {
	b := make([]byte, seal.HeaderSize)
	if n, err := r.cfg.Blobs.ReadAt(ctx, s.blob, b, 0); n < len(b) {
		return seal.Header{}, nil, fmt.Errorf("read header: %w", err)
	}
	header, err := seal.ParseHeader(b)
	if err != nil {
		return header, nil, err
	}
	opener, err := r.cfg.Keys.Open(header, s.size)
	return header, opener, err
}

// isPlain reports whether the drive's newest segment is not encrypted.
func (r *restore) isPlain(ctx context.Context, found anchor) (bool, error) {
	b := make([]byte, seal.HeaderSize)
	if n, err := r.cfg.Blobs.ReadAt(ctx, found.says.Head, b, 0); n < len(b) {
		return false, fmt.Errorf("read header of %s: %w", found.says.Head, err)
	}
	header, err := seal.ParseHeader(b)
	return header.Suite() == seal.SuitePlain, err
}

// source reads the sealed bytes of a segment.
func (r *restore) source(blob walrus.BlobID) seal.Source {
	return func(ctx context.Context, p []byte, off int64) (int, error) {
		return r.cfg.Blobs.ReadAt(ctx, blob, p, off)
	}
}

// readAt fills p from the plaintext of a segment.
func readAt(ctx context.Context, o *seal.Opener, source seal.Source, p []byte, off int64) error {
	if off < 0 {
		return fmt.Errorf("segment of %d bytes: %w", o.PlainSize(), index.ErrTrailer)
	}
	n, err := o.ReadAt(ctx, source, p, off)
	if n == len(p) && (err == nil || errors.Is(err, io.EOF)) {
		return nil
	}
	return err
}
