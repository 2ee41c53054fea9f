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
	lanes  lanes
}

// together returns how many of the next n messages to hash in lockstep.
func together(n int) int {
	if !hasLanes {
		return min(n, 1)
	}
	return min(n, 8)
}

// leaves sets out[i] to the leaf hash of symbols[i]. The symbols have one length.
func (h *hasher) leaves(out []node, symbols [][]byte) {
	for len(symbols) > 0 {
		n := together(len(symbols))
		if n == 1 {
			h.leaf(&out[0], symbols[0])
		} else {
			h.lanes.leaves(out[:n], symbols[:n])
		}
		out, symbols = out[n:], symbols[n:]
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
	for len(out) > 0 {
		n := together(len(out))
		if n == 1 {
			out[0] = h.parent(&left[0], &right[0])
		} else {
			for i := range n {
				h.lanes.setPair(i, &left[i], &right[i])
			}
			h.lanes.parents(out[:n])
		}
		out, left, right = out[n:], left[n:], right[n:]
	}
}

// level sets nodes[i] to the parent of nodes[2i] and nodes[2i+1] for all pairs.
func (h *hasher) level(nodes []node, pairs int) {
	for done := 0; done < pairs; {
		n := together(pairs - done)
		if n == 1 {
			nodes[done] = h.parent(&nodes[2*done], &nodes[2*done+1])
		} else {
			for i := range n {
				h.lanes.setPair(i, &nodes[2*(done+i)], &nodes[2*(done+i)+1])
			}
			h.lanes.parents(nodes[done : done+n])
		}
		done += n
	}
}

func (h *hasher) parent(left, right *node) node {
	h.pair[0] = innerPrefix
	copy(h.pair[1:], left[:])
	copy(h.pair[33:], right[:])
	return blake2b.Sum256(h.pair[:])
}
