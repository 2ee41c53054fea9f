package index

import "context"

// XattrFlags restrict SetXattr.
type XattrFlags int

// The flags of setxattr(2), with the kernel's values.
const (
	XattrCreate  XattrFlags = 1 // ErrExist when the attribute exists
	XattrReplace XattrFlags = 2 // ErrNoAttr when it does not
)

// Xattr is an extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// GetXattr returns a value, or ErrNoAttr.
func (db *DB) GetXattr(ctx context.Context, ino Ino, name string) ([]byte, error) {
	return nil, errUnfinished
}

// SetXattr sets a value of at most 64 KiB. ErrAttrSize, ErrRange (name too long), ErrExist, ErrNoAttr.
func (db *DB) SetXattr(ctx context.Context, ino Ino, name string, value []byte, flags XattrFlags) error {
	return errUnfinished
}

// ListXattr returns the names in ascending order.
func (db *DB) ListXattr(ctx context.Context, ino Ino) ([]string, error) { return nil, errUnfinished }

// RemoveXattr removes an attribute, or returns ErrNoAttr.
func (db *DB) RemoveXattr(ctx context.Context, ino Ino, name string) error { return errUnfinished }
