package fs

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrQuota refuses what would make files longer than the quota of the drive
// allows. The writer gets EDQUOT.
var ErrQuota = errors.New("quota is used up")

// quota holds the lengths of all files below a limit. Lengths are counted when a
// file grows, before the index is told. Its methods may be called concurrently.
type quota struct {
	limit int64 // bytes; 0: none

	mu      sync.Mutex // guards the fields below
	looked  bool       // used is known
	at      time.Time  // of the last look
	used    int64      // by the last look
	grown   int64      // granted since
	running int64      // granted to changes that have not ended
}

// grow asks for a file to be at least size bytes long. The caller calls done
// when that has happened, or failed.
func (fs *FS) grow(f *file, size int64) (done func(), err error) {
	q := &fs.quota
	have, _ := f.live()
	n := size - have
	if q.limit <= 0 || n <= 0 {
		return func() {}, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.looked || n > q.limit-q.used-q.grown {
		if err := q.look(fs); err != nil {
			return nil, err
		}
	}
	if n > q.limit-q.used-q.grown {
		return nil, ErrQuota
	}
	q.grown += n
	q.running += n
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.running -= n
	}, nil
}

// look finds out what is used. What was deleted since the last look, and what
// failed, was not taken off yet. What is running may be in the sum already: then it
// counts twice for now. The caller holds mu.
func (q *quota) look(fs *FS) error {
	used, err := fs.lengths()
	if err != nil {
		return err
	}
	q.used, q.grown, q.looked, q.at = used, q.running, true, time.Now()
	return nil
}

// lengths sums up the lengths of all files, with those that the index has not been told.
func (fs *FS) lengths() (int64, error) {
	fs.mu.RLock()
	open := make([]*file, 0, len(fs.inUse))
	for _, f := range fs.inUse {
		open = append(open, f)
	}
	fs.mu.RUnlock()
	// The index comes last: what it is told meanwhile counts twice rather than not at all.
	more := int64(0)
	for _, f := range open {
		select {
		case <-f.ready:
			if f.err == nil {
				more += f.untold()
			}
		default: // nothing was written yet
		}
	}
	told, err := fs.cfg.Index.Lengths(context.Background())
	return max(0, told+more), err
}

// untold returns how much longer the file is than the index knows.
func (f *file) untold() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.local == nil {
		return 0
	}
	return f.local.Size() - max(0, f.queued.Size)
}

// quotaSpace returns what statfs shows of a drive with a quota, where s is what it would show else.
func (fs *FS) quotaSpace(s Space) Space {
	q := &fs.quota
	if q.limit <= 0 {
		return s
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.at) > quotaStale {
		if err := q.look(fs); err != nil {
			fs.log.Warn("what is used of the quota is not known", "op", "statfs", "err", err)
		}
	}
	return Space{Total: q.limit, Free: max(0, min(s.Free, q.limit-q.used-q.grown))}
}

// quotaStale is how old the sum may be that statfs shows.
const quotaStale = 200 * time.Millisecond

// withinQuota grows a file for a change that makes it at least size bytes long.
func (fs *FS) withinQuota(f *file, size int64, change func() error) error {
	done, err := fs.grow(f, size)
	if err != nil {
		return err
	}
	defer done()
	return change()
}
