package keep

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// anchor is an anchor object and what it says.
type anchor struct {
	object  walrus.ObjectID
	version uint64
	says    index.Anchor
}

// signer returns the key that signs the drive's anchor, which fs/commit derives likewise.
func signer(keys *seal.Keyring) ed25519.PrivateKey {
	seed := keys.Derive("anchor")
	return ed25519.NewKeyFromSeed(seed[:])
}

// findAnchor returns the anchor that says most among the wallet's objects. What
// the drive's key did not sign is no anchor of the drive.
func (r *restore) findAnchor(ctx context.Context) (best anchor, err error) {
	owned, err := r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Key: index.KeyAnchor})
	if err != nil {
		return best, fmt.Errorf("list anchors: %w", err)
	}
	any := false
	for _, o := range owned {
		attributes := make([]index.Attribute, len(o.Attributes))
		for i, a := range o.Attributes {
			attributes[i] = index.Attribute(a)
		}
		says, err := index.ParseAnchor(attributes, r.signer.Public().(ed25519.PublicKey))
		if err != nil {
			r.cfg.Log.Debug("not an anchor of this drive", "object", o.Object, "err", err)
			continue
		}
		if r.cfg.Drive != [16]byte{} && says.Drive != r.cfg.Drive {
			continue
		}
		if !any || says.Generation > best.says.Generation {
			best, any = anchor{o.Object, o.Version, says}, true
		}
	}
	if !any {
		return best, ErrNoAnchor
	}
	return best, nil
}
