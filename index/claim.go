package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"
)

// MaxPause is how long a job rests after a failure at most. A row that says
// more was written while the machine's clock was ahead of what it shows now.
const MaxPause = 15 * time.Minute

// Claim returns up to max jobs that may be tried now: the oldest ones, sorted
// by parent and name. Those of ignored files are not among them. With resting set it returns those too that wait out a
// failure. A job stays until its version was committed, so a second Claim
// returns it again.
func (db *DB) Claim(ctx context.Context, max int, resting bool) (jobs []Job, err error) {
	now := db.now().UnixNano()
	err = db.snapshot(func(c *conn) error {
		err := c.query(`SELECT j.ino, i.version, i.size, j.queued, j.tries, j.error
			FROM jobs j INDEXED BY jobs_queued CROSS JOIN inodes i ON i.ino = j.ino
			WHERE j.ignored = 0 AND (? OR j.next NOT BETWEEN ? AND ?) ORDER BY j.queued LIMIT ?`, func(r row) error {
			jobs = append(jobs, Job{Ino: r.ino(0), Version: r.uint(1), Size: r.int(2),
				Waited: waited(now, r.int(3)), Tries: int(r.int(4)), Error: r.text(5)})
			return nil
		}, resting, now+1, now+int64(MaxPause), max)
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

// waited returns how long ago a stored time was. A time to come was stored
// before the clock was set back, nobody knows how long ago: that is long.
func waited(now, since int64) time.Duration {
	if since > now {
		return math.MaxInt64
	}
	return time.Duration(now - since)
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

// JobFailed notes why a job failed and how long it rests, MaxPause at most.
func (db *DB) JobFailed(ctx context.Context, ino Ino, cause error, pause time.Duration) error {
	return db.update(func(tx *txn) error {
		return tx.run(`UPDATE jobs SET tries = tries + 1, error = ?, next = ? WHERE ino = ?`,
			cause.Error(), tx.now+int64(min(pause, MaxPause)), ino)
	})
}

// Pending returns how much waits, cheaply. Ignored files do not.
func (db *DB) Pending(ctx context.Context) (p Pending, err error) {
	packed := db.latest.Load().packed
	err = db.snapshot(func(c *conn) error {
		r, err := c.one(`SELECT count(*), CAST(total(i.size) AS INTEGER), min(j.queued)
			FROM jobs j INDEXED BY jobs_queued CROSS JOIN inodes i ON i.ino = j.ino WHERE j.ignored = 0`)
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
			if names, err = c.int(`SELECT EXISTS (`+sqlNamesWaiting+`)`, force); err != nil {
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
