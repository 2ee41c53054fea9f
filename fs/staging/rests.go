package staging

import "github.com/walfs/walfs/index"

// Rests reports whether a file that is lent to the kernel is marked with a version
// that differs in nothing from the one before: the kernel has not written since
// that one was packed, or published. Seq is the number of the state for which that
// holds, as in index.Queued.
func (d *Dir) Rests(ino index.Ino, version uint64) (seq uint64, ok bool) {
	d.mu.Lock()
	f := d.lent[ino]
	if f == nil {
		d.mu.Unlock()
		return 0, false
	}
	f.refs++
	d.mu.Unlock()
	defer f.Release()
	return f.rests(version)
}

func (f *File) rests(version uint64) (seq uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lent.Load() || !f.marked || f.version != version || f.pack != nil || !f.proof.good {
		return 0, false
	}
	if err := f.look(); err != nil {
		f.d.log.Error("staging file cannot be looked at", "op", "look", "ino", uint64(f.ino), "err", err)
		return 0, false
	}
	return f.d.seq.Add(1), f.seen == f.proof.at
}
