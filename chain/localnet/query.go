package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// maxEvents is how many events one transaction emits at most. Source: Sui, max_num_event_emit = 1024.
const maxEvents = 1024

// view runs f in an SQL transaction that reads one state of the ledger.
func (n *Net) view(ctx context.Context, f func(tx *sql.Tx) error) (err error) {
	tx, err := n.store.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return n.store.named(err)
	}
	defer func() { err = n.store.named(errors.Join(err, ignoreDone(tx.Rollback()))) }()
	return f(tx)
}

// ownedCoins lists the coins of one type that an address owns, oldest first, and their sum.
func (n *Net) ownedCoins(ctx context.Context, q queryer, owner move.Address, coinType move.StructTag) (coins []move.Coin, sum uint64, err error) {
	ids, err := n.ownedIDs(ctx, q, owner, coinType)
	if err != nil {
		return nil, 0, err
	}
	for _, id := range ids {
		o, err := n.store.object(ctx, q, id)
		if err != nil {
			return nil, 0, err
		}
		if o == nil {
			return nil, 0, fmt.Errorf("coin %s: %w", id, ErrDamaged)
		}
		if o.Owner.Kind != move.OwnerAddress {
			continue
		}
		var coin move.Coin
		if err := move.Unmarshal(o.Contents, &coin); err != nil {
			return nil, 0, fmt.Errorf("coin %s: %w", id, err)
		}
		coins = append(coins, coin)
		sum += coin.Balance
	}
	return coins, sum, nil
}

// Events implements chain.Chronicle.
func (n *Net) Events(ctx context.Context, after uint64, max int) (events []chain.Event, err error) {
	if events, err = n.listEvents(ctx, after, max); err == nil {
		err = n.placeEvents(ctx, events)
	}
	if err != nil {
		return nil, fmt.Errorf("events: %w", n.store.named(err))
	}
	return events, nil
}

func (n *Net) listEvents(ctx context.Context, after uint64, max int) (events []chain.Event, err error) {
	rows, err := n.store.reader.QueryContext(ctx, `SELECT events.seq, transactions.digest, types.name, events.bcs FROM events
		JOIN types ON types.id = events.type JOIN transactions ON transactions.seq = events.tx
		WHERE events.seq > ? ORDER BY events.seq LIMIT ?`, int64(after), max)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e chain.Event
		var digest []byte
		if err := rows.Scan(&e.Seq, &digest, &e.Type, &e.BCS); err != nil {
			return nil, err
		}
		copy(e.Tx[:], digest)
		if err := readEvent(&e); err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// placeEvents numbers events within their transactions. Those of a transaction
// follow one another; of the first one, some may come before what is listed.
func (n *Net) placeEvents(ctx context.Context, events []chain.Event) error {
	if len(events) == 0 {
		return nil
	}
	first := &events[0]
	err := n.store.reader.QueryRowContext(ctx, `SELECT count(*) FROM events JOIN transactions ON transactions.seq = events.tx
		WHERE events.seq BETWEEN ? AND ? AND transactions.digest = ?`, max(0, int64(first.Seq)-maxEvents), int64(first.Seq)-1, first.Tx[:]).Scan(&first.Index)
	for i := range events[1:] {
		if before, e := &events[i], &events[i+1]; before.Tx == e.Tx {
			e.Index = before.Index + 1
		}
	}
	return err
}

// readEvent fills what the BCS of an event says.
func readEvent(e *chain.Event) error {
	switch e.Type[strings.LastIndexByte(e.Type, ':')+1:] {
	case "BlobRegistered":
		var v move.BlobRegistered
		err := move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch, e.Blob, e.Object = chain.BlobRegistered, walrus.Epoch(v.Epoch), walrus.BlobID(v.Blob), walrus.ObjectID(v.Object)
		e.Size, e.EndEpoch, e.Deletable = int64(v.Size), walrus.Epoch(v.EndEpoch), v.Deletable
		return err
	case "BlobCertified":
		var v move.BlobCertified
		err := move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch, e.Blob, e.Object = chain.BlobCertified, walrus.Epoch(v.Epoch), walrus.BlobID(v.Blob), walrus.ObjectID(v.Object)
		e.EndEpoch, e.Deletable = walrus.Epoch(v.EndEpoch), v.Deletable
		return err
	case "BlobDeleted":
		var v move.BlobDeleted
		err := move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch, e.Blob, e.Object = chain.BlobDeleted, walrus.Epoch(v.Epoch), walrus.BlobID(v.Blob), walrus.ObjectID(v.Object)
		e.EndEpoch, e.Deletable = walrus.Epoch(v.EndEpoch), true
		return err
	case "EpochChangeStart":
		var v move.EpochChangeStart
		err := move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch = chain.EpochChangeStart, walrus.Epoch(v.Epoch)
		return err
	case "EpochChangeDone":
		var v move.EpochChangeDone
		err := move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch = chain.EpochChangeDone, walrus.Epoch(v.Epoch)
		return err
	}
	e.Kind = chain.OtherEvent
	return nil
}
