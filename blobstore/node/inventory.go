package node

import (
	"context"
	"database/sql"
	"errors"

	"github.com/walfs/walfs/blobstore/walrus"
)

// addFile records the file of a blob, and whether all its slots are known to be filled. It
// returns the length recorded before, 0 if there was none.
func (c *catalogue) addFile(ctx context.Context, blob walrus.BlobID, bytes int64, whole bool) (before int64, err error) {
	err = c.update(ctx, func(tx *sql.Tx) error {
		var wasWhole bool
		err := tx.QueryRowContext(ctx, "SELECT bytes, whole FROM file WHERE blob = ?", blob[:]).Scan(&before, &wasWhole)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if before == bytes && (wasWhole || !whole) {
			return nil
		}
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO file VALUES (?, ?, ?)", blob[:], bytes, whole)
		return err
	})
	return before, err
}

// setWhole notes that all slots of the file of a blob are filled.
func (c *catalogue) setWhole(ctx context.Context, blob walrus.BlobID) error {
	_, err := c.db.ExecContext(ctx, "UPDATE file SET whole = TRUE WHERE blob = ? AND NOT whole", blob[:])
	return err
}

// hasFile tells whether there should be a file of a blob.
func (c *catalogue) hasFile(ctx context.Context, blob walrus.BlobID) (bool, error) {
	var one int
	err := c.db.QueryRowContext(ctx, "SELECT 1 FROM file WHERE blob = ?", blob[:]).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// dropFile forgets the file of a blob and returns how long it was.
func (c *catalogue) dropFile(ctx context.Context, blob walrus.BlobID) (bytes int64, err error) {
	err = c.update(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "DELETE FROM file WHERE blob = ? RETURNING bytes", blob[:]).Scan(&bytes)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM bad_slot WHERE blob = ?", blob[:]); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM lacking WHERE blob = ?", blob[:]); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM condemned WHERE blob = ?", blob[:])
		return err
	})
	return bytes, err
}

// replaceFiles takes what a scan found for the truth.
func (c *catalogue) replaceFiles(ctx context.Context, found map[walrus.BlobID]int64) error {
	return c.update(ctx, func(tx *sql.Tx) (err error) {
		if _, err := tx.ExecContext(ctx, "DELETE FROM file"); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				_, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO lacking SELECT blob FROM registration
					WHERE certified IS NOT NULL AND blob NOT IN (SELECT blob FROM file)`)
			}
		}()
		insert, err := tx.PrepareContext(ctx, "INSERT INTO file VALUES (?, ?, TRUE)")
		if err != nil {
			return err
		}
		defer insert.Close()
		for blob, bytes := range found {
			if _, err := insert.ExecContext(ctx, blob[:], bytes); err != nil {
				return err
			}
		}
		return nil
	})
}

// totals counts files and their bytes.
func (c *catalogue) totals(ctx context.Context) (blobs int, bytes int64, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(bytes), 0) FROM file").Scan(&blobs, &bytes)
	return blobs, bytes, err
}

// addBad remembers a damaged slot.
func (c *catalogue) addBad(ctx context.Context, bad BadSlot) error {
	_, err := c.db.ExecContext(ctx, "INSERT OR REPLACE INTO bad_slot VALUES (?, ?, ?, ?)",
		bad.ID.Blob[:], bad.ID.Axis, bad.ID.Index, bad.Reason)
	return err
}

// dropBad forgets damaged slots that were filled again.
func (c *catalogue) dropBad(ctx context.Context, ids []walrus.SliverID) error {
	return c.update(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			_, err := tx.ExecContext(ctx, "DELETE FROM bad_slot WHERE blob = ? AND axis = ? AND number = ?",
				id.Blob[:], id.Axis, id.Index)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// bad lists the damaged slots.
func (c *catalogue) bad(ctx context.Context) (map[walrus.SliverID]string, error) {
	rows, err := c.db.QueryContext(ctx, "SELECT blob, axis, number, reason FROM bad_slot")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[walrus.SliverID]string{}
	for rows.Next() {
		var raw []byte
		var id walrus.SliverID
		var reason string
		if err := rows.Scan(&raw, &id.Axis, &id.Index, &reason); err != nil {
			return nil, err
		}
		if copy(id.Blob[:], raw) == len(id.Blob) {
			found[id] = reason
		}
	}
	return found, rows.Err()
}
