package blobstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// Health is how well a blob is held.
type Health struct {
	Blob        walrus.BlobID
	Primary     int  // primary slivers that are there and verify, of n
	Secondary   int  // secondary slivers
	Recoverable bool // whether the slivers of one kind suffice to decode the blob
	Nodes       []NodeHealth
}

// NodeHealth is what one node holds of a blob.
type NodeHealth struct {
	Node            string
	Metadata        bool // is there and verifies
	Want, Have, Bad int  // slivers: to hold; that verify; that do not
	Err             error
}

// checkParallel is how many nodes Check asks at a time.
const checkParallel = 4

// Check asks every node for its metadata and every sliver of a blob, and
// verifies them. It fails only if no node has metadata that verifies.
func (c *Client) Check(ctx context.Context, blob walrus.BlobID) (Health, error) {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return Health{}, fmt.Errorf("check %s: %w", blob, err)
	}
	defer done()
	md, err := c.metadataOf(ctx, blob)
	if err != nil {
		return Health{}, fmt.Errorf("check %s: %w", blob, err)
	}
	committee := c.committee(ctx)
	h := Health{Blob: blob, Nodes: make([]NodeHealth, len(committee.Members))}
	primary := make([]int, len(h.Nodes))
	places := make(chan struct{}, checkParallel)
	var wg sync.WaitGroup
	for i := range h.Nodes {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			h.Nodes[i], primary[i] = c.checkNode(ctx, md, blob, &committee.Members[i])
		})
	}
	wg.Wait()
	for i, n := range h.Nodes {
		h.Primary += primary[i]
		h.Secondary += n.Have - primary[i]
	}
	h.Recoverable = h.Primary >= c.geometry.SourcePrimary() || h.Secondary >= c.geometry.SourceSecondary()
	return h, ctx.Err()
}

func (c *Client) checkNode(ctx context.Context, md *redstuff.Metadata, blob walrus.BlobID, m *walrus.Member) (h NodeHealth, primary int) {
	h = NodeHealth{Node: m.Name, Want: 2 * len(m.Shards)}
	if _, err := c.askMetadata(ctx, m, blob); err != nil {
		h.Err = err
	} else {
		h.Metadata = true
	}
	peer := c.peers.of(m)
	for _, shard := range m.Shards {
		pair := c.geometry.Pair(blob, int(shard))
		for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
			id := walrus.SliverID{Blob: blob, Axis: axis, Index: uint16(c.geometry.SliverIndex(pair, axis))}
			_, err := c.ask(ctx, peer, md, id)
			switch {
			case err == nil:
				h.Have++
				if axis == walrus.Primary {
					primary++
				}
				continue
			case errors.Is(err, redstuff.ErrSliver):
				h.Bad++
			case errors.Is(err, node.ErrUnavailable):
				h.Err = err
				return h, primary
			}
			h.Err = err
		}
	}
	return h, primary
}
