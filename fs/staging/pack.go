package staging

import "context"

// Pack is a snapshot of a file on its way to a segment.
type Pack struct {
	Version uint64
	Size    int64
	Mtime   int64
	Base    int64 // published content from here on is not part of the version
}

// PackRange is a range that changed since the last committed Pack.
type PackRange struct {
	Off, Len int64
	Hole     bool // reads as zeros; there is nothing to store
}

// Pack takes a snapshot. Without copy it reads the live file, so that later
// writes show (see Moved); with copy it has bytes of its own. ErrBusy: the
// file has another Pack. The caller ends it with Commit or Abort.
func (f *File) Pack(ctx context.Context, copy bool) (*Pack, error) { return nil, errUnfinished }

// Ranges returns what changed, in order, in multiples of BlockSize but for the end of the file.
func (p *Pack) Ranges() []PackRange { return nil }

// ReadAt reads from the snapshot.
func (p *Pack) ReadAt(b []byte, off int64) (int, error) { return 0, errUnfinished }

// Moved reports whether the file changed since the snapshot.
func (p *Pack) Moved() bool { return false }

// Commit tells that the index has published the snapshot.
func (p *Pack) Commit() error { return errUnfinished }

// Abort drops the snapshot.
func (p *Pack) Abort() {}
