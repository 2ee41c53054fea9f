package commit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// labelAnchor derives the key that signs the anchor from the drive key.
const labelAnchor = "anchor"

// signer returns the key that signs the drive's anchor.
func signer(keys *seal.Keyring) ed25519.PrivateKey {
	seed := keys.Derive(labelAnchor)
	return ed25519.NewKeyFromSeed(seed[:])
}

// moving is the anchor on its way: blobstore asks what it is to say, sends the
// transaction, and tells the object's version in the receipts of the batch.
type moving struct {
	mu        sync.Mutex // guards the fields below
	sent      *index.Anchor
	from      uint64 // version that the transaction names
	with      []walrus.BlobID
	uncertain bool   // the ledger may say more than the index knows
	closed    uint64 // the newest generation that was finished
	looked    bool   // closed is known
}

// Anchor returns how the drive's anchor moves when these blobs are certified,
// or nil. It is what blobstore.Config.Anchor calls, for one batch at a time.
func (c *Committer) Anchor(ctx context.Context, certifying []walrus.BlobID) (*chain.AnchorUpdate, error) {
	if c.moving.isUncertain() {
		if err := c.reconcile(ctx); err != nil {
			return nil, err
		}
	}
	next, err := c.cfg.Index.NextAnchor(ctx, certifying)
	if err != nil {
		return nil, fmt.Errorf("next anchor: %w", err)
	}
	if next == nil {
		return nil, nil
	}
	now, err := c.recorded(ctx)
	if err != nil {
		return nil, err
	}
	attributes, err := attributesOf(*next, c.signer)
	if err != nil {
		return nil, err
	}
	c.moving.mu.Lock()
	c.moving.sent, c.moving.from, c.moving.with = next, now.Version, slices.Clone(certifying)
	c.moving.mu.Unlock()
	return &chain.AnchorUpdate{Object: now.Object, Version: now.Version, Attributes: attributes}, nil
}

func attributesOf(a index.Anchor, key ed25519.PrivateKey) ([]chain.Attribute, error) {
	signed, err := a.Attributes(key)
	if err != nil {
		return nil, fmt.Errorf("sign anchor: %w", err)
	}
	attributes := make([]chain.Attribute, len(signed))
	for i, s := range signed {
		attributes[i] = chain.Attribute(s)
	}
	return attributes, nil
}

// recorded returns what this machine knows to have written last.
func (c *Committer) recorded(ctx context.Context) (index.AnchorState, error) {
	state, err := c.cfg.Index.Anchored(ctx)
	if errors.Is(err, index.ErrNotExist) {
		return state, ErrNoAnchor
	}
	if err != nil {
		return state, fmt.Errorf("recorded anchor: %w", err)
	}
	return state, nil
}

// anchorMoved records that the transaction which certified a blob left the
// anchor at a version. What it says is remembered from Anchor; after a crash or
// a lost answer the ledger has to be asked.
func (c *Committer) anchorMoved(ctx context.Context, blob walrus.BlobID, version uint64) error {
	now, err := c.recorded(ctx)
	if err != nil || version <= now.Version {
		return err
	}
	c.moving.mu.Lock()
	sent := c.moving.sent
	if c.moving.from != now.Version || !slices.Contains(c.moving.with, blob) {
		sent = nil
	}
	c.moving.mu.Unlock()
	if sent == nil {
		return c.reconcile(ctx)
	}
	err = c.cfg.Index.AnchorMoved(ctx, *sent, version)
	if err != nil && !errors.Is(err, index.ErrStale) { // another member of the batch was first
		return fmt.Errorf("record anchor: %w", err)
	}
	c.log.Debug("anchor moved", "op", "anchor", "generation", sent.Generation, "version", version)
	return nil
}

// Reconcile compares the anchor on the ledger with the index and adopts what
// this machine wrote and did not record. It returns ErrTakenOver when another
// machine wrote it, ErrRolledBack when it says less than the index knows, and ErrNoAnchor. Run does it too, and waits for a ledger
// that is away; call it before to know at once.
func (c *Committer) Reconcile(ctx context.Context) error { return c.reconcile(ctx) }

func (c *Committer) reconcile(ctx context.Context) error {
	err := c.compare(ctx)
	c.trouble.anchorFailed(err)
	return err
}

func (c *Committer) compare(ctx context.Context) error {
	now, err := c.recorded(ctx)
	if err != nil {
		return err
	}
	owned, err := c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{now.Object}})
	if err != nil {
		return fmt.Errorf("look up anchor %s: %w", now.Object, err)
	}
	i := slices.IndexFunc(owned, func(o chain.OwnedObject) bool { return o.Object == now.Object })
	if i < 0 {
		return fmt.Errorf("object %s: %w", now.Object, ErrNoAnchor)
	}
	if err := c.adopt(ctx, now, owned[i]); err != nil {
		return fmt.Errorf("anchor %s: %w", now.Object, err)
	}
	if c.cfg.Claim != nil {
		if err := c.cfg.Claim(); err != nil {
			return err
		}
	}
	c.moving.setUncertain(false)
	return nil
}

// adopt records what the ledger says, if this machine wrote it.
func (c *Committer) adopt(ctx context.Context, now index.AnchorState, found chain.OwnedObject) error {
	switch {
	case found.Version < now.Version:
		return fmt.Errorf("version %d, and the index has %d: %w", found.Version, now.Version, ErrRolledBack)
	case found.Version == now.Version:
		return nil
	}
	attributes := make([]index.Attribute, len(found.Attributes))
	for i, a := range found.Attributes {
		attributes[i] = index.Attribute(a)
	}
	says, err := index.ParseAnchor(attributes, c.signer.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	if says.Drive != c.drive.ID || says.Writer != c.drive.Writer {
		return ErrTakenOver
	}
	if now.Anchor != nil && says.Generation < now.Anchor.Generation {
		return fmt.Errorf("generation %d, and the index has %d: %w", says.Generation, now.Anchor.Generation, ErrRolledBack)
	}
	if err := c.checkHistory(ctx, says); err != nil {
		return err
	}
	if err := c.cfg.Index.AnchorMoved(ctx, says, found.Version); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	c.log.Info("anchor adopted from the ledger", "op", "anchor", "generation", says.Generation, "version", found.Version)
	c.changed.raise()
	return nil
}

// checkHistory returns index.ErrStale for an anchor of this writer that does
// not tell the history of this index: one of the two is from a backup, or the
// state folder was copied.
func (c *Committer) checkHistory(ctx context.Context, says index.Anchor) error {
	if says.Generation == 0 {
		return nil
	}
	head, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Number: says.Generation})
	if err != nil {
		return fmt.Errorf("segment %d: %w", says.Generation, err)
	}
	if len(head) != 1 || head[0].Blob != says.Head {
		return fmt.Errorf("generation %d, blob %s is not of this index: %w", says.Generation, says.Head, index.ErrStale)
	}
	return nil
}

// reconcileFirst is Reconcile before the first Put. It waits for a ledger that is away.
func (c *Committer) reconcileFirst(ctx context.Context) error {
	for {
		asked := c.asked.wait()
		err := c.reconcile(ctx)
		if err == nil || MustStop(err) {
			c.trouble.goes(comparing)
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.log.Warn("anchor is not known to be ours", "err", err)
		if err := c.rest(ctx, comparing, err, asked); err != nil {
			return err
		}
	}
}

// anchored returns the generation that the anchor names, and whether there is
// something in it to finish.
func (c *Committer) anchored(ctx context.Context) (generation uint64, due bool, err error) {
	if c.moving.isUncertain() {
		if err := c.reconcile(ctx); err != nil {
			return 0, false, err
		}
	}
	if c.flights.count() == 0 {
		if err := c.nudge(ctx); err != nil {
			return 0, false, err
		}
	}
	now, err := c.recorded(ctx)
	if err != nil || now.Anchor == nil {
		return 0, false, err
	}
	generation = now.Anchor.Generation
	// After a crash the anchor may cover a segment whose certificate is not recorded yet.
	if oldest, any := c.flights.oldest(); any && oldest <= generation {
		return generation, false, nil
	}
	c.moving.mu.Lock()
	defer c.moving.mu.Unlock()
	return generation, !c.moving.looked || generation > c.moving.closed, nil
}

// nudge moves the anchor when all is certified and it still lags behind: a
// crash between a certificate and its record can leave it so.
func (c *Committer) nudge(ctx context.Context) error {
	update, err := c.Anchor(ctx, nil)
	if err != nil || update == nil {
		return err
	}
	var tx chain.TxID
	_, _ = rand.Read(tx[:]) // never fails, by its documentation
	if _, err := c.cfg.Ledger.Certify(ctx, tx, nil, update); err != nil {
		c.moving.setUncertain(true) // it may have been executed
		return fmt.Errorf("move anchor: %w", err)
	}
	return c.reconcile(ctx)
}

func (m *moving) isUncertain() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.uncertain
}

func (m *moving) setUncertain(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uncertain = yes
}

func (m *moving) finished(generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.looked = generation, true
}

// closedAt returns the newest generation that was finished, 0 if none is known to be.
func (m *moving) closedAt() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// CreateAnchor makes the anchor of the drive in db on the ledger, once: it may
// be called again after a failure, and finds what it made. It is a blob object
// of the smallest size that is never certified: only its attributes matter.
func CreateAnchor(ctx context.Context, ledger chain.Ledger, db *index.DB, keys *seal.Keyring) error {
	if _, err := db.Anchored(ctx); !errors.Is(err, index.ErrNotExist) {
		return err
	}
	drive, err := db.Drive(ctx)
	if err != nil {
		return fmt.Errorf("create anchor: %w", err)
	}
	attributes, err := attributesOf(index.Anchor{Drive: drive.ID, Writer: drive.Writer}, signer(keys))
	if err != nil {
		return err
	}
	// Both are derived, so that a second try is the same request.
	root := sha256.Sum256(append([]byte("walfs anchor of "), drive.ID[:]...))
	tx := sha256.Sum256(append(append([]byte("walfs anchor transaction of "), drive.ID[:]...), drive.Writer[:]...))
	out, err := ledger.Register(ctx, tx, []chain.Registration{{
		Blob: walrus.ComputeBlobID(root, 1), Root: root, Size: 1,
		EpochsAhead: 1, Deletable: true, Attributes: attributes,
	}})
	if err != nil {
		return fmt.Errorf("register anchor: %w", err)
	}
	object := out.Registered[0].Object
	owned, err := ledger.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{object}})
	if err != nil {
		return fmt.Errorf("look up anchor %s: %w", object, err)
	}
	if len(owned) != 1 {
		return fmt.Errorf("anchor %s: %w", object, chain.ErrNotExist)
	}
	if err := db.SetAnchor(ctx, object, owned[0].Version); err != nil {
		return fmt.Errorf("record anchor %s: %w", object, err)
	}
	return nil
}
