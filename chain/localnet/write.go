package localnet

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// record is an executed transaction as it is written.
type record struct {
	digest  move.Digest
	sender  move.Address
	request [32]byte
	outcome []byte
	timeMS  uint64
}

// writer writes into one SQL transaction.
type writer struct {
	*store
	tx    *sql.Tx
	types *move.Packages
}

// commit writes everything that a ledger transaction did. The caller commits.
func (w *writer) commit(ctx context.Context, r record, result *overlay.Result) error {
	row, err := w.tx.ExecContext(ctx, `INSERT INTO transactions (digest, sender, request, outcome, time_ms) VALUES (?, ?, ?, ?, ?)`,
		r.digest[:], r.sender[:], r.request[:], r.outcome, int64(r.timeMS))
	if err != nil {
		return err
	}
	seq, err := row.LastInsertId()
	if err != nil {
		return err
	}
	for i := range result.Changes {
		if err := w.change(ctx, &result.Changes[i]); err != nil {
			return fmt.Errorf("write object %s: %w", result.Changes[i].ID, err)
		}
	}
	for _, e := range result.Events {
		tag, err := w.typeNumber(ctx, e.Type)
		if err != nil {
			return err
		}
		if _, err := w.tx.ExecContext(ctx, `INSERT INTO events (tx, type, bcs) VALUES (?, ?, ?)`, seq, tag, e.BCS); err != nil {
			return err
		}
	}
	return setMeta(ctx, w.tx, metaClock, uint64Bytes(r.timeMS))
}

func (w *writer) change(ctx context.Context, c *overlay.Change) error {
	if err := w.attributes(ctx, c); err != nil {
		return err
	}
	if c.Object == nil {
		_, err := w.tx.ExecContext(ctx, `DELETE FROM objects WHERE id = ?`, c.ID[:])
		return err
	}
	digest, err := c.Object.Digest()
	if err != nil {
		return err
	}
	tag, err := w.typeNumber(ctx, c.Object.Type)
	if err != nil {
		return err
	}
	var owner, blob []byte
	var initial sql.NullInt64
	switch o := &c.Object.Owner; o.Kind {
	case move.OwnerAddress, move.OwnerObject:
		owner = o.Address[:]
	case move.OwnerShared:
		initial = sql.NullInt64{Int64: int64(o.InitialVersion), Valid: true}
	}
	if b, ok := c.Value.(*move.Blob); ok {
		blob = b.BlobID[:]
	}
	_, err = w.tx.ExecContext(ctx, `INSERT INTO objects
		(id, version, digest, type, public, owner_kind, owner, initial_version, contents, previous_tx, blob)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, digest = excluded.digest, owner_kind = excluded.owner_kind,
			owner = excluded.owner, initial_version = excluded.initial_version, contents = excluded.contents,
			previous_tx = excluded.previous_tx`,
		c.ID[:], int64(c.Object.Version), digest[:], tag, c.Object.HasPublicTransfer, c.Object.Owner.Kind, owner, initial,
		c.Object.Contents, c.Object.PreviousTransaction[:], blob)
	return err
}

// attributes keeps the table of attributes in step with the fields that hold them.
func (w *writer) attributes(ctx context.Context, c *overlay.Change) error {
	now := c.Object
	if now == nil {
		now = c.Before
	}
	if !now.Type.Equal(w.types.MetadataField()) {
		return nil
	}
	object := now.Owner.Address[:]
	if _, err := w.tx.ExecContext(ctx, `DELETE FROM attributes WHERE object = ?`, object); err != nil || c.Object == nil {
		return err
	}
	field, ok := c.Value.(*move.Field)
	if !ok {
		return fmt.Errorf("attributes: %w", overlay.ErrType)
	}
	metadata, ok := field.Value.(*move.Metadata)
	if !ok {
		return fmt.Errorf("attributes: %w", overlay.ErrType)
	}
	for _, pair := range metadata.Pairs {
		if _, err := w.tx.ExecContext(ctx, `INSERT INTO attributes (object, key) VALUES (?, ?)`, object, pair.Key); err != nil {
			return err
		}
	}
	return nil
}

// typeNumber returns the number of a type, a new one if need be.
func (w *writer) typeNumber(ctx context.Context, tag move.StructTag) (int64, error) {
	id, err := w.typeID(ctx, w.tx, tag)
	if err != nil || id != 0 {
		return id, err
	}
	row, err := w.tx.ExecContext(ctx, `INSERT INTO types (name) VALUES (?)`, tag.String())
	if err != nil {
		return 0, err
	}
	return row.LastInsertId()
}
