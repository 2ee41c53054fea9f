package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// trouble remembers what went wrong and who is to blame.
type trouble struct {
	mu     sync.Mutex // guards the fields below
	last   error
	end    error // Run has returned
	anchor error // the ledger's anchor is not the one of this index
	halts  [chores]halt
	files  map[index.Ino]halt // that could not be packed
	moving map[index.Ino]int  // how often a file was written while it was packed
}

func (t *trouble) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
}

// stopped notes that Run ends, and tells those who wait.
func (c *Committer) stopped(err error) {
	c.trouble.mu.Lock()
	c.trouble.end = fmt.Errorf("%w: %w", ErrStopped, err)
	c.trouble.mu.Unlock()
	c.changed.raise()
}

// anchorFailed notes how comparing anchor and index ended. What only a person
// can put right is remembered until it is.
func (t *trouble) anchorFailed(err error) {
	lasting := errors.Is(err, ErrNoAnchor) || errors.Is(err, index.ErrAnchor) || errors.Is(err, index.ErrStale)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil || lasting {
		t.anchor = err
	}
}

// lasting returns why nothing can be certified until a person does something, or nil.
func (t *trouble) lasting() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return cmp.Or(t.end, t.anchor)
}

// fileFailed notes that a file cannot be packed, and when that is tried again.
func (t *trouble) fileFailed(ino index.Ino, err error, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files == nil {
		t.files = map[index.Ino]halt{}
	}
	t.files[ino] = halt{err: err, next: next}
}

// failure returns why a file cannot be packed, or nil.
func (t *trouble) failure(ino index.Ino) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.files[ino].err
}

// moved notes that a file was written while it was packed.
func (t *trouble) moved(ino index.Ino) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.moving == nil {
		t.moving = map[index.Ino]int{}
	}
	t.moving[ino]++
}

func (t *trouble) moves(ino index.Ino) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moving[ino]
}

// settled notes that a file was packed.
func (t *trouble) settled(ino index.Ino) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.files, ino)
	delete(t.moving, ino)
}

// Status says what a committer is at. Bytes are the live sizes of regular files, by state.
type Status struct {
	Jobs         int    // files waiting to be packed
	InFlight     int    // segments packed and not certified
	Generation   uint64 // that the anchor names
	Dirty        int64
	Staged       int64
	Storing      int64
	Certified    int64
	Ignored      int64
	IgnoredFiles int64
	Rate         int64     // bytes of segments that were certified in a second of late
	Oldest       time.Time // since when the oldest of what is staged or being stored waits; zero: nothing does
	NextTry      time.Time // of what failed; zero: nothing waits
	LastError    string
	Problems     []string // what needs a person, but for what Run ended with because this machine may not write
}

// Status returns what the committer is at.
func (c *Committer) Status(ctx context.Context) (Status, error) {
	usage, err := c.cfg.Index.Usage(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	waiting, err := c.cfg.Index.Pending(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	s := Status{
		Jobs: waiting.Jobs, InFlight: waiting.Segments,
		Dirty: usage.Dirty, Staged: usage.Staged, Storing: usage.Storing, Certified: usage.Certified,
		Ignored: usage.Ignored, IgnoredFiles: usage.IgnoredFiles,
	}
	now := time.Now()
	s.Rate, s.NextTry = c.flights.rate(now), c.flights.retries(now)
	if s.Oldest, err = c.oldestUnsent(ctx, waiting); err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	if anchor, err := c.recorded(ctx); err == nil && anchor.Anchor != nil {
		s.Generation = anchor.Anchor.Generation
	}
	if err := c.trouble.lasting(); err != nil && !MustStop(err) {
		s.Problems = append(s.Problems, err.Error())
	}
	halts, next := c.trouble.standing()
	s.NextTry = earlier(s.NextTry, next)
	s.Problems = append(append(s.Problems, halts...), c.flights.problems()...)
	s.Problems = append(s.Problems, c.fileProblems(ctx)...)
	s.LastError = c.trouble.lastError()
	return s, nil
}

// problems says which segments do not get on. Those that wait for the same
// thing are told of together.
func (f *flights) problems() (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	away, broke := 0, 0
	var why *flight // of those that wait for the ledger the one that was tried last
	for _, fl := range f.open {
		switch {
		case fl.err == nil:
		case errors.Is(fl.err, blobstore.ErrLedger):
			away++
			if why == nil || fl.began.After(why.began) {
				why = fl
			}
		case errors.Is(fl.err, chain.ErrNoFunds):
			broke++
		case fl.refused:
			list = append(list, fl.err.Error())
		case fl.tries >= warnAfter:
			list = append(list, fmt.Sprintf("%v (tried %d times)", fl.err, fl.tries))
		}
	}
	slices.Sort(list)
	if away > 0 && f.away.misses >= warnAfter {
		list = append(list, fmt.Sprintf("%s for the ledger, which does not answer (asked %d times): %v", plural(away, "blob waits", "blobs wait"), f.away.misses, why.err))
	}
	if broke > 0 {
		list = append(list, fmt.Sprintf("%s to be stored: %v in the wallet", plural(broke, "blob waits", "blobs wait"), chain.ErrNoFunds))
	}
	return list
}

// warnAfter is after how many failed tries a segment is a problem.
const warnAfter = 4

func (t *trouble) lastError() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		return ""
	}
	return t.last.Error()
}

// fileProblems says which files cannot be packed.
func (c *Committer) fileProblems(ctx context.Context) []string {
	c.trouble.mu.Lock()
	files := maps.Clone(c.trouble.files)
	c.trouble.mu.Unlock()
	for ino := range files {
		attr, err := c.cfg.Index.Get(ctx, ino)
		if errors.Is(err, index.ErrNotExist) || err == nil && attr.Nlink == 0 {
			c.trouble.settled(ino)
			delete(files, ino)
		}
	}
	if len(files) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(files)))
	return []string{fmt.Sprintf("%s be packed; inode %d: %v", plural(len(files), "file cannot", "files cannot"), first, files[first].err)}
}
