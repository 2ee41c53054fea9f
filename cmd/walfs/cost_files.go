package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// fileKey tells files with several names.
type fileKey struct{ dev, ino uint64 }

// run counts what lies at the paths and below.
func (c *costing) run(ctx context.Context, paths []string) error {
	progress := c.app.Progress("count", "files")
	defer progress.End()
	seen := map[fileKey]bool{}
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil {
			return err
		}
		err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				err = c.entry(path, entry, seen)
			}
			if err != nil {
				c.app.Warn("%s is left out: %v", ui.Clean(path), err)
				c.costs.Skipped++
				if entry != nil && entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			progress.Set(ui.Count{Items: c.costs.Files, Bytes: c.costs.Bytes}, ui.Count{})
			return nil
		})
		if err != nil {
			return err
		}
	}
	c.layout.End()
	return c.failed
}

// errNoKind is why device nodes, pipes and sockets are left out.
var errNoKind = errors.New("it is no file, folder or link")

// entry counts one entry. A file with several names counts once.
func (c *costing) entry(path string, entry fs.DirEntry, seen map[fileKey]bool) error {
	name := len(entry.Name())
	switch {
	case entry.IsDir(), entry.Type()&fs.ModeSymlink != 0:
		c.layout.Name(name)
		return nil
	case !entry.Type().IsRegular():
		return errNoKind
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("its attributes cannot be read")
	}
	if st.Nlink > 1 {
		key := fileKey{st.Dev, st.Ino}
		if seen[key] {
			c.layout.Name(name)
			return nil
		}
		seen[key] = true
	}
	c.costs.Files++
	c.costs.Bytes += st.Size
	c.layout.File(dataOf(path, st), name)
	c.blob(&c.costs.Single, st.Size)
	return nil
}

// statBlock is the unit of st_blocks in bytes. Source: stat(2).
const statBlock = 512

// dataOf returns how many bytes of a file are not in holes that walfs would
// leave out; all of them where nobody can tell.
func dataOf(path string, st *syscall.Stat_t) int64 {
	if st.Blocks*statBlock >= st.Size {
		return st.Size
	}
	f, err := os.Open(path)
	if err != nil {
		return st.Size
	}
	defer f.Close()
	const holeMin = 64 << 10 // shorter ones are stored as zeros
	data, end := int64(0), int64(0)
	for end < st.Size {
		start, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return data // nothing but a hole follows
		}
		if err != nil {
			return st.Size
		}
		if start-end < holeMin && end > 0 {
			data += start - end
		}
		if end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
			return st.Size
		}
		data += end - start
	}
	return data
}
