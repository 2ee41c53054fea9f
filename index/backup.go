package index

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Backup writes a consistent copy of the index, replacing an older one, so that
// it appears whole. Nobody waits for it.
func (db *DB) Backup(ctx context.Context, path string) error {
	if err := errors.Join(removeAny(path+sumsSuffix), removeAny(path+aheadSuffix), db.settle()); err != nil {
		return fmt.Errorf("back up index: %w", err)
	}
	if err := copyTo(db.path, path); err != nil {
		return fmt.Errorf("back up index: %w", err)
	}
	s := &sums{path: path, dirty: map[int]bool{}}
	if err := errors.Join(s.fill(), s.close()); err != nil {
		return fmt.Errorf("back up index: %w", err)
	}
	return nil
}

// removeAny removes a file; there need not be one.
func removeAny(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Backed lists what Backup wrote beside the copy at path: its checksums.
func Backed(path string) []string { return []string{path + sumsSuffix} }

// Verify reads a closed index, such as Backup writes, from end to end and returns whose
// it is. It changes nothing. ErrCorrupt, ErrNewer, ErrNoDrive.
func Verify(ctx context.Context, path string) (d Drive, err error) {
	c, err := openQuiet(path)
	if err != nil {
		return d, fmt.Errorf("verify %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	s, err := checkSums(path, true, len(migrations)+1)
	if s != nil {
		defer func() { err = errors.Join(err, s.close()) }()
	}
	if err == nil {
		d, err = c.verify()
	}
	if err != nil {
		return d, fmt.Errorf("verify %s: %w", path, err)
	}
	return d, nil
}

// Whose returns whose index a closed one is, such as Backup writes, without
// reading it all. It changes nothing. ErrCorrupt, ErrNoDrive.
func Whose(path string) (d Drive, err error) {
	c, err := openQuiet(path)
	if err == nil {
		d, err = c.drive()
		err = errors.Join(err, c.close())
	}
	if err != nil {
		return d, fmt.Errorf("look into %s: %w", path, err)
	}
	return d, nil
}

// openQuiet opens a file that nobody writes, without a log or locks beside it.
func openQuiet(path string) (*conn, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return openWith(path, "&mode=ro&immutable=1", append(commonPragmas, "query_only = ON")...)
}

func (c *conn) verify() (d Drive, err error) {
	app, err := c.int(`PRAGMA application_id`)
	if err != nil {
		return d, err
	}
	if app != applicationID {
		return d, fmt.Errorf("application %#x: %w", app, ErrCorrupt)
	}
	err = c.query(`PRAGMA integrity_check(1)`, func(r row) error {
		if text := r.text(0); text != "ok" {
			return fmt.Errorf("%s: %w", text, ErrCorrupt)
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	return c.drive()
}

// Size returns how many bytes the index takes on disk, its log included.
func (db *DB) Size() (int64, error) {
	info, err := os.Stat(db.path)
	if err != nil {
		return 0, fmt.Errorf("size of the index: %w", err)
	}
	size := info.Size()
	if log, err := os.Stat(db.path + "-wal"); err == nil {
		size += log.Size()
	}
	return size, nil
}
