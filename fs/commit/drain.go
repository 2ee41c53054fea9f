package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/walfs/walfs/index"
)

// Progress says how far a Drain has come. Bytes are sizes of files.
type Progress struct {
	Files, FilesTotal int
	Bytes, BytesTotal int64
	Trouble           string // why something stands still that is tried again; "": nothing does
}

// PendingError reports what a Drain had to leave behind, and why.
type PendingError struct {
	Count int      // files that are not certified; 0: only names are not
	Paths []string // of the first of them
	Err   error
}

func (e *PendingError) Error() string {
	if e.Count == 0 {
		return fmt.Sprintf("names are not certified: %v", e.Err)
	}
	return fmt.Sprintf("%s not certified: %v", plural(e.Count, "file is", "files are"), e.Err)
}

// plural returns n and what there are so many of.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// Unwrap returns the reason.
func (e *PendingError) Unwrap() error { return e.Err }

const (
	// pendingPaths is how many paths a PendingError lists.
	pendingPaths = 10
	// againAfter is how long a Drain waits before it asks for another pass: the
	// files of the last one were being written.
	againAfter = 50 * time.Millisecond
	// reportEvery is how often progress is told at most.
	reportEvery = 100 * time.Millisecond
)

// Drain waits until all that existed when it was called is certified and the
// anchor names it: files, those open for writing included, names and
// attributes, but for what is ignored. It returns a *PendingError when that cannot be reached without a
// person, or when ctx ends before. Run must be running. Progress may be nil.
func (c *Committer) Drain(ctx context.Context, progress func(Progress)) error {
	d := &drain{}
	changed := c.cfg.Index.Changing()
	c.drains.add(d) // before it asks, so that what fails from then on knows of it
	defer c.drains.remove(d)
	d.started = c.retry()
	dirty, err := c.queueOpen(ctx)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	c.drains.aim(d, dirty)
	err = c.packTargets(ctx, d, progress)
	if err == nil {
		err = c.packNames(ctx, d, changed, progress)
	}
	if err == nil {
		err = c.awaitAnchor(ctx, d, c.flights.last(), progress)
	}
	if err == nil {
		err = c.drains.failure(d)
	}
	if err != nil {
		return c.pendingError(ctx, d, err)
	}
	return nil
}

// queueOpen makes jobs of dirty files that have none, since they were open all
// the time, and returns all dirty files but those that are ignored, and those that rest.
func (c *Committer) queueOpen(ctx context.Context) ([]index.Attr, error) {
	c.cfg.Staging.BackAll() // what was not written is not dirty then
	dirty, err := c.cfg.Index.Dirties(ctx)
	if err != nil {
		return nil, err
	}
	jobs, err := c.cfg.Index.Claim(ctx, len(dirty)+1, true)
	if err != nil {
		return nil, err
	}
	queued, err := c.cfg.Index.Ignored(ctx)
	if err != nil {
		return nil, err
	}
	for _, job := range jobs {
		queued[job.Ino] = job.Version
	}
	resting := map[index.Ino]bool{}
	for i := range dirty {
		attr := &dirty[i]
		if resting[attr.Ino], err = c.rests(ctx, attr); err != nil {
			return nil, err
		}
		if resting[attr.Ino] {
			continue
		}
		if queued[attr.Ino] == attr.Version {
			continue
		}
		state := index.Queued{Size: attr.Size, Mtime: attr.Mtime}
		if file, ok, err := c.cfg.Staging.Lookup(attr.Ino); err == nil && ok {
			state = file.State()
			attr.Size = state.Size
			file.Release()
		}
		err = c.cfg.Index.Queue(ctx, attr.Ino, state)
		if err != nil && !errors.Is(err, index.ErrNotExist) {
			return nil, err
		}
	}
	ignored, err := c.cfg.Index.Ignored(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(dirty, func(a index.Attr) bool { return ignored[a.Ino] > 0 || resting[a.Ino] }), nil
}

// rests reports whether a dirty file is what is published of it, although the
// kernel may write it by itself: it was not written since it was packed, and there is
// nothing to pack. It has no job then.
func (c *Committer) rests(ctx context.Context, attr *index.Attr) (bool, error) {
	seq, ok := c.cfg.Staging.Rests(attr.Ino, attr.Version)
	if !ok {
		return false, nil
	}
	rests, err := c.cfg.Index.Rest(ctx, attr.Ino, attr.Version, seq)
	if errors.Is(err, index.ErrNotExist) {
		return false, nil
	}
	return rests, err
}

// packTargets waits for passes of the packer until each target is published,
// gone, or cannot be packed.
func (c *Committer) packTargets(ctx context.Context, d *drain, progress func(Progress)) error {
	for again := againAfter; ; again = min(2*again, time.Second) {
		if err := c.awaitPass(ctx, d, progress); err != nil {
			return err
		}
		left, err := c.recheck(ctx, d)
		if err != nil || left == 0 {
			return err
		}
		if err := pause(ctx, again); err != nil {
			return err
		}
	}
}

// awaitPass waits for the end of a pass of the packer that begins from now on.
func (c *Committer) awaitPass(ctx context.Context, d *drain, progress func(Progress)) error {
	want := c.clock.demand()
	return c.waitFor(ctx, d, progress, func() (bool, error) {
		if c.clock.passes() >= want {
			return true, nil
		}
		// The packer may be waiting for room that a refused segment takes.
		return false, c.flights.refusedSince(d.started, c.flights.last())
	})
}

// Passes after which names that still wait for files are forced, and given up.
const (
	forceAfter = 3
	giveUp     = 20
)

// packNames waits until the names that changed up to a generation are
// published. All files of before are, so that a name can only wait for one
// that was written and renamed since, and again and again.
func (c *Committer) packNames(ctx context.Context, d *drain, changed uint64, progress func(Progress)) error {
	for tries := 1; ; tries++ {
		n, err := c.cfg.Index.NamesWaiting(ctx, changed)
		if err != nil || n == 0 || c.drains.failure(d) != nil {
			return err
		}
		switch {
		case tries > giveUp:
			return fmt.Errorf("%d of them: %w", n, errNamesWait)
		case tries > forceAfter:
			c.cfg.Index.ForceNames(changed)
		}
		if err := c.awaitPass(ctx, d, progress); err != nil {
			return err
		}
		if err := pause(ctx, min(time.Duration(tries)*againAfter, time.Second)); err != nil {
			return err
		}
	}
}

// errNamesWait is why a Drain leaves names behind that nothing else holds up.
var errNamesWait = errors.New("what they lead to changes all the time")

// recheck asks the index for the targets that are not known to be packed, and
// returns how many have to be waited for.
func (c *Committer) recheck(ctx context.Context, d *drain) (left int, err error) {
	for _, ino := range c.drains.waiting(d) {
		attr, err := c.cfg.Index.Get(ctx, ino)
		if err != nil && !errors.Is(err, index.ErrNotExist) {
			return 0, fmt.Errorf("inode %d: %w", ino, err)
		}
		gone := err != nil || attr.Nlink == 0
		if !gone && attr.PubVersion == 0 { // renamed meanwhile
			if gone, err = c.cfg.Index.IsIgnored(ctx, ino); err != nil {
				return 0, fmt.Errorf("inode %d: %w", ino, err)
			}
		}
		rests := false
		if !gone && attr.Dirty {
			if rests, err = c.rests(ctx, &attr); err != nil {
				return 0, fmt.Errorf("inode %d: %w", ino, err)
			}
		}
		failed := c.trouble.failure(ino)
		c.drains.mu.Lock()
		t := d.targets[ino]
		switch {
		case gone:
			delete(d.targets, ino)
		case attr.PubVersion >= t.version, !attr.Dirty, rests: // nothing was written, and the mark may be taken back
			t.publish(c.flights.last())
		case failed != nil:
			t.err = failed
		default:
			left++
		}
		c.drains.mu.Unlock()
	}
	return left, nil
}

// awaitAnchor waits until the anchor covers a generation and it is finished.
func (c *Committer) awaitAnchor(ctx context.Context, d *drain, generation uint64, progress func(Progress)) error {
	return c.waitFor(ctx, d, progress, func() (bool, error) {
		if c.moving.closedAt() >= generation {
			return true, nil
		}
		if err := c.flights.refusedSince(d.started, generation); err != nil {
			return false, err
		}
		return false, c.heldBy(ctx)
	})
}

// waitFor waits until done says so, which is asked whenever something changed,
// and tells how far the drain has come.
func (c *Committer) waitFor(ctx context.Context, d *drain, progress func(Progress), done func() (bool, error)) error {
	var told time.Time
	var trouble string
	for {
		changed := c.changed.wait()
		ok, err := done()
		if err == nil && !ok {
			err = c.trouble.lasting()
		}
		now := c.failing()
		if last := ok || err != nil; progress != nil && (last || now != trouble || time.Since(told) >= reportEvery) {
			told, trouble = time.Now(), now
			p := c.drains.progress(d, c.moving.closedAt())
			p.Trouble = trouble
			progress(p)
		}
		if ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pendingError says what of a drain is not certified.
func (c *Committer) pendingError(ctx context.Context, d *drain, cause error) error {
	ctx = context.WithoutCancel(ctx)
	left := c.drains.left(d, c.moving.closedAt())
	e := &PendingError{Count: len(left), Err: cause}
	for _, ino := range left[:min(len(left), pendingPaths)] {
		path, err := c.cfg.Index.Path(ctx, ino)
		if err != nil {
			path = fmt.Sprintf("inode %d", ino)
		}
		e.Paths = append(e.Paths, path)
	}
	return e
}
