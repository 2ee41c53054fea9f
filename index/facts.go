package index

import (
	"context"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Facts is what the index knows of where a file is.
type Facts struct {
	Status
	Size      int64
	Regular   bool
	Blobs     []StoredBlob // with published content, by first offset
	Certified int64        // bytes of the live version that certified blobs have; holes count
	Tries     int          // to commit it, that failed
}

// StoredBlob is a blob on the ledger. Object is zero until it is registered.
type StoredBlob struct {
	ID     walrus.BlobID
	Object walrus.ObjectID
}

// Facts returns what is known of an inode. ErrNotExist.
func (db *DB) Facts(ctx context.Context, ino Ino) (f Facts, err error) {
	if f.Status, err = db.State(ctx, ino); err != nil {
		return f, err
	}
	err = db.snapshot(func(c *conn) error {
		a, err := c.attr(ino)
		if err != nil {
			return err
		}
		f.Size, f.Regular = a.Size, a.IsRegular()
		if !f.Regular {
			return nil
		}
		return c.fileFacts(&f, &a)
	})
	if err != nil {
		return f, fmt.Errorf("facts of inode %d: %w", ino, err)
	}
	return f, nil
}

func (c *conn) fileFacts(f *Facts, a *Attr) error {
	storing := int64(0)
	err := c.query(`SELECT s.blob, s.object, s.stage, sum(e.len) FROM extents e JOIN segments s ON s.number = e.segment
		WHERE e.ino = ? AND e.dead = 9223372036854775807 GROUP BY e.segment ORDER BY min(e.off)`, func(r row) error {
		var b StoredBlob
		copy(b.ID[:], r.bytes(0))
		copy(b.Object[:], r.bytes(1))
		f.Blobs = append(f.Blobs, b)
		if walrus.Stage(r.int(2)) < walrus.Certified {
			storing += r.int(3)
		}
		return nil
	}, a.Ino)
	if err != nil {
		return err
	}
	if !a.Dirty {
		f.Certified = max(0, f.Size-storing)
		return nil
	}
	done, err := c.int(`SELECT sum(p.len) FROM partials p JOIN segments s ON s.number = p.segment
		WHERE p.ino = ? AND p.version = ? AND s.stage >= ?`, a.Ino, a.Version, int(walrus.Certified))
	if err != nil {
		return err
	}
	f.Certified = min(done, f.Size)
	tries, err := c.int(`SELECT max(tries) FROM jobs WHERE ino = ?`, a.Ino)
	f.Tries = int(tries)
	return err
}
