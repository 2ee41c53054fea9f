package index

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// FuzzACL reads what programs give as an ACL, and what a mode makes of it.
func FuzzACL(f *testing.F) {
	seed := acl{{tag: aclOwner, rights: 6}, {tag: aclUser, rights: 7, id: 1000}, {tag: aclGroup, rights: 4}, {tag: aclMask, rights: 5}, {tag: aclOthers}}
	f.Add(seed.value(), uint32(0o640))
	f.Add(seed[:3].value(), uint32(0))
	f.Fuzz(func(t *testing.T, value []byte, mode uint32) {
		list, err := parseACL(value)
		if err != nil {
			return
		}
		if !bytes.Equal(list.value(), value) {
			t.Errorf("%x comes back as %x", value, list.value())
		}
		list.chmod(mode)
		if got := list.mode(0); got != mode&0o777 {
			t.Errorf("with mode %o the list says %o", mode, got)
		}
		if err := list.check(); err != nil {
			t.Errorf("with mode %o: %v", mode, err)
		}
		if got := list.inherit(mode); got&^mode&0o777 != 0 {
			t.Errorf("what is made with mode %o has %o", mode, got)
		}
	})
}

// FuzzOp reads the content of notes.
func FuzzOp(f *testing.F) {
	name := []byte("name")
	for _, o := range []op{
		{kind: opCreate, made: 7, create: CreateRequest{Parent: 1, Name: name, Mode: 0o100644, Target: []byte("to")}},
		{kind: opRename, rename: RenameRequest{OldParent: 1, OldName: name, NewParent: 2, NewName: name, NoReplace: true}},
		{kind: opUnlink, ino: 3, parent: 1, name: name},
		{kind: opSetAttr, ino: 3, now: -5, change: Change{Mode: new(uint32(7)), Mtime: new(int64(-9))}},
	} {
		f.Add(o.marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := unmarshalOp(b)
		if err != nil {
			return
		}
		again, err := unmarshalOp(o.marshal())
		if err != nil || !bytes.Equal(again.marshal(), o.marshal()) {
			t.Errorf("%x: %+v comes back as %+v, %v", b, o, again, err)
		}
	})
}

// FuzzNotes reads files of notes: whatever follows the head is told without a failure, and no note
// comes that its checksum does not hold.
func FuzzNotes(f *testing.F) {
	path := filepath.Join(f.TempDir(), "index.db.ahead")
	n := notes{path: path, run: [16]byte{1}}
	if err := n.open(); err != nil {
		f.Fatal(err)
	}
	for step := range uint64(3) {
		if err := n.add(step+1, &op{kind: opUnlink, ino: 3, parent: 1, name: []byte("name")}); err != nil {
			f.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	whole = whole[:n.end]
	if err := n.close(true); err != nil {
		f.Fatal(err)
	}
	f.Add(whole[aheadHead:], uint64(0))
	f.Add(whole[aheadHead:], uint64(2))
	f.Add(whole[aheadHead:len(whole)-1], uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, step uint64) {
		if err := os.WriteFile(path, append(bytes.Clone(whole[:aheadHead]), b...), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := readNotes(path, [16]byte{1}, step)
		if err != nil {
			return
		}
		good := 0
		for len(b) >= noteHead {
			size := int64(binary.LittleEndian.Uint32(b))
			if size > int64(len(b)-noteHead) || noteSum(binary.LittleEndian.Uint64(b[8:]), b[noteHead:noteHead+size]) != binary.LittleEndian.Uint32(b[4:]) {
				break
			}
			good++
			b = b[noteHead+size:]
		}
		if len(list) > good {
			t.Errorf("%d changes from %d notes that are whole", len(list), good)
		}
	})
}
