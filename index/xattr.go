package index

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// XattrFlags restrict SetXattr.
type XattrFlags int

// The flags of setxattr(2), with the kernel's values.
const (
	XattrCreate  XattrFlags = 1 // ErrExist when the attribute exists
	XattrReplace XattrFlags = 2 // ErrNoAttr when it does not
)

// XattrDropSetgid takes the set-gid bit away when AccessACL is set, as it must
// go when the caller is no member of the inode's group.
const XattrDropSetgid XattrFlags = 1 << 16

// Limits of extended attributes in bytes. Source: XATTR_NAME_MAX, XATTR_SIZE_MAX and
// XATTR_LIST_MAX of Linux; the sum over a file is ours.
const (
	MaxXattrName  = 255
	MaxXattrValue = 64 << 10
	MaxXattrList  = 64 << 10 // of all names, each with a NUL: nobody can list more
	MaxXattrs     = 1 << 20
)

// Xattr is an extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

const sqlXattr = `SELECT value FROM xattrs WHERE ino = ? AND name = ?`

// GetXattr returns a value, or ErrNoAttr.
func (db *DB) GetXattr(ctx context.Context, ino Ino, name string) (value []byte, err error) {
	if !db.attrNames.used(name) {
		return nil, ErrNoAttr
	}
	err = db.peek(func(c *conn) error {
		r, err := c.one(sqlXattr, ino, []byte(name))
		if errors.Is(err, errNoRow) {
			return ErrNoAttr
		}
		if err == nil {
			value = r.bytes(0)
		}
		return err
	})
	return value, err
}

// XattrUsed reports whether some inode may have an attribute of that name.
func (db *DB) XattrUsed(name string) bool { return db.attrNames.used(name) }

// SetXattr sets a value. ErrAttrSize: it is longer than MaxXattrValue. ErrAttrRoom: all
// of the inode's together are longer than MaxXattrs, or their names than MaxXattrList. ErrRange: an impossible name.
// ErrExist, ErrNoAttr: by the flags. With AccessACL the mode changes too, and
// ErrRange is for an ACL that makes no sense as well.
func (db *DB) SetXattr(ctx context.Context, ino Ino, name string, value []byte, flags XattrFlags) error {
	if err := checkXattr(name, value); err != nil {
		return err
	}
	return db.update(func(tx *txn) error {
		_, err := tx.one(sqlXattr, ino, []byte(name))
		exists := err == nil
		switch {
		case err != nil && !errors.Is(err, errNoRow):
			return err
		case exists && flags&XattrCreate != 0:
			return ErrExist
		case !exists && flags&XattrReplace != 0:
			return ErrNoAttr
		}
		if err := tx.setXattr(ino, name, value, flags); err != nil {
			return err
		}
		sum, err := tx.one(`SELECT sum(length(name) + length(value)), sum(length(name) + 1) FROM xattrs WHERE ino = ?`, ino)
		if err != nil {
			return err
		}
		if total, list := sum.int(0), sum.int(1); total > MaxXattrs || list > MaxXattrList && !exists {
			return fmt.Errorf("attributes of %d bytes, names of %d: %w", total, list, ErrAttrRoom)
		}
		return tx.changed(ino)
	})
}

func (tx *txn) setXattr(ino Ino, name string, value []byte, flags XattrFlags) error {
	switch name {
	case AccessACL:
		return tx.setAccessACL(ino, value, flags)
	case DefaultACL:
		if _, err := parseACL(value); err != nil {
			return err
		}
	}
	return tx.putXattr(ino, name, value)
}

func checkXattr(name string, value []byte) error {
	switch {
	case name == "", len(name) > MaxXattrName, strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("attribute name of %d bytes: %w", len(name), ErrRange)
	case len(value) > MaxXattrValue:
		return fmt.Errorf("attribute of %d bytes: %w", len(value), ErrAttrSize)
	}
	return nil
}

// changed notes a change of an inode's attributes now.
func (tx *txn) changed(ino Ino) error {
	n, err := tx.exec(`UPDATE inodes SET ctime = ?, generation = ? WHERE ino = ?`, tx.now, tx.st.open, ino)
	if err == nil && n == 0 {
		return missing(errNoRow, ino)
	}
	return err
}

// ListXattr returns the names in ascending order.
func (db *DB) ListXattr(ctx context.Context, ino Ino) (names []string, err error) {
	if db.attrNames.none() {
		return nil, nil
	}
	err = db.peek(func(c *conn) error {
		return c.query(`SELECT name FROM xattrs WHERE ino = ? ORDER BY name`, func(r row) error {
			names = append(names, string(r.bytes(0)))
			return nil
		}, ino)
	})
	return names, err
}

// RemoveXattr removes an attribute, or returns ErrNoAttr. An ACL may be absent.
func (db *DB) RemoveXattr(ctx context.Context, ino Ino, name string) error {
	return db.update(func(tx *txn) error {
		n, err := tx.exec(sqlDropXattr, ino, []byte(name))
		switch {
		case err != nil:
			return err
		case n == 0 && IsACL(name):
			return nil
		case n == 0:
			return ErrNoAttr
		}
		return tx.changed(ino)
	})
}

// xattrs returns all attributes of an inode by ascending name.
func (c *conn) xattrs(ino Ino) ([]Xattr, error) {
	var list []Xattr
	err := c.query(`SELECT name, value FROM xattrs WHERE ino = ? ORDER BY name`, func(r row) error {
		list = append(list, Xattr{Name: string(r.bytes(0)), Value: r.bytes(1)})
		return nil
	}, ino)
	return list, err
}
