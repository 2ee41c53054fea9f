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
		return p.copied(ctx, par, index.RangeHash{Index: i, Hash: hash}, n)
	}
	return true, p.keep(ctx, par, off, n)
}

// copied packs a range by reference when a program copied it from a file that is
// stored, and it is, to the last byte, what that has published there.
func (p *packer) copied(ctx context.Context, par *parcel, h index.RangeHash, n int64) (bool, error) {
	from := par.file.CopyOf()
	if from == 0 {
		return false, nil
	}
	extents, ok, err := p.c.cfg.Index.Twin(ctx, from, h, n)
	if err != nil || !ok {
		return false, err
	}
	par.refer(extents, h.Index*index.HashRange, n)
	return true, nil
}

// hash returns the keyed hash of a range: HMAC-SHA256 over its bytes.
func (c *Committer) hash(b []byte) (sum [32]byte) {
	mac := hmac.New(sha256.New, c.ranges[:])
	mac.Write(b)
	mac.Sum(sum[:0])
	return sum
}

// hashesOf returns the hashes of the published version of a file that is lent, by the
// number of the range; nil for others, of which they are asked for when there is something to pack.
func (p *packer) hashesOf(ctx context.Context, file *staging.File, attr *index.Attr) (map[int64][32]byte, error) {
	if !file.Lent() {
		return nil, nil
	}
	return p.published(ctx, attr)
}

func (p *packer) loadKnown(ctx context.Context, par *parcel) (err error) {
	if par.known == nil {
		par.known, err = p.published(ctx, &par.attr)
	}
	return err
}

// published returns the hashes of what is published of a file.
func (p *packer) published(ctx context.Context, attr *index.Attr) (map[int64][32]byte, error) {
	known := map[int64][32]byte{}
	if attr.PubVersion == 0 {
		return known, nil
	}
	hashes, err := p.c.cfg.Index.RangeHashes(ctx, attr.Ino)
	if err != nil {
		return nil, fmt.Errorf("hashes of inode %d: %w", attr.Ino, err)
	}
	for _, h := range hashes {
		known[h.Index] = h.Hash
	}
	return known, nil
}

// same tells staging what a snapshot need not copy: what is stored.
func (c *Committer) same(known map[int64][32]byte) staging.Same {
	if len(known) == 0 {
		return nil
	}
	return func(off int64, b []byte) bool {
		old, ok := known[off/index.HashRange]
		return ok && len(b) >= staging.BlockSize && old == c.hash(b)
	}
}

// stays packs a range by reference of which the snapshot found that it is published.
func (p *packer) stays(ctx context.Context, par *parcel, r staging.PackRange) error {
	i := r.Off / index.HashRange
	par.hashes = append(par.hashes, index.RangeHash{Index: i, Hash: par.known[i]})
	return p.keep(ctx, par, r.Off, r.Len)
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
	par.refer(extents, off, n)
	return nil
}
