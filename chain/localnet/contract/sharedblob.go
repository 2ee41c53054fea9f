package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// NewSharedBlob puts a blob object where anybody may extend its life, without
// funds: shared_blob::new.
func NewSharedBlob(tx *overlay.Tx, b *move.Blob) (*move.SharedBlob, error) {
	return shareBlob(tx, b, 0)
}

// NewFundedSharedBlob does so with funds: shared_blob::new_funded.
func NewFundedSharedBlob(tx *overlay.Tx, b *move.Blob, funds *move.Coin) (*move.SharedBlob, error) {
	s := &move.SharedBlob{ID: tx.NewID()}
	amount, err := intoBalance(tx, funds)
	if err != nil {
		return nil, err
	}
	return s, placeShared(tx, s, b, amount)
}

func shareBlob(tx *overlay.Tx, b *move.Blob, funds uint64) (*move.SharedBlob, error) {
	s := &move.SharedBlob{ID: tx.NewID()}
	return s, placeShared(tx, s, b, funds)
}

func placeShared(tx *overlay.Tx, s *move.SharedBlob, b *move.Blob, funds uint64) error {
	if err := tx.Wrap(b.ID); err != nil {
		return err
	}
	s.Blob, s.Funds = *b, funds
	if err := tx.Hold(s, tx.Types.SharedBlob()); err != nil {
		return err
	}
	return tx.Share(s.ID)
}

// FundSharedBlob adds to what a shared blob can pay with: shared_blob::fund.
func FundSharedBlob(tx *overlay.Tx, s *move.SharedBlob, added *move.Coin) error {
	amount, err := intoBalance(tx, added)
	if err != nil {
		return err
	}
	return join(&s.Funds, amount)
}

// ExtendSharedBlob buys more epochs with the funds; anybody may call it: shared_blob::extend.
func ExtendSharedBlob(tx *overlay.Tx, s *move.SharedBlob, sys *move.System, epochs uint32) error {
	coin, err := NewCoin(tx, tx.Types.WALCoin(), s.Funds)
	if err != nil {
		return err
	}
	if err := ExtendBlob(tx, sys, &s.Blob, epochs, coin); err != nil {
		return err
	}
	s.Funds, err = intoBalance(tx, coin)
	return err
}
