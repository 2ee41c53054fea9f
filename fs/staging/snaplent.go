package staging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// Writers of a file that is lent cannot be stopped for a snapshot. A clone is
// one moment's state anyway. Elsewhere the content is copied, and compared with
// the file until a whole reading finds nothing that differs: then it is the
// state of the moment between that reading and the one before.

// comparisons is how often a copy is compared before the file counts as too busy.
const comparisons = 8

// takeLent makes a snapshot, with bytes of its own, of a file that is lent, and
// marks the inode again: the kernel goes on writing without a word.
func (p *Pack) takeLent(ctx context.Context) (err error) {
	if p.copy, err = p.newCopy(); err != nil {
		return err
	}
	before, err := p.lookBefore()
	if err != nil {
		return err
	}
	at, err := p.copyLent(ctx, before)
	if err != nil {
		return err
	}
	p.f.lending.Lock()
	defer p.f.lending.Unlock()
	if err := p.take(ctx); err != nil {
		return err
	}
	if _, err := p.f.Mark(ctx); err != nil {
		return err
	}
	p.f.again(before)
	p.Size, p.Mtime, p.Base, p.ranges, p.lent = at.size, at.mtime, 0, nil, true
	p.ranges, err = p.known.ranges(p.copy, at.size)
	return err
}

// again makes who asks for Turns tell the index of the file once more: it has
// a new version.
func (f *File) again(before proof) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turns++
	f.proof = before
	f.proof.good = before.good && time.Since(time.Unix(0, before.at.ctime)) > longestFault
}

// longestFault is how long it may take at most until a page is written that the
// kernel is about to let somebody write through a mapping: the file has its new
// time before, so that a copy made in between shows neither the one nor, by
// another time, the other. A fault waits for the journal; that takes seconds at worst.
const longestFault = 10 * time.Second

// lookBefore returns what the file is like before it is copied. Good: every
// change from now on gives it another stamp.
func (p *Pack) lookBefore() (proof, error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	err := p.f.look()
	return proof{p.f.seen, p.f.quiet}, err
}

// copyLent makes the copy and returns the stamp of the moment that it shows.
func (p *Pack) copyLent(ctx context.Context, before proof) (at stamp, err error) {
	f := p.f
	// Pages that are mapped and synced do not change without a new time of the file.
	if err := f.d.disk.sync(f.data); err != nil {
		return at, err
	}
	switch err := unix.IoctlFileClone(int(p.copy.Fd()), int(f.data.Fd())); {
	case err == nil:
		info, err := p.copy.Stat()
		before.at.size = info.Size()
		return before.at, err
	case !noClone(err):
		return at, err
	}
	return p.copyStill(ctx, before)
}

// copyStill copies a file that is being written until the copy is what the
// file was at one moment. Before was looked at before the file was synced.
func (p *Pack) copyStill(ctx context.Context, before proof) (at stamp, err error) {
	holes := p.f.holes.Load()
	for range comparisons {
		if at, err = p.copyTail(ctx, at.size); err != nil {
			return at, err
		}
		if before.good && at == before.at {
			return at, nil
		}
		same, err := p.compare(ctx, at.size)
		if now := p.f.holes.Load(); now != holes { // the copy has what is a hole now
			holes, at.size = now, 0
			clear(p.known)
			if err := p.f.d.disk.truncate(p.copy, 0); err != nil {
				return at, err
			}
			continue
		}
		if err != nil || same {
			return at, err
		}
	}
	return at, fmt.Errorf("written all the time: %w", ErrBusy)
}

// copyTail copies from an offset on, and returns the stamp of the file at a
// moment when all of it had been copied.
func (p *Pack) copyTail(ctx context.Context, from int64) (at stamp, err error) {
	for {
		if at, err = stampOf(p.f.data); err != nil {
			return at, err
		}
		if at.size <= from { // less: it was cut
			return at, p.f.d.disk.truncate(p.copy, at.size)
		}
		err = p.eachRange(ctx, from, at.size, func(live []byte, off int64) error {
			if wholeRange(off, int64(len(live)), at.size) && p.same != nil && p.same(off, live) {
				p.known = p.known.add(off, int64(len(live)))
				return nil
			}
			return p.copyRange(live, off)
		})
		if err != nil {
			return at, err
		}
		from = at.size
	}
}

// eachRange reads what there is of data in the file, up to the end of a range of hashes at a
// time. What was cut off meanwhile reads as zeros.
func (p *Pack) eachRange(ctx context.Context, from, end int64, do func(live []byte, off int64) error) error {
	buf := make([]byte, index.HashRange)
	return eachData(p.f.data, from, end, func(off, end int64) error {
		for off < end {
			if err := ctx.Err(); err != nil {
				return err
			}
			live := buf[:min(index.HashRange-off%index.HashRange, end-off)]
			n, err := p.f.data.ReadAt(live, off)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			clear(live[n:])
			if err := do(live, off); err != nil {
				return err
			}
			off += int64(len(live))
		}
		return nil
	})
}

func (p *Pack) copyRange(live []byte, off int64) error {
	_, err := p.f.d.disk.pwrite(p.copy, live, off)
	if err == nil {
		p.addCopied(int64(len(live)))
	}
	return err
}

// compare reads file and copy up to an offset, makes the copy what the file is,
// and reports whether it was already.
func (p *Pack) compare(ctx context.Context, end int64) (same bool, err error) {
	same = true
	kept := make([]byte, index.HashRange)
	err = p.eachRange(ctx, 0, end, func(live []byte, off int64) error {
		n := int64(len(live))
		if p.known.touches(off, n) {
			if p.known.is(off, n) && p.same(off, live) {
				return nil
			}
			same = false
			p.known.drop(off)
			return p.copyRange(live, off)
		}
		kept := kept[:n]
		clear(kept)
		if _, err := p.copy.ReadAt(kept, off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if bytes.Equal(live, kept) {
			return nil
		}
		same = false
		_, err := p.f.d.disk.pwrite(p.copy, live, off)
		return err
	})
	if err != nil {
		return false, err
	}
	now, err := stampOf(p.f.data)
	return same && now.size >= end, err
}
