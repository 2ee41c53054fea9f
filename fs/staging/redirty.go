package staging

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// Redirty makes the blocks of a range that are held as published, or as packed,
// dirty again, so that the next Pack stores them anew. The caller has marked the
// inode dirty in the index; the map on disk is changed when it returns.
func (f *File) Redirty(off, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plain || n <= 0 || off < 0 || off >= f.size {
		return nil
	}
	from, to := blockOf(off), blocksFor(min(f.size, off+min(n, f.size-off)))
	for from < to {
		end, s := f.blocks.run(from, to)
		if s == clean || s == packed {
			if err := f.needMap(); err != nil {
				return fmt.Errorf("staging file %d: %w", f.ino, err)
			}
			if err := f.setBlocks(from, end, dirty); err != nil {
				return fmt.Errorf("staging file %d: %w", f.ino, err)
			}
			if f.pack != nil {
				f.pack.record(from, end)
			}
		}
		from = end
	}
	f.unsettled()
	return nil
}

// Holds reports whether staging holds all of a range below the end of the file.
func (f *File) Holds(off, n int64) bool {
	for _, r := range f.Held(off, n) {
		if !r.Held {
			return false
		}
	}
	return true
}

// ShelveNamed is Shelve for a file of which a path is known still: it stands in
// a file <ino>.name beside it.
func (d *Dir) ShelveNamed(ino index.Ino, path string) error {
	note := filepath.Join(d.c.Dir, dirLost, strconv.FormatUint(uint64(ino), 10)+".name")
	if err := os.WriteFile(note, []byte(path+"\n"), 0o600); err != nil {
		return fmt.Errorf("shelve staging file: %w", err)
	}
	return d.Shelve(ino)
}

// Lost returns the folder of what Shelve has put away.
func (d *Dir) Lost() string { return filepath.Join(d.c.Dir, dirLost) }

// Keep copies the files of an inode that nobody uses to lost+found, where they
// stay, before something is done to them that cannot be taken back.
func (d *Dir) Keep(ino index.Ino) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[ino] != nil {
		return fmt.Errorf("keep staging file %d: %w", ino, ErrBusy)
	}
	for _, path := range []string{d.mapPath(ino), d.dataPath(ino)} {
		if err := d.copyTo(d.shelf(path), path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("keep staging file %d: %w", ino, err)
		}
	}
	return d.disk.syncDir(d.Lost())
}

// copyTo copies a file with its holes; file systems that can share the blocks do.
func (d *Dir) copyTo(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := d.disk.create(to)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, d.disk.sync(out), out.Close()); err != nil {
			err = errors.Join(err, d.disk.remove(to))
		}
	}()
	if err := d.disk.truncate(out, info.Size()); err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < info.Size(); {
		data, err := seek(in, off, info.Size(), unix.SEEK_DATA)
		if err != nil || data >= info.Size() {
			return err
		}
		hole, err := seek(in, data, info.Size(), unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for off = data; off < hole; {
			n, err := in.ReadAt(buf[:min(int64(len(buf)), hole-off)], off)
			if n == 0 {
				return err
			}
			if _, err := d.disk.pwrite(out, buf[:n], off); err != nil {
				return err
			}
			off += int64(n)
		}
	}
	return nil
}
