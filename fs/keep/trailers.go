package keep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	searched bool // no chain of IDs leads from the anchor to it
}

// generation is a trailer that was read on the way down, in the spool.
type generation struct {
	number   uint64
	rows     []index.SegmentRow
	off, len int64
	full     bool // a full snapshot of the generation before stands behind it
	plain    bool // its first segment is not encrypted
	searched bool // as a segment of its
}

// descent walks from the anchor down. A trailer tells the IDs of older
// segments only, so all have to be read before the first can be replayed.
type descent struct {
	r      *restore
	found  anchor
	known  map[uint64]segment
	spool  *os.File // encoded trailers
	end    int64
	list   []generation // that can be replayed in a row, newest first
	above  []generation // that were read, and stand above one that cannot be
	passed []Passed

	refused  map[uint64]error // generations that were read and could not be replayed
	full     bool             // a full snapshot was met on the way down
	noFull   map[uint64]bool  // full snapshots that could not be
	searched bool
	gaps     map[uint64][]index.Gap // of segments
	writers  map[[8]byte]bool       // of the segments of list
	writer   [8]byte                // of the oldest one
	oldest   NoGenerationError
}

// replayTo brings the replay up to the generation that the anchor names, or as
// near to it as can be read.
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
	d := &descent{r: r, found: found, spool: spool, known: map[uint64]segment{}, refused: map[uint64]error{}, noFull: map[uint64]bool{}, gaps: map[uint64][]index.Gap{}}
	if err := d.named(ctx, found.says); err != nil {
		return err
	}
	for {
		if err := d.descend(ctx); err != nil {
			return err
		}
		again, err := d.ascend(ctx)
		if err != nil {
			return err
		}
		if !again {
			break
		}
		if err := r.again(ctx); err != nil {
			return err
		}
	}
	r.passed = d.passed
	return d.gather(ctx)
}

// descend reads generations down to one that can be replayed alone, or to the
// one that is replayed already.
func (d *descent) descend(ctx context.Context) error {
	r := d.r
	d.list, d.above, d.passed, d.end, d.full = nil, nil, nil, 0, false
	d.forget()
	for g := d.found.says.Generation; g > r.up; {
		trailer, err := d.read(ctx, g)
		if err != nil && r.cfg.At != (At{}) && d.collected(ctx, g) {
			return fmt.Errorf("generation %d: %w: %w", g, ErrCollected, err)
		}
		if err != nil {
			if g, err = d.passOver(ctx, g, err); err != nil {
				return err
			}
			continue
		}
		r.alive, d.full = true, d.full || trailer.Full > 0
		d.oldest = NoGenerationError{Generation: g, Time: time.Unix(0, trailer.Time)}
		if r.cfg.At.before(trailer) { // it is younger than what is asked for, and so is what cannot be read above it
			d.list, d.above, d.passed = nil, nil, nil
			d.forget()
		} else if trailer.Full > 0 && r.up == 0 && !d.noFull[g] {
			break
		}
		r.tell(Progress{Step: StepRead, Done: len(d.list), Bytes: d.end})
		g = trailer.Previous
	}
	switch {
	case len(d.list) > 0 || d.found.says.Generation == r.up:
		return nil
	case len(d.passed) > 0 && r.up == 0:
		return fmt.Errorf("nothing of the drive can be read: %w", d.passed[0].err)
	case r.cfg.At != (At{}):
		d.oldest.Asked = r.cfg.At
		return &d.oldest
	}
	return nil
}

// ascend replays what was read. It reports whether to read again, because
// something in it cannot be replayed.
func (d *descent) ascend(ctx context.Context) (again bool, err error) {
	if d.r.replay == nil {
		d.r.drive.Plain = len(d.list) > 0 && d.list[0].plain
		if err := d.r.again(ctx); err != nil {
			return false, err
		}
	}
	first := d.r.up == 0
	for i := len(d.list) - 1; i >= 0; i-- {
		gen := d.list[i]
		full := first && gen.full && i == len(d.list)-1 && !d.noFull[gen.number]
		err := d.apply(ctx, gen, full)
		switch {
		case err == nil:
		case ctx.Err() != nil || !errors.Is(err, index.ErrTrailer) && !errors.Is(err, index.ErrStale):
			return false, err
		case full && !errors.Is(err, errRows):
			d.noFull[gen.number] = true
			return true, nil
		default:
			d.refused[gen.number] = err
			return true, nil
		}
		d.r.up = gen.number
		d.r.tell(Progress{Step: StepReplay, Done: len(d.list) - i, Total: len(d.list), Bytes: d.end})
	}
	return false, nil
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

// named takes over the segments that the anchor lists. Their sizes stand on the
// ledger; one that it does not know of any more cannot be read.
func (d *descent) named(ctx context.Context, says index.Anchor) error {
	numbers := make(map[walrus.BlobID]uint64, len(says.Window)+1)
	for _, w := range says.Window {
		numbers[w.Blob] = w.Number
	}
	if s := says.Snapshot; s != nil {
		numbers[s.Blob] = s.Generation
	}
	if len(numbers) == 0 {
		return nil
	}
	owned, err := d.r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Blobs: slices.Collect(maps.Keys(numbers))})
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	certified := map[uint64]bool{}
	for _, o := range owned {
		number, ok := numbers[o.Blob]
		if _, before := d.known[number]; ok && (!before || o.Certified && !certified[number]) {
			d.known[number] = segment{blob: o.Blob, object: o.Object, size: o.Size, endEpoch: o.EndEpoch}
			certified[number] = o.Certified
		}
	}
	return nil
}

// read reads the trailer of a generation from the segments that carry it.
func (d *descent) read(ctx context.Context, g uint64) (*index.Trailer, error) {
	if err := d.refused[g]; err != nil {
		return nil, err
	}
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
		gen.searched = gen.searched || d.known[row.Number].searched && !d.proves(footer)
		encoded = append(encoded, b...)
	}
	if len(encoded) != first.Size || index.TrailerSum(encoded) != first.Sum {
		return nil, fmt.Errorf("checksum: %w", index.ErrTrailer)
	}
	trailer, err := index.UnmarshalTrailer(encoded)
	if err != nil {
		return nil, err
	}
	if trailer.Generation != g || trailer.Previous >= g || trailer.Drive != d.found.says.Drive {
		return nil, fmt.Errorf("says generation %d after %d of drive %x: %w", trailer.Generation, trailer.Previous, trailer.Drive, index.ErrTrailer)
	}
	d.follow(first)
	d.lead(gen)
	for _, s := range trailer.Segments {
		if before, ok := d.known[s.Number]; gen.searched && ok && !before.searched {
			continue
		}
		d.known[s.Number] = segment{s.Blob, s.Object, s.Size, s.EndEpoch, gen.searched}
	}
	if _, err := d.spool.WriteAt(encoded, d.end); err != nil {
		return nil, &localError{err}
	}
	gen.number, gen.full = g, trailer.Full > 0
	gen.plain = seal.Header(gen.rows[0].Header).Suite() == seal.SuitePlain
	gen.off, gen.len = d.end, int64(len(encoded))
	d.end += gen.len
	d.list = append(d.list, gen)
	return trailer, nil
}

// part reads one part of a trailer, from the end of its segment.
func (d *descent) part(ctx context.Context, g uint64, part int) (row index.SegmentRow, footer index.Footer, b []byte, err error) {
	number := g + uint64(part)
	s, err := d.segment(ctx, number)
	if err != nil {
		return row, footer, nil, err
	}
	header, opener, footer, err := d.r.footer(ctx, s)
	if err != nil {
		return row, footer, nil, err
	}
	if footer.Number != number || footer.Generation != g || footer.Part != part || footer.Drive != d.found.says.Drive {
		return row, footer, nil, fmt.Errorf("says segment %d of generation %d: %w", footer.Number, footer.Generation, index.ErrTrailer)
	}
	if int64(footer.PartSize) > opener.PlainSize()-index.FooterSize {
		return row, footer, nil, fmt.Errorf("%d bytes of a trailer in a segment of %d: %w", footer.PartSize, opener.PlainSize(), index.ErrTrailer)
	}
	b = make([]byte, footer.PartSize)
	if err := readAt(ctx, opener, d.r.source(s.blob), b, opener.PlainSize()-index.FooterSize-int64(len(b))); err != nil {
		return row, footer, nil, err
	}
	row = index.SegmentRow{
		Number: number, Generation: g, Part: part, Parts: footer.Parts, Header: header,
		Blob: s.blob, Size: s.size, Object: s.object, EndEpoch: s.endEpoch,
	}
	return row, footer, b, nil
}

// errRows marks that the rows of a trailer failed, not the full snapshot behind them.
var errRows = errors.New("rows")

// apply replays a generation, after its full snapshot if that is asked for.
func (d *descent) apply(ctx context.Context, gen generation, full bool) error {
	trailer, encoded, err := d.spooled(gen)
	if err != nil {
		return err
	}
	if full {
		snapshot, err := index.FullOf(trailer, encoded)
		if err != nil {
			return err
		}
		if err := d.r.replay.ApplyFull(ctx, snapshot, func(s *index.SegmentRow) error { return d.resolve(ctx, s) }); err != nil {
			return err
		}
		if err := d.r.replay.Segments(ctx, func(s index.SegmentRow) error { return d.tellGaps(ctx, &s) }); err != nil {
			return err
		}
	}
	var others []index.SegmentRow
	for _, s := range d.r.replay.Unknown(trailer) {
		row := index.SegmentRow{Number: s.Number}
		if err := d.resolve(ctx, &row); err != nil {
			return err
		}
		others = append(others, row)
	}
	for _, row := range slices.Concat(gen.rows, others) {
		if err := d.tellGaps(ctx, &row); err != nil {
			return err
		}
	}
	if err := d.r.replay.Apply(ctx, trailer, gen.rows, others...); err != nil {
		return fmt.Errorf("%w: %w", errRows, err)
	}
	d.r.time = time.Unix(0, trailer.Time)
	return nil
}

// spooled reads a trailer from the spool.
func (d *descent) spooled(gen generation) (*index.Trailer, []byte, error) {
	encoded := make([]byte, gen.len)
	if _, err := d.spool.ReadAt(encoded, gen.off); err != nil {
		return nil, nil, err
	}
	trailer, err := index.UnmarshalTrailer(encoded)
	return trailer, encoded, err
}

// resolve fills in a segment that a full snapshot knows by number only: younger
// trailers or the anchor told the rest, and its header it has itself. Where
// neither can be had, what lies in the segment is lost, and the rest is not.
func (d *descent) resolve(ctx context.Context, row *index.SegmentRow) error {
	s, err := d.segment(ctx, row.Number)
	if err != nil {
		if fatal(ctx, err) {
			return err
		}
		row.Blob, row.Size = nowhere(d.found.says.Drive, row.Number), maxSealed
		return nil
	}
	row.Blob, row.Size, row.Object, row.EndEpoch = s.blob, s.size, s.object, s.endEpoch
	header, _, err := d.r.open(ctx, s)
	if err != nil && fatal(ctx, err) {
		return err
	}
	row.Header = header
	return nil
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

// footer reads what a segment says of itself.
func (r *restore) footer(ctx context.Context, s segment) (header seal.Header, opener *seal.Opener, footer index.Footer, err error) {
	if header, opener, err = r.open(ctx, s); err != nil {
		return header, opener, footer, err
	}
	end := make([]byte, index.FooterSize)
	if err = readAt(ctx, opener, r.source(s.blob), end, opener.PlainSize()-index.FooterSize); err == nil {
		footer, err = index.ParseFooter(end)
	}
	return header, opener, footer, err
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
