package index

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The attributes that hold POSIX ACLs. The access ACL and the permission bits
// of an inode say the same of owner, group class and others: whatever changes
// the one changes the other in the same transaction. An access ACL that says
// no more than the bits do is not kept. What is made in a directory gets its
// default ACL in place of the umask. Source: acl(5).
const (
	AccessACL  = "system.posix_acl_access"
	DefaultACL = "system.posix_acl_default"
)

// IsACL reports whether an attribute is a POSIX ACL.
func IsACL(name string) bool { return name == AccessACL || name == DefaultACL }

// The tags of entries, in the order in which they stand. Source: posix_acl.h of Linux.
const (
	aclOwner  = 0x01
	aclUser   = 0x02
	aclGroup  = 0x04 // of the file
	aclGroups = 0x08
	aclMask   = 0x10
	aclOthers = 0x20
)

const (
	aclVersion = 2 // Source: POSIX_ACL_XATTR_VERSION of Linux
	aclHead    = 4 // bytes: the version
	aclSize    = 8 // bytes of an entry: tag (2), permissions (2), user or group (4)
	aclRights  = 0o7
)

type aclEntry struct {
	tag, rights uint16
	id          uint32
}

// acl is a list of entries by ascending tag.
type acl []aclEntry

// parseACL reads the value of an attribute, or returns ErrRange.
func parseACL(value []byte) (acl, error) {
	if len(value) < aclHead || (len(value)-aclHead)%aclSize != 0 || binary.LittleEndian.Uint32(value) != aclVersion {
		return nil, fmt.Errorf("ACL of %d bytes: %w", len(value), ErrRange)
	}
	var list acl
	for b := value[aclHead:]; len(b) > 0; b = b[aclSize:] {
		list = append(list, aclEntry{
			tag: binary.LittleEndian.Uint16(b), rights: binary.LittleEndian.Uint16(b[2:]), id: binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return list, list.check()
}

// check returns ErrRange unless each class has its entry, and named users and
// groups a mask.
func (l acl) check() error {
	count, last := map[uint16]int{}, uint16(0)
	for _, e := range l {
		if e.tag < last || e.rights&^aclRights != 0 {
			return fmt.Errorf("ACL entry %+v: %w", e, ErrRange)
		}
		count[e.tag]++
		last = e.tag
	}
	named := count[aclUser] + count[aclGroups]
	known := count[aclOwner] == 1 && count[aclGroup] == 1 && count[aclOthers] == 1 && count[aclMask] <= 1
	if !known || named > 0 && count[aclMask] == 0 || len(l) != 3+named+count[aclMask] {
		return fmt.Errorf("ACL of %d entries: %w", len(l), ErrRange)
	}
	return nil
}

// value is the inverse of parseACL.
func (l acl) value() []byte {
	b := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range l {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.rights)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// extended reports whether the list says more than permission bits can.
func (l acl) extended() bool { return len(l) > 3 }

// shift returns where the rights of an entry stand in the permission bits.
// The mask stands for the group class, of which the group is a member only.
func (l acl) shift(e aclEntry) (bits int, ok bool) {
	switch e.tag {
	case aclOwner:
		return 6, true
	case aclMask:
		return 3, true
	case aclGroup:
		return 3, !l.extended()
	case aclOthers:
		return 0, true
	}
	return 0, false
}

// mode returns what a mode becomes when the list is set.
func (l acl) mode(mode uint32) uint32 {
	for _, e := range l {
		if bits, ok := l.shift(e); ok {
			mode = mode&^(aclRights<<bits) | uint32(e.rights)<<bits
		}
	}
	return mode
}

// chmod makes the list say what a new mode does.
func (l acl) chmod(mode uint32) {
	for i, e := range l {
		if bits, ok := l.shift(e); ok {
			l[i].rights = uint16(mode>>bits) & aclRights
		}
	}
}

// inherit makes a default ACL the access ACL of what is made with a mode, of
// which both keep the rights that are in both.
func (l acl) inherit(mode uint32) uint32 {
	for i, e := range l {
		if bits, ok := l.shift(e); ok {
			l[i].rights &= uint16(mode >> bits)
		}
	}
	return l.mode(mode)
}

const (
	sqlPutXattr = `INSERT INTO xattrs (ino, name, value) VALUES (?, ?, ?)
		ON CONFLICT (ino, name) DO UPDATE SET value = excluded.value`
	sqlDropXattr = `DELETE FROM xattrs WHERE ino = ? AND name = ?`
)

// acl returns an ACL of an inode, nil when it has none.
func (tx *txn) acl(ino Ino, name string) (acl, error) {
	if !tx.db.attrNames.used(name) {
		return nil, nil
	}
	r, err := tx.one(sqlXattr, ino, []byte(name))
	if errors.Is(err, errNoRow) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseACL(r.bytes(0))
}

func (tx *txn) putXattr(ino Ino, name string, value []byte) error {
	tx.db.attrNames.add(name)
	return tx.run(sqlPutXattr, ino, []byte(name), nonNil(value))
}

// setAccessACL sets an access ACL and the mode that goes with it.
func (tx *txn) setAccessACL(ino Ino, value []byte, flags XattrFlags) error {
	list, err := parseACL(value)
	if err != nil {
		return err
	}
	a, err := tx.attr(ino)
	if err != nil {
		return err
	}
	mode := list.mode(a.Mode)
	if flags&XattrDropSetgid != 0 {
		mode &^= modeSetgid
	}
	if err := tx.run(`UPDATE inodes SET mode = ? WHERE ino = ?`, mode, ino); err != nil {
		return err
	}
	if !list.extended() {
		return tx.run(sqlDropXattr, ino, []byte(AccessACL))
	}
	return tx.putXattr(ino, AccessACL, value)
}

// chmodACL makes the access ACL of an inode, if it has one, say what its mode does.
func (tx *txn) chmodACL(n *inode) error {
	list, err := tx.acl(n.Ino, AccessACL)
	if err != nil || list == nil {
		return err
	}
	list.chmod(n.Mode)
	return tx.putXattr(n.Ino, AccessACL, list.value())
}

// inheritACL gives a new inode the mode, and the ACLs, that its directory and
// the umask leave it.
func (tx *txn) inheritACL(n *inode, r *CreateRequest) error {
	if n.IsSymlink() {
		return nil
	}
	list, err := tx.acl(r.Parent, DefaultACL)
	if err != nil {
		return err
	}
	if list == nil {
		n.Mode &^= r.Umask
		return nil
	}
	if n.IsDir() {
		if err := tx.putXattr(n.Ino, DefaultACL, list.value()); err != nil {
			return err
		}
	}
	n.Mode = list.inherit(n.Mode)
	if !list.extended() {
		return nil
	}
	return tx.putXattr(n.Ino, AccessACL, list.value())
}
