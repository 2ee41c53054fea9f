package localnet

import (
	"context"
	"database/sql"
	"fmt"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

func hashOf(b []byte) hash { return blake2b.Sum256(b) }

// loggedTx is the payload of a transaction's record: what it changed, not what
// was asked, so that it means the same to a later program.
type loggedTx struct {
	digest  move.Digest
	sender  move.Address
	request [32]byte
	outcome []byte
	types   []string // that the rest names by their place
	changes []loggedChange
	events  []loggedEvent
}

// loggedChange is an object as a transaction left it.
type loggedChange struct {
	id     move.ID
	object *loggedObject // nil when it is gone
}

type loggedObject struct {
	tag      uint32
	public   bool
	version  uint64
	owner    move.Owner
	contents []byte
}

type loggedEvent struct {
	tag uint32
	bcs []byte
}

// BCS is the layout.
func (l *loggedTx) BCS(c *move.Codec) {
	c.Fixed(l.digest[:])
	c.Fixed(l.sender[:])
	c.Fixed(l.request[:])
	c.Bytes(&l.outcome)
	move.Vector(c, &l.types, (*move.Codec).String)
	move.Vector(c, &l.changes, func(c *move.Codec, v *loggedChange) {
		c.ID(&v.id)
		move.Option(c, &v.object, func(c *move.Codec, o *loggedObject) {
			c.U32(&o.tag)
			c.Bool(&o.public)
			c.U64(&o.version)
			o.owner.BCS(c)
			c.Bytes(&o.contents)
		})
	})
	move.Vector(c, &l.events, func(c *move.Codec, e *loggedEvent) {
		c.U32(&e.tag)
		c.Bytes(&e.bcs)
	})
}

// logged puts a transaction into the form of its record.
func logged(r record, result *overlay.Result) *loggedTx {
	l := &loggedTx{digest: r.digest, sender: r.sender, request: r.request, outcome: r.outcome}
	numbers := make(map[string]uint32)
	number := func(tag move.StructTag) uint32 {
		name := tag.String()
		n, ok := numbers[name]
		if !ok {
			n = uint32(len(l.types))
			numbers[name] = n
			l.types = append(l.types, name)
		}
		return n
	}
	for i := range result.Changes {
		change := &result.Changes[i]
		if change.Operation == overlay.Vanished {
			continue
		}
		entry := loggedChange{id: change.ID}
		if o := change.Object; o != nil {
			entry.object = &loggedObject{number(o.Type), o.HasPublicTransfer, o.Version, o.Owner, o.Contents}
		}
		l.changes = append(l.changes, entry)
	}
	for _, e := range result.Events {
		l.events = append(l.events, loggedEvent{number(e.Type), e.BCS})
	}
	return l
}

// apply writes into the database what the transaction of a record did, as its execution did.
func (w *writer) apply(ctx context.Context, rec *logRecord) error {
	var l loggedTx
	rest, err := move.UnmarshalPrefix(rec.payload, &l)
	var p *program
	if err == nil && rec.kind == kindProgram {
		p = new(program)
		rest, err = move.UnmarshalPrefix(rest, p)
	}
	if err == nil && len(rest) > 0 {
		err = ErrDamaged
	}
	if err != nil {
		return err
	}
	tags := make([]move.StructTag, len(l.types))
	for i, name := range l.types {
		if tags[i], err = move.ParseStructTag(name); err != nil {
			return err
		}
	}
	tag := func(n uint32) (move.StructTag, error) {
		if int64(n) >= int64(len(tags)) {
			return move.StructTag{}, fmt.Errorf("type %d of %d: %w", n, len(tags), ErrDamaged)
		}
		return tags[n], nil
	}
	result := new(overlay.Result)
	for i := range l.changes {
		change, err := w.restored(ctx, &l, &l.changes[i], tag)
		if err != nil {
			return fmt.Errorf("object %s: %w", l.changes[i].id, err)
		}
		result.Changes = append(result.Changes, change)
	}
	for _, e := range l.events {
		t, err := tag(e.tag)
		if err != nil {
			return err
		}
		result.Events = append(result.Events, overlay.Event{Type: t, BCS: e.bcs})
	}
	_, err = w.commit(ctx, record{digest: l.digest, sender: l.sender, request: l.request, outcome: l.outcome, timeMS: rec.timeMS, program: p}, result)
	return err
}

// restored gives a change the form in which it was executed.
func (w *writer) restored(ctx context.Context, l *loggedTx, entry *loggedChange, tag func(uint32) (move.StructTag, error)) (c overlay.Change, err error) {
	c = overlay.Change{ID: entry.id}
	if c.Before, err = w.object(ctx, w.tx, entry.id); err != nil {
		return c, err
	}
	if entry.object == nil {
		if c.Before == nil {
			return c, fmt.Errorf("deleted and not there: %w", ErrDamaged)
		}
		return c, nil
	}
	o := entry.object
	c.Object = &move.Object{HasPublicTransfer: o.public, Version: o.version, Owner: o.owner, Contents: o.contents, PreviousTransaction: l.digest}
	if c.Object.Type, err = tag(o.tag); err != nil {
		return c, err
	}
	if c.Object.ID() != entry.id {
		return c, fmt.Errorf("contents of object %s: %w", c.Object.ID(), ErrDamaged)
	}
	switch {
	case c.Object.Type.Equal(w.types.Blob()):
		c.Value = new(move.Blob)
	case c.Object.Type.Equal(w.types.MetadataField()):
		c.Value = &move.Field{Name: make([]byte, len(move.MetadataKey().BCS)), Value: new(move.Metadata)}
	default:
		return c, nil
	}
	return c, move.Unmarshal(o.contents, c.Value)
}

// wipe empties all tables.
func wipe(ctx context.Context, tx *sql.Tx) error {
	for i := len(logTables) - 1; i >= 0; i-- {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+logTables[i].name); err != nil {
			return err
		}
	}
	return nil
}
