package staging

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func (d *Dir) boxPath(number uint64) string {
	return filepath.Join(d.c.Dir, dirOutbox, strconv.FormatUint(number, 10))
}

func (d *Dir) scanOutbox() error {
	folder := filepath.Join(d.c.Dir, dirOutbox)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if number, err := strconv.ParseUint(e.Name(), 10, 64); err == nil {
			d.boxes[number] = struct{}{}
		} else if strings.HasSuffix(e.Name(), ".tmp") {
			if err := os.Remove(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// PutOutbox keeps the bytes of a sealed segment; they are on stable storage when it returns.
func (d *Dir) PutOutbox(number uint64, b []byte) error {
	if err := d.putOutbox(number, b); err != nil {
		return fmt.Errorf("keep segment %d: %w", number, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boxes[number] = struct{}{}
	return nil
}

func (d *Dir) putOutbox(number uint64, b []byte) (err error) {
	path := d.boxPath(number)
	f, err := d.disk.create(path + ".tmp")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, d.disk.remove(path+".tmp"))
		}
	}()
	if _, err := d.disk.pwrite(f, b, 0); err != nil {
		return err
	}
	if err := d.disk.sync(f); err != nil {
		return err
	}
	if err := d.disk.rename(path+".tmp", path); err != nil {
		return err
	}
	return d.disk.syncDir(filepath.Dir(path))
}

// Outbox returns the bytes of a sealed segment, or ErrNotExist.
func (d *Dir) Outbox(number uint64) ([]byte, error) {
	b, err := os.ReadFile(d.boxPath(number))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("segment %d: %w", number, ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read segment %d: %w", number, err)
	}
	return b, nil
}

// ReadOutbox reads len(p) bytes of a sealed segment at off. ErrNotExist: it is not here.
func (d *Dir) ReadOutbox(number uint64, p []byte, off int64) (n int, err error) {
	d.mu.Lock()
	_, ok := d.boxes[number]
	d.mu.Unlock()
	if !ok {
		return 0, fmt.Errorf("segment %d: %w", number, ErrNotExist)
	}
	f, err := os.Open(d.boxPath(number))
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("segment %d: %w", number, ErrNotExist)
	}
	if err != nil {
		return 0, fmt.Errorf("open segment %d: %w", number, err)
	}
	defer f.Close()
	n, err = f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read segment %d: %w", number, err)
	}
	return n, err
}

// RemoveOutbox deletes a sealed segment; there need not be one.
func (d *Dir) RemoveOutbox(number uint64) error {
	d.mu.Lock()
	delete(d.boxes, number)
	d.mu.Unlock()
	if err := d.disk.remove(d.boxPath(number)); err != nil {
		return fmt.Errorf("remove segment %d: %w", number, err)
	}
	return nil
}

// ListOutbox returns the numbers of the sealed segments, in ascending order.
func (d *Dir) ListOutbox() ([]uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.boxes)), nil
}
