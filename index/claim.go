package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Claim returns up to max jobs that may be tried now: the oldest ones, sorted
// by parent and name. A job stays until its version was committed, so a
// second Claim returns it again.
func (db *DB) Claim(ctx context.Context, max int, now time.Time) (jobs []Job, err error) {
	err = db.snapshot(func(c *conn) error {
		err := c.query(`SELECT j.ino, i.version, i.size, j.queued, j.tries, j.error
			FROM jobs j INDEXED BY jobs_queued CROSS JOIN inodes i ON i.ino = j.ino
			WHERE j.next <= ? ORDER BY j.queued LIMIT ?`, func(r row) error {
			jobs = append(jobs, Job{Ino: r.ino(0), Version: r.uint(1), Size: r.int(2),
				Queued: time.Unix(0, r.int(3)), Tries: int(r.int(4)), Error: r.text(5)})
			return nil
		}, now.UnixNano(), max)
		if err != nil {
			return err
		}
		for i := range jobs {
			if err := c.describe(&jobs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(jobs, func(a, b Job) int {
		return cmp.Or(cmp.Compare(a.Parent, b.Parent), bytes.Compare(a.Name, b.Name), cmp.Compare(a.Ino, b.Ino))
	})
	return jobs, err
}

// describe adds a name and the partials of the job's version.
func (c *conn) describe(j *Job) (err error) {
	j.Parent, j.Name, err = c.nameOf(j.Ino)
	if err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	return c.query(`SELECT off, len, segment, pos FROM partials WHERE ino = ? AND version = ? ORDER BY off`,
		func(r row) error {
			j.Partials = append(j.Partials, Partial{Ino: j.Ino, Version: j.Version,
				Off: r.int(0), Len: r.int(1), Segment: r.uint(2), Pos: r.int(3)})
			return nil
		}, j.Ino, j.Version)
}

// JobFailed notes why a job failed and when to try it again.
func (db *DB) JobFailed(ctx context.Context, ino Ino, cause error, next time.Time) error {
	return db.update(func(tx *txn) error {
		return tx.run(`UPDATE jobs SET tries = tries + 1, error = ?, next = ? WHERE ino = ?`,
			cause.Error(), next.UnixNano(), ino)
	})
}

// Pending returns how much waits, cheaply.
func (db *DB) Pending(ctx context.Context) (p Pending, err error) {
	packed := db.latest.Load().packed
	err = db.snapshot(func(c *conn) error {
		r, err := c.one(`SELECT count(*), CAST(total(i.size) AS INTEGER), min(j.queued) FROM jobs j CROSS JOIN inodes i ON i.ino = j.ino`)
		if err != nil {
			return err
		}
		p.Jobs, p.Bytes = int(r.int(0)), r.int(1)
		if p.Jobs > 0 {
			p.OldestQueued = time.Unix(0, r.int(2))
		}
		// Whatever happens to a name, the directory's own row changes too.
		names, err := c.int(`SELECT EXISTS (SELECT 1 FROM inodes INDEXED BY inodes_changed
			WHERE pub_version > 0 AND generation > ? AND nlink > 0)`, packed)
		if err != nil {
			return err
		}
		if force := db.force.Load(); names == 0 && force > 0 {
			if names, err = c.int(`SELECT EXISTS (SELECT 1 FROM dirents INDEXED BY dirents_pending
				WHERE ino IS NOT pub AND generation <= ?)`, force); err != nil {
				return err
			}
		}
		p.Names = names != 0
		n, err := c.inFlight()
		p.Segments = int(n)
		return err
	})
	return p, err
}

// inFlight counts the segments that are not certified.
func (c *conn) inFlight() (int64, error) {
	return c.int(`SELECT count(*) FROM segments INDEXED BY segments_open WHERE stage < 4 AND stage < 5`)
}
