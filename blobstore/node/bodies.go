package node

import (
	"fmt"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/move"
)

// The bodies of requests and answers between nodes, in BCS. Source: Walrus, storage node API.

// symbolBody is GeneralRecoverySymbol: a symbol cut from sliver Source of an
// axis. On the wire it has the name of the axis that it helps to recover.
type symbolBody struct {
	axis   walrus.Axis // of the source
	source uint16
	target uint16
	data   []byte
	proof  redstuff.Proof
}

// BCS is the layout.
func (s *symbolBody) BCS(c *move.Codec) {
	helps := uint8(walrus.Secondary - s.axis)
	c.Variant(&helps, uint8(walrus.Secondary)+1)
	s.axis = walrus.Secondary - walrus.Axis(helps)
	c.U16(&s.source)
	c.Bytes(&s.data)
	c.U16(&s.target)
	move.Vector(c, (*[][32]byte)(&s.proof), func(c *move.Codec, hash *[32]byte) {
		var kind uint8 // 0 the empty node, whose hash is zeros; 1 a hash
		if *hash != ([32]byte{}) {
			kind = 1
		}
		if c.Variant(&kind, 2); kind == 1 {
			c.Fixed(hash[:])
		}
	})
}

// symbolBodies is the answer of the route for recovery symbols.
type symbolBodies []symbolBody

// BCS is the layout.
func (s *symbolBodies) BCS(c *move.Codec) {
	move.Vector(c, (*[]symbolBody)(s), move.Struct[symbolBody])
}

// Synced is a sliver that a node gives to the one that has its shard now.
type Synced struct {
	ID         walrus.SliverID
	SymbolSize uint16
	Data       []byte
}

// BCS is the layout.
func (s *Synced) BCS(c *move.Codec) {
	c.Fixed(s.ID.Blob[:])
	axis := uint8(s.ID.Axis)
	c.Variant(&axis, uint8(walrus.Secondary)+1)
	s.ID.Axis = walrus.Axis(axis)
	c.Bytes(&s.Data)
	c.U16(&s.SymbolSize)
	c.U16(&s.ID.Index)
}

// syncedBodies is the answer of the route for shards.
type syncedBodies []Synced

// BCS is the layout.
func (s *syncedBodies) BCS(c *move.Codec) {
	var version uint8
	c.Variant(&version, 1)
	move.Vector(c, (*[]Synced)(s), move.Struct[Synced])
}

// signedBody is a message and a signature, as nodes send them to each other.
type signedBody struct {
	message   []byte
	signature [96]byte
}

// BCS is the layout.
func (s *signedBody) BCS(c *move.Codec) {
	c.Bytes(&s.message)
	c.Fixed(s.signature[:])
}

// symbolID names the cell where a primary and a secondary sliver cross.
type symbolID struct{ primary, secondary int }

// String returns the text that stands in queries.
func (id symbolID) String() string { return fmt.Sprintf("%d-%d", id.primary, id.secondary) }
