package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// The file <index>.ahead has the changes that were answered and are not committed, so
// that they survive the end of the process:
//
//	offset  size  field
//	0       4     "WIAH"
//	4       4     version, 1
//	8       16    number of the run, random, as in the index
//	24      4     CRC32C of bytes 0 to 24
//	28      4     zero
//	32      …     notes: length of the rest (4), CRC32C of step and rest (4), step (8),
//	              and the rest: kind (1), s time in ns, and what the kind has, as rows of a trailer are written
//
// A step is a change that was answered so, or a transaction of others; the index
// says how many it has. A note is good only right behind the index's last step or
// behind a note that is good: nothing else, lost or not, came in between. Once all
// notes are committed the file is written from the beginning again. It is never synced.
const (
	aheadSuffix  = ".ahead"
	aheadMagic   = "WIAH"
	aheadVersion = 1
	aheadHead    = 32
	aheadSize    = 256 << 10 // bytes of disk that are kept for it
	noteHead     = 16
	noteMost     = 8 << 10 // bytes; no change of names takes as many
)

// notes is the file of changes that are not committed. The caller holds DB.mu.
type notes struct {
	path string
	run  [16]byte
	file *os.File
	end  int64
	off  bool // it cannot be written
}

// ready reports whether a change can be noted, and makes room for it.
func (n *notes) ready(db *DB) bool {
	if n.off || n.run == [16]byte{} {
		return false
	}
	if n.file == nil {
		if err := n.open(); err != nil {
			n.off = true
			db.log.Warn("each change of names is a transaction of its own", "op", "open", "err", err)
			return false
		}
	}
	if n.end+noteMost > aheadSize {
		if err := db.commitLeft(); err != nil {
			return false
		}
	}
	return true
}

// open makes the file, with its room.
func (n *notes) open() (err error) {
	n.file, err = os.OpenFile(n.path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	head := append([]byte(aheadMagic), aheadVersion, 0, 0, 0)
	head = append(head, n.run[:]...)
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	n.end = aheadHead
	if err = unix.Fallocate(int(n.file.Fd()), 0, 0, aheadSize); err == nil {
		_, err = n.file.WriteAt(head, 0)
	}
	if err != nil {
		err = errors.Join(err, n.file.Close(), os.Remove(n.path))
		n.file = nil
	}
	return err
}

// add writes a note.
func (n *notes) add(step uint64, o *op) error {
	rest := o.marshal()
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, noteHead+len(rest)), uint32(len(rest)))
	b = binary.LittleEndian.AppendUint32(b, noteSum(step, rest))
	b = binary.LittleEndian.AppendUint64(b, step)
	b = append(b, rest...)
	if n.end+int64(len(b)) > aheadSize {
		return errCommit
	}
	if !notesKept {
		return nil
	}
	if _, err := n.file.WriteAt(b, n.end); err != nil {
		return errors.Join(errCommit, err)
	}
	n.end += int64(len(b))
	return nil
}

func noteSum(step uint64, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(binary.LittleEndian.AppendUint64(nil, step), castagnoli), castagnoli, rest)
}

// again goes on at the beginning of the file.
func (n *notes) again() { n.end = aheadHead }

// close closes the file. All that was noted is committed: it goes.
func (n *notes) close(settled bool) error {
	if n.file == nil {
		return nil
	}
	err := n.file.Close()
	n.file, n.off = nil, true
	if settled {
		err = errors.Join(err, os.Remove(n.path))
	}
	return err
}

// readNotes returns the changes that the run before noted behind a step.
func readNotes(path string, run [16]byte, step uint64) ([]*op, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(b) < aheadHead || string(b[:4]) != aheadMagic || binary.LittleEndian.Uint32(b[4:]) != aheadVersion ||
		!bytes.Equal(b[8:24], run[:]) || binary.LittleEndian.Uint32(b[24:]) != crc32.Checksum(b[:24], castagnoli) {
		return nil, nil // of another run: nothing of it is missing
	}
	var list []*op
	for b = b[aheadHead:]; len(b) >= noteHead; {
		size := int64(binary.LittleEndian.Uint32(b))
		if size == 0 || size > int64(len(b)-noteHead) {
			break
		}
		rest, at := b[noteHead:noteHead+size], binary.LittleEndian.Uint64(b[8:])
		if binary.LittleEndian.Uint32(b[4:]) != noteSum(at, rest) || at > step+1 {
			break
		}
		if b = b[noteHead+size:]; at <= step { // it was committed
			continue
		}
		o, err := unmarshalOp(rest)
		if err != nil {
			return list, fmt.Errorf("change %d: %w", at, err)
		}
		list, step = append(list, o), at
	}
	return list, nil
}

// recoverAhead makes the changes that were answered and not committed when the
// process before ended. The caller is Open.
func (db *DB) recoverAhead() error {
	var run [16]byte
	r, err := db.writer.one(sqlMeta, metaRun)
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	copy(run[:], r.bytes(0))
	list, err := readNotes(db.path+aheadSuffix, run, db.state.step)
	if err != nil && !errors.Is(err, errNote) && !errors.Is(err, io.EOF) {
		return err
	}
	if err != nil {
		db.log.Error("changes of names are lost", "op", "recover", "err", err)
	}
	if len(list) == 0 {
		return nil
	}
	if db.ignore == nil { // they are made as that run would have
		if r, err := db.writer.one(sqlMeta, metaIgnore); err == nil {
			db.ignore = strings.Split(r.text(0), "/")
			defer func() { db.ignore = nil }()
		}
	}
	db.log.Info("changes of names that were not committed are made again", "changes", len(list))
	return db.update(func(tx *txn) error {
		for _, o := range list {
			if err := tx.attempt(func(tx *txn) error { _, err := o.apply(tx); return err }); err != nil {
				if errors.Is(err, ErrFull) || tx.raw.AutoCommit() {
					return err
				}
				db.log.Error("a change of names cannot be made again", "op", "recover", "kind", int(o.kind), "err", err)
			}
			tx.st.step++
		}
		return nil
	})
}
