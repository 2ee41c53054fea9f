// Package localnet is a ledger in this process: the rules of the Walrus
// contracts over objects in their BCS layouts, kept in SQLite.
//
// It is a model of Sui with the Walrus contracts and not Sui: it has no Move
// virtual machine, no consensus and no validators, its committee is the one it
// was made with unless shards can move, and its WAL is play money. Its clock stands still while it is
// not open, so nothing expires while nobody is there to renew it.
//
// What changes the ledger is a programmable transaction of Sui, which package
// ptb executes, and which its sender has signed: one that Execute is given, or one that the ledger builds for
// its own account, the house, which is the faucet, operates the nodes of genesis and changes epochs. Only the objects that all share
// are made otherwise, when the ledger is. A transaction is answered when it is durable, and is
// there wholly or not at all; the same bytes, or a call of the faucet that is repeated with the
// same ID, give what they gave the first time.
package localnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/ptb"
)

// ErrNoGenesis reports that Dir holds no ledger yet and Config.Genesis is nil.
var ErrNoGenesis = errors.New("no ledger here and no genesis given")

// Config says where a ledger lives. Dir and Seed are required.
type Config struct {
	Dir      string   // folder of ledger.db and of its log; made when missing
	Seed     [32]byte // secret and random: all IDs of a new ledger, and the key of the house, derive from it
	Genesis  *Genesis // used only when the ledger is new
	Copies   []string // folders that may hold copies of the log, to be looked at; Attach keeps them
	TakeOver bool     // begin a new era: homes that had the network before refuse it from then on
	// MoveShards brings shards to their new nodes and may be called again for the same ones. With it the committee
	// follows the stake, as on the real network; nil means that the committee stays what it is, whatever the stake.
	MoveShards func(ctx context.Context, epoch walrus.Epoch, moves []ShardMove) error
	Now        func() time.Time // nil means time.Now
	Log        *slog.Logger     // nil means silent
}

// Net is an open ledger. All methods may be called concurrently.
type Net struct {
	dir   string
	log   *slog.Logger
	store *store
	facts facts
	house house
	clock *clock
	mover func(ctx context.Context, epoch walrus.Epoch, moves []ShardMove) error // Config.MoveShards
	table *ptb.Table
	news  news
	// firstMS is the time of the first transaction, from which Sui's epochs count.
	firstMS uint64

	committee atomic.Pointer[walrus.Committee]
	changes   atomic.Uint64 // commits so far; counted before whoever caused one hears of it
	known     atomic.Pointer[knownState]
	mu        sync.Mutex // held by whoever writes to the store or the log; guards the fields below
	closed    bool
	home      *homeLog
	doubt     error // why nothing can be written any more, if so
	copies    []*logCopy
	epochMu   sync.Mutex // held by whoever changes the epoch; taken before mu
	attachMu  sync.Mutex // held by whoever changes which copies there are; taken before compactMu and mu
	compactMu sync.Mutex // held by whoever compacts the log; taken before mu
}

// Open opens the ledger in cfg.Dir and makes it from cfg.Genesis when there is
// none. It returns ErrInUse when it is open already, here or elsewhere.
func Open(ctx context.Context, cfg Config) (*Net, error) { return open(ctx, cfg, "sqlite3") }

func open(ctx context.Context, cfg Config, driver string) (_ *Net, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open ledger: %w", err)
		}
	}()
	if err := prepareFolder(cfg); err != nil {
		return nil, err
	}
	n := &Net{dir: cfg.Dir, log: cfg.Log, mover: cfg.MoveShards, house: newHouse(cfg.Seed)}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	lock, err := lockFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := n.admitDatabase(ctx, cfg); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	store, fresh, err := openStore(cfg.Dir, lock, driver, n.log)
	if err != nil {
		return nil, err
	}
	n.store = store
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	if err := n.start(ctx, cfg, fresh, now); err != nil {
		return nil, store.named(errors.Join(err, n.home.close(), store.close()))
	}
	return n, nil
}

// prepareFolder makes the folder, unless there is nothing to put into it.
func prepareFolder(cfg Config) error {
	_, err := os.Stat(filepath.Join(cfg.Dir, databaseFile))
	if errors.Is(err, os.ErrNotExist) && cfg.Genesis == nil && !cfg.anyLog() {
		return ErrNoGenesis
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.MkdirAll(cfg.Dir, 0o700)
}

// start makes a fresh ledger, or goes on with an old one.
func (n *Net) start(ctx context.Context, cfg Config, fresh bool, now func() time.Time) error {
	if err := n.settle(ctx, cfg, fresh, now); err != nil {
		return err
	}
	if err := forgetOld(cfg.Dir); err != nil {
		return err
	}
	err := n.checkSeed(cfg.Seed)
	if err != nil {
		return err
	}
	if n.table, err = ptb.NewTable(&n.facts.packages); err != nil {
		return err
	}
	if err := n.store.reader.QueryRowContext(ctx, `SELECT coalesce(min(time_ms), 0) FROM transactions`).Scan(&n.firstMS); err != nil {
		return err
	}
	if n.home.header.version < logVersion { // before anything is written that the older form does not know
		if err := n.compact(ctx); err != nil {
			return err
		}
	}
	if err := n.loadCommittee(ctx); err != nil {
		return err
	}
	if cfg.TakeOver {
		if err := n.takeOver(ctx); err != nil {
			return err
		}
	}
	return n.furnish(ctx)
}

// found reads what does not change, and starts the clock from the time that was written last.
func (n *Net) found(ctx context.Context, q queryer, now func() time.Time) error {
	if err := n.facts.load(ctx, q); err != nil {
		return err
	}
	value, err := getMeta(ctx, q, metaClock)
	if err != nil {
		return err
	}
	ms, err := bytesUint64(value)
	n.clock = newClock(now, ms)
	return err
}

// Committee returns the committee of the current epoch.
func (n *Net) Committee() walrus.Committee {
	c := *n.committee.Load()
	c.Members = slices.Clone(c.Members)
	for i := range c.Members {
		c.Members[i].Shards = slices.Clone(c.Members[i].Shards)
	}
	return c
}

// ChainID names this ledger: a hash of its genesis seed.
func (n *Net) ChainID() [32]byte { return n.facts.chainID }

// Close waits for the running transaction, writes the clock down and closes
// the database. Closing again does nothing.
func (n *Net) Close() error {
	for _, mu := range []*sync.Mutex{&n.attachMu, &n.compactMu, &n.mu} {
		mu.Lock()
		defer mu.Unlock()
	}
	if n.closed {
		return nil
	}
	n.closed = true
	defer n.news.tell() // those who follow find out that it is closed
	for _, c := range n.copies {
		n.closeCopy(c)
	}
	n.copies = nil
	return errors.Join(n.saveClock(context.Background()), n.home.close(), n.store.close())
}
