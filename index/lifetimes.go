package index

import (
	"context"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Lifetime counts the registered segments of one sealed size, in bytes, that are paid for up to the same
// epoch, but for those that are being deleted.
type Lifetime struct {
	End      walrus.Epoch // exclusive
	Size     int64
	Segments int
	Fresh    int // of them packed since the time that was asked for
}

// Lifetimes returns until when segments are paid for, and how many of them were
// packed since a time, by the machine's clock. It reads a row for every segment.
func (db *DB) Lifetimes(ctx context.Context, since time.Time) (list []Lifetime, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`SELECT end_epoch, size, count(*), sum(packed_at >= ?) FROM segments
			WHERE end_epoch > 0 AND delete_tx IS NULL GROUP BY end_epoch, size`, func(r row) error {
			list = append(list, Lifetime{walrus.Epoch(r.int(0)), r.int(1), int(r.int(2)), int(r.int(3))})
			return nil
		}, since.UnixNano())
	})
	return list, err
}
