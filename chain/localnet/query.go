package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// maxParameters bounds how many IDs one SQL statement names.
const maxParameters = 500

// view runs f in an SQL transaction that reads one state of the ledger.
func (n *Net) view(ctx context.Context, f func(tx *sql.Tx) error) (err error) {
	tx, err := n.store.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	return f(tx)
}

// Outcome implements chain.Ledger.
func (l *ledger) Outcome(ctx context.Context, tx chain.TxID) (*chain.Outcome, error) {
	out, _, err := l.net.lookup(ctx, l.net.store.reader, tx)
	if err != nil {
		return nil, fmt.Errorf("outcome: %w", err)
	}
	if out == nil {
		return nil, fmt.Errorf("transaction %x: %w", tx, chain.ErrNotExist)
	}
	return out, nil
}

// Balance implements chain.Ledger.
func (l *ledger) Balance(ctx context.Context) (b chain.Balance, err error) {
	err = l.net.view(ctx, func(tx *sql.Tx) error {
		if b.WALFrost, err = l.net.coins(ctx, tx, l.owner, l.net.facts.packages.WALCoin()); err != nil {
			return err
		}
		b.SUIMist, err = l.net.coins(ctx, tx, l.owner, move.CoinType(move.SUI))
		return err
	})
	if err != nil {
		return b, fmt.Errorf("balance: %w", err)
	}
	return b, nil
}

// coins sums the coins of one type that an address owns.
func (n *Net) coins(ctx context.Context, q queryer, owner chain.Address, coinType move.StructTag) (sum uint64, err error) {
	ids, err := n.ownedIDs(ctx, q, move.Address(owner), coinType)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		o, err := n.store.object(ctx, q, id)
		if err != nil {
			return 0, err
		}
		if o == nil {
			return 0, fmt.Errorf("coin %s: %w", id, ErrDamaged)
		}
		var coin move.Coin
		if err := move.Unmarshal(o.Contents, &coin); err != nil {
			return 0, fmt.Errorf("coin %s: %w", id, err)
		}
		sum += coin.Balance
	}
	return sum, nil
}

// Events implements chain.Ledger.
func (l *ledger) Events(ctx context.Context, after uint64, max int) (events []chain.Event, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("events: %w", err)
		}
	}()
	rows, err := l.net.store.reader.QueryContext(ctx, `SELECT events.seq, types.name, events.bcs FROM events
		JOIN types ON types.id = events.type WHERE events.seq > ? ORDER BY events.seq LIMIT ?`, int64(after), max)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e chain.Event
		if err := rows.Scan(&e.Seq, &e.Type, &e.BCS); err != nil {
			return nil, err
		}
		if err := readEvent(&e); err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		events = append(events, e)
	}
	return events, rows.Err()
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

// Owned implements chain.Ledger.
func (l *ledger) Owned(ctx context.Context, q chain.OwnedQuery) (objects []chain.OwnedObject, err error) {
	err = l.net.view(ctx, func(tx *sql.Tx) error {
		objects, err = l.owned(ctx, tx, q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("owned: %w", err)
	}
	return objects, nil
}

func (l *ledger) owned(ctx context.Context, tx *sql.Tx, q chain.OwnedQuery) ([]chain.OwnedObject, error) {
	if q.Storage {
		return l.list(ctx, tx, listing{tag: l.net.facts.packages.Storage(), read: readStorage})
	}
	blobs := listing{tag: l.net.facts.packages.Blob(), key: q.Key, read: readBlob}
	switch {
	case q.Objects != nil:
		objects, err := inChunks(q.Objects, func(ids []walrus.ObjectID) ([]chain.OwnedObject, error) {
			blobs.column, blobs.values = "o.id", bytesOf(ids)
			return l.list(ctx, tx, blobs)
		})
		if q.Blobs != nil {
			objects = slices.DeleteFunc(objects, func(o chain.OwnedObject) bool { return !slices.Contains(q.Blobs, o.Blob) })
		}
		return objects, err
	case q.Blobs != nil:
		return inChunks(q.Blobs, func(ids []walrus.BlobID) ([]chain.OwnedObject, error) {
			blobs.column, blobs.values = "o.blob", bytesOf(ids)
			return l.list(ctx, tx, blobs)
		})
	}
	return l.list(ctx, tx, blobs)
}

// inChunks calls f for so many IDs at a time and joins the answers.
func inChunks[T comparable](ids []T, f func([]T) ([]chain.OwnedObject, error)) ([]chain.OwnedObject, error) {
	var all []chain.OwnedObject
	for chunk := range slices.Chunk(dedup(ids), maxParameters) {
		part, err := f(chunk)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

func dedup[T comparable](ids []T) []T {
	seen := make(map[T]bool, len(ids))
	return slices.DeleteFunc(slices.Clone(ids), func(id T) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
}

func bytesOf[T ~[32]byte](ids []T) []any {
	args := make([]any, len(ids))
	for i := range ids {
		b := [32]byte(ids[i])
		args[i] = b[:]
	}
	return args
}

// listing is a list of objects of one type that one owner has.
type listing struct {
	tag    move.StructTag
	column string // only objects whose column is among values; empty means all
	values []any
	key    string // only objects with this attribute; empty means all
	read   func(contents []byte, o *chain.OwnedObject) error
}

// query returns the SQL of a listing, with the numbers of its types.
func (v *listing) query(owner chain.Address, typeID, metadata int64) (string, []any) {
	// The plus keeps SQLite from walking through all that an owner has to find a few.
	plus := ""
	if v.column != "" || v.key != "" {
		plus = "+"
	}
	query := `SELECT o.version, o.contents, f.contents FROM objects o
		LEFT JOIN objects f ON f.owner = o.id AND f.type = ? WHERE ` + plus + `o.owner = ? AND ` + plus + `o.type = ?`
	args := []any{metadata, owner[:], typeID}
	if v.column != "" {
		query += " AND " + v.column + " IN (?" + strings.Repeat(", ?", len(v.values)-1) + ")"
		args = append(args, v.values...)
	}
	if v.key != "" {
		query += " AND o.id IN (SELECT object FROM attributes WHERE key = ?)"
		args = append(args, v.key)
	}
	return query + " ORDER BY o.rowid", args
}

func (l *ledger) list(ctx context.Context, tx *sql.Tx, v listing) (objects []chain.OwnedObject, err error) {
	typeID, err := l.net.store.typeID(ctx, tx, v.tag)
	if err != nil {
		return nil, err
	}
	metadata, err := l.net.store.typeID(ctx, tx, l.net.facts.packages.MetadataField())
	if err != nil {
		return nil, err
	}
	query, args := v.query(l.owner, typeID, metadata)
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o chain.OwnedObject
		var contents, field sql.RawBytes
		if err := rows.Scan(&o.Version, &contents, &field); err != nil {
			return nil, err
		}
		if err := errors.Join(v.read(contents, &o), readAttributes(field, &o)); err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, rows.Err()
}

func readStorage(contents []byte, o *chain.OwnedObject) error {
	var s move.Storage
	err := move.Unmarshal(contents, &s)
	o.Object, o.StorageSize = walrus.ObjectID(s.ID), s.Size
	o.StartEpoch, o.EndEpoch = walrus.Epoch(s.StartEpoch), walrus.Epoch(s.EndEpoch)
	return err
}

func readBlob(contents []byte, o *chain.OwnedObject) error {
	var b move.Blob
	err := move.Unmarshal(contents, &b)
	o.Object, o.Blob, o.Size, o.StorageSize = walrus.ObjectID(b.ID), walrus.BlobID(b.BlobID), int64(b.Size), b.Storage.Size
	o.StartEpoch, o.EndEpoch = walrus.Epoch(b.Storage.StartEpoch), walrus.Epoch(b.Storage.EndEpoch)
	o.Deletable, o.Certified = b.Deletable, b.CertifiedEpoch != nil
	return err
}

// readAttributes reads the field of an object's attributes, if it has one.
func readAttributes(field []byte, o *chain.OwnedObject) error {
	if field == nil {
		return nil
	}
	var m move.Metadata
	err := move.Unmarshal(field, &move.Field{Name: make([]byte, len(move.MetadataKey().BCS)), Value: &m})
	for _, pair := range m.Pairs {
		o.Attributes = append(o.Attributes, chain.Attribute{Key: pair.Key, Value: pair.Value})
	}
	return err
}
