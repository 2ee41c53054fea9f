package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// certified returns the segments that the nodes have to hold, in order.
func (c *check) certified() []index.SegmentRow {
	rows := slices.DeleteFunc(slices.Collect(maps.Values(c.segs)), func(r index.SegmentRow) bool { return r.Stage < walrus.Certified })
	slices.SortFunc(rows, func(a, b index.SegmentRow) int { return cmp.Compare(a.Number, b.Number) })
	return rows
}

// ledger compares the segments with the objects that pay for them, and with their certificates.
func (c *check) ledger(ctx context.Context) error {
	state, err := c.cfg.Ledger.State(ctx)
	if err != nil {
		return fmt.Errorf("the ledger does not answer: %w", err)
	}
	rows := c.certified()
	for batch := range slices.Chunk(rows, chain.MaxBatch) {
		objects := make([]walrus.ObjectID, len(batch))
		for i, r := range batch {
			objects[i] = r.Object
		}
		owned, err := c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Objects: objects})
		if err != nil {
			return fmt.Errorf("the ledger does not answer: %w", err)
		}
		known := make(map[walrus.ObjectID]chain.OwnedObject, len(owned))
		for _, o := range owned {
			known[o.Object] = o
		}
		for _, r := range batch {
			o, ok := known[r.Object]
			if err := errors.Join(c.object(ctx, r, o, ok, state), c.certificate(r, state)); err != nil {
				return err
			}
		}
	}
	return nil
}

// object compares a segment with its object on the ledger.
func (c *check) object(ctx context.Context, r index.SegmentRow, o chain.OwnedObject, ok bool, state *chain.State) error {
	const part, lost = "ledger", "walfs get -r / DIR copies to another place what can be read still"
	switch {
	case !ok:
		gone, err := c.isGone(ctx, r.Number)
		if err != nil || gone {
			return err
		}
		return c.damaged(part, "", lost, "the wallet does not own the storage of segment %d any more: it cannot be renewed, and the nodes may drop it", r.Number)
	case o.Blob != r.Blob || o.Size != r.Size:
		return c.damaged(part, "", hintRebuild, "the object of segment %d pays for blob %s of %d bytes, not for %s of %d", r.Number, o.Blob, o.Size, r.Blob, r.Size)
	case !o.Certified:
		return c.damaged(part, "", lost, "segment %d is not certified on the ledger, although the index says so", r.Number)
	case o.EndEpoch <= state.Epoch:
		return c.damaged(part, "", lost, "storage of segment %d ended in epoch %d, this is epoch %d: the nodes may drop it", r.Number, o.EndEpoch, state.Epoch)
	case o.EndEpoch == r.EndEpoch:
		return nil
	}
	f := Finding{Part: part, What: fmt.Sprintf("segment %d is paid for until epoch %d, and the index says %d", r.Number, o.EndEpoch, r.EndEpoch)}
	return c.repair(f, "written down", func() error { return c.cfg.Index.Renewed(ctx, []uint64{r.Number}, o.EndEpoch) })
}

// isGone reports whether a segment was given up since the check began, or is being deleted.
func (c *check) isGone(ctx context.Context, number uint64) (bool, error) {
	rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Number: number})
	if err != nil || len(rows) == 0 {
		return err == nil, err
	}
	deletions, err := c.cfg.Index.Deletions(ctx)
	if err != nil {
		return false, err
	}
	for _, d := range deletions {
		if slices.ContainsFunc(d.Segments, func(s index.DeletedSegment) bool { return s.Number == number }) {
			return true, nil
		}
	}
	return false, nil
}

// certificate verifies a certificate of the committee of today; those of others cannot be.
func (c *check) certificate(r index.SegmentRow, state *chain.State) error {
	if r.Cert == nil {
		return nil
	}
	err := r.Cert.Verify(&state.Committee)
	if err == nil || errors.Is(err, walrus.ErrEpoch) {
		return nil
	}
	return c.damaged("ledger", "", "the ledger has checked it when it was made; what is stored is safe", "the certificate of segment %d that is kept here is damaged: %v", r.Number, err)
}

// anchor compares the drive's anchor with what the index knows of it.
func (c *check) anchor(ctx context.Context) error {
	var what string
	wrong, err := persists(ctx, func() (bool, error) {
		mine, err := c.cfg.Index.Anchored(ctx)
		if errors.Is(err, index.ErrNotExist) {
			what = "the index does not know the drive's anchor: nothing can be certified"
			return true, nil
		}
		if err != nil {
			return false, err
		}
		owned, err := c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{mine.Object}})
		if err != nil {
			return false, fmt.Errorf("the ledger does not answer: %w", err)
		}
		if len(owned) == 0 {
			what = "the wallet does not own the drive's anchor: a fresh machine would not find the drive"
			return true, nil
		}
		what = c.compareAnchor(mine, owned[0])
		return what != "", nil
	})
	if err != nil || !wrong {
		return err
	}
	return c.damaged("anchor", "", "if another machine writes the drive, walfs takeover takes it back; else "+hintRebuild, "%s", what)
}

func (c *check) compareAnchor(mine index.AnchorState, o chain.OwnedObject) string {
	if mine.Anchor == nil {
		return ""
	}
	attributes := make([]index.Attribute, len(o.Attributes))
	for i, a := range o.Attributes {
		attributes[i] = index.Attribute(a)
	}
	says, err := index.ParseAnchor(attributes, c.signer)
	switch {
	case err != nil:
		return fmt.Sprintf("the drive's anchor on the ledger is not what its key signed: %v", err)
	case says.Drive != mine.Anchor.Drive:
		return "the drive's anchor on the ledger is of another drive"
	case says.Writer != mine.Anchor.Writer:
		return "another machine has taken the drive over"
	case says.Generation != mine.Anchor.Generation:
		return fmt.Sprintf("the anchor on the ledger names generation %d, and the index says %d", says.Generation, mine.Anchor.Generation)
	}
	return ""
}

// held is what is known of a blob on the nodes, in shards.
type held struct {
	primary, secondary, pairs int
	nodes                     int // that have all they should
	damaged                   int // slots that are there and are not good
}

// nodes looks at the marks of all slots, node by node. What is missing is noted by the node for the healer.
func (c *check) nodes(ctx context.Context) error {
	up := c.cfg.Nodes()
	state, err := c.cfg.Ledger.State(ctx)
	if err != nil {
		return fmt.Errorf("the ledger does not answer: %w", err)
	}
	g := c.cfg.Blobs.Geometry()
	down, rows := g.Shards, c.certified()
	for _, n := range up {
		if err := n.Sync(ctx); err != nil { // what was certified just now it has to know
			c.cfg.Log.Debug("node does not hear the ledger", "op", "check", "err", err)
		}
		down -= shardsOf(n, state)
	}
	owed, pairs := 0, 0
	for i, r := range rows {
		h, err := c.heldOf(ctx, up, r.Blob)
		if err != nil {
			return err
		}
		c.opt.Progress(Progress{Step: "nodes", Done: int64(i + 1), Total: int64(len(rows))})
		if h.pairs+down >= g.Shards {
			continue
		}
		if gone, err := c.isGone(ctx, r.Number); err != nil || gone {
			continue
		}
		if h.damaged == 0 && h.pairs+down >= g.Quorum() && (h.primary >= g.SourcePrimary() || h.secondary >= g.SourceSecondary()) {
			owed++
			pairs += g.Shards - down - h.pairs
			continue
		}
		if err := c.thin(ctx, r, h, down, g); err != nil {
			return err
		}
	}
	if owed > 0 {
		if err := c.owed(owed, pairs); err != nil {
			return err
		}
	}
	if down > 0 {
		return c.find(Finding{Part: "nodes", Kind: Unknown, Hint: "walfs node list shows them; walfs node start NAME takes one up",
			What: fmt.Sprintf("%d of %d shards are on nodes that are down: what they hold could not be looked at", down, g.Shards)})
	}
	return nil
}

// tooFew returns ErrTooFewNodes when the nodes that are up have too few shards to read anything from.
func (c *check) tooFew(ctx context.Context) error {
	state, err := c.cfg.Ledger.State(ctx)
	if err != nil {
		return nil //nolint:nilerr // the step that looks at the ledger reports it
	}
	up, g := 0, c.cfg.Blobs.Geometry()
	for _, n := range c.cfg.Nodes() {
		up += shardsOf(n, state)
	}
	if up >= g.SourcePrimary() {
		return nil
	}
	return fmt.Errorf("%w: %d of %d shards, and reading needs %d", ErrTooFewNodes, up, g.Shards, g.SourcePrimary())
}

func shardsOf(n *node.Node, state *chain.State) int {
	for _, m := range state.Committee.Members {
		if m.PublicKey == n.PublicKey() {
			return len(m.Shards)
		}
	}
	return 0
}

// heldOf adds up what the nodes that are up hold of a blob.
func (c *check) heldOf(ctx context.Context, up []*node.Node, blob walrus.BlobID) (h held, err error) {
	for _, n := range up {
		gap, err := n.Gap(ctx, blob, node.Marks)
		if ctx.Err() != nil {
			return h, ctx.Err()
		}
		if err != nil { // it went down, or its disk fails: it holds nothing that could be had
			c.cfg.Log.Debug("node cannot be asked", "op", "check", "blob", blob, "err", err)
			continue
		}
		primary, secondary := 0, 0
		for _, id := range gap.Good {
			if id.Axis == walrus.Primary {
				primary++
			} else {
				secondary++
			}
		}
		h.primary, h.secondary, h.pairs = h.primary+primary, h.secondary+secondary, h.pairs+min(primary, secondary)
		h.damaged += gap.Damaged
		if gap.None() {
			h.nodes++
		} else if gap.Metadata == nil && len(gap.Good) > 0 {
			h.damaged++ // the metadata stands before all slots
		}
	}
	return h, nil
}

// owed tells of slivers that nodes have just not got: they were away, or the upload goes on.
// A quorum has its own of each of these segments.
func (c *check) owed(segments, pairs int) error {
	f := Finding{Part: "nodes", Kind: Note, Count: pairs, Hint: "a mounted drive brings them; walfs node list shows what is left",
		What: fmt.Sprintf("pairs of slivers that have not reached their nodes yet: %d, of %d segments; enough others have theirs", pairs, segments)}
	if c.opt.Repair {
		f.Done, f.Hint = handedOver, ""
	}
	return c.find(f)
}

// handedOver is what a check does about slivers: the nodes have noted what they lack.
const handedOver = "handed to the healer, which rebuilds what is missing while the drive is mounted"

// thin reports a segment of which slivers are missing on nodes that are up.
func (c *check) thin(ctx context.Context, r index.SegmentRow, h held, down int, g walrus.Geometry) error {
	readable := h.primary >= g.SourcePrimary() || h.secondary >= g.SourceSecondary()
	what := fmt.Sprintf("of segment %d there are %d of %d pairs of slivers, whole on %d nodes", r.Number, h.pairs, g.Shards, h.nodes)
	switch {
	case readable && c.opt.Repair:
		return c.find(Finding{Part: "nodes", Kind: Repaired, What: what, Done: handedOver})
	case readable:
		return c.damaged("nodes", "", "a mounted drive rebuilds what is missing; walfs node list shows what is left", "%s", what)
	case down > 0 && (h.primary+down >= g.SourcePrimary() || h.secondary+down >= g.SourceSecondary()):
		return c.damaged("nodes", "", "take the nodes up that are down", "%s: it cannot be read until more nodes are up", what)
	}
	if err := c.damaged("nodes", "", "what is local of it can be stored anew: walfs check --repair", "%s: it cannot be read any more", what); err != nil || !c.opt.Repair {
		return err
	}
	return c.storeSegment(ctx, r.Number)
}

// storeSegment has what is local of a segment that cannot be read stored anew.
func (c *check) storeSegment(ctx context.Context, number uint64) error {
	list, err := c.cfg.Index.InSegment(ctx, number)
	if err != nil {
		return err
	}
	for i := 0; i < len(list); {
		ino, from, to := list[i].Ino, alignDown(list[i].Off), alignUp(list[i].Off+list[i].Len)
		for i++; i < len(list) && list[i].Ino == ino && alignDown(list[i].Off) <= to; i++ {
			to = max(to, alignUp(list[i].Off+list[i].Len))
		}
		if err := c.unreadable(ctx, ino, from, to-from, errors.New("too few slivers are left")); err != nil {
			return err
		}
	}
	return nil
}

// alignDown and alignUp give the bounds of ranges that have hashes.
func alignDown(off int64) int64 { return off / index.HashRange * index.HashRange }
func alignUp(off int64) int64   { return alignDown(off + index.HashRange - 1) }
