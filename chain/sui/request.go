package sui

import (
	"slices"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// request is what a caller asked for, in a form that can be hashed: the same
// request has the same bytes, from version to version of this program.
type request struct {
	kind string
	args func(*move.Codec)
}

// BCS is the layout.
func (r *request) BCS(c *move.Codec) {
	c.String(&r.kind)
	r.args(c)
}

// hash names the request together with who made it.
func (r *request) hash(sender chain.Address) ([32]byte, error) {
	b, err := move.Marshal(r)
	if err != nil {
		return [32]byte{}, err
	}
	return blake2b.Sum256(append(sender[:], b...)), nil
}

func registerRequest(batch []chain.Registration) *request {
	if slices.ContainsFunc(batch, func(r chain.Registration) bool { return len(r.Reuse) > 0 }) {
		return &request{"register_reuse", func(c *move.Codec) {
			move.Vector(c, &batch, func(c *move.Codec, r *chain.Registration) {
				registrationBCS(c, r)
				move.Vector(c, &r.Reuse, objectBCS)
			})
		}}
	}
	return &request{"register", func(c *move.Codec) { move.Vector(c, &batch, registrationBCS) }}
}

func certifyRequest(batch []chain.Certification, anchor *chain.AnchorUpdate) *request {
	return &request{"certify", func(c *move.Codec) {
		move.Vector(c, &batch, certificationBCS)
		move.Option(c, &anchor, anchorBCS)
	}}
}

func extendRequest(batch []chain.Extension) *request {
	if slices.ContainsFunc(batch, func(e chain.Extension) bool { return len(e.Reuse) > 0 }) {
		return &request{"extend_reuse", func(c *move.Codec) {
			move.Vector(c, &batch, func(c *move.Codec, e *chain.Extension) {
				extensionBCS(c, e)
				move.Vector(c, &e.Reuse, objectBCS)
			})
		}}
	}
	return &request{"extend", func(c *move.Codec) { move.Vector(c, &batch, extensionBCS) }}
}

func extensionBCS(c *move.Codec, e *chain.Extension) {
	c.Fixed(e.Object[:])
	c.U32(&e.Epochs)
}

func deleteRequest(objects []walrus.ObjectID) *request {
	return &request{"delete", func(c *move.Codec) { move.Vector(c, &objects, objectBCS) }}
}

func registrationBCS(c *move.Codec, r *chain.Registration) {
	size := uint64(r.Size)
	c.Fixed(r.Blob[:])
	c.Fixed(r.Root[:])
	c.U64(&size)
	c.U32(&r.EpochsAhead)
	c.Bool(&r.Deletable)
	c.Fixed(r.Storage[:])
	move.Vector(c, &r.Attributes, attributeBCS)
}

func certificationBCS(c *move.Codec, v *chain.Certification) {
	c.Fixed(v.Object[:])
	c.Fixed(v.Cert.Signature[:])
	c.Bytes(&v.Cert.Bitmap)
	c.Bytes(&v.Cert.Message)
}

func anchorBCS(c *move.Codec, a *chain.AnchorUpdate) {
	c.Fixed(a.Object[:])
	c.U64(&a.Version)
	move.Vector(c, &a.Attributes, attributeBCS)
}

func attributeBCS(c *move.Codec, a *chain.Attribute) {
	c.String(&a.Key)
	c.String(&a.Value)
}

func objectBCS(c *move.Codec, id *walrus.ObjectID) { c.Fixed(id[:]) }

// outcome is a chain.Outcome as it is stored.
type outcome chain.Outcome

// BCS is the layout.
func (o *outcome) BCS(c *move.Codec) {
	move.Vector(c, &o.Registered, registeredBCS)
	move.Vector(c, &o.Certified, objectBCS)
	move.Vector(c, &o.Extended, registeredBCS)
	move.Vector(c, &o.Freed, objectBCS)
	c.U64(&o.AnchorVersion)
	c.U64(&o.CostFrost)
}

func registeredBCS(c *move.Codec, r *chain.Registered) {
	c.Fixed(r.Object[:])
	c.U32((*uint32)(&r.EndEpoch))
}
