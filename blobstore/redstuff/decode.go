package redstuff

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
)

// DecodeOptions says what is known of the slivers and how much is to be checked.
type DecodeOptions struct {
	// Verified means that every sliver has passed Verify. Source primary
	// slivers among them are then not hashed again.
	Verified bool
	// Strict re-encodes the decoded blob and compares the whole blob ID,
	// instead of the hashes of the source primary slivers.
	Strict bool
}

// Decode rebuilds the blob from slivers of one axis, by index. SourcePrimary
// primary slivers or SourceSecondary secondary ones are enough; those of a
// wrong length are dropped and those to spare are ignored. The metadata must
// have been verified.
//
// What was decoded is compared with the metadata. If it does not match, slivers
// not said to be verified are, and the wrong ones are replaced by others. A
// TooFewError means that not enough are left, and ErrInconsistent that the
// slivers are right but the blob is not a valid encoding.
func (c *Codec) Decode(ctx context.Context, md *Metadata, axis walrus.Axis, slivers map[int][]byte, o DecodeOptions) ([]byte, error) {
	size, err := md.check(c.g)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if axis > walrus.Secondary {
		return nil, fmt.Errorf("decode: axis %d: %w", axis, ErrSliver)
	}
	d := decoding{c: c, md: md, axis: axis, size: size, slivers: make(map[int][]byte, len(slivers)), o: o}
	for i, data := range slivers {
		if i >= 0 && i < c.g.Shards && len(data) == c.g.SliverSize(axis, size) {
			d.slivers[i] = data
		}
	}
	blob, err := d.run(ctx)
	if errors.Is(err, ErrInconsistent) && !o.Verified {
		blob, err = d.retry(ctx, err)
	}
	if err != nil {
		return nil, fmt.Errorf("decode from %s slivers: %w", axis, err)
	}
	return blob, nil
}

// decoding is one run over slivers of the right length.
type decoding struct {
	c       *Codec
	md      *Metadata
	axis    walrus.Axis
	size    int // of a symbol
	slivers map[int][]byte
	o       DecodeOptions
}

// retry drops the slivers that do not match the metadata and runs again. If
// there are none, the blob is to blame and the first verdict stands.
func (d *decoding) retry(ctx context.Context, verdict error) ([]byte, error) {
	wrong, err := d.c.verifyAll(ctx, d.md, d.axis, slices.Collect(maps.Keys(d.slivers)), d.slivers)
	if err != nil {
		return nil, err
	}
	if len(wrong) == 0 {
		return nil, verdict
	}
	for _, i := range wrong {
		delete(d.slivers, i)
	}
	d.o.Verified = true
	return d.run(ctx)
}

func (d *decoding) run(ctx context.Context) ([]byte, error) {
	code, err := d.c.code(other(d.axis)) // each symbol of a sliver crosses another sliver
	if err != nil {
		return nil, err
	}
	if len(d.slivers) < code.k {
		return nil, &TooFewError{Have: len(d.slivers), Need: code.k}
	}
	known := slices.Sorted(maps.Keys(d.slivers))[:code.k]
	padded := make([]byte, code.k*d.c.g.SliverSize(d.axis, d.size))
	if err := d.fill(ctx, code, known, padded); err != nil {
		return nil, err
	}
	for _, b := range padded[d.md.Size:] {
		if b != 0 {
			return nil, fmt.Errorf("padding is not zero: %w", ErrInconsistent)
		}
	}
	blob := padded[:d.md.Size:d.md.Size]
	if d.o.Strict {
		err = d.checkBlob(ctx, blob)
	} else {
		err = d.checkRows(ctx, padded)
	}
	if err != nil {
		return nil, err
	}
	return blob, nil
}

// fill writes the matrix of source symbols in row order.
func (d *decoding) fill(ctx context.Context, code *code, known []int, matrix []byte) error {
	var wanted []int
	for i := range code.k {
		if _, ok := slices.BinarySearch(known, i); !ok {
			wanted = append(wanted, i)
		}
	}
	rows := code.solve(known, wanted)
	// A stripe is what crosses all slivers: a column for primary ones, else a row.
	across, err := d.c.code(d.axis)
	if err != nil {
		return err
	}
	stripes := across.k
	cell := func(sliver, stripe int) []byte {
		at := sliver*stripes + stripe
		if d.axis == walrus.Secondary {
			at = stripe*code.k + sliver
		}
		return matrix[at*d.size : (at+1)*d.size]
	}
	source := func(i, stripe int) []byte {
		return d.slivers[known[i]][stripe*d.size : (stripe+1)*d.size]
	}
	step := max(groupSize(d.size, code.k+len(wanted)), (stripes+groupsPerEncoding-1)/groupsPerEncoding)
	return d.c.each(ctx, (stripes+step-1)/step, len(matrix), func(w *scratch, task int) error {
		from, to := task*step, min((task+1)*step, stripes)
		for i, t := range known {
			for stripe := from; t < code.k && stripe < to; stripe++ {
				copy(cell(t, stripe), source(i, stripe))
			}
		}
		b := batch{w: w, size: d.size, in: code.k, out: len(wanted), run: func(shards [][]byte) error {
			combine(rows, shards[:code.k], shards[code.k:])
			return nil
		}}
		if len(wanted) == 0 {
			return nil
		}
		return b.apply(from, to, source, func(i, stripe int) []byte { return cell(wanted[i], stripe) })
	})
}

// checkRows compares the source primary slivers with the metadata, except for
// those that have been verified already.
func (d *decoding) checkRows(ctx context.Context, matrix []byte) error {
	length := d.c.g.SliverSize(walrus.Primary, d.size)
	rows := make(map[int][]byte)
	for i := range d.c.g.SourcePrimary() {
		if _, have := d.slivers[i]; !have || !d.o.Verified || d.axis != walrus.Primary {
			rows[i] = matrix[i*length : (i+1)*length]
		}
	}
	wrong, err := d.c.verifyAll(ctx, d.md, walrus.Primary, slices.Collect(maps.Keys(rows)), rows)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d source slivers differ: %w", len(wrong), ErrInconsistent)
	}
	return nil
}

// checkBlob encodes the blob again.
func (d *decoding) checkBlob(ctx context.Context, blob []byte) error {
	md, err := d.c.ComputeMetadata(ctx, blob)
	if err != nil {
		return err
	}
	if got, want := md.BlobID(), d.md.BlobID(); got != want {
		return fmt.Errorf("blob id is %s, not %s: %w", got, want, ErrInconsistent)
	}
	return nil
}
