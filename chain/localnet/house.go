package localnet

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// ErrSeed reports a Config.Seed that is missing, or not the one that the ledger was made of.
var ErrSeed = errors.New("not the seed of this ledger")

// house is the account of the ledger itself. It has the play money of the
// faucet and the capabilities of the nodes of genesis, and sends what changes
// epochs. It signs like everybody else: its key follows from the seed.
type house struct {
	key     ed25519.PrivateKey
	address move.Address
}

func newHouse(seed [32]byte) house {
	secret := HouseSecret(seed)
	key := ed25519.NewKeyFromSeed(secret[:])
	return house{key, signer(key.Public().(ed25519.PublicKey))}
}

// HouseSecret returns the Ed25519 seed of the house's key, of a ledger that was made of a seed.
func HouseSecret(seed [32]byte) [32]byte { return derive(seed[:], "house") }

// House returns the address of the account that a ledger of a seed acts for by
// itself: it pays what the faucet gives, and operates the nodes of genesis.
func House(seed [32]byte) chain.Address { return chain.Address(newHouse(seed).address) }

// sign returns the signatures of a transaction.
func (h *house) sign(bcs []byte) [][]byte {
	hash := move.SigningHash(bcs)
	signature := append([]byte{schemeEd25519}, ed25519.Sign(h.key, hash[:])...)
	return [][]byte{append(signature, h.key.Public().(ed25519.PublicKey)...)}
}

// checkSeed compares the seed with what derives from it.
func (n *Net) checkSeed(seed [32]byte) error {
	if seed == ([32]byte{}) || derive(seed[:], "chain") != n.facts.chainID {
		return fmt.Errorf("chain %x: %w", n.facts.chainID[:4], ErrSeed)
	}
	return nil
}
