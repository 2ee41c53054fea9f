package staging

import (
	"errors"
	"fmt"
	"os"

	"github.com/walfs/walfs/index"
)

// Programs may outlive the mount that lent them a file: what they have open, or
// mapped, still leads to the data file, and the kernel goes on writing it. Nobody
// would be told of that, and whoever packs the file would miss it.

// Sever puts a copy in the place of a data file that somebody else has open, so
// that what he writes from now on reaches nobody, as with any mount that is gone.
// It reports whether there was somebody. Call it before anybody uses the file.
func (d *Dir) Sever(ino index.Ino) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.present[ino]
	if p == nil {
		return false, nil
	}
	if d.open[ino] != nil {
		return false, fmt.Errorf("sever staging file %d: %w", ino, ErrBusy)
	}
	severed, now, err := d.sever(ino)
	if err != nil {
		return false, fmt.Errorf("sever staging file %d: %w", ino, err)
	}
	if severed {
		p.size, p.mtime, p.unsynced, p.unlinked = now.size, now.mtime, true, true
	}
	return severed, nil
}

func (d *Dir) sever(ino index.Ino) (severed bool, now stamp, err error) {
	path := d.dataPath(ino)
	data, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, now, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	others, err := openElsewhere(data)
	if err != nil || !others {
		return false, now, nil // without leases nothing is lent
	}
	tmp := path + ".tmp"
	if err := d.copyTo(tmp, path); err != nil {
		return false, now, err
	}
	now, err = stampOf(data) // not older than the copy
	if err == nil {
		err = d.disk.setMtime(tmp, now.mtime)
	}
	if err == nil {
		now.size, err = sizeOf(tmp)
	}
	if err == nil {
		err = d.disk.rename(tmp, path)
	}
	if err != nil {
		return false, now, errors.Join(err, d.disk.remove(tmp))
	}
	return true, now, nil
}

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
