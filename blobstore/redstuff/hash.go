package redstuff

import (
	"hash"

	"golang.org/x/crypto/blake2b"
)

// node is a BLAKE2b-256 hash in a Merkle tree. The zero node pads odd levels.
type node = [32]byte

// Prefixes keep leaves and inner nodes apart. Source: Walrus, module merkle.
const (
	leafPrefix  = 0
	innerPrefix = 1
)

// hasher hashes leaves and pairs of nodes, many at a time. Its zero value is
// ready; it is for one goroutine.
type hasher struct {
	digest hash.Hash
	pair   [1 + 32 + 32]byte
}

// leaves sets out[i] to the leaf hash of symbols[i].
func (h *hasher) leaves(out []node, symbols [][]byte) {
	for i, s := range symbols {
		h.leaf(&out[i], s)
	}
}

var leafStart = []byte{leafPrefix}

func (h *hasher) leaf(out *node, symbol []byte) {
	if h.digest == nil {
		h.digest, _ = blake2b.New256(nil) // fails for long keys only
	}
	h.digest.Reset()
	h.digest.Write(leafStart)
	h.digest.Write(symbol)
	h.digest.Sum(out[:0])
}

// inner sets out[i] to the parent of left[i] and right[i]. Out may be left.
func (h *hasher) inner(out, left, right []node) {
	h.pair[0] = innerPrefix
	for i := range out {
		copy(h.pair[1:], left[i][:])
		copy(h.pair[33:], right[i][:])
		out[i] = blake2b.Sum256(h.pair[:])
	}
}

// level sets nodes[i] to the parent of nodes[2i] and nodes[2i+1] for all pairs.
func (h *hasher) level(nodes []node, pairs int) {
	h.pair[0] = innerPrefix
	for i := range pairs {
		copy(h.pair[1:], nodes[2*i][:])
		copy(h.pair[33:], nodes[2*i+1][:])
		nodes[i] = blake2b.Sum256(h.pair[:])
	}
}
