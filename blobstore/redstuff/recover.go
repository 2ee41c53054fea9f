package redstuff

import "github.com/walfs/walfs/blobstore/walrus"

// Proof is a path in a Merkle tree: the siblings from the leaf level to just
// below the root. A zero hash stands for the empty node.
type Proof [][32]byte

// MarshalBinary returns the BCS form of a Merkle proof.
func (p Proof) MarshalBinary() ([]byte, error) { return nil, errStub }

// ParseProof reads a Merkle proof at the start of b and returns what follows it.
func ParseProof(b []byte) (p Proof, rest []byte, err error) { return nil, nil, errStub }

// Symbol helps to recover a sliver: it is the cell where that sliver crosses
// sliver Source of the other axis, and the proof that Source has it there.
type Symbol struct {
	Source int
	Data   []byte
	Proof  Proof
}

// RecoverySymbol cuts from a verified sliver, named by source, the symbol that
// helps to recover sliver target of the other axis.
func (c *Codec) RecoverySymbol(md *Metadata, source walrus.SliverID, data []byte, target int) (Symbol, error) {
	return Symbol{}, errStub
}

// VerifySymbol checks a symbol for recovering target against verified metadata. It returns ErrSymbol.
func (c *Codec) VerifySymbol(md *Metadata, target walrus.SliverID, s Symbol) error { return errStub }

// Recover rebuilds the target sliver from symbols with distinct sources:
// SourceSecondary of them for a primary sliver, SourcePrimary for a secondary
// one. It returns a TooFewError if there are fewer, and ErrInconsistent if the
// result does not match the metadata. With symbols that have passed
// VerifySymbol the latter proves that the blob is not a valid encoding.
func (c *Codec) Recover(md *Metadata, target walrus.SliverID, symbols []Symbol) ([]byte, error) {
	return nil, errStub
}
