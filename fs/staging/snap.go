package staging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Copying goes on without stopping writers until little has moved meanwhile.
const (
	copyRounds = 5
	copyLast   = 1 << 20 // bytes that may be copied while writers wait
	copyPart   = 1 << 20
)

// takeCopy makes a snapshot with bytes of its own: a clone where the file
// system makes them, else a copy of what is dirty.
func (p *Pack) takeCopy(ctx context.Context) (err error) {
	if p.copy, err = p.newCopy(); err != nil {
		return err
	}
	err = p.gate(ctx, func() error {
		return unix.IoctlFileClone(int(p.copy.Fd()), int(p.f.data.Fd()))
	})
	if err == nil || !noClone(err) {
		return err
	}
	if err := p.copyDirty(ctx); err != nil {
		return err
	}
	for range copyRounds {
		moved := p.takeSince()
		if size(moved) <= copyLast {
			return p.gate(ctx, func() error { return p.copyRest(ctx, moved) })
		}
		if err := p.copyRanges(ctx, moved); err != nil {
			return err
		}
	}
	return p.gate(ctx, func() error { return p.copyRest(ctx, nil) })
}

// copyRest makes the copy whole, while writers wait.
func (p *Pack) copyRest(ctx context.Context, moved []PackRange) error {
	for _, ranges := range [][]PackRange{moved, since(p)} {
		if err := p.copyRanges(ctx, ranges); err != nil {
			return err
		}
	}
	return p.f.d.disk.truncate(p.copy, p.f.size)
}

// noClone tells that the file system does not share blocks between files.
func noClone(err error) bool {
	for _, no := range []error{unix.EOPNOTSUPP, unix.ENOTTY, unix.EINVAL, unix.EXDEV, unix.ENOSYS} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func (p *Pack) newCopy() (*os.File, error) {
	d := p.f.d
	d.mu.Lock()
	d.snaps++
	name := fmt.Sprintf("%d-%d", p.f.ino, d.snaps)
	d.mu.Unlock()
	return d.disk.create(filepath.Join(d.c.Dir, dirSnap, name))
}

func (p *Pack) dropCopy() {
	if p.copy == nil {
		return
	}
	d := p.f.d
	err := errors.Join(p.copy.Close(), d.disk.remove(p.copy.Name()))
	if err != nil {
		d.log.Warn("remove snapshot", "op", "pack", "ino", uint64(p.f.ino), "err", err)
	}
	d.mu.Lock()
	d.bytes -= p.copied
	d.mu.Unlock()
}

// copyDirty copies what is dirty now.
func (p *Pack) copyDirty(ctx context.Context) error {
	f := p.f
	f.mu.Lock()
	ranges, err := f.changes()
	p.since = blocks{}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return p.copyRanges(ctx, ranges)
}

// takeSince returns what changed since the last call.
func (p *Pack) takeSince() []PackRange {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	ranges := since(p)
	p.since = blocks{}
	return ranges
}

// since returns what changed since it was last taken, beyond the end too: the
// file may grow again. The caller holds f.mu.
func since(p *Pack) []PackRange {
	var ranges []PackRange
	limit := p.since.end()
	for b := p.since.next(0, limit, dirty); b < limit; b = p.since.next(b, limit, dirty) {
		end, _ := p.since.run(b, limit)
		ranges = append(ranges, PackRange{Off: b * BlockSize, Len: (end - b) * BlockSize})
		b = end
	}
	return ranges
}

func size(ranges []PackRange) (n int64) {
	for _, r := range ranges {
		n += r.Len
	}
	return n
}

// copyRanges copies ranges of the live file. What lies beyond its end is made
// zeros: an earlier round may have found data there.
func (p *Pack) copyRanges(ctx context.Context, ranges []PackRange) error {
	buf := make([]byte, min(copyPart, size(ranges)))
	for _, r := range ranges {
		if r.Hole {
			continue
		}
		for off, end := r.Off, r.Off+r.Len; off < end; off += int64(len(buf)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := p.f.data.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if _, err := p.f.d.disk.pwrite(p.copy, buf[:n], off); err != nil {
				return err
			}
			if n < len(buf) && off+int64(n) < end {
				if err := p.f.d.disk.punch(p.copy, off+int64(n), end-off-int64(n)); err != nil {
					return err
				}
				break
			}
		}
		p.addCopied(r.Len)
	}
	return nil
}

// addCopied counts the copy as room that staging takes.
func (p *Pack) addCopied(n int64) {
	p.copied += n
	p.f.d.mu.Lock()
	p.f.d.bytes += n
	p.f.d.mu.Unlock()
}
