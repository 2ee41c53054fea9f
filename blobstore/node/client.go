package node

import (
	"context"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// Calls is what can be asked of a node. Each returns one of the errors of this
// package, the context's error, or for Store and Confirm an error of disk or ledger.
type Calls struct {
	Store    func(context.Context, Handover) error
	Confirm  func(context.Context, walrus.BlobID, walrus.Persistence) (walrus.Confirmation, error)
	Metadata func(context.Context, walrus.BlobID) (*redstuff.Metadata, error)
	Sliver   func(context.Context, walrus.SliverID) ([]byte, error)
	// Symbols may be nil: then the node gives none.
	Symbols func(ctx context.Context, source walrus.SliverID, targets []int) ([]redstuff.Symbol, error)
	// SyncShard may be nil: then the node gives no shards away.
	SyncShard func(ctx context.Context, key [48]byte, message []byte, signature [96]byte) ([]Synced, error)
}

// Client calls one node. It may be used concurrently.
type Client struct{ calls Calls }

// NewClient returns a client that makes the given calls, all of which must be set but for Symbols and SyncShard.
func NewClient(calls Calls) *Client { return &Client{calls} }

// NewLocalClient returns a client of a node in this process.
func NewLocalClient(n *Node) *Client {
	return NewClient(Calls{Store: n.Store, Confirm: n.Confirm, Metadata: n.Metadata, Sliver: n.Sliver, Symbols: n.Symbols, SyncShard: n.SyncShard})
}

// Store hands over metadata and slots, and returns when they are durable.
func (c *Client) Store(ctx context.Context, h Handover) error { return c.calls.Store(ctx, h) }

// Confirm asks for the node's signature that it holds its slivers of blob.
func (c *Client) Confirm(ctx context.Context, blob walrus.BlobID, p walrus.Persistence) (walrus.Confirmation, error) {
	return c.calls.Confirm(ctx, blob, p)
}

// Metadata asks for the metadata of blob, which the caller must verify.
func (c *Client) Metadata(ctx context.Context, blob walrus.BlobID) (*redstuff.Metadata, error) {
	return c.calls.Metadata(ctx, blob)
}

// Sliver asks for the bytes of a sliver, which the caller must verify.
func (c *Client) Sliver(ctx context.Context, id walrus.SliverID) ([]byte, error) {
	return c.calls.Sliver(ctx, id)
}

// Symbols asks for the symbols of a sliver that help to recover slivers of the
// other axis, which the caller must verify. It returns ErrNotFound for a node
// that gives none.
func (c *Client) Symbols(ctx context.Context, source walrus.SliverID, targets []int) ([]redstuff.Symbol, error) {
	if c.calls.Symbols == nil {
		return nil, ErrNotFound
	}
	return c.calls.Symbols(ctx, source, targets)
}

// SyncShard asks for slivers of a shard, which the caller must verify. It
// returns none for a node that gives no shards away.
func (c *Client) SyncShard(ctx context.Context, key [48]byte, message []byte, signature [96]byte) ([]Synced, error) {
	if c.calls.SyncShard == nil {
		return nil, nil
	}
	return c.calls.SyncShard(ctx, key, message, signature)
}
