package sui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// Config says what a client speaks to and for whom. Profile, Wallet and
// Journal are required.
type Config struct {
	Profile Profile
	Wallet  *Wallet
	Journal *Journal
	// Chain is the chain that the drive is on, and whose transactions alone are
	// signed; zero takes the one that the journal has, or finds first.
	Chain [32]byte
	// Dial are further options of the connection.
	Dial []grpc.DialOption
	// Earlier returns the outcome of a transaction of the time before the journal, in BCS,
	// or chain.ErrNotExist; it gets the hash of the request as well. Nil means there was no such time.
	Earlier func(ctx context.Context, tx chain.TxID, request [32]byte) ([]byte, error)
	// Complete says that the full node keeps every transaction for ever, as a
	// localnet does: one that the journal calls executed and the node does not
	// know was undone with the ledger's folder, and counts as never executed.
	Complete bool
	// DryRun lets nothing be sent: calls that would send something return a DryRun instead.
	DryRun bool
	Stage  func(step string) // tests end the process here; nil goes on
	Log    *slog.Logger      // nil means silent
}

// Client is Sui with the Walrus contracts, seen by the owner of a wallet. It
// implements chain.Ledger, on a localnet as on the real networks. All methods
// may be called concurrently; transactions are sent one after the other.
//
// Batches go into one transaction. Those that Sui's limits do not allow for
// give chain.ErrBatch, as longer ones than chain.MaxBatch do.
type Client struct {
	profile Profile
	pinned  move.Digest
	wallet  *Wallet
	journal *Journal
	earlier func(context.Context, chain.TxID, [32]byte) ([]byte, error)
	whole   bool // see Config.Complete
	dryRun  bool
	log     *slog.Logger
	conn    *conn
	belongs belongings

	stage func(string) // tests end the process here

	known struct {
		mu        sync.Mutex // held while the world is read
		world     atomic.Pointer[world]
		committee atomic.Pointer[walrus.Committee]
		price     atomic.Pointer[knownPrice]
		system    atomic.Pointer[knownSystem]
	}
	gas gasBook
}

var _ chain.Ledger = (*Client)(nil)

// New makes a client. It does not wait for the full node.
func New(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Profile.check(); err != nil {
		return nil, fmt.Errorf("new ledger client: %w", err)
	}
	c := &Client{profile: cfg.Profile, pinned: cfg.Chain, wallet: cfg.Wallet, journal: cfg.Journal, earlier: cfg.Earlier,
		whole: cfg.Complete, dryRun: cfg.DryRun, log: cfg.Log, stage: func(string) {}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Stage != nil {
		c.stage = cfg.Stage
	}
	if c.pinned == (move.Digest{}) {
		c.pinned = c.journal.chainID()
	} else if id := c.journal.chainID(); id != (move.Digest{}) && id != c.pinned {
		return nil, fmt.Errorf("new ledger client: journal is of chain %s, the drive is on %s: %w", id, c.pinned, ErrOtherChain)
	}
	var err error
	if c.conn, err = dial(ctx, &c.profile, cfg.Dial); err != nil {
		return nil, fmt.Errorf("new ledger client: %w", err)
	}
	return c, nil
}

// Close closes the connection. The journal stays open.
func (c *Client) Close() error { return c.conn.close() }

// Dry returns a client of the same owner that sends nothing of its own: see
// Config.DryRun. It lives on the connection of c, and needs no Close.
func (c *Client) Dry() *Client {
	d := &Client{profile: c.profile, pinned: c.pinned, wallet: c.wallet, journal: c.journal, earlier: c.earlier,
		whole: c.whole, dryRun: true, log: c.log, conn: c.conn, stage: c.stage}
	d.known.world.Store(c.known.world.Load())
	return d
}

// Profile returns what the client was made with.
func (c *Client) Profile() Profile { return c.profile }

// Undecided returns how many transactions of the owner were signed and, as far
// as the journal knows, neither executed nor dead, and when the first of them
// was signed: those that are on their way, and those of which no answer came. The next call settles them.
func (c *Client) Undecided() (n int, since time.Time) { return c.journal.undecided(c.Address()) }

// Address returns the owner.
func (c *Client) Address() chain.Address { return c.wallet.Address() }

func (c *Client) me() move.Address { return move.Address(c.wallet.Address()) }

// world returns what is known of the deployment; fresh reads it anew.
func (c *Client) world(ctx context.Context, fresh bool) (*world, error) {
	if w := c.known.world.Load(); w != nil && !fresh {
		return w, nil
	}
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	before := c.known.world.Load()
	if before != nil && !fresh {
		return before, nil
	}
	w, err := c.readWorld(ctx)
	if err == nil && before == nil {
		err = c.awaitNewest(ctx, w)
	}
	if err != nil {
		return nil, err
	}
	if before != nil && w.current != before.current {
		c.log.Info("contracts were upgraded", "package", w.current)
	}
	c.known.world.Store(w)
	return w, nil
}

// refs reads objects of a type that the owner is to have. One that is missing
// gives chain.ErrNotExist, one of somebody else chain.ErrNotOwner.
func (c *Client) refs(ctx context.Context, tag move.StructTag, ids []move.ID) (map[move.ID]*object, error) {
	found, err := c.conn.objects(ctx, unique(ids))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := c.mine(found[id], id, tag); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// handed returns what refs reads, without asking where the owner's own transactions have left all
// of it; fresh asks. The ledger looks at the versions once more when it executes.
func (c *Client) handed(ctx context.Context, fresh bool, tag move.StructTag, ids []move.ID) (map[move.ID]*object, error) {
	found := make(map[move.ID]*object, len(ids))
	for _, id := range ids {
		o, ok := c.conn.left.get(id, move.AddressOwner(c.me()))
		if !ok || fresh || !o.tag.Equal(tag) {
			return c.refs(ctx, tag, ids)
		}
		found[id] = o
	}
	return found, nil
}

// mine tells whether an object is one of a type that the owner has.
func (c *Client) mine(o *object, id move.ID, tag move.StructTag) error {
	switch {
	case o == nil:
		return fmt.Errorf("object %s: %w", id, chain.ErrNotExist)
	case o.owner != move.AddressOwner(c.me()):
		return fmt.Errorf("object %s: %w", id, chain.ErrNotOwner)
	case !o.tag.Equal(tag):
		return fmt.Errorf("object %s is a %s::%s, not a %s::%s: %w", id, o.tag.Module, o.tag.Name, tag.Module, tag.Name, errKind)
	}
	return nil
}

// errKind reports an object of another type than the call is for.
var errKind = errors.New("object is of another type")

// unique returns ids without repetitions.
func unique[T comparable](ids []T) []T {
	seen := make(map[T]bool, len(ids))
	return slices.DeleteFunc(slices.Clone(ids), func(id T) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
}

func cloneCommittee(c *walrus.Committee) walrus.Committee {
	v := *c
	v.Members = slices.Clone(v.Members)
	for i := range v.Members {
		v.Members[i].Shards = slices.Clone(v.Members[i].Shards)
	}
	return v
}
