package staging

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/walfs/walfs/index"
)

// syncOneByOne is the number of files up to which SyncAll syncs each by itself.
const syncOneByOne = 16

// Sync brings the data to stable storage and returns what was held when it
// began, for index.Barrier. Callers that arrive meanwhile wait for their own turn.
func (f *File) Sync(ctx context.Context) (index.Held, error) {
	f.syncing.Lock()
	defer f.syncing.Unlock()
	held, unsynced, timed, err := f.beginSync()
	if err != nil {
		return held, err
	}
	if err := f.syncFiles(unsynced, timed); err != nil {
		f.mu.Lock()
		f.unsynced, f.timed = f.unsynced || unsynced, f.timed || timed
		f.mu.Unlock()
		return index.Held{}, fmt.Errorf("sync staging file %d: %w", f.ino, err)
	}
	return held, nil
}

// Fresh reports whether nothing of the file is published, or about to be.
func (f *File) Fresh() bool {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	p := f.d.present[f.ino]
	return p != nil && p.fresh
}

// Synced reports whether nobody uses what staging holds of an inode, nothing of it is
// published, or about to be, and all of it is on stable storage: no barrier has to tell of it.
func (d *Dir) Synced(ino index.Ino) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.present[ino]
	return p != nil && d.open[ino] == nil && p.fresh && !p.unsynced && !p.unlinked
}

// beginSync returns what is going to be stable, and whether data, and the time
// of the data file, have to be synced for it. The time has to go with the data:
// what is never written again is never stamped again.
func (f *File) beginSync() (held index.Held, unsynced, timed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(); err != nil {
		return held, false, false, err
	}
	if err := f.stamp(); err != nil {
		return held, false, false, err
	}
	// What is mapped may be written without a trace until it is synced.
	held, unsynced, timed = f.held(), f.unsynced || f.lent.Load(), f.timed && f.plain
	f.unsynced, f.timed = false, false
	return held, unsynced, timed, nil
}

func (f *File) syncFiles(unsynced, timed bool) error {
	d := f.d
	d.mu.Lock()
	p := d.present[f.ino]
	unlinked := p != nil && p.unlinked
	d.mu.Unlock()
	named := make(chan error, 1) // while the data is synced
	if unlinked {
		go func() { named <- d.disk.syncDir(d.folder(f.ino)) }()
	} else {
		named <- nil
	}
	var err error
	if unsynced {
		sync := d.disk.sync
		if timed {
			sync = d.disk.syncWithTime
		}
		err = sync(f.data)
	}
	if err = errors.Join(err, <-named); err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if p != nil {
		p.unlinked, p.unsynced = false, f.unsynced
	}
	return nil
}

// State returns what index.Queue has to know of the file.
func (f *File) State() index.Queued {
	f.rlock()
	defer f.mu.RUnlock()
	return index.Queued{Size: f.size, Mtime: f.mtime, Seq: f.d.seq.Add(1)}
}

// held returns what the file holds now. The caller holds mu, so that the
// numbers of states grow as the states follow one another.
func (f *File) held() index.Held {
	return index.Held{
		Ino: f.ino, Size: f.size, Base: f.base, Mtime: f.mtime, Blocks: encodeRuns(f.spans(f.size)), Seq: f.d.seq.Add(1),
	}
}

// spans returns the runs of blocks that are held below size. The caller holds mu.
func (f *File) spans(size int64) []span {
	limit := blocksFor(size)
	if limit == 0 {
		return nil
	}
	if f.whole {
		return []span{{0, limit}}
	}
	var spans []span
	for b := int64(0); b < limit; {
		end, s := f.blocks.run(b, limit)
		switch {
		case s == absent:
		case len(spans) > 0 && spans[len(spans)-1].to == b:
			spans[len(spans)-1].to = end
		default:
			spans = append(spans, span{b, end})
		}
		b = end
	}
	return spans
}

// Unsynced returns the inodes whose data may not be on stable storage yet.
func (d *Dir) Unsynced() []index.Ino {
	d.mu.Lock()
	defer d.mu.Unlock()
	var inos []index.Ino
	for ino, p := range d.present {
		if p.unsynced {
			inos = append(inos, ino)
		}
	}
	return inos
}

// SyncAll brings the data of the inodes to stable storage and returns, for
// index.Barrier, what is held of those of which the data file alone may not
// tell. Many at a time cost one sync of the whole file system instead of one for each.
func (d *Dir) SyncAll(ctx context.Context, inos []index.Ino) ([]index.Held, error) {
	d.reserve.fill() // there may be room again
	if len(inos) > syncOneByOne {
		idle := d.Idle(inos)
		if err := d.disk.syncFS(d.c.Dir); err != nil {
			return nil, fmt.Errorf("sync staging: %w", err)
		}
		d.settle(idle)
	}
	var held []index.Held
	for _, ino := range inos {
		h, err := d.syncOne(ctx, ino)
		if err != nil {
			return nil, err
		}
		if h != nil {
			held = append(held, *h)
		}
	}
	return held, nil
}

// Idle returns the number of the last opening of those inodes whose files nobody uses now: it
// is another one once somebody did.
func (d *Dir) Idle(inos []index.Ino) map[index.Ino]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	idle := map[index.Ino]uint64{}
	for _, ino := range inos {
		if d.open[ino] != nil {
			continue
		}
		idle[ino] = 0
		if p := d.present[ino]; p != nil {
			idle[ino] = p.opened
		}
	}
	return idle
}

// settle notes that the data of inodes is on stable storage, unless they were
// opened since.
func (d *Dir) settle(idle map[index.Ino]uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ino, opened := range idle {
		if p := d.present[ino]; p != nil && p.opened == opened {
			p.unsynced, p.unlinked = false, false
		}
	}
}

// syncOne syncs a file, if it is still there. Of one that is fresh and on
// stable storage already nothing has to be written down.
func (d *Dir) syncOne(ctx context.Context, ino index.Ino) (*index.Held, error) {
	d.mu.Lock()
	p := d.present[ino]
	skip := p == nil || p.fresh && !p.unsynced
	d.mu.Unlock()
	if skip {
		return nil, nil
	}
	f, ok, err := d.Lookup(ino)
	if errors.Is(err, ErrCorrupt) {
		return nil, d.syncDamaged(ino, p)
	}
	if err != nil || !ok {
		return nil, err
	}
	defer f.Release()
	h, err := f.Sync(ctx)
	if err != nil {
		return nil, err
	}
	return &h, nil
}

// syncDamaged syncs a file whose block map is damaged: nobody can use it, and what
// a barrier wrote down of it before stands. It must not keep others from being synced.
func (d *Dir) syncDamaged(ino index.Ino, p *presence) error {
	d.log.Error("block map is damaged", "op", "sync", "ino", uint64(ino))
	f, err := os.Open(d.dataPath(ino))
	if err != nil {
		return fmt.Errorf("sync staging file %d: %w", ino, err)
	}
	if err := errors.Join(d.disk.sync(f), f.Close()); err != nil {
		return fmt.Errorf("sync staging file %d: %w", ino, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p.unsynced = false
	return nil
}
