package check

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// cached looks at the checksums of the sliver cache. What a power cut tore, or the disk
// damaged, is dropped: the nodes have it.
func (c *check) cached(ctx context.Context) error {
	bad := 0
	var first walrus.SliverID
	_, _, err := c.cfg.Cache.Check(ctx, true, func(id walrus.SliverID) {
		if bad == 0 {
			first = id
		}
		bad++
	})
	if err != nil || bad == 0 {
		return err
	}
	what := fmt.Sprintf("%d cached slivers were torn or damaged, such as %s", bad, first)
	if bad == 1 {
		what = fmt.Sprintf("a cached sliver was torn or damaged: %s", first)
	}
	return c.find(Finding{Part: "cache", Kind: Note, What: what, Done: "dropped; the nodes have all of it"})
}

// copies compares clean local copies with the hashes of what was published, which needs no
// network, and the begin of some that have none with the nodes.
func (c *check) copies(ctx context.Context) error {
	list, err := c.cfg.Index.CopiesOldest(ctx, math.MaxInt32)
	if err != nil {
		return err
	}
	sampled := 0
	if c.tooFew(ctx) != nil {
		sampled = maxSamples // there is nothing to compare with
	}
	for i, copy := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		hashes, err := c.cfg.Index.RangeHashes(ctx, copy.Ino)
		if err != nil {
			return err
		}
		switch {
		case len(hashes) > 0:
			err = c.hashedCopy(ctx, copy.Ino, hashes)
		case sampled < maxSamples && !c.opt.ReadData:
			sampled++
			err = c.sample(ctx, copy.Ino)
		}
		if err != nil {
			return err
		}
		c.opt.Progress(Progress{Step: "copies", Done: int64(i + 1), Total: int64(len(list))})
	}
	return nil
}

const (
	// maxSamples is of how many copies without a hash the first bytes are compared with the nodes.
	maxSamples = 32
	sampleSize = 64 << 10
	// readSize is how many bytes of a file are read at a time: a few slivers of a segment.
	readSize = 4 << 20
)

// labelRanges derives the key of the hashes of ranges, as fs/commit does.
const labelRanges = "ranges"

// hashedCopy compares what staging holds of a clean file with its hashes.
func (c *check) hashedCopy(ctx context.Context, ino index.Ino, hashes []index.RangeHash) error {
	local, attr, ok, err := c.cleanCopy(ctx, ino)
	if err != nil || !ok {
		return err
	}
	bad := int64(-1)
	for _, h := range hashes {
		off := h.Index * index.HashRange
		if why, err := c.fits(local, attr.Size, off, h.Hash); err != nil || why {
			continue
		}
		bad = off
		break
	}
	local.Release()
	if bad < 0 || !c.stillClean(ctx, attr) {
		return nil
	}
	return c.badCopy(ctx, ino, bad)
}

// fits reports whether what staging holds of a range has its hash; what it does not hold does.
func (c *check) fits(local *staging.File, size, off int64, hash [32]byte) (bool, error) {
	n := min(index.HashRange, size-off)
	if n <= 0 || !local.Holds(off, n) {
		return true, nil
	}
	p := make([]byte, n)
	if _, err := local.ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
		return false, nil //nolint:nilerr // what cannot be read does not fit
	}
	return c.hash(p) == hash, nil
}

func (c *check) hash(p []byte) (sum [32]byte) {
	key := c.cfg.Keys.Derive(labelRanges)
	mac := hmac.New(sha256.New, key[:])
	mac.Write(p)
	mac.Sum(sum[:0])
	return sum
}

// cleanCopy opens what staging holds of a file all of which is certified. The caller releases it.
func (c *check) cleanCopy(ctx context.Context, ino index.Ino) (local *staging.File, attr index.Attr, ok bool, err error) {
	attr, err = c.cfg.Index.Get(ctx, ino)
	if err != nil || attr.Dirty && !c.anew[ino] || attr.PubVersion == 0 {
		return nil, attr, false, ignoreGone(err)
	}
	local, ok, err = c.cfg.Staging.Lookup(ino)
	if errors.Is(err, staging.ErrCorrupt) {
		return nil, attr, false, nil // reported with staging
	}
	return local, attr, ok, err
}

// stillClean reports whether a file is as it was when a comparison began.
func (c *check) stillClean(ctx context.Context, before index.Attr) bool {
	now, err := c.cfg.Index.Get(ctx, before.Ino)
	return err == nil && now.Dirty == before.Dirty && now.PubVersion == before.PubVersion && now.Version == before.Version
}

func (c *check) badCopy(ctx context.Context, ino index.Ino, off int64) error {
	f := Finding{Part: "copies", Path: c.path(ctx, ino), What: fmt.Sprintf("the local copy differs at %d from what was stored: reads of it give wrong bytes", off)}
	return c.repair(f, doneDropped, func() error { return c.dropCopy(ctx, ino) })
}

// sample compares the first bytes of a clean copy with the nodes.
func (c *check) sample(ctx context.Context, ino index.Ino) error {
	attr, err := c.cfg.Index.Get(ctx, ino)
	if err != nil || attr.Size == 0 {
		return ignoreGone(err)
	}
	p := make([]byte, min(sampleSize, attr.Size))
	if err := c.published(ctx, ino, p, 0); err != nil {
		return nil //nolint:nilerr // what cannot be read is not what is looked for here
	}
	return c.compare(ctx, attr, p, 0)
}

// compare compares what staging holds of a range of a clean file with what the nodes gave.
func (c *check) compare(ctx context.Context, attr index.Attr, p []byte, off int64) error {
	local, now, ok, err := c.cleanCopy(ctx, attr.Ino)
	if err != nil || !ok {
		return err
	}
	bad := int64(-1)
	if now.PubVersion == attr.PubVersion {
		bad = differs(local, p, off)
	}
	local.Release()
	if bad < 0 || !c.stillClean(ctx, attr) {
		return nil
	}
	return c.badCopy(ctx, attr.Ino, bad)
}

// differs returns where what staging holds differs from p, which lies at off; -1: nowhere.
func differs(local *staging.File, p []byte, off int64) int64 {
	for _, r := range local.Held(off, int64(len(p))) {
		if !r.Held {
			continue
		}
		b := make([]byte, r.Len)
		if n, _ := local.ReadAt(b, r.Off); int64(n) < r.Len || !bytes.Equal(b, p[r.Off-off:r.Off-off+r.Len]) {
			return r.Off
		}
	}
	return -1
}

// published reads published content from the nodes, or from the outbox what is on its way.
func (c *check) published(ctx context.Context, ino index.Ino, p []byte, off int64) error {
	extents, err := c.cfg.Index.Extents(ctx, ino, off, int64(len(p)))
	if err != nil {
		return err
	}
	for _, e := range extents {
		header, err := seal.ParseHeader(e.Header[:])
		if err != nil {
			return err
		}
		opener, err := c.cfg.Keys.Open(header, e.SealedSize)
		if err != nil {
			return err
		}
		source := func(ctx context.Context, b []byte, at int64) (int, error) {
			if c.segs[e.Segment].Stage < walrus.Certified {
				n, err := c.cfg.Staging.ReadOutbox(e.Segment, b, at)
				if !errors.Is(err, staging.ErrNotExist) {
					return n, err
				}
			}
			return c.cfg.Blobs.ReadAt(ctx, e.Blob, b, at)
		}
		part := p[e.Off-off : e.Off-off+e.Len]
		if n, err := opener.ReadAt(ctx, source, part, e.Pos); n < len(part) {
			return errors.Join(err, fmt.Errorf("%d of %d bytes of segment %d", n, len(part), e.Segment))
		}
	}
	return nil
}

// content reads every byte of every file past all local copies, and compares with those.
func (c *check) content(ctx context.Context) error {
	if err := c.tooFew(ctx); err != nil {
		return err
	}
	usage, err := c.cfg.Index.Usage(ctx)
	if err != nil {
		return err
	}
	at := Progress{Step: "content", Total: usage.Inodes, BytesTotal: usage.Bytes, Ino: c.opt.After}
	each := func(attr index.Attr) error {
		err := c.file(ctx, attr, func(n int64) {
			at.Bytes += n
			c.opt.Progress(at)
		})
		at.Done, at.Ino = at.Done+1, attr.Ino
		c.opt.Progress(at)
		return err
	}
	if c.opt.Files != nil {
		at.Total, at.BytesTotal = int64(len(c.opt.Files)), 0
		for _, ino := range c.opt.Files {
			attr, err := c.cfg.Index.Get(ctx, ino)
			if err == nil {
				at.BytesTotal += attr.Size
				err = each(attr)
			}
			if ignoreGone(err) != nil {
				return err
			}
		}
		return nil
	}
	for after := c.opt.After; ; {
		list, err := c.cfg.Index.Regulars(ctx, after, 256)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, attr := range list {
			if err := each(attr); err != nil {
				return err
			}
			after = attr.Ino
		}
	}
}

// file reads the published content of a file.
func (c *check) file(ctx context.Context, attr index.Attr, read func(int64)) error {
	for off := int64(0); off < attr.PubSize; off += readSize {
		p := make([]byte, min(readSize, attr.PubSize-off))
		err := c.published(ctx, attr.Ino, p, off)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			now, gerr := c.cfg.Index.Get(ctx, attr.Ino)
			if gerr != nil || now.PubVersion != attr.PubVersion {
				return ignoreGone(gerr) // it was replaced meanwhile
			}
			if err := c.tooFew(ctx); err != nil {
				return err
			}
			if err := c.unreadable(ctx, attr.Ino, off, int64(len(p)), err); err != nil {
				return err
			}
		} else if err := c.compare(ctx, attr, p, off); err != nil {
			return err
		}
		read(int64(len(p)))
	}
	return nil
}

// unreadable deals with published content that cannot be had: if staging holds it, and it
// is proven to be that or nobody else can have it, it is stored anew.
func (c *check) unreadable(ctx context.Context, ino index.Ino, off, n int64, why error) error {
	f := Finding{Part: "content", Path: c.path(ctx, ino), What: fmt.Sprintf("%d bytes at %d cannot be read from the nodes: %v", n, off, why)}
	local, attr, ok, err := c.cleanCopy(ctx, ino)
	if err != nil {
		return err
	}
	if !ok || !local.Holds(off, n) {
		if ok {
			local.Release()
		}
		f.Kind, f.Hint = Damage, "take up nodes that are down; there is no local copy"
		return c.find(f)
	}
	defer local.Release()
	proven, err := c.proven(ctx, local, attr, off, n)
	if err != nil {
		return err
	}
	if !proven && c.shardsDown(ctx) {
		f.Kind, f.Hint = Damage, "take up the nodes that are down: there is a local copy, but nothing proves that it is the same"
		return c.find(f)
	}
	return c.repair(f, "the local copy is stored anew", func() error { return c.storeAnew(ctx, local, off, n) })
}

// proven reports whether hashes cover a range of a local copy and fit it.
func (c *check) proven(ctx context.Context, local *staging.File, attr index.Attr, off, n int64) (bool, error) {
	hashes, err := c.cfg.Index.RangeHashes(ctx, attr.Ino)
	if err != nil {
		return false, err
	}
	known := make(map[int64][32]byte, len(hashes))
	for _, h := range hashes {
		known[h.Index] = h.Hash
	}
	for i := off / index.HashRange; i*index.HashRange < off+n; i++ {
		h, ok := known[i]
		if !ok {
			return false, nil
		}
		if fits, err := c.fits(local, attr.Size, i*index.HashRange, h); err != nil || !fits {
			return false, err
		}
	}
	return true, nil
}

// shardsDown reports whether some nodes are down, or may be.
func (c *check) shardsDown(ctx context.Context) bool {
	state, err := c.cfg.Ledger.State(ctx)
	return err != nil || len(c.cfg.Nodes()) < len(state.Committee.Members)
}

// storeAnew makes a range of a clean file dirty again. The copy reaches the disk before
// the index relies on it, and the hashes go, which would find it unchanged.
func (c *check) storeAnew(ctx context.Context, local *staging.File, off, n int64) error {
	if _, err := local.Sync(ctx); err != nil {
		return err
	}
	if err := c.cfg.Index.Unhash(ctx, local.Ino(), off, n); err != nil {
		return err
	}
	if !c.anew[local.Ino()] {
		if err := local.Clean(); err != nil { // lest all of a copy without a map counts as changed
			return err
		}
		if _, err := c.cfg.Index.MarkDirty(ctx, local.Ino(), local.State().Seq); err != nil {
			return err
		}
		c.anew[local.Ino()] = true
	}
	if err := local.Redirty(off, n); err != nil {
		return err
	}
	held, err := local.Sync(ctx)
	if err != nil {
		return err
	}
	if err := c.cfg.Index.Barrier(ctx, []index.Held{held}); err != nil {
		return err
	}
	c.cfg.Wake()
	return nil
}
