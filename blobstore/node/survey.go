package node

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// Depth says how closely a node looks at what it holds.
type Depth int

// The depths. Marks reads a few bytes of each slot, the others all of them.
const (
	Marks     Depth = iota // each slot is marked as filled, head and metadata are sound
	Checksums              // the bytes of each slot have their checksum
	Hashes                 // and match the metadata
)

// Gap is what a node lacks of a blob that it is to hold.
type Gap struct {
	Blob     walrus.BlobID
	Metadata *redstuff.Metadata // the node's own, verified; nil if it has none that is good
	Missing  []walrus.SliverID  // slots that are absent, unfilled or damaged
	Good     []walrus.SliverID  // the others, as far as depth shows
	Damaged  int                // how many of Missing were there once, or have a damaged head before them; the others are owed
	Read     int64              // bytes
}

// None tells whether nothing is missing.
func (g *Gap) None() bool { return g.Metadata != nil && len(g.Missing) == 0 }

// Lacking lists, in their order, at most limit blobs behind after of which the
// node knows that it lacks something. It is what the ledger's events, calls and
// surveys have shown; Gap has the particulars.
func (n *Node) Lacking(ctx context.Context, after walrus.BlobID, limit int) ([]walrus.BlobID, error) {
	leave, err := n.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	blobs, err := n.catalogue.lacking(ctx, after, limit)
	if err == nil && len(blobs) == 0 && after.IsZero() {
		err = n.recount(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("list what node %s lacks: %w", n.cfg.Name, err)
	}
	return blobs, nil
}

// surveyPage is how many blobs Survey lists at a time.
const surveyPage = 256

// Survey looks at all certified blobs in their order, those behind after, and
// notes what is missing. Step, which sets the pace, is called after each blob;
// its error ends the survey.
func (n *Node) Survey(ctx context.Context, depth Depth, after walrus.BlobID, step func(Gap) error) error {
	for {
		blobs, err := n.page(ctx, after)
		if err != nil || len(blobs) == 0 {
			return err
		}
		for _, blob := range blobs {
			after = blob
			gap, err := n.Gap(ctx, blob, depth)
			if errors.Is(err, ErrNotRegistered) {
				continue // it ended meanwhile
			}
			if err == nil {
				err = step(gap)
			}
			if err != nil {
				return fmt.Errorf("survey %s: %w", blob, err)
			}
		}
	}
}

func (n *Node) page(ctx context.Context, after walrus.BlobID) ([]walrus.BlobID, error) {
	leave, err := n.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	return n.catalogue.certified(ctx, after, surveyPage)
}

// Gap looks at what the node holds of a blob, notes what is missing and returns
// it. It waits for a Store that is at work on the blob, and returns
// ErrNotRegistered for a blob that has no certified registration.
func (n *Node) Gap(ctx context.Context, blob walrus.BlobID, depth Depth) (Gap, error) {
	leave, err := n.enter()
	if err != nil {
		return Gap{}, err
	}
	defer leave()
	g, err := n.gap(ctx, blob, depth)
	if err != nil {
		return Gap{}, fmt.Errorf("look for %s: %w", blob, err)
	}
	return g, nil
}

func (n *Node) gap(ctx context.Context, blob walrus.BlobID, depth Depth) (g Gap, err error) {
	state := n.state.Load()
	if state == nil {
		if state, err = n.hear(ctx); err != nil {
			return g, err
		}
	}
	unlock := n.blobs.lock(blob)
	defer unlock()
	wanted, err := n.catalogue.isCertified(ctx, blob)
	if err != nil {
		return g, err
	}
	own := n.own(state, blob)
	if !wanted || len(own) == 0 {
		return g, errors.Join(ErrNotRegistered, n.settled(ctx, blob, nil))
	}
	g.Blob = blob
	if err := n.look(ctx, &g, own, depth); err != nil {
		return g, err
	}
	if g.None() {
		return g, errors.Join(n.catalogue.setWhole(ctx, blob), n.settled(ctx, blob, own))
	}
	return g, n.lacks(ctx, blob)
}

// look fills in what is there and what is not.
func (n *Node) look(ctx context.Context, g *Gap, own []slotKey, depth Depth) error {
	b, err := openBlob(n.path(g.Blob), g.Blob, os.O_RDONLY)
	if b != nil {
		defer b.f.Close()
	}
	head := walrus.SliverID{Blob: g.Blob, Axis: BadMetadata}
	if err != nil {
		for _, key := range own {
			g.Missing = append(g.Missing, sliverOf(g.Blob, key))
		}
		if errors.Is(err, errHead) {
			g.Damaged = len(own)
			n.damaged(ctx, head, err)
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		return nil
	}
	md, err := b.metadata()
	g.Read += b.metadataOffset() + int64(b.metadataSize)
	if err == nil {
		err = md.Verify(n.geometry, g.Blob)
	}
	if err == nil {
		g.Metadata = md
		if n.isBad(head) {
			err = n.forget(ctx, []walrus.SliverID{head})
		}
	}
	if err != nil {
		n.damaged(ctx, head, err)
	}
	headless := err != nil
	for _, key := range own {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := sliverOf(g.Blob, key)
		read, err := n.lookAt(ctx, b, g.Metadata, id, depth)
		g.Read += read
		if err == nil {
			g.Good = append(g.Good, id)
			continue
		}
		g.Missing = append(g.Missing, id)
		if headless || errors.Is(err, errRot) || n.isBad(id) {
			g.Damaged++
		}
		if errors.Is(err, errRot) {
			n.damaged(ctx, id, err)
		}
	}
	return nil
}

func sliverOf(blob walrus.BlobID, key slotKey) walrus.SliverID {
	return walrus.SliverID{Blob: blob, Axis: key.axis, Index: key.index}
}

// lookAt looks at one slot. It returns errEmpty or errRot if it is not good.
func (n *Node) lookAt(ctx context.Context, b *blobFile, md *redstuff.Metadata, id walrus.SliverID, depth Depth) (read int64, err error) {
	i := b.find(slotKey{id.Axis, id.Index})
	if i < 0 {
		return 0, errEmpty
	}
	whole := int64(b.sliverSize(id.Axis)) + tailSize
	if depth == Hashes && md != nil {
		data, err := b.slot(i)
		if err == nil {
			if err = n.cfg.Codec.Verify(md, id, data); err != nil {
				err = fmt.Errorf("%w: %w", errRot, err)
			}
		}
		if err == nil && n.isBad(id) { // the disk gave it back after all
			err = n.forget(ctx, []walrus.SliverID{id})
		}
		return whole, err
	}
	if n.isBad(id) {
		return 0, errEmpty // known already
	}
	if depth != Marks {
		_, err := b.check(i)
		return whole, err
	}
	_, err = b.mark(i)
	return tailSize, err
}

// isBad tells whether damage to a slot is known.
func (n *Node) isBad(id walrus.SliverID) bool {
	n.bad.Lock()
	defer n.bad.Unlock()
	_, bad := n.bad.slots[id]
	return bad
}

// Symbols cuts from a sliver the symbols that help to recover the given
// slivers of the other axis. Like Sliver it returns ErrNotFound for a sliver
// that is not there or is damaged.
func (n *Node) Symbols(ctx context.Context, source walrus.SliverID, targets []int) (symbols []redstuff.Symbol, err error) {
	for _, target := range targets {
		if target < 0 || target >= n.geometry.Shards || len(targets) > n.geometry.Shards {
			return nil, fmt.Errorf("symbols of %s: target %d: %w", source, target, ErrRefused)
		}
	}
	err = n.read(ctx, source, func(b *blobFile) error {
		i := b.find(slotKey{source.Axis, source.Index})
		if i < 0 {
			return ErrNotFound
		}
		md, err := b.metadata()
		if err != nil {
			return err
		}
		data, err := b.slot(i)
		if err != nil {
			return err
		}
		symbols, err = n.cfg.Codec.RecoverySymbols(md, source, data, targets)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("symbols of %s: %w", source, err)
	}
	n.symbolReads.Add(uint64(len(symbols)))
	return symbols, nil
}
