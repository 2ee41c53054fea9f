package commit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

const (
	// claimMax is how many jobs are claimed at a time.
	claimMax = 4096
	// wholeBelow is how many bytes are not split between segments where the
	// next segment can take them together.
	wholeBelow = 128 << 10
	// holeMin is the shortest run of zeros, in bytes, that becomes a hole.
	holeMin = 64 << 10
	// copyAfter is how often a file may move while it is read until it is
	// packed from a copy.
	copyAfter = 2
)

// errMoved reports a file that was written while it was being packed.
var errMoved = errors.New("file was written meanwhile")

// packer is one pass: it fills segments one after the other.
type packer struct {
	c        *Committer
	draining bool   // files open for writing are taken too
	all      bool   // what waits out a failure is tried too
	rebuilt  uint64 // segments that were when the pass began, see rebuilds

	number   uint64       // of the open segment; 0: none is open
	plain    []byte       // its extent bytes so far
	reserved int          // bytes that its trailer will need, estimated
	done     []*parcel    // the versions that it completes
	open     *parcel      // the file being packed
	full     full         // for its trailer
	moves    []index.Move // ranges of other segments that were copied into it
	moved    int          // bytes of them
	cargo    []*cargo     // that this pass has taken

	seen  map[index.Ino]bool // jobs that this pass need not look at again
	left  leftover
	piece []byte
}

func newPacker(c *Committer, draining, all bool) *packer {
	return &packer{c: c, draining: draining, all: draining || all, rebuilt: c.rebuilds.count(), seen: map[index.Ino]bool{}}
}

// begin opens the next segment, if none is open, once there is room for it.
func (p *packer) begin(ctx context.Context) error {
	if p.number != 0 {
		return nil
	}
	if err := p.c.flights.room(ctx); err != nil {
		return err
	}
	number, err := p.c.cfg.Index.NextSegment(ctx)
	if err != nil {
		return fmt.Errorf("number of the next segment: %w", err)
	}
	p.number = number
	if p.plain == nil {
		p.plain = make([]byte, 0, p.c.capacity)
		p.piece = make([]byte, index.HashRange)
	}
	return nil
}

// end closes the open segment, which is committed.
func (p *packer) end() {
	p.number, p.plain, p.reserved, p.done = 0, p.plain[:0], 0, nil
	p.moves, p.moved = nil, 0
	if p.open != nil {
		p.open.start, p.open.fresh = 0, nil
	}
}

// claim returns the next jobs, and whether there may be more.
func (p *packer) claim(ctx context.Context) (jobs []index.Job, more bool, err error) {
	limit := claimMax + len(p.seen)
	all, err := p.c.cfg.Index.Claim(ctx, limit, p.all)
	if err != nil {
		return nil, false, fmt.Errorf("claim: %w", err)
	}
	for _, job := range all {
		if !p.seen[job.Ino] {
			p.seen[job.Ino] = true
			jobs = append(jobs, job)
		}
	}
	return jobs, len(all) == limit && len(jobs) > 0, nil
}

// load takes a snapshot of a file. It returns nil for one that is not packed now.
func (p *packer) load(ctx context.Context, job index.Job) (*parcel, error) {
	p.c.cfg.Staging.Back(job.Ino)
	attr, err := p.c.cfg.Index.Get(ctx, job.Ino)
	if errors.Is(err, index.ErrNotExist) || err == nil && (attr.Nlink == 0 || attr.Version == attr.PubVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", job.Ino, err)
	}
	if rests, err := p.c.rests(ctx, &attr); err != nil || rests {
		return nil, err
	}
	file, ok, err := p.c.cfg.Staging.Lookup(job.Ino)
	if err == nil && !ok {
		file, err = p.loadEmpty(ctx, attr)
	}
	if err != nil {
		return nil, &fileError{err}
	}
	if wait := openFor(p.c.cfg.Policy.OpenAge, file.Size(), attr.PubSize, file.Lent()) - job.Waited; file.Writers() > 0 && !p.draining && wait > 0 {
		file.Release()
		p.left.add(job.Size, time.Now().Add(min(wait, p.c.cfg.Policy.OpenAge)))
		return nil, nil
	}
	hashes, err := p.hashesOf(ctx, file, &attr)
	if err != nil {
		file.Release()
		return nil, err
	}
	snapshot := file.Writers() > 0 || p.c.trouble.moves(job.Ino) >= copyAfter
	pack, err := file.PackSince(ctx, snapshot, p.c.same(hashes))
	if err != nil {
		file.Release()
		return nil, &fileError{err}
	}
	par := newParcel(job, attr, file, pack)
	par.known = hashes
	if par.version <= attr.PubVersion {
		par.drop()
		return nil, nil
	}
	return par, nil
}

// lentStep is how many bytes of a file that is lent are worth waiting for as long again as
// an open file waits anyway.
const lentStep = 1 << 30

// openFor returns how long a file of size bytes that stays open for writing waits until it is
// packed, when others wait for age. One that is lent is read whole for that, and a long one
// would be read much more than written: it waits until there is twice as much
// of it as is published, or the longer the longer it is.
func openFor(age time.Duration, size, published int64, lent bool) time.Duration {
	if lent && size < 2*published {
		age *= time.Duration(1 + size/lentStep)
	}
	return age
}

// loadEmpty makes staging hold a file of which it holds nothing: right for one
// that is empty. Its maker may be about to write to it, and has to notice then
// that a version was packed.
func (p *packer) loadEmpty(ctx context.Context, attr index.Attr) (*staging.File, error) {
	if attr.Size > 0 {
		return nil, ErrStagingLost
	}
	return p.c.cfg.Staging.File(ctx, attr.Ino, staging.Shape{Mtime: attr.Mtime})
}

// fill lays the changed ranges of a file into segments.
func (p *packer) fill(ctx context.Context, par *parcel) error {
	ranges := par.ranges()
	p.open, par.start = par, len(p.plain)
	if need := bytesOf(ranges); need <= wholeBelow && need > p.room() {
		if err := p.cut(ctx); err != nil {
			return err
		}
	}
	for _, r := range ranges {
		if r.Hole {
			par.hole(r.Off, r.Len)
			continue
		}
		if r.Same {
			if err := p.stays(ctx, par, r); err != nil {
				return err
			}
			continue
		}
		for off, end := r.Off, r.Off+r.Len; off < end; {
			next := min(end, (off/index.HashRange+1)*index.HashRange)
			if err := p.store(ctx, par, off, next-off); err != nil {
				return err
			}
			off = next
		}
	}
	if par.moved() {
		return errMoved
	}
	p.open = nil
	p.done = append(p.done, par)
	p.reserved += par.trailerSize()
	p.c.trouble.settled(par.job.Ino)
	return nil
}

// store packs a range that lies within one hash range: as the old extents if it
// did not change after all, else as holes and data.
func (p *packer) store(ctx context.Context, par *parcel, off, n int64) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	b := p.piece[:n]
	got, err := par.pack.ReadAt(b, off)
	if par.moved() {
		return errMoved
	}
	if int64(got) < n {
		return &fileError{fmt.Errorf("read %d bytes at %d: %w", n, off, err)}
	}
	same, err := p.unchanged(ctx, par, b, off)
	if err != nil || same {
		return err
	}
	for len(b) > 0 {
		data, zeros := split(b)
		if err := p.add(ctx, par, b[:data], off); err != nil {
			return err
		}
		par.hole(off+int64(data), int64(zeros))
		b = b[data+zeros:]
		off += int64(data + zeros)
	}
	return nil
}

// add appends data to the open segment, and to the next ones where it is full.
func (p *packer) add(ctx context.Context, par *parcel, b []byte, off int64) error {
	for len(b) > 0 {
		if err := p.begin(ctx); err != nil {
			return err
		}
		n := min(int64(len(b)), p.room())
		if n < int64(len(b)) {
			n -= n % staging.BlockSize
		}
		if n <= 0 {
			if err := p.cut(ctx); err != nil {
				return err
			}
			continue
		}
		par.put(index.Op{Off: off, Len: n, Segment: p.number, Pos: int64(len(p.plain))})
		p.plain = append(p.plain, b[:n]...)
		b, off = b[n:], off+n
	}
	return nil
}

// room returns how many bytes of data the open segment still takes. What the
// trailer needs is kept free, up to half of the segment; the rest of a longer
// one goes into segments that follow.
func (p *packer) room() int64 {
	reserved := index.FooterSize + announcedSize + p.reserved
	if p.open != nil {
		reserved += p.open.trailerSize()
	}
	return roomLeft(p.c.capacity, int64(len(p.plain)), reserved)
}

func roomLeft(capacity, plain int64, reserved int) int64 {
	return capacity - plain - min(int64(reserved), capacity/2)
}

// putBack leaves out a file that could not be packed. Only trouble that is not
// the file's own ends the pass.
func (p *packer) putBack(ctx context.Context, job index.Job, err error) error {
	if par := p.open; par != nil {
		p.plain = p.plain[:par.start]
		p.open = nil
		par.drop()
	}
	var own *fileError
	switch {
	case errors.Is(err, errMoved):
		p.c.trouble.moved(job.Ino)
		p.left.add(job.Size, time.Now().Add(p.c.cfg.Policy.Quiet))
	case errors.Is(err, staging.ErrBusy):
		p.left.add(job.Size, time.Now().Add(p.c.cfg.Policy.Quiet))
	case errors.As(err, &own):
		rest := backoff(job.Tries)
		next := time.Now().Add(rest)
		p.left.add(job.Size, next)
		p.c.trouble.fileFailed(job.Ino, own.err, next)
		if err := p.c.cfg.Index.JobFailed(ctx, job.Ino, own.err, rest); err != nil && !errors.Is(err, index.ErrNotExist) {
			return fmt.Errorf("inode %d: %w", job.Ino, err)
		}
	default:
		return err
	}
	return nil
}

// abandon lets go of what was not committed.
func (p *packer) abandon() {
	if p.open != nil {
		p.open.drop()
	}
	for _, par := range p.done {
		par.drop()
	}
	p.open, p.done = nil, nil
	for _, l := range p.cargo {
		l.land(errNotMoved)
	}
	p.cargo = nil
}

// fileError is trouble with one file that does not touch the others.
type fileError struct{ err error }

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// split returns the lengths of the data that b begins with and of the zeros
// behind it that are worth a hole. B begins at a multiple of the block size.
func split(b []byte) (data, zeros int) {
	for pos := 0; pos < len(b); {
		run := zeroBlocks(b[pos:])
		if run >= holeMin || run == len(b) {
			return pos, run
		}
		pos = min(len(b), pos+max(run, staging.BlockSize))
	}
	return len(b), 0
}

var zeroBlock [staging.BlockSize]byte

// zeroBlocks returns how many bytes of whole blocks of zeros b begins with. The
// end of a file counts as a block.
func zeroBlocks(b []byte) (n int) {
	for n < len(b) {
		block := b[n:min(len(b), n+staging.BlockSize)]
		if !bytes.Equal(block, zeroBlock[:len(block)]) {
			return n
		}
		n += len(block)
	}
	return n
}
