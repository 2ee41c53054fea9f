package node

import (
	"context"
	"errors"
	"log/slog"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// The errors of a node. ErrUnavailable may pass; the others are answers.
var (
	ErrUnavailable   = errors.New("node does not answer")
	ErrNotRegistered = errors.New("blob is not registered")
	ErrNotFound      = errors.New("node does not have it")
	ErrRefused       = errors.New("node refuses the data")
	ErrNoRoom        = errors.New("node has no room")
)

// Config says where a node lives and what it follows. Dir, Key, Codec and Ledger are required.
type Config struct {
	Dir    string // made when missing
	Name   string
	Key    *bls.SecretKey
	Codec  *redstuff.Codec
	Ledger chain.Ledger
	Quota  int64        // bytes of blob files; 0 means what the disk has
	Log    *slog.Logger // nil means silent
}

// Node is one storage node. All methods may be called concurrently.
type Node struct{ cfg Config }

// Handover is what a client in the same process gives a node to store.
type Handover struct {
	Blob     walrus.BlobID
	Metadata *redstuff.Metadata
	Slots    []redstuff.Slot // borrowed until Store returns
}

// BadSlot names a sliver that the disk gave back damaged.
type BadSlot struct {
	ID     walrus.SliverID
	Reason string
}

// Status is what a node says of itself.
type Status struct {
	Name          string
	Blobs         int
	Bytes         int64 // of blob files
	SliverReads   uint64
	MetadataReads uint64
	BadSlots      []BadSlot // by blob, axis and index
}

// Open opens the node in cfg.Dir.
func Open(ctx context.Context, cfg Config) (*Node, error) { return nil, ErrUnavailable }

// Store writes metadata and slots and returns when they are durable.
func (n *Node) Store(ctx context.Context, h Handover) error { return ErrUnavailable }

// Confirm signs that the node holds its slivers of blob.
func (n *Node) Confirm(ctx context.Context, blob walrus.BlobID, p walrus.Persistence) (walrus.Confirmation, error) {
	return walrus.Confirmation{}, ErrUnavailable
}

// Metadata returns the metadata of blob, or ErrNotFound.
func (n *Node) Metadata(ctx context.Context, blob walrus.BlobID) (*redstuff.Metadata, error) {
	return nil, ErrUnavailable
}

// Sliver returns the bytes of a sliver, or ErrNotFound.
func (n *Node) Sliver(ctx context.Context, id walrus.SliverID) ([]byte, error) {
	return nil, ErrUnavailable
}

// Sync follows the ledger's events to their end and removes the files of blobs
// of which the ledger said that they were deleted or have expired.
func (n *Node) Sync(ctx context.Context) error { return ErrUnavailable }

// Status returns what the node holds and has seen.
func (n *Node) Status() Status { return Status{} }

// Close waits for calls that are running and closes the catalogue.
func (n *Node) Close() error { return nil }
