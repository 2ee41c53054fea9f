package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// errNotMoved reports ranges that stay where they are, since the pass that had
// taken them did not come to its end.
var errNotMoved = errors.New("nothing was moved")

// cargo is ranges that are to be moved into new segments, with their bytes.
type cargo struct {
	moves []index.Move
	data  []byte // of the moves, in order
	once  sync.Once
	done  chan struct{}
	err   error // once done is closed
}

// land ends the wait for a cargo.
func (l *cargo) land(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
	})
}

// freight is the cargo that no pass has taken yet.
type freight struct {
	mu   sync.Mutex // guards list
	list []*cargo
}

func (f *freight) add(l *cargo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, l)
}

func (f *freight) take() []*cargo {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.list
	f.list = nil
	return list
}

// drop takes back a cargo that no pass has taken.
func (f *freight) drop(l *cargo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.list {
		if f.list[i] == l {
			f.list = append(f.list[:i], f.list[i+1:]...)
			return
		}
	}
}

// Move packs published ranges of other segments into the segment that is made
// next, and returns when that is committed. Data holds their bytes one after
// the other, verified, and belongs to the committer from now on. What is
// published elsewhere by then stays there: nobody sees a difference. Run must be running.
func (c *Committer) Move(ctx context.Context, moves []index.Move, data []byte) error {
	n := int64(0)
	for _, m := range moves {
		n += m.Len
	}
	if n != int64(len(data)) {
		return fmt.Errorf("move %d bytes, have %d: %w", n, len(data), index.ErrRange)
	}
	l := &cargo{moves: moves, data: data, done: make(chan struct{})}
	c.waiting.add(l)
	d := &drain{started: c.retry()}
	want := c.clock.demand()
	err := c.waitFor(ctx, d, nil, func() (bool, error) {
		select {
		case <-l.done:
			return true, l.err
		default:
		}
		return c.clock.passes() >= want, c.flights.refusedSince(d.started, c.flights.last())
	})
	c.waiting.drop(l)
	l.land(errNotMoved)
	if err == nil {
		err = l.err
	}
	if err != nil {
		return fmt.Errorf("move %d bytes: %w", n, err)
	}
	return nil
}

// Settle waits until the anchor covers all that is committed, and it is finished.
func (c *Committer) Settle(ctx context.Context) error {
	return c.awaitAnchor(ctx, &drain{started: c.retry()}, c.flights.last(), nil)
}

// Capacity returns the bytes of plaintext that a full segment takes.
func (c *Committer) Capacity() int64 { return c.capacity }

// loadCargo copies what is to be moved behind the data of the open segment.
func (p *packer) loadCargo(ctx context.Context) error {
	p.cargo = append(p.cargo, p.c.waiting.take()...)
	for _, l := range p.cargo {
		data := l.data
		for _, m := range l.moves {
			if err := p.loadMove(ctx, m, data[:m.Len]); err != nil {
				return err
			}
			data = data[m.Len:]
		}
	}
	return nil
}

// loadMove copies one range, into as many segments as it takes.
func (p *packer) loadMove(ctx context.Context, m index.Move, b []byte) error {
	for len(b) > 0 {
		if err := p.begin(ctx); err != nil {
			return err
		}
		p.reserved += rowsSize + opSize
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
		p.moves = append(p.moves, index.Move{
			Ino: m.Ino, Off: m.Off, Len: n, Segment: m.Segment, Pos: m.Pos, To: p.number, ToPos: int64(len(p.plain)),
		})
		p.plain = append(p.plain, b[:n]...)
		p.moved += int(n)
		b = b[n:]
		m.Off, m.Pos, m.Len = m.Off+n, m.Pos+n, m.Len-n
	}
	return nil
}

// unload forgets what was copied into the open segment, which has nothing else.
func (p *packer) unload() {
	p.plain, p.moves, p.moved, p.reserved = p.plain[:0], nil, 0, 0
}

// delivered tells who waits that all of the cargo is committed.
func (p *packer) delivered() {
	for _, l := range p.cargo {
		l.land(nil)
	}
	p.cargo = nil
}

// collectMoved reads what was moved into a lost segment once more from where
// it came: that stays until the anchor covers the new place.
func (c *Committer) collectMoved(ctx context.Context, moved []index.MovedRange, data []byte) error {
	for _, m := range moved {
		if m.Pos+m.Len > int64(len(data)) {
			return fmt.Errorf("moved range %+v in %d bytes of data: %w", m, len(data), index.ErrCorrupt)
		}
		if err := c.readSegment(ctx, &m.From, data[m.Pos:m.Pos+m.Len], m.FromPos); err != nil {
			return fmt.Errorf("segment %d: %w", m.From.Number, err)
		}
	}
	return nil
}

// readSegment fills p from the plaintext of a certified segment.
func (c *Committer) readSegment(ctx context.Context, s *index.SegmentRow, p []byte, off int64) error {
	opener, err := c.cfg.Keys.Open(s.Header, s.Size)
	if err != nil {
		return err
	}
	source := func(ctx context.Context, p []byte, off int64) (int, error) {
		return c.cfg.Blobs.ReadAt(ctx, s.Blob, p, off)
	}
	n, err := opener.ReadAt(ctx, source, p, off)
	if n == len(p) {
		return nil
	}
	return fmt.Errorf("%d of %d bytes: %w", n, len(p), cmp.Or(err, io.ErrUnexpectedEOF))
}
