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
	program *program // nil for what was not signed
}

// program is what is kept of a signed transaction besides what it changed.
type program struct {
	bcs        []byte // TransactionData
	signatures [][]byte
	effects    []byte   // BCS
	details    []byte   // BCS
	origins    []origin // of the events
}

// origin is where an event came from.
type origin struct {
	pkg    move.ID
	module string
}

// BCS is the layout.
func (p *program) BCS(c *move.Codec) {
	c.Bytes(&p.bcs)
	move.Vector(c, &p.signatures, (*move.Codec).Bytes)
	c.Bytes(&p.effects)
	c.Bytes(&p.details)
	move.Vector(c, &p.origins, func(c *move.Codec, o *origin) {
		c.ID(&o.pkg)
		c.String(&o.module)
	})
}

// signatureList is signatures as they are stored.
type signatureList [][]byte

// BCS is the layout.
func (s *signatureList) BCS(c *move.Codec) { move.Vector(c, (*[][]byte)(s), (*move.Codec).Bytes) }

// columns returns what stands of a program in the table of transactions.
func (p *program) columns() ([]any, error) {
	if p == nil {
		return []any{nil, nil, nil, nil}, nil
	}
	signatures, err := move.Marshal((*signatureList)(&p.signatures))
	return []any{p.bcs, signatures, p.effects, p.details}, err
}

// origin returns the columns of the event with a number.
func (p *program) origin(i int) (pkg, module any, err error) {
	if p == nil {
		return nil, nil, nil
	}
	if i >= len(p.origins) {
		return nil, nil, fmt.Errorf("event %d of %d: %w", i, len(p.origins), ErrDamaged)
	}
	return p.origins[i].pkg[:], p.origins[i].module, nil
}

// writer writes into one SQL transaction.
type writer struct {
	*store
	tx    *sql.Tx
	types *move.Packages
}

// commit writes everything that a ledger transaction did. The caller commits.
// It returns the number of the transaction.
func (w *writer) commit(ctx context.Context, r record, result *overlay.Result) (uint64, error) {
	kept, err := r.program.columns()
	if err != nil {
		return 0, err
	}
	row, err := w.tx.ExecContext(ctx, `INSERT INTO transactions
		(digest, sender, request, outcome, time_ms, bcs, signatures, effects, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append([]any{r.digest[:], r.sender[:], r.request[:], notNull(r.outcome), int64(r.timeMS)}, kept...)...)
	if err != nil {
		return 0, err
	}
	seq, err := row.LastInsertId()
	if err != nil {
		return 0, err
	}
	for i := range result.Changes {
		if err := w.change(ctx, &result.Changes[i]); err != nil {
			return 0, fmt.Errorf("write object %s: %w", result.Changes[i].ID, err)
		}
	}
	for i, e := range result.Events {
		tag, err := w.typeNumber(ctx, e.Type)
		if err != nil {
			return 0, err
		}
		pkg, module, err := r.program.origin(i)
		if err != nil {
			return 0, err
		}
		if _, err := w.tx.ExecContext(ctx, `INSERT INTO events (tx, type, bcs, package, module) VALUES (?, ?, ?, ?, ?)`,
			seq, tag, e.BCS, pkg, module); err != nil {
			return 0, err
		}
	}
	return uint64(seq), setMeta(ctx, w.tx, metaClock, uint64Bytes(r.timeMS))
}

func (w *writer) change(ctx context.Context, c *overlay.Change) error {
	if c.Operation == overlay.Vanished {
		return nil // it was never there by itself
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

// notNull makes of nil a value that SQLite does not take for null.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
