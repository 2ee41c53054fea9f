package index

import (
	"errors"
	"fmt"
)

// opKind is what an op does.
type opKind byte

// The kinds of ops, as they are noted.
const (
	opCreate opKind = 1 + iota
	opLink
	opUnlink
	opRmdir
	opRename
	opSetAttr
	opHold // is not noted: after kill -9 block maps count
)

// op is a change of names or attributes that can be made again: with the same
// time and the same number of what it makes it comes to the same.
type op struct {
	kind   opKind
	now    int64 // Unix time in nanoseconds
	made   Ino   // what opCreate made; 0: it has not
	ino    Ino   // of opLink and opSetAttr
	parent Ino
	name   []byte
	create CreateRequest // of opCreate
	rename RenameRequest // of opRename
	change Change        // of opSetAttr
	held   Held          // of opHold
}

// apply makes the change. It returns the inode that was made or changed, or
// that opRename displaced.
func (o *op) apply(tx *txn) (a Attr, err error) {
	tx.now = o.now
	switch o.kind {
	case opCreate:
		tx.made = o.made
		a, err = tx.createIn(o.create)
		tx.made, o.made = 0, a.Ino
	case opLink:
		a, err = tx.link(o.ino, o.parent, o.name)
	case opUnlink:
		a, err = tx.unlink(o.parent, o.name)
	case opRmdir:
		a, err = tx.rmdir(o.parent, o.name)
	case opRename:
		a, err = tx.rename(o.rename)
	case opSetAttr:
		a, err = tx.setAttr(o.ino, o.change)
	case opHold:
		err = tx.holdNew(&o.held)
	default:
		err = fmt.Errorf("change of kind %d: %w", o.kind, ErrRange)
	}
	return a, err
}

// marshal returns the op as it is noted.
func (o *op) marshal() []byte {
	e := encoder{b: []byte{byte(o.kind)}}
	e.int(o.now)
	switch o.kind {
	case opCreate:
		r := &o.create
		e.uint(uint64(o.made))
		e.uint(uint64(r.Parent))
		e.bytes(r.Name)
		for _, n := range []uint32{r.Mode, r.Umask, r.UID, r.GID, r.Rdev} {
			e.uint(uint64(n))
		}
		e.bytes(r.Target)
	case opLink, opUnlink, opRmdir:
		e.uint(uint64(o.ino))
		e.uint(uint64(o.parent))
		e.bytes(o.name)
	case opRename:
		r := &o.rename
		e.uint(uint64(r.OldParent))
		e.bytes(r.OldName)
		e.uint(uint64(r.NewParent))
		e.bytes(r.NewName)
		e.uint(uint64(truth(r.NoReplace)))
	case opSetAttr:
		e.uint(uint64(o.ino))
		e.change(&o.change)
	}
	return e.b
}

// change encodes what is set, each behind a 1, and a 0 for what is not.
func (e *encoder) change(c *Change) {
	for _, n := range []*uint32{c.Mode, c.UID, c.GID} {
		e.uint(uint64(truth(n != nil)))
		if n != nil {
			e.uint(uint64(*n))
		}
	}
	for _, n := range []*int64{c.Atime, c.Mtime, c.Ctime} {
		e.uint(uint64(truth(n != nil)))
		if n != nil {
			e.int(*n)
		}
	}
}

// errNote reports something that marshal does not write.
var errNote = errors.New("no change of names")

// unmarshalOp reads what marshal wrote.
func unmarshalOp(b []byte) (*op, error) {
	if len(b) == 0 {
		return nil, errNote
	}
	d := decoder{b: b[1:]}
	o := &op{kind: opKind(b[0]), now: d.int()}
	switch o.kind {
	case opCreate:
		r := &o.create
		o.made, r.Parent, r.Name = Ino(d.uint()), Ino(d.uint()), d.bytes()
		for _, n := range []*uint32{&r.Mode, &r.Umask, &r.UID, &r.GID, &r.Rdev} {
			*n = d.uint32()
		}
		r.Target = d.bytes()
	case opLink, opUnlink, opRmdir:
		o.ino, o.parent, o.name = Ino(d.uint()), Ino(d.uint()), d.bytes()
	case opRename:
		r := &o.rename
		r.OldParent, r.OldName = Ino(d.uint()), d.bytes()
		r.NewParent, r.NewName = Ino(d.uint()), d.bytes()
		r.NoReplace = d.uint() != 0
	case opSetAttr:
		o.ino = Ino(d.uint())
		d.change(&o.change)
	default:
		return nil, errNote
	}
	if d.bad || len(d.b) != 0 {
		return nil, errNote
	}
	return o, nil
}

func (d *decoder) change(c *Change) {
	for _, n := range []**uint32{&c.Mode, &c.UID, &c.GID} {
		if d.uint() != 0 {
			*n = new(d.uint32())
		}
	}
	for _, n := range []**int64{&c.Atime, &c.Mtime, &c.Ctime} {
		if d.uint() != 0 {
			*n = new(d.int())
		}
	}
}
