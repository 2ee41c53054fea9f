package localnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// logCopy is a copy of the log in another folder.
//
// Every folder gets each record before it is answered. Of the copies on one
// disk one is synced then; the others are as soon as the kernel writes them
// back, at the latest when Mend looks at them, and are put right from the home
// when they turn out to be behind.
type logCopy struct {
	dir   string
	disk  uint64 // device number of the folder
	f     *os.File
	swaps int   // of the home's log when this became a copy of it
	end   int64 // of what this file has, in bytes
	dirty bool  // written and not synced
	err   error // why nothing is written to it; nil: it is up to date
}

// CopyStatus says how a copy of the log stands.
type CopyStatus struct {
	Dir string
	Err error // nil: it has every record
}

// Copies returns the state of all copies that are attached.
func (n *Net) Copies() []CopyStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]CopyStatus, len(n.copies))
	for i, c := range n.copies {
		all[i] = CopyStatus{Dir: c.dir, Err: c.err}
	}
	return all
}

// The errors of Attach and Open that speak of copies.
var (
	// ErrTakenOver reports that another home has restored the network and goes on with it.
	ErrTakenOver = errors.New("another home has taken the network over")
	// ErrFork reports a copy of the log that went another way than this ledger.
	ErrFork = errors.New("log went another way than this ledger")
)

// Attach keeps a copy of the log in a folder from now on, and first brings the
// copy that is there up to date. With ErrTakenOver or ErrFork the folder is left
// as it is. Any other error means that the copy is behind; it stays attached, and Mend tries again.
func (n *Net) Attach(dir string) error {
	n.attachMu.Lock()
	defer n.attachMu.Unlock()
	n.detach(dir)
	c := &logCopy{dir: dir}
	err := n.catchUp(c, nil)
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrTakenOver) && !errors.Is(err, ErrFork) {
		c.err = err
		n.mu.Lock()
		defer n.mu.Unlock()
		n.install(c, nil)
	}
	return fmt.Errorf("copy of the ledger's log in %s: %w", dir, err)
}

// Detach lets go of the copy in a folder, which gets no more records.
func (n *Net) Detach(dir string) {
	n.attachMu.Lock()
	defer n.attachMu.Unlock()
	n.detach(dir)
}

func (n *Net) detach(dir string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.IndexFunc(n.copies, func(c *logCopy) bool { return c.dir == dir }); i >= 0 {
		n.closeCopy(n.copies[i])
		n.copies = slices.Delete(n.copies, i, i+1)
	}
}

// install puts a copy in the place of another, or behind the last one. The caller holds attachMu and mu.
func (n *Net) install(c, old *logCopy) {
	if i := slices.Index(n.copies, old); i >= 0 {
		n.copies[i] = c
		n.closeCopy(old)
	} else {
		n.copies = append(n.copies, c)
	}
}

// closeCopy syncs and closes the file of a copy.
func (n *Net) closeCopy(c *logCopy) {
	if c.f == nil {
		return
	}
	var err error
	if c.dirty && c.err == nil {
		err = c.f.Sync()
	}
	if err = errors.Join(err, c.f.Close()); err != nil {
		n.log.Warn("close a copy of the ledger's log", "dir", c.dir, "err", err)
	}
	c.f = nil
}

// Mend looks at all copies: it syncs what was not yet synced, and brings up to
// date what fell behind, was replaced by another file, or is of a log that was compacted since. SQLite's log goes into
// the database, where every read is checked.
func (n *Net) Mend() {
	n.attachMu.Lock()
	defer n.attachMu.Unlock()
	n.mu.Lock()
	copies := slices.Clone(n.copies) // which only holders of attachMu change
	n.mu.Unlock()
	for _, c := range copies {
		if n.ails(c) {
			n.mendCopy(c)
		}
	}
	if err := n.store.copyWAL(context.Background()); err != nil {
		n.log.Debug("copy SQLite's log into the ledger's database", "err", err)
	}
}

// ails syncs a copy, and reports whether it has to be made anew.
func (n *Net) ails(c *logCopy) bool {
	n.mu.Lock()
	dirty := c.dirty && c.err == nil
	c.dirty = false
	n.mu.Unlock()
	var err error
	if dirty {
		err = c.f.Sync()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failed(c, err)
	return c.err != nil || c.swaps != n.home.swaps || !c.inPlace()
}

func (n *Net) mendCopy(c *logCopy) {
	fresh := &logCopy{dir: c.dir}
	err := n.catchUp(fresh, c)
	if err == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.err == nil && c.inPlace() {
		n.log.Warn("copy of the ledger's log cannot be replaced", "dir", c.dir, "err", err)
		return // the old file does for now
	}
	fresh.err = err
	n.install(fresh, c)
}

// inPlace reports whether the file that is open is the one with the name, and as long as it should be.
func (c *logCopy) inPlace() bool {
	if c.f == nil {
		return false
	}
	open, err := c.f.Stat()
	if err != nil || open.Size() != c.end {
		return false
	}
	named, err := os.Lstat(filepath.Join(c.dir, LogFile))
	return err == nil && os.SameFile(open, named)
}

// failed notes why a copy gets no more records. The caller holds mu.
func (n *Net) failed(c *logCopy, err error) {
	if err == nil || c.err != nil {
		return
	}
	c.err = err
	n.log.Warn("copy of the ledger's log falls behind", "dir", c.dir, "err", err)
}

// writeCopies writes a record to all copies. The caller holds mu, as for the next three.
func (n *Net) writeCopies(b []byte) {
	for _, c := range n.copies {
		if c.err != nil {
			continue
		}
		c.dirty = true
		_, err := c.f.WriteAt(b, c.end)
		n.failed(c, err)
	}
}

// syncCopies syncs one copy on each disk. One that fails is passed over for the next.
func (n *Net) syncCopies() {
	disks := make(map[uint64][]*logCopy)
	for _, c := range n.copies {
		if c.err == nil {
			disks[c.disk] = append(disks[c.disk], c)
		}
	}
	var wg sync.WaitGroup
	for _, copies := range disks {
		wg.Go(func() {
			for _, c := range copies {
				err := c.f.Sync()
				if err == nil {
					c.dirty = false
					return
				}
				n.failed(c, err)
			}
		})
	}
	wg.Wait()
}

// growCopies notes that a record of so many bytes is there, or no longer there, in all copies.
func (n *Net) growCopies(length int64) {
	for _, c := range n.copies {
		if c.err == nil {
			c.end += length
		}
	}
}

// cutCopies removes what a transaction wrote that did not happen.
func (n *Net) cutCopies() {
	for _, c := range n.copies {
		if c.err == nil {
			n.failed(c, c.f.Truncate(c.end))
		}
	}
}

// catchUp opens the copy in a folder, makes it as long as the home's log, and
// installs it in the place of old. The caller holds attachMu.
func (n *Net) catchUp(c, old *logCopy) (err error) {
	if c.disk, err = diskOf(c.dir); err != nil {
		return err
	}
	path := filepath.Join(c.dir, LogFile)
	found, err := lastOf(path)
	if err == nil {
		if done, err := n.resume(c, old, path, found); done || err != nil {
			return err
		}
	}
	if !errors.Is(err, fs.ErrNotExist) { // before it is replaced, look at what it is
		if err := n.mayReplace(path); err != nil {
			return err
		}
	}
	err = n.copyWhole(c, old, path)
	if errors.Is(err, errRotten) { // the database has what the log has lost
		n.log.Warn("the ledger's log is written anew", "err", err)
		if err := n.compact(context.Background()); err != nil {
			return err
		}
		err = n.copyWhole(c, old, path)
	}
	return err
}

// diskOf returns the device on which a folder lies.
func diskOf(dir string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	return st.Dev, nil
}

// lastOf reads the last record of a log from its end alone.
func lastOf(path string) (t tip, err error) {
	f, err := os.Open(path)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return t, err
	}
	return lastIn(f, info.Size())
}

// lastIn reads the record that ends at a place of a log. It returns errRecord if none does.
func lastIn(f *os.File, end int64) (t tip, err error) {
	if end < headerSize+recordHead+recordTail {
		return t, errRecord
	}
	tail := make([]byte, 4)
	if _, err := f.ReadAt(tail, end-int64(len(tail))); err != nil {
		return t, err
	}
	whole := int64(binary.LittleEndian.Uint32(tail))
	if whole < recordHead+recordTail || whole > end-headerSize {
		return t, errRecord
	}
	rec, sum, err := readRecord(io.NewSectionReader(f, end-whole, whole))
	if err != nil {
		return t, errRecord
	}
	t = tip{rec.number, sum, rec.era, end}
	if rec.kind == kindStateEnd { // the record of which the state is
		head, err := readN(io.NewSectionReader(f, 0, headerSize), headerSize)
		if err != nil {
			return t, err
		}
		h, err := decodeHeader(head)
		if err != nil {
			return t, err
		}
		t = tip{h.base, h.baseHash, h.era, end}
	}
	return t, nil
}

// resume goes on with a copy that is the home's log, or the head of it. It
// reports whether that was so.
func (n *Net) resume(c, old *logCopy, path string, found tip) (done bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	behind := n.home.tip.end - found.end
	if n.closed || behind < 0 || behind > maxPayload {
		return false, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	same, err := sameHead(f, n.home.f)
	if err == nil && same {
		same, err = sameTail(f, n.home.f, n.home.state, found.end)
	}
	if err == nil && same && behind > 0 {
		err = copyRange(f, found.end, n.home.f, found.end, n.home.tip.end)
	}
	if err != nil || !same {
		return false, errors.Join(err, f.Close())
	}
	c.f, c.swaps, c.end = f, n.home.swaps, n.home.tip.end
	c.dirty = true // perhaps: another process may have written it
	n.install(c, old)
	return true, nil
}

// sameHead reports whether two logs start with the same state.
func sameHead(a, b *os.File) (bool, error) {
	heads := [2][headerSize]byte{}
	for i, f := range []*os.File{a, b} {
		if _, err := f.ReadAt(heads[i][:], 0); err != nil {
			return false, err
		}
	}
	return heads[0] == heads[1], nil
}

// tailBytes is how much of a copy is compared with the home's log before it is
// gone on with: more than a power cut can have taken from what no sync has seen.
const tailBytes = 64 << 20

// sameTail compares two logs from behind their state, or from tailBytes before end, up to end.
func sameTail(a, b *os.File, state, end int64) (bool, error) {
	const step = 1 << 18
	x, y := make([]byte, step), make([]byte, step)
	for off := max(state-recordHead-recordTail, end-tailBytes); off < end; off += step {
		k := min(step, end-off)
		if _, err := a.ReadAt(x[:k], off); err != nil {
			return false, err
		}
		if _, err := b.ReadAt(y[:k], off); err != nil {
			return false, err
		}
		if !bytes.Equal(x[:k], y[:k]) {
			return false, nil
		}
	}
	return end >= state, nil
}

// mayReplace refuses to write over a log that says more than the home's.
func (n *Net) mayReplace(path string) error {
	other, err := InspectLog(path)
	if errors.Is(err, ErrDamaged) {
		return nil // no state can be had from it
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	own, ownPath := n.home.tip, n.home.path
	n.mu.Unlock()
	switch {
	case other.ChainID != n.facts.chainID:
		return fmt.Errorf("log of another ledger: %w", ErrFork)
	case era(other.Era).takeovers() > own.era.takeovers():
		return ErrTakenOver
	case era(other.Era).takeovers() < own.era.takeovers():
		return nil // what a home wrote that lost the network
	}
	home, err := InspectLog(ownPath)
	if err != nil {
		return err
	}
	if apart := home.Fork(&other); apart > 1 {
		return fmt.Errorf("%d records that this ledger does not have: %w", apart, ErrFork)
	}
	return nil
}

// copyWhole puts a copy of the home's log into a folder, most of it while
// transactions go on. What it has copied it reads before it takes the place of what is there.
func (n *Net) copyWhole(c, old *logCopy, path string) (err error) {
	n.mu.Lock()
	end, swaps := n.home.tip.end, n.home.swaps
	from, err := os.Open(n.home.path)
	n.mu.Unlock()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), removeIfThere(path+".tmp"))
		}
	}()
	if err := errors.Join(copyRange(f, 0, from, 0, end), from.Close()); err != nil {
		return err
	}
	if info, err := InspectLog(path + ".tmp"); err != nil || info.Damage != nil || info.Size != end {
		return fmt.Errorf("%w: %w", errRotten, errors.Join(err, info.damage()))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.home.swaps != swaps {
		return errors.New("the log was compacted meanwhile")
	}
	if err := copyRange(f, end, n.home.f, end, n.home.tip.end); err != nil {
		return err
	}
	if err := putFile(path); err != nil {
		return err
	}
	c.f, c.swaps, c.end = f, swaps, n.home.tip.end
	n.install(c, old)
	return nil
}

// errRotten reports that the home's log does not read back as it was written.
var errRotten = errors.New("the ledger's log is damaged in the home")

func removeIfThere(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
