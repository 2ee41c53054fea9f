package commit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// labelRanges derives the key of the hashes of ranges from the drive key, so
// that the index of a drive tells nothing about its content.
const labelRanges = "ranges"

// unchanged packs a whole hash range by reference when it is, to the last
// byte, what was published before. It notes the hash in any case.
func (p *packer) unchanged(ctx context.Context, par *parcel, b []byte, off int64) (bool, error) {
	n := int64(len(b))
	whole := off%index.HashRange == 0 && (n == index.HashRange || off+n == par.pack.Size)
	if !whole || n < staging.BlockSize {
		return false, nil
	}
	if err := p.loadKnown(ctx, par); err != nil {
		return false, err
	}
	i := off / index.HashRange
	hash := p.c.hash(b)
	par.hashes = append(par.hashes, index.RangeHash{Index: i, Hash: hash})
	if old, ok := par.known[i]; !ok || old != hash {
		return false, nil
	}
	return true, p.keep(ctx, par, off, n)
}

// hash returns the keyed hash of a range: HMAC-SHA256 over its bytes.
func (c *Committer) hash(b []byte) (sum [32]byte) {
	mac := hmac.New(sha256.New, c.ranges[:])
	mac.Write(b)
	mac.Sum(sum[:0])
	return sum
}

func (p *packer) loadKnown(ctx context.Context, par *parcel) error {
	if par.known != nil {
		return nil
	}
	par.known = map[int64][32]byte{}
	if par.attr.PubVersion == 0 {
		return nil
	}
	hashes, err := p.c.cfg.Index.RangeHashes(ctx, par.job.Ino)
	if err != nil {
		return fmt.Errorf("hashes of inode %d: %w", par.job.Ino, err)
	}
	for _, h := range hashes {
		par.known[h.Index] = h.Hash
	}
	return nil
}

// keep refers to the published extents of a range. Below the base they stay
// without being mentioned.
func (p *packer) keep(ctx context.Context, par *parcel, off, n int64) error {
	if off+n <= par.pack.Base {
		return nil
	}
	extents, err := p.c.cfg.Index.Extents(ctx, par.job.Ino, off, n)
	if err != nil {
		return fmt.Errorf("extents of inode %d: %w", par.job.Ino, err)
	}
	at := off
	for _, e := range extents {
		par.hole(at, e.Off-at)
		par.op(index.Op{Off: e.Off, Len: e.Len, Segment: e.Segment, Pos: e.Pos})
		at = e.Off + e.Len
	}
	par.hole(at, off+n-at)
	return nil
}
