package redstuff

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// MarshalSliver returns the BCS form of SliverData.
func MarshalSliver(symbolSize, index int, data []byte) []byte {
	b := make([]byte, 0, binary.MaxVarintLen32+len(data)+4)
	b = appendLength(b, len(data))
	b = append(b, data...)
	b = binary.LittleEndian.AppendUint16(b, uint16(symbolSize))
	return binary.LittleEndian.AppendUint16(b, uint16(index))
}

// ParseSliver reads the BCS form of SliverData. Data is part of b. It returns
// ErrSliver for bytes that are not exactly one such value or have no symbol
// size. Whether symbol size and index are the ones wanted is for the caller to
// compare, the rest is for Verify.
func ParseSliver(b []byte) (data []byte, symbolSize, index int, err error) {
	n, rest, ok := readLength(b)
	if !ok || len(rest) < 4 || n != len(rest)-4 {
		return nil, 0, 0, fmt.Errorf("parse: %d bytes: %w", len(b), ErrSliver)
	}
	symbolSize = int(binary.LittleEndian.Uint16(rest[n:]))
	index = int(binary.LittleEndian.Uint16(rest[n+2:]))
	if symbolSize == 0 {
		return nil, 0, 0, fmt.Errorf("parse: symbol size is zero: %w", ErrSliver)
	}
	return rest[:n:n], symbolSize, index, nil
}

// Verify checks the length of a sliver's bytes and its hash against verified
// metadata. It returns ErrSliver if they differ. Only Axis and Index of id are used.
func (c *Codec) Verify(md *Metadata, id walrus.SliverID, data []byte) error {
	size, err := c.checkSliver(md, id, data)
	if err != nil {
		return err
	}
	w := c.scratch()
	defer c.shelve(w)
	leaves, err := c.expand(w, id.Axis, size, data)
	if err != nil {
		return err
	}
	if w.hasher.root(leaves) != md.hash(id.Axis, int(id.Index)) {
		return fmt.Errorf("%s sliver %d: hash differs: %w", id.Axis, id.Index, ErrSliver)
	}
	return nil
}

// VerifySlot is Verify for a sliver that came from elsewhere and is to be stored.
// The Slot refers to data, which must not change while it is in use.
func (c *Codec) VerifySlot(md *Metadata, id walrus.SliverID, data []byte) (Slot, error) {
	crc := checksum(data) // before the hash: bytes that change in between are then noticed by whoever writes them
	if err := c.Verify(md, id, data); err != nil {
		return Slot{}, err
	}
	index := int(id.Index)
	return Slot{axis: id.Axis, index: index, data: data, root: md.hash(id.Axis, index), crc: crc}, nil
}

// checkSliver checks everything but the hash, and returns the symbol size.
func (c *Codec) checkSliver(md *Metadata, id walrus.SliverID, data []byte) (int, error) {
	size, err := md.check(c.g)
	if err != nil {
		return 0, err
	}
	if id.Axis > walrus.Secondary || int(id.Index) >= c.g.Shards {
		return 0, fmt.Errorf("axis %d, index %d of %d: %w", id.Axis, id.Index, c.g.Shards, ErrSliver)
	}
	if want := c.g.SliverSize(id.Axis, size); len(data) != want {
		return 0, fmt.Errorf("%s sliver %d has %d bytes, want %d: %w", id.Axis, id.Index, len(data), want, ErrSliver)
	}
	return size, nil
}

// expand extends a sliver to all n symbols of its row or column and returns
// their leaf hashes. Leaves and symbols, which stand in w.lines, are part of w.
func (c *Codec) expand(w *scratch, axis walrus.Axis, size int, data []byte) ([]node, error) {
	code, err := c.code(axis)
	if err != nil {
		return nil, err
	}
	w.symbols = grow(w.symbols, code.r*size)
	symbols := w.line(c.g.Shards)
	for i := range symbols {
		if i < code.k {
			symbols[i] = data[i*size : (i+1)*size]
		} else {
			symbols[i] = w.symbols[(i-code.k)*size : (i-code.k+1)*size]
		}
	}
	b := batch{w: w, size: size, in: code.k, out: code.r, run: func(shards [][]byte) error {
		return code.encode(w, shards)
	}}
	err = b.apply(0, 1,
		func(i, _ int) []byte { return symbols[i] },
		func(i, _ int) []byte { return symbols[code.k+i] })
	if err != nil {
		return nil, fmt.Errorf("extend %s sliver: %w", axis, err)
	}
	leaves := w.tree(c.g.Shards + 1)[:c.g.Shards]
	w.hasher.leaves(leaves, symbols)
	return leaves, nil
}

// verifyAll returns the indices of those slivers that do not pass Verify.
func (c *Codec) verifyAll(ctx context.Context, md *Metadata, axis walrus.Axis, indices []int, slivers map[int][]byte) ([]int, error) {
	wrong := make([]bool, len(indices))
	work := 0
	for _, i := range indices {
		work += 2 * len(slivers[i])
	}
	err := c.each(ctx, len(indices), work, func(_ *scratch, i int) error {
		id := walrus.SliverID{Axis: axis, Index: uint16(indices[i])}
		wrong[i] = c.Verify(md, id, slivers[indices[i]]) != nil
		return nil
	})
	var bad []int
	for i, index := range indices {
		if wrong[i] {
			bad = append(bad, index)
		}
	}
	return bad, err
}
