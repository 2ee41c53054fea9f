package localnet

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// errNone reports what the ledger does not have.
var errNone = chain.ErrNotExist

// Checkpoint is one transaction: every transaction is a checkpoint of its own.
type Checkpoint struct {
	Seq         uint64
	Digest      move.Digest
	Previous    move.Digest // of the checkpoint before; zero for the first one
	Epoch       uint64      // of Sui
	TimeMS      uint64
	Transaction *Executed
}

// Checkpoint returns a checkpoint by number, the newest one for 0. It returns
// chain.ErrNotExist when there is none yet.
func (n *Net) Checkpoint(ctx context.Context, seq uint64) (c *Checkpoint, err error) {
	where, arg := "seq = ?", int64(seq)
	if seq == 0 {
		where, arg = "seq > ? ORDER BY seq DESC LIMIT 1", 0
	}
	err = n.view(ctx, func(tx *sql.Tx) error {
		e, err := n.readExecuted(ctx, tx, where, arg)
		if err != nil {
			return err
		}
		if e == nil {
			return errNone
		}
		c = &Checkpoint{Seq: e.Seq, Digest: n.checkpointDigest(e.Seq, e.Digest), Epoch: e.Effects.Epoch, TimeMS: e.TimeMS, Transaction: e}
		if e.Seq == 1 {
			return nil
		}
		var before []byte
		if err := tx.QueryRowContext(ctx, `SELECT digest FROM transactions WHERE seq = ?`, int64(e.Seq-1)).Scan(&before); err != nil {
			return err
		}
		c.Previous = n.checkpointDigest(e.Seq-1, move.Digest(before))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("checkpoint %d: %w", seq, err)
	}
	return c, nil
}

// Height returns the number of the newest checkpoint, or chain.ErrNotExist when there is none yet.
func (n *Net) Height(ctx context.Context) (uint64, error) {
	var seq sql.NullInt64
	err := n.store.reader.QueryRowContext(ctx, `SELECT max(seq) FROM transactions`).Scan(&seq)
	if err == nil && !seq.Valid {
		err = errNone
	}
	if err != nil {
		return 0, fmt.Errorf("newest checkpoint: %w", n.store.named(err))
	}
	return uint64(seq.Int64), nil
}

// CheckpointByDigest returns the checkpoint that a digest names. It returns
// chain.ErrNotExist when there is none.
func (n *Net) CheckpointByDigest(ctx context.Context, digest move.Digest) (*Checkpoint, error) {
	seq := binary.LittleEndian.Uint64(digest[checkpointHash:]) ^ n.checkpointMask(digest)
	if seq != 0 {
		c, err := n.Checkpoint(ctx, seq)
		if err == nil && c.Digest == digest || err != nil && !errors.Is(err, errNone) {
			return c, err
		}
	}
	return nil, fmt.Errorf("checkpoint %s: %w", digest, errNone)
}

// checkpointHash is how many bytes of the digest of a checkpoint are a hash. The
// rest is its number, masked, so that it is found without an index of digests.
const checkpointHash = 24

// checkpointDigest names a checkpoint. No validators sign it: it is a hash of the
// chain, the number and the transaction, and the number.
func (n *Net) checkpointDigest(seq uint64, tx move.Digest) move.Digest {
	b := append([]byte("CheckpointSummary::"), n.facts.chainID[:]...)
	b = binary.LittleEndian.AppendUint64(b, seq)
	d := move.Digest(blake2b.Sum256(append(b, tx[:]...)))
	binary.LittleEndian.PutUint64(d[checkpointHash:], seq^n.checkpointMask(d))
	return d
}

// checkpointMask is what hides the number in the digest of a checkpoint.
func (n *Net) checkpointMask(d move.Digest) uint64 {
	b := append([]byte("CheckpointNumber::"), n.facts.chainID[:]...)
	sum := blake2b.Sum256(append(b, d[:checkpointHash]...))
	return binary.LittleEndian.Uint64(sum[:])
}

// readExecuted reads the transaction that the condition finds, or nil.
func (n *Net) readExecuted(ctx context.Context, q queryer, where string, arg any) (*Executed, error) {
	e := new(Executed)
	var digest, bcs, signatures, effects, kept []byte
	err := q.QueryRowContext(ctx, `SELECT seq, digest, time_ms, bcs, signatures, effects, details FROM transactions WHERE `+where, arg).
		Scan(&e.Seq, &digest, &e.TimeMS, &bcs, &signatures, &effects, &kept)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e.Digest = move.Digest(digest)
	if err := n.readEvents(ctx, q, e); err != nil {
		return nil, err
	}
	if bcs == nil && effects != nil { // it is old, and failed
		e.Effects = new(move.Effects)
		return e, unmarshalLong(effects, e.Effects)
	}
	if bcs == nil {
		epoch, _ := n.suiEpoch(e.TimeMS)
		e.Effects = &move.Effects{Transaction: e.Digest, Epoch: epoch}
		e.Effects.EventsDigest, err = e.Events.Digest()
		return e, err
	}
	if err := e.decode(bcs, signatures, effects, kept); err != nil {
		return nil, fmt.Errorf("transaction %d: %w", e.Seq, err)
	}
	return e, nil
}

// decode fills what is stored as BCS.
func (e *Executed) decode(bcs, signatures, effects, kept []byte) error {
	var s signatureList
	var d details
	e.BCS, e.Transaction, e.Effects = bcs, new(move.Transaction), new(move.Effects)
	err := errors.Join(move.Unmarshal(bcs, e.Transaction), move.Unmarshal(signatures, &s), unmarshalLong(effects, e.Effects), unmarshalLong(kept, &d))
	if err != nil {
		return err
	}
	if len(d.types) != len(e.Effects.Changed) {
		return fmt.Errorf("%d types of %d objects: %w", len(d.types), len(e.Effects.Changed), ErrDamaged)
	}
	e.Signatures, e.Balances, e.Abort = s, d.balances, d.abort
	for i, t := range d.types {
		e.Changes = append(e.Changes, Change{ID: e.Effects.Changed[i].ID, Type: t})
	}
	return nil
}

// unmarshalLong reads what may be longer than an object can be.
func unmarshalLong(b []byte, v move.Layout) error {
	rest, err := move.UnmarshalPrefix(b, v)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes left over: %w", len(rest), ErrDamaged)
	}
	return err
}

// readEvents reads the events of a transaction.
func (n *Net) readEvents(ctx context.Context, q queryer, e *Executed) (err error) {
	rows, err := q.QueryContext(ctx, `SELECT events.type, events.bcs, events.package, events.module, transactions.sender FROM events
		JOIN transactions ON transactions.seq = events.tx WHERE events.tx = ? ORDER BY events.seq`, int64(e.Seq))
	if err != nil {
		return err
	}
	var tags []int64
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v move.TransactionEvent
		var tag int64
		var pkg, sender []byte
		var module sql.NullString
		if err := rows.Scan(&tag, &v.Contents, &pkg, &module, &sender); err != nil {
			return err
		}
		copy(v.Sender[:], sender)
		v.Package, v.Module = n.facts.packages.Walrus, "system"
		if module.Valid {
			v.Package, v.Module = move.ID(pkg), module.String
		}
		e.Events, tags = append(e.Events, v), append(tags, tag)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for i, tag := range tags {
		if e.Events[i].Type, err = n.store.typeTag(ctx, q, tag); err != nil {
			return err
		}
	}
	return nil
}

// news wakes those who wait for transactions.
type news struct {
	mu    sync.Mutex
	wake  chan struct{} // closed when there is something new
	count uint64        // how often there was
}

// wait returns a channel that is closed at the next transaction.
func (w *news) wait() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.channel()
}

// channel is wait for those who hold mu.
func (w *news) channel() <-chan struct{} {
	if w.wake == nil {
		w.wake = make(chan struct{})
	}
	return w.wake
}

// tell wakes everybody.
func (w *news) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count++
	if w.wake != nil {
		close(w.wake)
		w.wake = nil
	}
}

// News returns a channel that is closed at the next transaction, and the number of those since
// the ledger was opened: who remembers it knows, without a look into the ledger, whether there was any.
func (n *Net) News() (next <-chan struct{}, turn uint64) {
	n.news.mu.Lock()
	defer n.news.mu.Unlock()
	return n.news.channel(), n.news.count
}

// Subscribe gives every checkpoint from the next one on, without a gap, until
// ctx ends or the ledger is closed; then the channel is closed. A reader that is slow gets them later.
func (n *Net) Subscribe(ctx context.Context) (<-chan *Checkpoint, error) {
	newest, err := n.Checkpoint(ctx, 0)
	if err != nil {
		return nil, err
	}
	out := make(chan *Checkpoint)
	go n.follow(ctx, newest.Seq+1, out)
	return out, nil
}

// follow sends the checkpoints from a number on.
func (n *Net) follow(ctx context.Context, seq uint64, out chan<- *Checkpoint) {
	defer close(out)
	for {
		wake := n.news.wait()
		c, err := n.Checkpoint(ctx, seq)
		if errors.Is(err, chain.ErrNotExist) {
			select {
			case <-ctx.Done():
				return
			case <-wake:
				continue
			}
		}
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case out <- c:
			seq++
		}
	}
}

// How long whole transactions are kept: as many, and for so long. What stays
// of older ones is that they were executed, their events, and what came of them.
const (
	keptTransactions = 10_000
	keptMS           = 30 * 24 * 60 * 60 * 1000
)

// prune drops the bytes of old transactions. The caller holds mu.
func (n *Net) prune(ctx context.Context, tx *sql.Tx) error {
	// The second byte of effects says whether the transaction failed.
	_, err := tx.ExecContext(ctx, `UPDATE transactions SET bcs = NULL, signatures = NULL, details = NULL,
			effects = CASE WHEN substr(effects, 2, 1) = x'00' THEN NULL ELSE effects END
		WHERE bcs IS NOT NULL AND seq <= (SELECT max(seq) FROM transactions) - ? AND time_ms < ?`,
		keptTransactions, int64(n.clock.timeMS())-keptMS)
	return err
}
