package node

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

//go:embed schema.sql
var schema string

const schemaVersion = 3

// catalogue is the node's SQLite. Losing it, or its last transactions, costs a
// replay of the ledger's events and a scan; nothing that is signed rests on it.
type catalogue struct{ db *sql.DB }

// openCatalogue opens the catalogue at path. Fresh tells that it is empty, as
// it was missing or unsound; clean that the last user closed it.
func openCatalogue(ctx context.Context, path string) (c *catalogue, fresh, clean bool, err error) {
	c, clean, err = tryCatalogue(ctx, path)
	if err == nil {
		return c, false, clean, nil
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, false, false, err
		}
	}
	c, err = connect(path)
	if err != nil {
		return nil, false, false, err
	}
	if _, err := c.db.ExecContext(ctx, schema); err != nil {
		return nil, false, false, errors.Join(fmt.Errorf("make catalogue: %w", err), c.db.Close())
	}
	return c, true, false, nil
}

func connect(path string) (*catalogue, error) {
	// NORMAL with a WAL: a power cut may take the last transactions but leaves a sound database.
	source := url.URL{Scheme: "file", Path: path,
		RawQuery: "_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=10000&_txlock=immediate"}
	db, err := sql.Open("sqlite3", source.String())
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	db.SetMaxOpenConns(1)
	return &catalogue{db}, nil
}

// tryCatalogue opens a catalogue that is there and sound.
func tryCatalogue(ctx context.Context, path string) (c *catalogue, clean bool, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, false, err
	}
	if c, err = connect(path); err != nil {
		return nil, false, err
	}
	clean, err = c.sound(ctx)
	if err != nil {
		return nil, false, errors.Join(err, c.db.Close())
	}
	return c, clean, nil
}

func (c *catalogue) sound(ctx context.Context) (clean bool, err error) {
	var found int
	if err := c.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found); err != nil {
		return false, err
	}
	if found != schemaVersion {
		return false, fmt.Errorf("catalogue has version %d, want %d", found, schemaVersion)
	}
	mark, err := c.meta(ctx, "clean")
	if err != nil {
		return false, err
	}
	if len(mark) == 1 && mark[0] == 1 {
		return true, nil
	}
	var verdict string
	if err := c.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return false, err
	}
	if verdict != "ok" {
		return false, fmt.Errorf("catalogue: %s", verdict)
	}
	return false, nil
}

// close writes down that the catalogue agrees with the folder and closes it.
func (c *catalogue) close() error {
	return errors.Join(c.setClean(context.Background(), 1), c.db.Close())
}

func (c *catalogue) setClean(ctx context.Context, mark byte) error {
	return setMeta(ctx, c.db, "clean", []byte{mark})
}

func (c *catalogue) meta(ctx context.Context, key string) (value []byte, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return value, err
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func setMeta(ctx context.Context, db execer, key string, value []byte) error {
	_, err := db.ExecContext(ctx, "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)
	return err
}

// cursor names the last event that was applied. Object guards against a ledger
// that lost its tail and has written another event under the same number.
type cursor struct {
	seq    uint64
	object walrus.ObjectID
}

func cursorOf(e *chain.Event) cursor { return cursor{e.Seq, e.Object} }

func (c *catalogue) cursor(ctx context.Context) (cur cursor, err error) {
	raw, err := c.meta(ctx, "cursor")
	if err != nil || len(raw) != 8+len(cur.object) {
		return cursor{}, err
	}
	copy(cur.object[:], raw[8:])
	cur.seq = binary.LittleEndian.Uint64(raw)
	return cur, nil
}

// forget drops what the catalogue knows of the ledger, to follow one from its start.
func (c *catalogue) forget(ctx context.Context, chainID [32]byte) error {
	return c.update(ctx, func(tx *sql.Tx) error {
		for _, query := range []string{
			"DELETE FROM registration", "DELETE FROM condemned", "DELETE FROM lacking", "DELETE FROM meta WHERE key = 'cursor'",
			"DELETE FROM meta WHERE key IN ('" + metaDone + "', '" + metaReceived + "', '" + metaTrimmed + "')",
		} {
			if _, err := tx.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return setMeta(ctx, tx, "chain", chainID[:])
	})
}

// apply brings in a page of events.
func (c *catalogue) apply(ctx context.Context, events []chain.Event) error {
	if len(events) == 0 {
		return nil
	}
	return c.update(ctx, func(tx *sql.Tx) error {
		for i := range events {
			if err := applyOne(ctx, tx, &events[i]); err != nil {
				return fmt.Errorf("event %d: %w", events[i].Seq, err)
			}
		}
		last := cursorOf(&events[len(events)-1])
		value := append(binary.LittleEndian.AppendUint64(nil, last.seq), last.object[:]...)
		return setMeta(ctx, tx, "cursor", value)
	})
}

func applyOne(ctx context.Context, tx *sql.Tx, e *chain.Event) error {
	switch e.Kind {
	case chain.BlobRegistered, chain.BlobCertified: // an extension comes as another certification
		certified := e.Kind == chain.BlobCertified
		_, err := tx.ExecContext(ctx, `INSERT INTO registration VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET end_epoch = max(end_epoch, excluded.end_epoch), certified = ifnull(certified, excluded.certified),
				tx = excluded.tx, place = excluded.place`,
			e.Object[:], e.Blob[:], e.EndEpoch, e.Deletable, sql.Null[walrus.Epoch]{V: e.Epoch, Valid: certified}, e.Tx[:], e.Index)
		if err != nil || !certified {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO lacking
			SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM file WHERE blob = ?1 AND whole)`, e.Blob[:])
		return err
	case chain.BlobDeleted:
		if _, err := tx.ExecContext(ctx, "DELETE FROM registration WHERE object = ?", e.Object[:]); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO condemned VALUES (?)", e.Blob[:])
		return err
	}
	return noteEpoch(ctx, tx, e)
}

// expire drops the registrations that have ended when epoch began.
func (c *catalogue) expire(ctx context.Context, epoch walrus.Epoch) error {
	return c.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO condemned
			SELECT blob FROM registration WHERE end_epoch <= ?`, epoch)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM registration WHERE end_epoch <= ?", epoch)
		return err
	})
}

// live tells whether a blob has a registration; with a persistence, whether it has that one.
func (c *catalogue) live(ctx context.Context, blob walrus.BlobID, p *walrus.Persistence) (bool, error) {
	query, args := "SELECT 1 FROM registration WHERE blob = ?", []any{blob[:]}
	if p != nil {
		query += " AND deletable = ?"
		args = append(args, p.Deletable)
		if p.Deletable {
			query += " AND object = ?"
			args = append(args, p.Object[:])
		}
	}
	var one int
	err := c.db.QueryRowContext(ctx, query+" LIMIT 1", args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// condemned lists blobs that may have no registration left.
func (c *catalogue) condemned(ctx context.Context) ([]walrus.BlobID, error) {
	return c.blobs(ctx, "SELECT blob FROM condemned")
}

// spare takes a blob off the list of the condemned.
func (c *catalogue) spare(ctx context.Context, blob walrus.BlobID) error {
	_, err := c.db.ExecContext(ctx, "DELETE FROM condemned WHERE blob = ?", blob[:])
	return err
}

// update runs one transaction.
func (c *catalogue) update(ctx context.Context, change func(*sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
