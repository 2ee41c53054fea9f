// Package blobstore is the Walrus client: Put, ReadAt, Check.
//
// Put encodes a blob, pays for it, spreads its slivers over the nodes and has
// it certified; put.go has the order of that protocol. ReadAt fetches the
// slivers that hold the bytes asked for, and computes them from others when
// nodes are dead, slow or lying. Every byte that comes from a node is checked
// against the blob ID before anybody sees it.
package blobstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/chain"
)

// The errors of a client, besides those of chain, redstuff and node.
var (
	ErrUnavailable = errors.New("blob cannot be read now")
	ErrNotFound    = errors.New("nodes do not have the blob")
	ErrResume      = errors.New("receipt is of another blob")
	ErrClosed      = errors.New("client is closed")
)

// QuorumError reports that too few shards answered.
type QuorumError struct {
	Have, Need int     // shards
	Nodes      []error // one per failed node
}

// Error also tells what one of the nodes failed with, the same one as long as the same fail.
func (e *QuorumError) Error() string {
	text := fmt.Sprintf("%d of %d shards answered", e.Have, e.Need)
	causes := make([]string, 0, len(e.Nodes))
	for _, err := range e.Nodes {
		if !errors.Is(err, context.Canceled) {
			causes = append(causes, err.Error())
		}
	}
	if len(causes) == 0 {
		return text
	}
	return text + "; " + slices.Min(causes)
}

// Unwrap returns the errors of the nodes.
func (e *QuorumError) Unwrap() []error { return e.Nodes }

// Config says what a client works with. Ledger and Dial are required.
type Config struct {
	Ledger chain.Ledger
	Dial   func(walrus.Member) (*node.Client, error) // called once per node, again after an error
	Codec  *redstuff.Codec                           // for the committee's geometry; nil makes one
	Cache  *cache.Cache                              // nil means none
	// Anchor returns how the drive's anchor moves in the transaction that
	// certifies these blobs, or nil if it stays. Without Anchor there is none.
	// It is called for one batch at a time, after the last batch's checkpoints.
	Anchor      func(ctx context.Context, certifying []walrus.BlobID) (*chain.AnchorUpdate, error)
	ReadTimeout time.Duration // 0 means DefaultReadTimeout
	Parallel    int           // encodings at a time, and decodings; 0 means DefaultParallel
	Log         *slog.Logger  // nil means silent
}

// The defaults of a Config.
const (
	DefaultReadTimeout = 30 * time.Second
	DefaultParallel    = 2
)

// How much a client keeps in memory, in bytes.
const (
	sliverMemory   = 16 << 20
	metadataMemory = 8 << 20
)

// Client puts and reads blobs. All methods may be called concurrently.
type Client struct {
	cfg      Config
	codec    *redstuff.Codec
	geometry walrus.Geometry

	state atomic.Pointer[heard]
	peers peers
	pace  pace
	// foreground counts the Puts, and the reads that wait for nodes.
	foreground atomic.Int64
	// suspect is told of a node that gave wrong bytes of a blob; nil means nobody asks.
	suspect atomic.Pointer[func(key [48]byte, blob walrus.BlobID)]

	encodings chan struct{} // a token for each encoding in memory
	decodings chan struct{} // and for each decoded blob
	crowded   chan struct{} // takes from who waits to decode, while a blob waits for the disk
	registrar *coalescer
	certifier *coalescer
	claims    claims
	decoding  flights
	slivers   *lru[walrus.SliverID, []byte]
	metadata  *lru[walrus.BlobID, *redstuff.Metadata]
	onClose   func(f func()) (stop func() bool) // runs f when the client closes
	calls     struct {
		sync.Mutex // guards closed, and Add against Wait
		sync.WaitGroup
		closed bool
		cancel context.CancelFunc
	}
}

// New makes a client and asks the ledger for its state. Close it after use.
func New(cfg Config) (*Client, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ReadTimeout <= 0 {
		cfg.ReadTimeout = DefaultReadTimeout
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = DefaultParallel
	}
	cfg.Ledger = asked{cfg.Ledger}
	c := &Client{
		cfg:       cfg,
		encodings: make(chan struct{}, cfg.Parallel),
		decodings: make(chan struct{}, cfg.Parallel),
		crowded:   make(chan struct{}),
		slivers:   newLRU[walrus.SliverID, []byte](sliverMemory),
		metadata:  newLRU[walrus.BlobID, *redstuff.Metadata](metadataMemory),
	}
	ctx, cancel := context.WithTimeout(context.Background(), ledgerTimeout)
	defer cancel()
	state, err := c.hear(ctx)
	if err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	c.geometry = state.Committee.Geometry()
	if c.codec = cfg.Codec; c.codec == nil {
		if c.codec, err = redstuff.New(c.geometry); err != nil {
			return nil, fmt.Errorf("new client: %w", err)
		}
	}
	if c.codec.Geometry() != c.geometry {
		return nil, fmt.Errorf("new client: codec for %d shards, committee of %d", c.codec.Geometry().Shards, c.geometry.Shards)
	}
	c.start()
	return c, nil
}

// start runs the workers that gather transactions.
func (c *Client) start() {
	life, cancel := context.WithCancel(context.Background())
	c.calls.cancel = cancel
	c.onClose = func(f func()) func() bool { return context.AfterFunc(life, f) }
	c.registrar = newCoalescer(c.registerBatch)
	c.certifier = newCoalescer(c.certifyBatch)
	c.calls.Go(func() { c.registrar.loop(life) })
	c.calls.Go(func() { c.certifier.loop(life) })
}

// Busy reports whether a Put is running, or a read that waits for nodes: work
// that somebody waits for.
func (c *Client) Busy() bool { return c.foreground.Load() > 0 }

// Geometry returns the shape of the blobs that the committee stores.
func (c *Client) Geometry() walrus.Geometry { return c.geometry }

// begin counts a call in and returns a context that ends with the client. The
// caller calls done at the end.
func (c *Client) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	c.calls.Lock()
	defer c.calls.Unlock()
	if c.calls.closed {
		return nil, nil, ErrClosed
	}
	c.calls.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	stop := c.onClose(cancel)
	return ctx, func() { stop(); cancel(); c.calls.Done() }, nil
}

// Close ends all calls and waits for them.
func (c *Client) Close() error {
	c.calls.Lock()
	c.calls.closed = true
	c.calls.Unlock()
	c.calls.cancel()
	c.calls.Wait()
	return nil
}

// heard is a state of the ledger and when it was asked for.
type heard struct {
	*chain.State
	at time.Time
}

// stateAge is how old a state may be that reads rely on.
const stateAge = time.Minute

// hear asks the ledger for its state.
func (c *Client) hear(ctx context.Context) (*chain.State, error) {
	state, err := c.cfg.Ledger.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the ledger for its state: %w", err)
	}
	c.state.Store(&heard{state, time.Now()})
	return state, nil
}

// latelyAge is how old a state may be that a Put relies on. An epoch that somebody ended before its
// time meanwhile is noticed: nodes do not confirm for another one than theirs, nor does the ledger certify.
const latelyAge = 10 * time.Second

// lately returns a state that was heard some seconds ago, if the epoch cannot have ended by
// itself since, or asks the ledger.
func (c *Client) lately(ctx context.Context) (*chain.State, error) {
	h := c.state.Load()
	age := time.Since(h.at)
	if age < latelyAge && h.Now.Add(age).Before(h.EpochStart.Add(h.EpochDuration)) {
		return h.State, nil
	}
	return c.hear(ctx)
}

// committee returns the nodes to read from. A ledger that is away does not
// stop reads: the last committee heard of serves on.
func (c *Client) committee(ctx context.Context) *walrus.Committee {
	h := c.state.Load()
	if time.Since(h.at) > stateAge {
		if state, err := c.hear(ctx); err == nil {
			return &state.Committee
		}
		c.state.Store(&heard{h.State, time.Now()})
	}
	return &h.Committee
}

// detach returns a context for work that others may wait for too: it ends
// with cancel, with the client, or after the read timeout, but not with ctx.
func (c *Client) detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.ReadTimeout)
	stop := c.onClose(cancel)
	return ctx, func() { stop(); cancel() }
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
