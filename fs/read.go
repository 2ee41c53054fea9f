package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// read fills p with live content, but for the end of the file: from staging
// what it holds, from segments what is published, zeros where there is nothing.
func (h *handle) read(ctx context.Context, p []byte, off int64) (int, error) {
	f := h.f
	size, base := f.live()
	if off < 0 || off >= size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), size-off)]
	h.ahead.note(h.f.fs, off, len(p))
	local := f.staged()
	ranges := []staging.Range{{Off: off, Len: int64(len(p))}}
	epoch := uint64(0)
	if local != nil {
		epoch = local.Epoch() + 1
		ranges = local.Held(off, int64(len(p)))
	}
	done := 0
	for _, r := range ranges {
		part := p[r.Off-off : r.Off-off+r.Len]
		if err := h.readRange(ctx, local, r, part, base, epoch); err != nil {
			return 0, err
		}
		done += len(part)
	}
	return done, nil
}

func (h *handle) readRange(ctx context.Context, local *staging.File, r staging.Range, p []byte, base int64, epoch uint64) error {
	if r.Held {
		n, err := local.ReadAt(p, r.Off)
		if errors.Is(err, io.EOF) && local.Size() <= r.Off+int64(n) {
			clear(p[n:]) // cut off meanwhile
			err = nil
		}
		return err
	}
	below := max(0, min(int64(len(p)), base-r.Off))
	clear(p[below:])
	if below == 0 && h.f.isLost() {
		return fmt.Errorf("inode %d: %w", h.f.ino, errLost)
	}
	if below == 0 {
		return nil
	}
	leave, err := h.f.fs.background.enter(ctx)
	if err != nil {
		return err
	}
	if leave != nil {
		defer leave()
		return h.f.fs.startFetch(h.f.ino, r.Off, int(below)).copy(ctx, p[:below], 0)
	}
	return h.ahead.read(ctx, h.f, p[:below], r.Off, base, epoch)
}

// isLost reports whether content that only staging had is gone.
func (f *file) isLost() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

// fill is how staging reads published content.
func (f *file) fill(ctx context.Context, p []byte, off int64) error {
	return f.fs.startFetch(f.ino, off, len(p)).copy(ctx, p, 0)
}

// fetch is published content on its way. It goes on when those who wait for
// it give up.
type fetch struct {
	done    chan struct{}
	p       []byte // once done is closed
	err     error  // once done is closed
	timeout time.Duration
	late    func() // notes that it took too long
	wanted  func() // tells that somebody waits for it
}

// startFetch begins to read n bytes of published content at off.
func (fs *FS) startFetch(ino index.Ino, off int64, n int) *fetch {
	return fs.fetch(ino, off, n, func() {}, func(ctx context.Context) func() { return fs.turns.take(ctx, int64(n)) })
}

// fetchWindow is startFetch for what nobody has asked for yet.
func (fs *FS) fetchWindow(ino index.Ino, off int64, n int) *fetch {
	wanted := make(chan struct{})
	return fs.fetch(ino, off, n, sync.OnceFunc(func() { close(wanted) }), func(ctx context.Context) func() {
		return fs.windowTurn(ctx, wanted, int64(n))
	})
}

// fetch is startFetch; turn waits until it may begin and returns what to call at the end.
func (fs *FS) fetch(ino index.Ino, off int64, n int, wanted func(), turn func(context.Context) func()) *fetch {
	timeout := fs.patience.of(ino, fs.cfg.ReadTimeout)
	g := &fetch{
		done: make(chan struct{}), timeout: timeout,
		late: fs.patience.noting(ino, timeout), wanted: wanted,
	}
	if !fs.begin() {
		g.err = errInterrupted
		close(g.done)
		return g
	}
	go func() {
		defer fs.fetches.Done()
		defer close(g.done)
		ctx, cancel := fs.deadline(g.timeout)
		defer cancel()
		defer turn(ctx)()
		p := make([]byte, n)
		if g.err = fs.readPublished(ctx, ino, p, off); g.err == nil {
			g.p = p
		}
		if g.err != nil && ctx.Err() != nil {
			g.late()
		}
	}()
	return g
}

// begin counts a fetch in. It says no once the file system is being shut down.
func (fs *FS) begin() bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.stopped {
		return false
	}
	fs.fetches.Add(1)
	return true
}

// copy waits and copies what was read from the offset from on.
func (g *fetch) copy(ctx context.Context, p []byte, from int) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	if g.err != nil {
		return g.err
	}
	if copy(p, g.p[min(from, len(g.p)):]) < len(p) {
		return fmt.Errorf("%d of %d bytes: %w", len(g.p)-from, len(p), io.ErrUnexpectedEOF)
	}
	return nil
}

// stillAlive is how often it is looked whether who waits was killed.
const stillAlive = 500 * time.Millisecond

// wait waits until the fetch is done. A signal ends it only if it kills the
// caller: programs do not expect EINTR from a file, and Go sends itself
// signals all the time.
func (g *fetch) wait(ctx context.Context) error {
	select {
	case <-g.done:
		return nil
	default:
	}
	g.wanted()
	late := time.NewTimer(g.timeout)
	defer late.Stop()
	select {
	case <-g.done:
		return nil
	case <-late.C:
		g.late() // before the caller asks again
		return errTimeout
	case <-ctx.Done():
	}
	_, _, pid := caller(ctx)
	look := time.NewTicker(stillAlive)
	defer look.Stop()
	for !dying(pid) {
		select {
		case <-g.done:
			return nil
		case <-late.C:
			g.late()
			return errTimeout
		case <-look.C:
		}
	}
	return errInterrupted
}

// dying reports whether a thread is gone or about to be killed.
func dying(pid uint32) bool {
	if pid == 0 {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigPnd" && name != "ShdPnd" {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err == nil && set&(1<<(uint(syscall.SIGKILL)-1)) != 0 {
			return true
		}
	}
	return false
}

// readPublished fills p with published content, zeros where there is none.
func (fs *FS) readPublished(ctx context.Context, ino index.Ino, p []byte, off int64) error {
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return fmt.Errorf("read inode %d at %d: %w", ino, off, index.ErrRange)
	}
	extents, err := fs.cfg.Index.Extents(ctx, ino, off, int64(len(p)))
	if err != nil {
		return err
	}
	for {
		err := fs.readExtents(ctx, ino, extents, p, off)
		if err == nil {
			fs.neighbours.note(fs, extents)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		// Compaction may have moved them since, and the segments be gone.
		now, lookup := fs.cfg.Index.Extents(ctx, ino, off, int64(len(p)))
		if lookup != nil || slices.Equal(now, extents) {
			return err
		}
		extents = now
		clear(p)
	}
}

// readExtents fills the parts of p that extents cover.
func (fs *FS) readExtents(ctx context.Context, ino index.Ino, extents []index.Extent, p []byte, off int64) error {
	for i := range extents {
		e := &extents[i]
		if err := fs.readExtent(ctx, e, p[e.Off-off:e.Off-off+e.Len]); err != nil {
			return fmt.Errorf("inode %d at %d, segment %d: %w", ino, e.Off, e.Segment, err)
		}
	}
	return nil
}

func (fs *FS) readExtent(ctx context.Context, e *index.Extent, p []byte) error {
	opener, err := fs.keys.open(fs.cfg.Keys, e)
	if err != nil {
		return err
	}
	n, err := opener.ReadAt(ctx, fs.source(e), p, e.Pos)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// source reads the sealed bytes of a segment: from the outbox while they are
// there, since until they are certified nobody else has them for sure.
func (fs *FS) source(e *index.Extent) seal.Source {
	return func(ctx context.Context, p []byte, off int64) (int, error) {
		n, err := fs.cfg.Staging.ReadOutbox(e.Segment, p, off)
		if !errors.Is(err, staging.ErrNotExist) {
			return n, err
		}
		return fs.cfg.Blobs.ReadAt(ctx, e.Blob, p, off)
	}
}

// maxOpeners is how many segments are remembered; each costs about 1 KiB.
const maxOpeners = 4096

// openers remembers the keys of segments. A segment that is sealed anew has
// another header; those of a plain drive are all the same.
type openers struct {
	mu sync.Mutex
	m  map[sealing]*seal.Opener
}

type sealing struct {
	segment uint64
	size    int64
	header  [64]byte
}

func (o *openers) open(keys *seal.Keyring, e *index.Extent) (*seal.Opener, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := sealing{e.Segment, e.SealedSize, e.Header}
	if opener := o.m[at]; opener != nil {
		return opener, nil
	}
	header, err := seal.ParseHeader(e.Header[:])
	if err != nil {
		return nil, err
	}
	opener, err := keys.Open(header, e.SealedSize)
	if err != nil {
		return nil, err
	}
	if o.m == nil || len(o.m) >= maxOpeners {
		o.m = map[sealing]*seal.Opener{}
	}
	o.m[at] = opener
	return opener, nil
}
