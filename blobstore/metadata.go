package blobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
)

// metadataParallel is how many nodes are asked for metadata at a time.
const metadataParallel = 2

// metadataOf returns the verified metadata of a blob.
func (c *Client) metadataOf(ctx context.Context, blob walrus.BlobID) (*redstuff.Metadata, error) {
	if md, ok := c.metadata.get(blob); ok {
		return md, nil
	}
	raw, err := c.cached(ctx, cache.MetadataID(blob), func(ctx context.Context) ([]byte, error) {
		md, err := persist(ctx, func() (*redstuff.Metadata, error) { return c.fetchMetadata(ctx, blob) })
		if err != nil {
			return nil, err
		}
		return md.MarshalBinary()
	})
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	md, err := redstuff.ParseMetadata(c.geometry, raw)
	if err == nil {
		err = md.Verify(c.geometry, blob)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	c.metadata.put(blob, md, len(raw))
	return md, nil
}

// metadataAnswer is what one node said.
type metadataAnswer struct {
	member int
	md     *redstuff.Metadata
	err    error
}

// fetchMetadata asks the nodes, a few at a time and those in good standing
// first, until one gives metadata that verifies. Another is asked when one
// fails or is late. It returns ErrNotFound when nodes worth a quorum of shards
// do not have the blob.
func (c *Client) fetchMetadata(ctx context.Context, blob walrus.BlobID) (*redstuff.Metadata, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	committee := c.committee(ctx)
	order := c.ranked(committee, int(blob[0]))
	answers := make(chan metadataAnswer, len(order))
	ask := func() {
		i := order[0]
		order = order[1:]
		c.calls.Go(func() {
			md, err := c.askMetadata(ctx, &committee.Members[i], blob)
			answers <- metadataAnswer{i, md, err}
		})
	}
	var failed []error
	absent, running := 0, 0
	late := time.NewTicker(c.pace.hedge())
	defer late.Stop()
	for want := min(metadataParallel, len(order)); ; {
		for ; want > 0 && len(order) > 0; want-- {
			ask()
			running++
		}
		if running == 0 {
			return nil, errors.Join(failed...)
		}
		select {
		case a := <-answers:
			if a.err == nil {
				return a.md, nil
			}
			running--
			want = 1
			failed = append(failed, a.err)
			if errors.Is(a.err, node.ErrNotFound) {
				absent += committee.Weight(a.member)
			}
			if c.geometry.IsQuorum(absent) {
				return nil, ErrNotFound
			}
		case <-late.C:
			want = 1
		case <-ctx.Done():
			return nil, errors.Join(append(failed, ctx.Err())...)
		}
	}
}

// ranked returns the members in the order in which to ask them for something
// that all have: by standing, and otherwise from a given one on.
func (c *Client) ranked(committee *walrus.Committee, from int) []int {
	now := time.Now()
	standings := make([]standing, len(committee.Members))
	order := make([]int, len(committee.Members))
	for i := range order {
		order[i] = (i + from) % len(order)
		standings[i] = c.peers.of(&committee.Members[i]).standing(now)
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(standings[a]) - int(standings[b]) })
	return order
}

func (c *Client) askMetadata(ctx context.Context, m *walrus.Member, blob walrus.BlobID) (*redstuff.Metadata, error) {
	peer := c.peers.of(m)
	began := time.Now()
	client, err := peer.dial(c.cfg.Dial)
	if err != nil {
		peer.failed(time.Now())
		return nil, fmt.Errorf("node %s: %w", m.Name, err)
	}
	md, err := client.Metadata(ctx, blob)
	took := time.Since(began)
	if err == nil && md == nil {
		err = redstuff.ErrMetadata
	} else if err == nil {
		err = md.Verify(c.geometry, blob)
	}
	if errors.Is(err, redstuff.ErrMetadata) {
		c.wrong(m, cache.MetadataID(blob))
	}
	c.judge(ctx, peer, took, err)
	if err != nil {
		return nil, fmt.Errorf("metadata from node %s: %w", m.Name, err)
	}
	return md, nil
}
