package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/walfs/walfs/chain/move"
)

// logTable is a table whose rows are the ledger's state.
type logTable struct {
	name    string
	columns []string
	order   string
	where   string
}

// logTables are all of them, in an order in which they can be filled. Later
// schemas add columns at the end; a row of an earlier one is short of them.
var logTables = []logTable{
	{"meta", []string{"key", "value"}, "key", "WHERE key NOT IN ('" + metaClock + "', '" + metaLog + "')"},
	{"types", []string{"id", "name"}, "id", ""},
	{"objects", []string{"rowid", "id", "version", "digest", "type", "public", "owner_kind", "owner", "initial_version",
		"contents", "previous_tx", "blob"}, "rowid", ""},
	{"transactions", []string{"seq", "digest", "sender", "request", "outcome", "time_ms", "bcs", "signatures", "effects", "details"}, "seq", ""},
	{"events", []string{"seq", "tx", "type", "bcs", "package", "module"}, "seq", ""},
}

// least returns how many columns the rows of schema 2 have.
func (t *logTable) least() int {
	switch t.name {
	case "transactions":
		return len(t.columns) - 4
	case "events":
		return len(t.columns) - 2
	}
	return len(t.columns)
}

func tableNamed(name string) *logTable {
	i := slices.IndexFunc(logTables, func(t logTable) bool { return t.name == name })
	if i < 0 {
		return nil
	}
	return &logTables[i]
}

// The kinds of values in a row.
const (
	valueNull    = 0
	valueInteger = 1
	valueBlob    = 2
	valueText    = 3

	valueKinds = 4
)

// value is what stands in a column.
type value struct {
	kind    uint8
	integer uint64
	blob    []byte
	text    string
}

// BCS is the layout.
func (v *value) BCS(c *move.Codec) {
	c.Variant(&v.kind, valueKinds)
	switch v.kind {
	case valueInteger:
		c.U64(&v.integer)
	case valueBlob:
		c.Bytes(&v.blob)
	case valueText:
		c.String(&v.text)
	}
}

func valueOf(v any) (value, error) {
	switch v := v.(type) {
	case nil:
		return value{}, nil
	case int64:
		return value{kind: valueInteger, integer: uint64(v)}, nil
	case []byte:
		return value{kind: valueBlob, blob: v}, nil
	case string:
		return value{kind: valueText, text: v}, nil
	}
	return value{}, fmt.Errorf("column of type %T: %w", v, ErrDamaged)
}

func (v *value) any() any {
	switch v.kind {
	case valueInteger:
		return int64(v.integer)
	case valueBlob:
		if v.blob == nil {
			return []byte{}
		}
		return v.blob
	case valueText:
		return v.text
	}
	return nil
}

func (v *value) size() int { return len(v.blob) + len(v.text) + 9 }

// stateRows is the payload of a state record: rows of one table.
type stateRows struct {
	table string
	rows  [][]value
}

// BCS is the layout.
func (s *stateRows) BCS(c *move.Codec) {
	c.String(&s.table)
	move.Vector(c, &s.rows, func(c *move.Codec, row *[]value) {
		move.Vector(c, row, func(c *move.Codec, v *value) { v.BCS(c) })
	})
}

// rowsSize is about how many bytes of rows go into one record.
const rowsSize = 256 << 10

// writeState writes header and state of a log, as a transaction reads the ledger.
func writeState(ctx context.Context, w io.Writer, tx *sql.Tx, header logHeader) error {
	head := header.encode()
	last := logRecord{era: header.era, timeMS: header.timeMS, prev: hashOf(head)}
	if _, err := w.Write(head); err != nil {
		return err
	}
	put := func(kind uint8, payload []byte) error {
		last.kind, last.payload = kind, payload
		last.number++
		b, sum := last.encode()
		last.prev = sum
		_, err := w.Write(b)
		return err
	}
	for i := range logTables {
		t := &logTables[i]
		err := t.read(ctx, tx, func(rows [][]value) error {
			payload, err := move.Marshal(&stateRows{t.name, rows})
			if err != nil {
				return err
			}
			return put(kindState, payload)
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return put(kindStateEnd, nil)
}

// read gives all rows of a table, some at a time.
func (t *logTable) read(ctx context.Context, tx *sql.Tx, give func(rows [][]value) error) (err error) {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s %s ORDER BY %s", strings.Join(t.columns, ", "), t.name, t.where, t.order))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var some [][]value
	size := 0
	into := make([]any, len(t.columns))
	for rows.Next() {
		cells := make([]any, len(t.columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		row := make([]value, len(cells))
		for i, cell := range cells {
			if row[i], err = valueOf(cell); err != nil {
				return err
			}
			size += row[i].size()
		}
		if some = append(some, row); size >= rowsSize {
			if err := give(some); err != nil {
				return err
			}
			some, size = nil, 0
		}
	}
	if err := rows.Err(); err != nil || len(some) == 0 {
		return err
	}
	return give(some)
}

// loadRows writes the rows of a state record.
func loadRows(ctx context.Context, tx *sql.Tx, rec *logRecord) error {
	var s stateRows
	rest, err := move.UnmarshalPrefix(rec.payload, &s)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("state record %d: %w", rec.number, ErrDamaged)
	}
	if err != nil {
		return err
	}
	return s.load(ctx, tx)
}

// tableGone is a table that logs before version 3 have: it was derived from the objects.
const tableGone = "attributes"

// load writes the rows of a state record into an empty table.
func (s *stateRows) load(ctx context.Context, tx *sql.Tx) error {
	if s.table == tableGone {
		return nil
	}
	t := tableNamed(s.table)
	if t == nil {
		return fmt.Errorf("table %q: %w", s.table, ErrDamaged)
	}
	insert, err := tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s)", t.name, strings.Join(t.columns, ", "),
		strings.Repeat(", ?", len(t.columns)-1)))
	if err != nil {
		return err
	}
	for _, row := range s.rows {
		if len(row) > len(t.columns) || len(row) < t.least() {
			return errors.Join(fmt.Errorf("table %s: row of %d columns: %w", t.name, len(row), ErrDamaged), insert.Close())
		}
		args := make([]any, len(t.columns))
		for i := range row {
			args[i] = row[i].any()
		}
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			return errors.Join(fmt.Errorf("table %s: %w", t.name, err), insert.Close())
		}
	}
	return insert.Close()
}
