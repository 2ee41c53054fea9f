package redstuff

import (
	"context"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// encoding is one run over a blob. First all source rows are extended to the
// repair columns, then all columns are extended to n symbols and hashed while
// they are in the cache. Columns are handled in groups of a power of two: a
// group contributes one node to the tree of each row, so that the n*n leaves
// need not be kept.
type encoding struct {
	c    *Codec
	n    int // shards
	kp   int // source rows
	ks   int // source columns
	s    int // bytes of a symbol
	rows [][]byte

	// Slivers, or only the secondary ones from ks on if keep is false.
	keep      bool
	secondary []byte // n or n-ks columns of kp symbols
	repair    []byte // n-kp rows of ks symbols

	levels int        // a group is 2^levels columns
	groups [][]node   // by group: one node for each row
	roots  []PairHash // by sliver index
	shift  *crcShift
	crcs   []uint32 // by row and source column, of the symbols
	sums   []uint32 // of the secondary slivers, then of the primary ones
}

// Encode computes all slivers and the metadata of blob. The result refers to
// blob, which must not change until Release. Encode uses up to GOMAXPROCS
// goroutines and returns walrus.ErrTooLarge or the context's error.
func (c *Codec) Encode(ctx context.Context, blob []byte) (*Encoded, error) {
	e, pad, err := c.begin(blob)
	if err != nil {
		return nil, err
	}
	columns, repair := e.n*e.kp*e.s, (e.n-e.kp)*e.ks*e.s
	arena := c.arena(columns + repair + pad)
	e.keep, e.secondary, e.repair = true, arena[:columns], arena[columns:columns+repair]
	e.lay(blob, arena[columns+repair:])
	e.shift = newCRCShift(e.s)
	e.crcs = make([]uint32, e.n*e.ks)
	e.sums = make([]uint32, 2*e.n)
	if err := e.run(ctx); err != nil {
		c.recycle(arena)
		return nil, fmt.Errorf("encode: %w", err)
	}
	md := e.metadata(int64(len(blob)))
	return &Encoded{encoding: e, md: md, blob: md.BlobID(), arena: arena}, nil
}

// ComputeMetadata computes the metadata alone, with less memory and work than Encode.
func (c *Codec) ComputeMetadata(ctx context.Context, blob []byte) (*Metadata, error) {
	e, pad, err := c.begin(blob)
	if err != nil {
		return nil, err
	}
	columns := (e.n - e.ks) * e.kp * e.s
	arena := c.arena(columns + pad)
	defer c.recycle(arena)
	e.secondary = arena[:columns]
	e.lay(blob, arena[columns:])
	if err := e.run(ctx); err != nil {
		return nil, fmt.Errorf("compute metadata: %w", err)
	}
	return e.metadata(int64(len(blob))), nil
}

// begin sizes an encoding, and returns how many bytes of padded rows it needs.
func (c *Codec) begin(blob []byte) (e *encoding, pad int, err error) {
	size, err := c.g.SymbolSize(int64(len(blob)))
	if err != nil {
		return nil, 0, fmt.Errorf("encode: %w", err)
	}
	e = &encoding{c: c, n: c.g.Shards, kp: c.g.SourcePrimary(), ks: c.g.SourceSecondary(), s: size}
	row := e.ks * e.s
	return e, (e.kp - len(blob)/row) * row, nil
}

// lay cuts blob into rows. Those it does not fill go to padded.
func (e *encoding) lay(blob, padded []byte) {
	row := e.ks * e.s
	clear(padded[copy(padded, blob[len(blob)/row*row:]):])
	e.rows = make([][]byte, e.kp)
	for r := range e.rows {
		if start := r * row; start+row <= len(blob) {
			e.rows[r] = blob[start : start+row : start+row]
		} else {
			e.rows[r], padded = padded[:row:row], padded[row:]
		}
	}
}

// groupsPerEncoding is how many groups of columns there are at least, so that
// goroutines finish at about the same time.
const groupsPerEncoding = 24

func (e *encoding) run(ctx context.Context) error {
	for groupsPerEncoding<<(e.levels+1) <= e.n {
		e.levels++
	}
	width := 1 << e.levels
	e.groups = make([][]node, (e.n+width-1)/width)
	nodes := make([]node, len(e.groups)*e.n)
	for i := range e.groups {
		e.groups[i] = nodes[i*e.n : (i+1)*e.n]
	}
	e.roots = make([]PairHash, e.n)
	step := max(groupSize(e.s, e.n), (e.kp+groupsPerEncoding-1)/groupsPerEncoding)
	err := e.c.each(ctx, (e.kp+step-1)/step, e.kp*e.n*e.s, func(w *scratch, i int) error {
		return e.extendRows(w, i*step, min((i+1)*step, e.kp))
	})
	if err != nil {
		return err
	}
	err = e.c.each(ctx, len(e.groups), e.n*e.n*(e.s+compressionBlock), func(w *scratch, i int) error {
		return e.finishColumns(w, i*width, min((i+1)*width, e.n), e.groups[i])
	})
	if err != nil {
		return err
	}
	err = e.c.each(ctx, (e.n+rowsPerTask-1)/rowsPerTask, len(nodes)*compressionBlock, func(w *scratch, i int) error {
		e.finishRows(w, i*rowsPerTask, min((i+1)*rowsPerTask, e.n))
		return nil
	})
	e.groups, e.crcs = nil, nil // an Encoded may live long
	return err
}

// extendRows computes the repair columns in some source rows.
func (e *encoding) extendRows(w *scratch, from, to int) error {
	code, err := e.c.code(walrus.Primary)
	if err != nil {
		return err
	}
	b := batch{w: w, size: e.s, in: code.k, out: code.r, run: func(shards [][]byte) error {
		return code.encode(w, shards)
	}}
	return b.apply(from, to,
		func(i, row int) []byte { return e.rows[row][i*e.s : (i+1)*e.s] },
		func(i, row int) []byte { return e.column(e.ks + i)[row*e.s : (row+1)*e.s] })
}

// column returns the memory of secondary sliver j.
func (e *encoding) column(j int) []byte {
	if !e.keep {
		j -= e.ks
	}
	length := e.kp * e.s
	return e.secondary[j*length : (j+1)*length : (j+1)*length]
}

// finishColumns extends and hashes a group of columns. It sets one node for each row.
func (e *encoding) finishColumns(w *scratch, from, to int, group []node) error {
	code, err := e.c.code(walrus.Secondary)
	if err != nil {
		return err
	}
	b := batch{w: w, size: e.s, in: code.k, out: code.r, run: func(shards [][]byte) error {
		return code.encode(w, shards)
	}}
	forest := w.trees(to-from, e.n)
	step := groupSize(e.s, e.n)
	for start := from; start < to; start += step {
		end := min(start+step, to)
		w.symbols = grow(w.symbols, (end-start)*code.r*e.s)
		target := func(i, j int) []byte { return e.target(w.symbols[(j-start)*code.r*e.s:], i, j) }
		if e.keep {
			e.transpose(start, min(end, e.ks))
		}
		if err := b.apply(start, end, e.source, target); err != nil {
			return err
		}
		for j := start; j < end; j++ {
			symbols := w.line(e.n)
			for i := range e.kp {
				symbols[i] = e.source(i, j)
			}
			for i := range e.n - e.kp {
				symbols[e.kp+i] = target(i, j)
			}
			e.hashColumn(w, j, symbols, forest[j-from])
		}
	}
	w.hasher.merge(forest, e.levels, e.n, e.c.zeros)
	copy(group, forest[0])
	return nil
}

// transpose copies the symbols of some source columns together.
func (e *encoding) transpose(from, to int) {
	for r, row := range e.rows {
		for j := from; j < to; j++ {
			copy(e.column(j)[r*e.s:(r+1)*e.s], row[j*e.s:])
		}
	}
}

// source returns where symbol i of column j is, i < kp.
func (e *encoding) source(i, j int) []byte {
	if e.keep || j >= e.ks {
		return e.column(j)[i*e.s : (i+1)*e.s]
	}
	return e.rows[i][j*e.s : (j+1)*e.s]
}

// target returns where symbol kp+i of column j goes: into a repair row if that
// is wanted, else into spare.
func (e *encoding) target(spare []byte, i, j int) []byte {
	if e.keep && j < e.ks {
		start := (i*e.ks + j) * e.s
		return e.repair[start : start+e.s]
	}
	return spare[i*e.s : (i+1)*e.s]
}

// hashColumn hashes the n symbols of column j to leaves, and takes the CRC of
// those that belong to slivers.
func (e *encoding) hashColumn(w *scratch, j int, symbols [][]byte, leaves []node) {
	w.hasher.leaves(leaves, symbols)
	tree := w.tree(e.n + 1)[:e.n]
	copy(tree, leaves)
	e.roots[j].Secondary = w.hasher.root(tree)
	if !e.keep {
		return
	}
	sum := uint32(0)
	for i, symbol := range symbols {
		if i >= e.kp && j >= e.ks {
			break
		}
		crc := checksum(symbol)
		if i < e.kp {
			sum = e.shift.then(sum, crc)
		}
		if j < e.ks {
			e.crcs[i*e.ks+j] = crc
		}
	}
	e.sums[j] = sum
}

// rowsPerTask is how many row trees are finished at a time.
const rowsPerTask = 64

// finishRows brings the trees and checksums of some rows to an end.
func (e *encoding) finishRows(w *scratch, from, to int) {
	forest := make([][]node, len(e.groups))
	for i := range forest {
		forest[i] = e.groups[i][from:to]
	}
	w.hasher.merge(forest, depth(len(forest)), len(forest), e.c.zeros)
	for i := from; i < to; i++ {
		e.roots[i].Primary = forest[0][i-from]
		if e.keep {
			sum := uint32(0)
			for _, crc := range e.crcs[i*e.ks : (i+1)*e.ks] {
				sum = e.shift.then(sum, crc)
			}
			e.sums[e.n+i] = sum
		}
	}
}

// metadata collects the hashes of all pairs.
func (e *encoding) metadata(size int64) *Metadata {
	md := &Metadata{Size: size, Hashes: make([]PairHash, e.n)}
	for i := range md.Hashes {
		md.Hashes[i] = PairHash{Primary: e.roots[i].Primary, Secondary: e.roots[e.n-1-i].Secondary}
	}
	return md
}

// sum returns the CRC of a sliver.
func (e *encoding) sum(axis walrus.Axis, index int) uint32 {
	if axis == walrus.Primary {
		return e.sums[e.n+index]
	}
	return e.sums[index]
}
