package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// Authenticated is proof of who calls: auth::Authenticated. It lives for one transaction.
type Authenticated struct{ who move.Authorized }

// BCS is the layout.
func (v *Authenticated) BCS(c *move.Codec) { v.who.BCS(c) }

// AuthenticateSender proves who sent the transaction: auth::authenticate_sender.
func AuthenticateSender(tx *overlay.Tx) Authenticated {
	return Authenticated{AuthorizedAddress(tx.Sender)}
}

// AuthenticateWithObject proves that the caller has an object: auth::authenticate_with_object.
func AuthenticateWithObject(object move.ID) Authenticated {
	return Authenticated{AuthorizedObject(object)}
}

// AuthorizedAddress names an account that may act: auth::authorized_address.
func AuthorizedAddress(a move.Address) move.Authorized { return move.Authorized{Address: a} }

// AuthorizedObject names an object whose holder may act: auth::authorized_object.
func AuthorizedObject(object move.ID) move.Authorized {
	return move.Authorized{Object: true, Address: object}
}

// matches is auth::matches.
func (a Authenticated) matches(authorized move.Authorized) bool { return a.who == authorized }
