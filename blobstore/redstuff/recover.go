package redstuff

import (
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Proof is a path in a Merkle tree: the siblings from the leaf level to just
// below the root. A zero hash stands for the empty node.
type Proof [][32]byte

// MarshalBinary returns the BCS form of a Merkle proof.
func (p Proof) MarshalBinary() ([]byte, error) {
	b := appendLength(nil, len(p))
	for _, h := range p {
		b = appendNode(b, h)
	}
	return b, nil
}

// maxProof is the longest path that a tree over 65536 leaves has.
const maxProof = 16

// ParseProof reads a Merkle proof at the start of b and returns what follows
// it. It returns ErrSymbol for other bytes.
func ParseProof(b []byte) (p Proof, rest []byte, err error) {
	n, rest, ok := readLength(b)
	if !ok || n > maxProof {
		return nil, nil, fmt.Errorf("parse proof: length: %w", ErrSymbol)
	}
	p = make(Proof, n)
	for i := range p {
		if p[i], rest, ok = readNode(rest); !ok {
			return nil, nil, fmt.Errorf("parse proof: node %d: %w", i, ErrSymbol)
		}
	}
	return p, rest, nil
}

// Symbol helps to recover a sliver: it is the cell where that sliver crosses
// sliver Source of the other axis, and the proof that Source has it there.
type Symbol struct {
	Source int
	Data   []byte
	Proof  Proof
}

// RecoverySymbol cuts from a sliver, named by source, the symbol that helps to
// recover sliver target of the other axis. It returns ErrSliver for a sliver
// that does not match the metadata.
func (c *Codec) RecoverySymbol(md *Metadata, source walrus.SliverID, data []byte, target int) (Symbol, error) {
	symbols, err := c.RecoverySymbols(md, source, data, []int{target})
	if err != nil {
		return Symbol{}, err
	}
	return symbols[0], nil
}

// RecoverySymbols is RecoverySymbol for several targets, for hardly more than
// the price of one.
func (c *Codec) RecoverySymbols(md *Metadata, source walrus.SliverID, data []byte, targets []int) ([]Symbol, error) {
	size, err := c.checkSliver(md, source, data)
	if err != nil {
		return nil, err
	}
	for _, target := range targets {
		if target < 0 || target >= c.g.Shards {
			return nil, fmt.Errorf("symbol %d of %d: %w", target, c.g.Shards, ErrRange)
		}
	}
	w := c.scratch()
	defer c.shelve(w)
	leaves, err := c.expand(w, source.Axis, size, data)
	if err != nil {
		return nil, err
	}
	symbols := make([]Symbol, len(targets))
	cells := make([]byte, len(targets)*size)
	for i, target := range targets {
		cell := cells[i*size : (i+1)*size : (i+1)*size]
		copy(cell, w.lines[target])
		symbols[i] = Symbol{Source: int(source.Index), Data: cell}
	}
	root, proofs := w.hasher.proofs(leaves, targets)
	if root != md.hash(source.Axis, int(source.Index)) {
		return nil, fmt.Errorf("%s sliver %d: hash differs: %w", source.Axis, source.Index, ErrSliver)
	}
	for i := range symbols {
		symbols[i].Proof = proofs[i]
	}
	return symbols, nil
}

// other returns the axis that slivers of an axis cross.
func other(axis walrus.Axis) walrus.Axis { return walrus.Secondary - axis }

// VerifySymbol checks a symbol for recovering target against verified metadata.
// It returns ErrSymbol.
func (c *Codec) VerifySymbol(md *Metadata, target walrus.SliverID, s Symbol) error {
	size, err := md.check(c.g)
	if err != nil {
		return err
	}
	if target.Axis > walrus.Secondary || int(target.Index) >= c.g.Shards || s.Source < 0 || s.Source >= c.g.Shards {
		return fmt.Errorf("symbol of %d for %s sliver %d: %w", s.Source, target.Axis, target.Index, ErrSymbol)
	}
	if len(s.Data) != size || len(s.Proof) != depth(c.g.Shards) {
		return fmt.Errorf("symbol of %d bytes with proof of %d nodes: %w", len(s.Data), len(s.Proof), ErrSymbol)
	}
	var h hasher
	var leaf [1]node
	h.leaves(leaf[:], [][]byte{s.Data})
	if h.climb(leaf[0], int(target.Index), s.Proof) != md.hash(other(target.Axis), s.Source) {
		return fmt.Errorf("symbol of %d: hash differs: %w", s.Source, ErrSymbol)
	}
	return nil
}

// ProofSize returns the length in bytes of the hashes in a symbol's proof.
func (c *Codec) ProofSize() int { return 32 * depth(c.g.Shards) }

// Recover rebuilds the target sliver from symbols with distinct sources:
// SourceSecondary of them for a primary sliver, SourcePrimary for a secondary
// one. Symbols of a wrong length are dropped and those to spare are ignored. It
// returns a TooFewError if there are not enough, and ErrInconsistent if the
// result does not match the metadata. With symbols that have passed
// VerifySymbol the latter proves that the blob is not a valid encoding.
func (c *Codec) Recover(md *Metadata, target walrus.SliverID, symbols []Symbol) ([]byte, error) {
	slot, err := c.RecoverSlot(md, target, symbols)
	return slot.data, err
}

// RecoverSlot is Recover for a sliver that is to be stored.
func (c *Codec) RecoverSlot(md *Metadata, target walrus.SliverID, symbols []Symbol) (Slot, error) {
	size, err := md.check(c.g)
	if err != nil {
		return Slot{}, err
	}
	if target.Axis > walrus.Secondary || int(target.Index) >= c.g.Shards {
		return Slot{}, fmt.Errorf("recover %s sliver %d: %w", target.Axis, target.Index, ErrRange)
	}
	code, err := c.code(target.Axis)
	if err != nil {
		return Slot{}, err
	}
	cells := make([][]byte, c.g.Shards)
	var known []int
	for _, s := range symbols {
		if s.Source < 0 || s.Source >= c.g.Shards || len(s.Data) != size || cells[s.Source] != nil {
			continue
		}
		if len(known) < code.k {
			cells[s.Source] = s.Data
			known = append(known, s.Source)
		}
	}
	if len(known) < code.k {
		return Slot{}, fmt.Errorf("recover %s sliver %d: %w", target.Axis, target.Index, &TooFewError{Have: len(known), Need: code.k})
	}
	sliver, err := c.interpolate(code, size, known, cells)
	if err != nil {
		return Slot{}, err
	}
	crc := checksum(sliver)
	if err := c.Verify(md, target, sliver); err != nil {
		return Slot{}, fmt.Errorf("recover: %w: %w", ErrInconsistent, err)
	}
	index := int(target.Index)
	return Slot{axis: target.Axis, index: index, data: sliver, root: md.hash(target.Axis, index), crc: crc}, nil
}

// interpolate computes the first k cells of a row or column from k known ones.
func (c *Codec) interpolate(code *code, size int, known []int, cells [][]byte) ([]byte, error) {
	sliver := make([]byte, code.k*size)
	var wanted []int
	for i := range code.k {
		if cells[i] == nil {
			wanted = append(wanted, i)
		}
		copy(sliver[i*size:(i+1)*size], cells[i])
	}
	if len(wanted) == 0 {
		return sliver, nil
	}
	rows := code.solve(known, wanted)
	w := c.scratch()
	defer c.shelve(w)
	b := batch{w: w, size: size, in: code.k, out: len(wanted), run: func(shards [][]byte) error {
		combine(rows, shards[:code.k], shards[code.k:])
		return nil
	}}
	err := b.apply(0, 1,
		func(i, _ int) []byte { return cells[known[i]] },
		func(i, _ int) []byte { return sliver[wanted[i]*size : (wanted[i]+1)*size] })
	return sliver, err
}
