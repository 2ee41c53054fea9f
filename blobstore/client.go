// Package blobstore is the Walrus client: Put, ReadAt, Check.
package blobstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/chain"
)

// The errors of a client, besides those of chain, redstuff and node.
var (
	ErrUnavailable = errors.New("blob cannot be read now")
	ErrResume      = errors.New("receipt is of another blob")
	ErrClosed      = errors.New("client is closed")
)

// QuorumError reports that too few shards answered.
type QuorumError struct {
	Have, Need int     // shards
	Nodes      []error // one per failed node
}

func (e *QuorumError) Error() string { return fmt.Sprintf("%d of %d shards answered", e.Have, e.Need) }

// Unwrap returns the errors of the nodes.
func (e *QuorumError) Unwrap() []error { return e.Nodes }

// Config says what a client works with. Ledger and Dial are required.
type Config struct {
	Ledger chain.Ledger
	Dial   func(walrus.Member) (*node.Client, error)
	Cache  *cache.Cache // nil means none
	// Anchor returns how the drive's anchor moves in the transaction that
	// certifies these blobs, or nil. Nil means that there is no anchor.
	Anchor      func(ctx context.Context, certifying []walrus.BlobID) (*chain.AnchorUpdate, error)
	ReadTimeout time.Duration // 0 means DefaultReadTimeout
	Parallel    int           // encodings at a time; 0 means DefaultParallel
	Log         *slog.Logger  // nil means silent
}

// The defaults of a Config.
const (
	DefaultReadTimeout = 30 * time.Second
	DefaultParallel    = 2
)

// Client puts and reads blobs. All methods may be called concurrently.
type Client struct{}

// PutOptions says how a blob is to be stored.
type PutOptions struct {
	Epochs    uint32         // to pay for, counted from now; 0 means 1
	Deletable bool           // whether the owner can delete it before its end epoch
	Resume    walrus.Receipt // where an earlier Put of the same bytes had come to; zero starts anew
	// Checkpoint writes the receipt down before Put goes on; an error ends the Put. It may be nil.
	Checkpoint func(walrus.Receipt) error
}

// Problem is what a node did wrong.
type Problem struct {
	Node  string
	Wrong int // answers that did not match the blob ID
	Last  walrus.SliverID
}

// Health is how well a blob is held.
type Health struct {
	Blob        walrus.BlobID
	Slivers     int // that verified, of 2n
	Primary     int // of them
	Recoverable bool
	Nodes       []NodeHealth
}

// NodeHealth is what one node holds of a blob.
type NodeHealth struct {
	Node            string
	Want, Have, Bad int // slivers
	Metadata        bool
	Err             error // the last one
}

// New makes a client and asks the ledger for its state.
func New(cfg Config) (*Client, error) { return nil, ErrClosed }

// Put encodes, registers, stores and certifies a blob.
func (c *Client) Put(ctx context.Context, blob []byte, o PutOptions) (walrus.Receipt, error) {
	return walrus.Receipt{}, ErrClosed
}

// ReadAt reads len(p) bytes of a blob at offset off.
func (c *Client) ReadAt(ctx context.Context, blob walrus.BlobID, p []byte, off int64) (int, error) {
	return 0, ErrClosed
}

// Check asks every node for every sliver of a blob.
func (c *Client) Check(ctx context.Context, blob walrus.BlobID) (Health, error) {
	return Health{}, ErrClosed
}

// Geometry returns the shape of the blobs that the committee stores.
func (c *Client) Geometry() walrus.Geometry { return walrus.Geometry{} }

// Problems returns what nodes did wrong, by name.
func (c *Client) Problems() []Problem { return nil }

// Close ends what the client runs and waits for it.
func (c *Client) Close() error { return nil }
