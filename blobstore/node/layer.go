package node

import (
	"errors"
	"os"
	"syscall"
)

// layer is the part of the operating system on which a node's promises rest.
// Tests replace single functions of it, to inject faults and to see the order of calls.
type layer struct {
	allocate func(f *os.File, size int64) error
	writeAt  func(f *os.File, p []byte, off int64) (int, error)
	sync     func(f *os.File) error
	evict    func(f *os.File) // from the page cache, so that the next read sees the disk
	syncDir  func(dir string) error
	rename   func(from, to string) error
	remove   func(name string) error
	space    func(dir string) (total, free int64, err error)
}

// disk is the layer outside of tests.
func disk() layer {
	return layer{
		allocate: allocate,
		writeAt:  (*os.File).WriteAt,
		sync:     (*os.File).Sync,
		evict:    evict,
		syncDir:  syncDir,
		rename:   os.Rename,
		remove:   os.Remove,
		space:    space,
	}
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}

// full tells whether an error means that the disk, or the user's share of it, is full.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
