package staging

import (
	"context"

	"github.com/walfs/walfs/index"
)

// File is what staging holds of one inode. Its methods may be called concurrently.
type File struct{}

// Release ends the use of a file.
func (f *File) Release() {}

// Ino returns the number of the inode.
func (f *File) Ino() index.Ino { return 0 }

// Size returns the live size in bytes.
func (f *File) Size() int64 { return 0 }

// Mtime returns when the content changed last, as Unix time in nanoseconds.
func (f *File) Mtime() int64 { return 0 }

// SetMtime sets what Mtime returns.
func (f *File) SetMtime(ns int64) error { return errUnfinished }

// Base returns below which offset published content shows through where
// staging holds nothing: the smallest size since that content was published.
func (f *File) Base() int64 { return 0 }

// Epoch changes whenever content that staging does not hold may have changed.
func (f *File) Epoch() uint64 { return 0 }

// Range is a range of a file.
type Range struct {
	Off, Len int64
	Held     bool // staging has its bytes
}

// Held splits a range of the file, up to its size, into what staging holds and what not.
func (f *File) Held(off, n int64) []Range { return nil }

// ReadAt reads a range that staging holds.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return 0, errUnfinished }

// Fill reads published content: len(p) bytes at off, zeros where there is none.
type Fill func(ctx context.Context, p []byte, off int64) error

// WriteAt writes p. Blocks that it covers in part and that staging does not
// hold are filled first.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64, fill Fill) (int, error) {
	return 0, errUnfinished
}

// Mark marks the inode dirty in the index if a write would do so.
func (f *File) Mark(ctx context.Context) (version uint64, err error) { return 0, errUnfinished }

// Truncate sets the size.
func (f *File) Truncate(ctx context.Context, size int64) error { return errUnfinished }

// Punch makes a range read as zeros and frees its room; the size stays.
func (f *File) Punch(ctx context.Context, off, n int64, fill Fill) error { return errUnfinished }

// Allocate reserves room for a range; the size stays.
func (f *File) Allocate(ctx context.Context, off, n int64) error { return errUnfinished }

// NextData returns the first offset from off on at which staging holds data
// that is no hole, or the size when there is none.
func (f *File) NextData(off int64) (int64, error) { return 0, errUnfinished }

// Complete reports whether staging holds the whole content.
func (f *File) Complete() bool { return false }

// Dirty reports whether the file changed since its last Pack was committed.
func (f *File) Dirty() bool { return false }

// AddWriter counts a handle that is open for writing.
func (f *File) AddWriter() {}

// DropWriter is the opposite of AddWriter.
func (f *File) DropWriter() {}

// Writers returns how many handles are open for writing.
func (f *File) Writers() int { return 0 }

// Sync brings the data to stable storage and returns what was held when it
// began, for index.Barrier.
func (f *File) Sync(ctx context.Context) (index.Held, error) { return index.Held{}, errUnfinished }

// HeldState returns what the file holds now.
func (f *File) HeldState() index.Held { return index.Held{} }

// Clean tells that the live version is the published one: no block is dirty,
// and all published content shows through.
func (f *File) Clean() error { return errUnfinished }

// Finished tells that packed blocks are certified.
func (f *File) Finished() error { return errUnfinished }
