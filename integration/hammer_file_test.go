package integration

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// hamFile is a file of the hammer. What is in it follows from these numbers,
// and they stand in it, so that whoever reads a file can tell whether it is whole.
type hamFile struct {
	ID      uint64   `json:"id"`
	Version uint64   `json:"version"`
	Len     int64    `json:"len"`
	InPlace bool     `json:"in_place"`         // it is written block by block
	Blocks  []uint64 `json:"blocks,omitempty"` // versions of the blocks then; 0 is a hole
}

// hamState is all that a worker knows of what it has made, or may have made.
type hamState struct {
	Files   map[uint64]*hamFile `json:"files"` // by ID
	Names   map[string]uint64   `json:"names"` // path below the folder -> ID
	Appends map[string]uint64   `json:"appends"`
	Next    uint64              `json:"next"`
	Marks   []hamMark           `json:"marks"`
	Pending *hamPending         `json:"pending"` // the operation that the end of the drive met
	Done    map[string]int      `json:"done"`
	Failed  string              `json:"failed"`
}

// hamMark says since when the name had a version.
type hamMark struct {
	Name    string `json:"name"`
	Version uint64 `json:"version"`
	Done    int64  `json:"done"` // of the monotonic clock, in nanoseconds
}

// hamPending is an operation that was not answered.
type hamPending struct {
	What    string   `json:"what"`
	Names   []string `json:"names"`
	Log     string   `json:"log,omitempty"`
	File    uint64   `json:"file,omitempty"`
	Block   int      `json:"block,omitempty"`
	Version uint64   `json:"version,omitempty"`
}

const (
	hamMagic  = 0x52454d4d41484657
	hamHeader = 48 // bytes: magic, ID, version, length, CRC32C, zeros
	hamBlock  = 4096
	hamMost   = 24 // blocks of a file that is written in place
)

var hamTable = crc32.MakeTable(crc32.Castagnoli)

// hamBytes makes n bytes that tell what they are: n is at least hamHeader.
func hamBytes(id, version uint64, n int64) []byte {
	b := fsxBytes(id*0x9e3779b97f4a7c15+version*0x2545f4914f6cdd1d|2, n)
	for i, v := range []uint64{hamMagic, id, version, uint64(n), 0, 0} {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	binary.LittleEndian.PutUint32(b[32:], crc32.Checksum(b[hamHeader:], hamTable))
	return b
}

// hamTell reads what bytes say that they are, and holds them to it.
func hamTell(b []byte) (id, version uint64, err error) {
	if len(b) < hamHeader {
		return 0, 0, fmt.Errorf("%d bytes", len(b))
	}
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	id, version = u(1), u(2)
	switch {
	case u(0) != hamMagic:
		return 0, 0, fmt.Errorf("no head: %x", b[:16])
	case u(3) != uint64(len(b)):
		return id, version, fmt.Errorf("file %d version %d: %d bytes instead of %d", id, version, len(b), u(3))
	}
	return id, version, fsxDiffer(fmt.Sprintf("file %d version %d", id, version), 0, b, hamBytes(id, version, int64(len(b))))
}

// checkFile compares a file with what it has to be.
func (f *hamFile) check(path string) error {
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return fsxDiffer(path, 0, got, f.content())
}

func (f *hamFile) content() []byte {
	if !f.InPlace {
		return hamBytes(f.ID, f.Version, f.Len)
	}
	b := make([]byte, hamBlock*len(f.Blocks))
	for i, v := range f.Blocks {
		if v != 0 {
			copy(b[i*hamBlock:], hamBytes(f.ID<<8|uint64(i), v, hamBlock))
		}
	}
	return b
}

// checkState compares a tree with all that a worker has made: exactly that
// has to be there, but for what the pending operation may have changed.
func (w *hammer) checkState() error {
	s := w.state
	maybe := map[string]bool{}
	if s.Pending != nil {
		for _, name := range s.Pending.Names {
			maybe[name] = true
		}
	}
	seen := map[string]bool{}
	err := filepath.WalkDir(w.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasPrefix(e.Name(), w.prefix()) {
			return err
		}
		name, err := filepath.Rel(w.Dir, path)
		if err != nil {
			return err
		}
		if _, known := s.Names[name]; !known && !maybe[name] {
			return fmt.Errorf("%s is there, and should not be", name)
		}
		seen[name] = true
		return nil
	})
	if err != nil {
		return err
	}
	for name, id := range s.Names {
		switch {
		case maybe[name]:
			continue
		case !seen[name]:
			return fmt.Errorf("%s is missing", name)
		}
		if err := w.settle(s.Files[id], filepath.Join(w.Dir, name)); err != nil {
			return err
		}
	}
	return w.adopt(seen)
}

// settle checks a file; a block that was being written is what it was, or what it was to be.
func (w *hammer) settle(f *hamFile, path string) error {
	p := w.state.Pending
	if p == nil || p.File != f.ID {
		return f.check(path)
	}
	old := slices.Clone(f.Blocks)
	for len(f.Blocks) <= p.Block {
		f.Blocks = append(f.Blocks, 0)
	}
	f.Blocks[p.Block] = p.Version
	if f.check(path) == nil {
		return nil
	}
	f.Blocks = old
	return f.check(path)
}

// adopt takes what the pending operation has left for what is now.
func (w *hammer) adopt(seen map[string]bool) error {
	s := w.state
	if s.Pending == nil {
		return nil
	}
	for _, name := range s.Pending.Names {
		old, had := s.Names[name]
		delete(s.Names, name)
		path := filepath.Join(w.Dir, name)
		if !seen[name] {
			if s.Pending.What == "save" && had {
				return fmt.Errorf("%s is missing: it was only replaced", name)
			}
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if f := s.Files[old]; had && f.InPlace && bytes.Equal(b, f.content()) {
			s.Names[name] = old
			continue
		}
		if s.Pending.What == "make" || strings.HasPrefix(filepath.Base(name), w.prefix()+"tmp") {
			if err := os.Remove(path); err != nil { // nobody was told that there is anything in it
				return err
			}
			continue
		}
		if f := w.made(b); f != nil {
			s.Names[name] = f.ID
			continue
		}
		id, version, err := hamTell(b)
		if err != nil {
			return fmt.Errorf("%s after %s: %w", name, s.Pending.What, err)
		}
		s.Files[id] = &hamFile{ID: id, Version: version, Len: int64(len(b))}
		s.Names[name] = id
	}
	s.Pending = nil
	return nil
}

// made is the file written in place that has this content.
func (w *hammer) made(b []byte) *hamFile {
	for _, f := range w.state.Files {
		if f.InPlace && bytes.Equal(b, f.content()) {
			return f
		}
	}
	return nil
}

// checkSaved looks at a tree that was restored without a sync: what is saved
// is whole, and no older than what a sync before has made safe.
func (w *hammer) checkSaved(since int64) error {
	least := map[string]uint64{}
	for _, m := range w.state.Marks {
		if m.Done < since {
			least[m.Name] = max(least[m.Name], m.Version)
		}
	}
	for name, version := range least {
		b, err := os.ReadFile(filepath.Join(w.Dir, name))
		if err != nil {
			return err
		}
		_, got, err := hamTell(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if got < version {
			return fmt.Errorf("%s has version %d, %d was certified", name, got, version)
		}
	}
	return nil
}

// checkAppended reads a file to which all append, and returns the last number of one of them, and
// where the last record ends that is there whole.
func checkAppended(path string, who uint64) (last uint64, end int64, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	newest := map[uint64]uint64{}
	off := 0
	for off < len(b) {
		rest := b[off:]
		if len(rest) < hamHeader || binary.LittleEndian.Uint64(rest[24:]) > uint64(len(rest)) {
			if binary.LittleEndian.Uint64(append(rest[:min(8, len(rest)):min(8, len(rest))], make([]byte, 8)...)) != hamMagic && len(rest) >= 8 {
				return 0, 0, fmt.Errorf("%s at %d: %x", path, off, rest[:8])
			}
			break // it is being written, or was when the drive ended
		}
		n := int(binary.LittleEndian.Uint64(rest[24:]))
		id, version, err := hamTell(rest[:max(n, hamHeader)])
		if err != nil {
			return 0, 0, fmt.Errorf("%s at %d: %w", path, off, err)
		}
		if version != newest[id]+1 {
			return 0, 0, fmt.Errorf("%s at %d: %d of %d comes after %d", path, off, version, id, newest[id])
		}
		newest[id] = version
		off += n
	}
	return newest[who], int64(off), nil
}

func (w *hammer) save() error {
	text, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	return os.WriteFile(w.State, text, 0o600)
}

// monotonic is a clock that processes share, in nanoseconds.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}
