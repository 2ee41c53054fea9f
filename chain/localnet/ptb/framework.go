package ptb

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

var transferModule = module{inFramework, "transfer", []declared{
	{"public_transfer<T: key + store>(T, address)", func(tx *overlay.Tx, o overlay.Object, to move.Address) error {
		return tx.Transfer(o.ObjectID(), move.AddressOwner(to))
	}},
	{"public_share_object<T: key + store>(T)", func(tx *overlay.Tx, o overlay.Object) error { return tx.Share(o.ObjectID()) }},
	{"public_freeze_object<T: key + store>(T)", func(tx *overlay.Tx, o overlay.Object) error {
		return tx.Transfer(o.ObjectID(), move.Owner{Kind: move.OwnerImmutable})
	}},
}}

var clockModule = module{inFramework, "clock", []declared{
	{"timestamp_ms(&Clock): u64", func(c *move.Clock) uint64 { return c.TimestampMS }},
}}

var objectModule = module{inFramework, "object", []declared{
	{"id<T: key>(&T): ID", func(o overlay.Object) move.ID { return o.ObjectID() }},
	{"id_from_address(address): ID", func(a move.Address) move.ID { return a }},
	{"id_to_address(&ID): address", func(id move.ID) move.Address { return id }},
}}
