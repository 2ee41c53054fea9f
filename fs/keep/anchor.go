package keep

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

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

// recorded returns what the index is to know of an anchor when it holds the
// generation up. An anchor that names another one does not speak of what is there.
func recorded(a anchor, up uint64) index.AnchorState {
	state := index.AnchorState{Object: a.object, Version: a.version}
	if a.says.Generation == up {
		state.Anchor = &a.says
	}
	return state
}

// written returns when an anchor was moved, as it says itself.
func written(a index.Anchor) time.Time {
	if a.Time == 0 {
		return time.Time{}
	}
	return time.Unix(0, a.Time)
}

// seen returns what is to be remembered of an anchor.
func (a anchor) seen() Seen {
	return Seen{Generation: a.says.Generation, Head: a.says.Head, Object: a.object, Version: a.version, Time: written(a.says)}
}

// check returns ErrRolledBack for an anchor that says less than was seen
// before, or tells another history.
func (s Seen) check(found anchor) error {
	switch {
	case found.says.Generation < s.Generation:
		return fmt.Errorf("generation %d of %s, and this machine has seen %d of %s: %w", found.says.Generation,
			stamp(written(found.says)), s.Generation, stamp(s.Time), ErrRolledBack)
	case found.says.Generation == s.Generation && s.Generation > 0 && found.says.Head != s.Head:
		return fmt.Errorf("generation %d is blob %s, and this machine has seen %s: %w", s.Generation, found.says.Head, s.Head, ErrRolledBack)
	case found.object == s.Object && found.version < s.Version:
		return fmt.Errorf("anchor of version %d, and this machine has seen %d: %w", found.version, s.Version, ErrRolledBack)
	}
	return nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.Format(time.RFC3339)
}
