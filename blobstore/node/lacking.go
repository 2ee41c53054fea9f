package node

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
)

// addLacking notes that something of a blob is missing, and tells whether that is news.
func (c *catalogue) addLacking(ctx context.Context, blob walrus.BlobID) (news bool, err error) {
	return changed(c.db.ExecContext(ctx, "INSERT OR IGNORE INTO lacking VALUES (?)", blob[:]))
}

// dropLacking notes that nothing of a blob is missing, and tells whether that is news.
func (c *catalogue) dropLacking(ctx context.Context, blob walrus.BlobID) (news bool, err error) {
	return changed(c.db.ExecContext(ctx, "DELETE FROM lacking WHERE blob = ?", blob[:]))
}

func changed(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

func (c *catalogue) countLacking(ctx context.Context) (n int, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT count(*) FROM lacking").Scan(&n)
	return n, err
}

// lacking lists, in their order, at most limit blobs behind after of which something is missing.
func (c *catalogue) lacking(ctx context.Context, after walrus.BlobID, limit int) ([]walrus.BlobID, error) {
	return c.blobs(ctx, "SELECT blob FROM lacking WHERE blob > ? ORDER BY blob LIMIT ?", after[:], limit)
}

// certified lists, in their order, at most limit blobs behind after that have a certified registration.
func (c *catalogue) certified(ctx context.Context, after walrus.BlobID, limit int) ([]walrus.BlobID, error) {
	return c.blobs(ctx, "SELECT DISTINCT blob FROM registration WHERE certified IS NOT NULL AND blob > ? ORDER BY blob LIMIT ?", after[:], limit)
}

// certifiedBefore lists, in their order, at most limit blobs from start on that
// have a registration which was certified before an epoch.
func (c *catalogue) certifiedBefore(ctx context.Context, epoch walrus.Epoch, start walrus.BlobID, limit int) ([]walrus.BlobID, error) {
	return c.blobs(ctx, "SELECT DISTINCT blob FROM registration WHERE certified < ? AND blob >= ? ORDER BY blob LIMIT ?", epoch, start[:], limit)
}

// isCertified tells whether a blob has a certified registration.
func (c *catalogue) isCertified(ctx context.Context, blob walrus.BlobID) (bool, error) {
	var one int
	err := c.db.QueryRowContext(ctx, "SELECT 1 FROM registration WHERE blob = ? AND certified IS NOT NULL LIMIT 1", blob[:]).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// blobs runs a query for blob IDs.
func (c *catalogue) blobs(ctx context.Context, query string, args ...any) ([]walrus.BlobID, error) {
	rows, err := c.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var blobs []walrus.BlobID
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		if len(raw) == len(walrus.BlobID{}) {
			blobs = append(blobs, walrus.BlobID(raw))
		}
	}
	return blobs, rows.Err()
}

// recount reads from the catalogue how many blobs lack something.
func (n *Node) recount(ctx context.Context) error {
	n.lacking.Lock()
	defer n.lacking.Unlock()
	count, err := n.catalogue.countLacking(ctx)
	if err != nil {
		return err
	}
	if before := n.lacking.count.Swap(int64(count)); int64(count) > before {
		n.cfg.Lacks()
	}
	return nil
}

// lacks notes that something of a blob is missing.
func (n *Node) lacks(ctx context.Context, blob walrus.BlobID) error {
	n.lacking.Lock()
	defer n.lacking.Unlock()
	news, err := n.catalogue.addLacking(ctx, blob)
	if news {
		n.lacking.count.Add(1)
		n.cfg.Lacks()
	}
	return err
}

// settled notes that nothing is missing of a blob of which the node is to hold own. A blob of which
// a read has found something damaged since that was looked at stays noted.
func (n *Node) settled(ctx context.Context, blob walrus.BlobID, own []slotKey) error {
	if n.lacking.count.Load() == 0 {
		return nil
	}
	n.lacking.Lock()
	defer n.lacking.Unlock()
	if slices.ContainsFunc(own, func(key slotKey) bool { return n.isBad(sliverOf(blob, key)) }) ||
		len(own) > 0 && n.isBad(walrus.SliverID{Blob: blob, Axis: BadMetadata}) {
		return nil
	}
	news, err := n.catalogue.dropLacking(ctx, blob)
	if news {
		n.lacking.count.Add(-1)
	}
	return err
}
