package blobstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// result is a sliver, or why there is none.
type result struct {
	data []byte
	err  error
}

// async runs f beside the caller.
func (c *Client) async(f func() ([]byte, error)) <-chan result {
	done := make(chan result, 1)
	c.calls.Go(func() {
		data, err := f()
		done <- result{data, err}
	})
	return done
}

// fetch gets a source primary sliver from the node that holds it. If that
// node is not in good standing, fails, is late or wrong, the sliver is computed
// from others; the first of the two that has it wins. Neither is needed while the
// rows of a decoded blob are in memory.
func (c *Client) fetch(ctx context.Context, md *redstuff.Metadata, id walrus.SliverID) ([]byte, error) {
	if f := c.decoding.landed(id.Blob); f != nil {
		return f.rows.row(int(id.Index)), nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var direct, others <-chan result
	rebuild := func() {
		if others == nil {
			others = c.async(func() ([]byte, error) { return c.rebuilt(ctx, md, id) })
		}
	}
	late := time.NewTimer(c.pace.hedge())
	defer late.Stop()
	holder := c.holder(c.committee(ctx), id)
	if holder != nil && holder.claim(time.Now()) {
		direct = c.async(func() ([]byte, error) { return c.ask(ctx, holder, md, id) })
	} else {
		rebuild()
	}
	running := 1
	for {
		select {
		case r := <-direct:
			if r.err == nil {
				return r.data, nil
			}
			c.cfg.Log.Warn("sliver has to be computed from others", "sliver", id, "err", r.err)
			if running--; others == nil {
				rebuild()
				running++
			}
		case r := <-others:
			if r.err == nil || errors.Is(r.err, redstuff.ErrInconsistent) {
				return r.data, r.err
			}
			if running--; running == 0 {
				return nil, r.err
			}
		case <-late.C:
			if others == nil {
				holder.failed(time.Now())
				rebuild()
				running++
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// holder returns the node that holds a sliver, or nil.
func (c *Client) holder(committee *walrus.Committee, id walrus.SliverID) *peer {
	i := committee.Holder(id.Blob, c.geometry.PairOf(id.Axis, int(id.Index)))
	if i < 0 {
		return nil
	}
	return c.peers.of(&committee.Members[i])
}

// ask gets a sliver from a node and verifies it.
func (c *Client) ask(ctx context.Context, peer *peer, md *redstuff.Metadata, id walrus.SliverID) ([]byte, error) {
	return askFor(ctx, c, peer, id,
		func(n *node.Client) ([]byte, error) { return n.Sliver(ctx, id) },
		func(data []byte) error { return c.codec.Verify(md, id, data) })
}

// askFor asks a node for a sliver, or for what it cuts from that sliver, and verifies the answer.
func askFor[T any](ctx context.Context, c *Client, peer *peer, id walrus.SliverID, get func(*node.Client) (T, error), verify func(T) error) (got T, err error) {
	began := time.Now()
	client, err := peer.dial(c.cfg.Dial)
	if err != nil {
		peer.failed(time.Now())
		return got, fmt.Errorf("node %s: %w", peer.member.Name, err)
	}
	got, err = get(client)
	took := time.Since(began)
	if err == nil {
		if err = verify(got); err != nil {
			c.wrong(&peer.member, id)
		}
	}
	c.judge(ctx, peer, took, err)
	if err != nil {
		return got, fmt.Errorf("sliver %s from node %s: %w", id, peer.member.Name, err)
	}
	return got, nil
}
