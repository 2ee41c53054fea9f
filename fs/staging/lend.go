package staging

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// A file of which staging holds the whole content can be lent to the kernel,
// which then reads and writes the data file by itself. While it is lent for
// writing nobody tells us what changes. So
//
//   - the inode is marked, and the data file stands alone: it is the whole
//     content, all of it changed, whenever the machine stops;
//   - size, time and whether something changed come from fstat, see look;
//   - a Pack marks the inode again at once, and its Commit leaves all of the
//     file dirty: whoever packs the next version finds what is unchanged by hashes;
//   - nothing exchanges, punches or removes the data file.
//
// A mapping of the file outlives the handle that it was made with, and the
// kernel does not say when it ends: TakeBack does not succeed before.

// ErrPartial refuses to lend a file of which staging does not hold all.
var ErrPartial = errors.New("staging does not hold the whole file")

// stamp tells one state of a data file from the next. The zero value is none.
type stamp struct {
	size         int64
	mtime, ctime int64 // Unix time in nanoseconds
}

func stampOf(file *os.File) (stamp, error) {
	s, _, err := stampAndRoom(file)
	return s, err
}

// stampAndRoom returns also how many bytes the file takes on disk.
func stampAndRoom(file *os.File) (stamp, int64, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(file.Fd()), &st) }); err != nil {
		return stamp{}, 0, err
	}
	s := stamp{size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
	return s, st.Blocks * 512, nil // Source: stat(2), the unit of st_blocks
}

// settled reports whether a change from now on gives another stamp. Where the
// file system has coarse times that takes a while.
func (d *Dir) settled(s stamp) bool {
	return d.fineTimes.Load() || time.Now().UnixNano()-s.ctime > int64(coarsest)
}

// coarsest is how far apart the times are, at most, that a file system gives.
// Source: a tick of the kernel is 10 ms at most; ten times that.
const coarsest = 100 * time.Millisecond

// Lend lets the kernel write the data file by itself, until TakeBack. The inode
// is marked before. Back is called by Back, without a lock; nil: nobody is. ErrPartial:
// only a part of the content is here.
func (f *File) Lend(ctx context.Context, back func()) error {
	if err := f.lockMarked(ctx); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if f.lent.Load() {
		return nil
	}
	if !f.complete() {
		return fmt.Errorf("lend staging file %d: %w", f.ino, ErrPartial)
	}
	published := !f.plain && f.pack == nil && f.base == f.size && f.blocks.next(0, f.blocks.end(), dirty) == f.blocks.end()
	if err := f.makePlain(); err != nil {
		return fmt.Errorf("lend staging file %d: %w", f.ino, err)
	}
	if f.pack != nil {
		f.pack.moved.Store(true)
		f.pack.lent = true
	}
	if err := f.stamp(); err != nil {
		return err
	}
	f.unsettled()
	f.unsync()
	f.seen, f.back = stamp{}, back
	f.lent.Store(true)
	f.d.lend(f)
	if err := f.look(); err != nil {
		return err
	}
	f.proof = proof{f.seen, published && f.quiet}
	return nil
}

// makePlain makes the data file of a file that is complete stand alone. The caller holds mu.
func (f *File) makePlain() error {
	if f.plain {
		return nil
	}
	if f.blockMap != nil {
		if err := f.d.disk.remove(f.d.mapPath(f.ino)); err != nil {
			return err
		}
		_ = f.blockMap.Close() // nobody reads it any more
		f.blockMap, f.behind = nil, false
		f.d.mu.Lock()
		if p := f.d.present[f.ino]; p != nil {
			p.mapped = false
		}
		f.d.mu.Unlock()
	}
	f.base, f.whole, f.plain, f.blocks = 0, true, true, blocks{}
	f.epoch++
	return nil
}

// look learns what the kernel did to a file that is lent. The caller holds mu.
func (f *File) look() error {
	if !f.lent.Load() {
		return nil
	}
	now, room, err := stampAndRoom(f.data)
	if err != nil {
		return fmt.Errorf("look at staging file %d: %w", f.ino, err)
	}
	if now == f.seen && f.quiet {
		return nil
	}
	if now.size != f.seen.size || now.mtime != f.seen.mtime {
		f.timed = true
	}
	if f.seen != (stamp{}) && now.mtime != f.mtime {
		f.wrote = now.mtime
	}
	if f.pack != nil {
		f.pack.moved.Store(true)
	}
	f.size, f.mtime, f.stamped = now.size, now.mtime, true
	f.seen, f.quiet = now, f.d.settled(now)
	f.turns++
	f.unsync()
	f.d.account(f.ino, room)
	return nil
}

// see is look for those who do not hold mu.
func (f *File) see() {
	if !f.lent.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(); err != nil {
		f.d.log.Error("staging file cannot be looked at", "op", "look", "ino", uint64(f.ino), "err", err)
	}
}

// rlock takes mu for reading, with what the kernel did known.
func (f *File) rlock() {
	f.see()
	f.mu.RLock()
}

// Lent reports whether the kernel may write the file by itself.
func (f *File) Lent() bool { return f.lent.Load() }

// Wrote returns when the kernel wrote the file last by itself, as Unix time in
// nanoseconds, as far as was noticed; 0: it did not.
func (f *File) Wrote() int64 {
	f.rlock()
	defer f.mu.RUnlock()
	return f.wrote
}

// Turns counts the changes that were noticed, so that who remembers the number
// knows whether there were more.
func (f *File) Turns() uint64 {
	f.rlock()
	defer f.mu.RUnlock()
	return f.turns
}

// proof is what a lent file was like when it was, for sure, the version before
// the one that it is marked with.
type proof struct {
	at   stamp
	good bool
}

// TakeBack ends what Lend began, once no handle is open any more. It returns
// false while somebody has the file mapped for writing. When nothing was written
// since the file was published, or since its last Pack, it takes the mark back
// too, and the file is what it was then.
func (f *File) TakeBack(ctx context.Context) (bool, error) {
	f.lending.Lock()
	defer f.lending.Unlock()
	f.marking.Lock()
	defer f.marking.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lent.Load() {
		return true, nil
	}
	others, err := openElsewhere(f.data)
	if err != nil {
		return false, fmt.Errorf("staging file %d: %w", f.ino, err)
	}
	if err := f.look(); err != nil || others {
		return false, err
	}
	f.lent.Store(false)
	f.d.unlend(f)
	if f.d.c.Unmark == nil || !f.marked || !f.proof.good || f.seen != f.proof.at {
		return true, nil
	}
	packing := f.pack != nil && f.pack.lent && f.pack.Version+1 == f.version
	if packing {
		f.pack.lent = false // it has what the file is: its Commit does the rest, and may come before we go on
	}
	f.marked = false // who wants to write marks anew, and waits for us
	f.mu.Unlock()
	done, err := f.d.c.Unmark(ctx, f.ino, f.version, packing)
	f.mu.Lock()
	if f.marked = err != nil || !done; f.marked {
		return true, err
	}
	f.version--
	if packing {
		return true, nil
	}
	return true, f.asPublished()
}

// asPublished makes what staging holds be the published version. The caller holds mu.
func (f *File) asPublished() error {
	if err := f.spread(); err != nil {
		return fmt.Errorf("staging file %d: %w", f.ino, err)
	}
	f.blocks.change(dirty, packed)
	f.base = f.size
	f.epoch++
	f.settled()
	return nil
}

// openElsewhere reports whether a file is open for writing, or mapped so,
// through another open file than this one. A lease is what the kernel gives
// only to the one who has a file open alone.
func openElsewhere(file *os.File) (bool, error) {
	fd := file.Fd()
	_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_WRLCK)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("look who has it open: %w", err)
	}
	_, err = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
	return false, err
}

func (d *Dir) lend(f *File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lent == nil {
		d.lent = map[index.Ino]*File{}
	}
	d.lent[f.ino] = f
}

func (d *Dir) unlend(f *File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.lent, f.ino)
}

// Look looks at all files that are lent, and returns how many there are.
func (d *Dir) Look() int {
	return d.eachLent((*File).see)
}

// BackAll is Back for all files that are lent.
func (d *Dir) BackAll() {
	d.eachLent((*File).askBack)
}

// eachLent calls do for the files that are lent, and returns how many there are.
func (d *Dir) eachLent(do func(*File)) int {
	d.mu.Lock()
	var lent []*File
	for _, f := range d.lent {
		f.refs++
		lent = append(lent, f)
	}
	d.mu.Unlock()
	for _, f := range lent {
		do(f)
		f.Release()
	}
	return len(lent)
}

// Back has whoever lent a file, if it is lent, take it back now when the kernel
// does not use it any more. The kernel tells of its last release some time after
// close(2) has returned, and of the end of a mapping not at all: a Pack before that
// marks the inode again, although nobody is left who could write.
func (d *Dir) Back(ino index.Ino) {
	d.mu.Lock()
	f := d.lent[ino]
	if f == nil {
		d.mu.Unlock()
		return
	}
	f.refs++
	d.mu.Unlock()
	defer f.Release()
	f.askBack()
}

func (f *File) askBack() {
	f.mu.RLock()
	back := f.back
	f.mu.RUnlock()
	if back != nil && f.lent.Load() {
		back()
	}
}

// Fd returns the descriptor of the data file, good as long as the file is in use.
func (f *File) Fd() int { return int(f.data.Fd()) }

// scratchSize is how long the files are, in bytes, that Probe makes.
const scratchSize = BlockSize

// Probe makes a file in staging for the time that do runs, and finds out what
// the file system can: whether files can share their blocks, and how fine its times are.
func (d *Dir) Probe(do func(fd int) error) (clones bool, err error) {
	file, err := d.scratch("probe")
	if err != nil {
		return false, fmt.Errorf("probe staging: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := do(int(file.Fd())); err != nil {
		return false, err
	}
	if alone, err := openElsewhere(file); err != nil || alone {
		return false, errors.Join(fmt.Errorf("probe staging: no leases"), err)
	}
	fine, err := fineTimes(file)
	if err != nil {
		return false, fmt.Errorf("probe staging: %w", err)
	}
	d.fineTimes.Store(fine)
	copy, err := d.scratch("probe-copy")
	if err != nil {
		return false, fmt.Errorf("probe staging: %w", err)
	}
	defer func() { err = errors.Join(err, copy.Close()) }()
	d.clones = unix.IoctlFileClone(int(copy.Fd()), int(file.Fd())) == nil
	return d.clones, nil
}

// scratch makes a file without a name.
func (d *Dir) scratch(name string) (file *os.File, err error) {
	path := filepath.Join(d.c.Dir, dirSnap, name)
	if file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	_, err = file.WriteAt(make([]byte, scratchSize), 0)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// fineTimes reports whether every write gives a file another time, once
// somebody has looked. Source: multigrain timestamps, Linux 6.13.
func fineTimes(file *os.File) (bool, error) {
	const tries = 20
	for range tries {
		before, err := stampOf(file)
		if err != nil {
			return false, err
		}
		if _, err := file.WriteAt([]byte{1}, 0); err != nil {
			return false, err
		}
		after, err := stampOf(file)
		if err != nil {
			return false, err
		}
		if after.ctime == before.ctime {
			return false, nil
		}
	}
	return true, nil
}
