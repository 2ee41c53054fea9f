package commit

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/walfs/walfs/index"
)

// drain is one call of Drain. Its targets are guarded by drains.mu.
type drain struct {
	started time.Time
	targets map[index.Ino]*target
}

// target is a file that has to be certified at a version or a newer one.
type target struct {
	version    uint64
	size       int64
	generation uint64  // that publishes it; 0: it is not packed yet
	shares     []share // of a file that takes several segments
	err        error   // why it cannot be packed
}

// share is bytes of a target that went into a generation.
type share struct {
	generation uint64
	bytes      int64
}

// publish notes the generation that publishes the target.
func (t *target) publish(generation uint64) {
	t.generation, t.err = generation, nil
}

// certified returns how many bytes of the target are certified when all up to
// a generation is.
func (t *target) certified(closed uint64) (n int64) {
	if t.generation > 0 && t.generation <= closed {
		return t.size
	}
	for _, s := range t.shares {
		if s.generation <= closed {
			n += s.bytes
		}
	}
	return min(n, t.size)
}

// drains are the calls of Drain that wait, and what a new one has to wait for
// although it is packed already.
type drains struct {
	mu      sync.Mutex // guards the fields below, and the targets of each drain
	open    map[*drain]bool
	storing map[index.Ino]target // published by a generation that is not finished
}

func (ds *drains) add(d *drain) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.open == nil {
		ds.open = map[*drain]bool{}
	}
	ds.open[d] = true
}

func (ds *drains) remove(d *drain) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	delete(ds.open, d)
}

// any reports whether somebody waits.
func (ds *drains) any() bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return len(ds.open) > 0
}

// aim makes the dirty files and those that are being stored the targets of a drain.
func (ds *drains) aim(d *drain, dirty []index.Attr) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d.targets = make(map[index.Ino]*target, len(dirty)+len(ds.storing))
	for ino, t := range ds.storing {
		d.targets[ino] = &t
	}
	for _, attr := range dirty {
		d.targets[attr.Ino] = &target{version: attr.Version, size: attr.Size}
	}
}

// stores notes a file that a generation publishes.
func (ds *drains) stores(ino index.Ino, size int64, generation uint64) {
	if ds.storing == nil {
		ds.storing = map[index.Ino]target{}
	}
	ds.storing[ino] = target{size: size, generation: generation}
}

// found notes a file that was packed before this program started.
func (ds *drains) found(ino index.Ino, size int64, generation uint64) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if _, ok := ds.storing[ino]; !ok {
		ds.stores(ino, size, generation)
	}
}

// finished notes that all up to a generation is certified.
func (ds *drains) finished(generation uint64) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	maps.DeleteFunc(ds.storing, func(_ index.Ino, t target) bool { return t.generation <= generation })
}

// packed tells those who wait what a generation has of their targets.
func (ds *drains) packed(p *packer, generation uint64) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, par := range p.done {
		ds.stores(par.job.Ino, par.pack.Size, generation)
	}
	for d := range ds.open {
		for _, par := range p.done {
			if t := d.targets[par.job.Ino]; t != nil && t.generation == 0 && par.version >= t.version {
				t.publish(generation)
			}
		}
		if p.open == nil {
			continue
		}
		if t := d.targets[p.open.job.Ino]; t != nil {
			for _, q := range p.open.fresh {
				t.shares = append(t.shares, share{generation, q.Len})
			}
		}
	}
}

// waiting returns the targets that are neither packed nor failed.
func (ds *drains) waiting(d *drain) (inos []index.Ino) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for ino, t := range d.targets {
		if t.generation == 0 && t.err == nil {
			inos = append(inos, ino)
		}
	}
	return inos
}

// failure returns why a target cannot be packed, or nil.
func (ds *drains) failure(d *drain) error {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, t := range d.targets {
		if t.err != nil {
			return t.err
		}
	}
	return nil
}

// left returns the targets that are not certified when all up to a generation is.
func (ds *drains) left(d *drain, closed uint64) (inos []index.Ino) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for ino, t := range d.targets {
		if t.generation == 0 || t.generation > closed {
			inos = append(inos, ino)
		}
	}
	slices.SortFunc(inos, cmp.Compare[index.Ino])
	return inos
}

// progress counts what is certified when all up to a generation is.
func (ds *drains) progress(d *drain, closed uint64) (p Progress) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	p.FilesTotal = len(d.targets)
	for _, t := range d.targets {
		p.BytesTotal += t.size
		p.Bytes += t.certified(closed)
		if t.generation > 0 && t.generation <= closed {
			p.Files++
		}
	}
	return p
}
