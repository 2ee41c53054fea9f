package index_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/walfs/walfs/index"
)

// aclValue makes the value of an ACL attribute from tag, rights and id of each entry.
func aclValue(entries ...[3]uint32) []byte {
	b := []byte{2, 0, 0, 0}
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

const none = 1<<32 - 1

// TestACLMode: mode and access ACL change together; what makes no sense is
// refused and changes neither.
func TestACLMode(t *testing.T) {
	db := open(t)
	f := create(t, db, index.Root, "f", fileMode)
	value := aclValue([3]uint32{1, 6, none}, [3]uint32{2, 7, 1000}, [3]uint32{4, 4, none}, [3]uint32{16, 6, none}, [3]uint32{32, 0, none})
	if err := db.SetXattr(ctx, f.Ino, index.AccessACL, value, 0); err != nil {
		t.Fatal(err)
	}
	if a := must(db.Get(ctx, f.Ino)); a.Mode&0o777 != 0o660 {
		t.Errorf("mode %o", a.Mode)
	}
	mode := uint32(0o744)
	must(db.SetAttr(ctx, f.Ino, index.Change{Mode: &mode}))
	want := aclValue([3]uint32{1, 7, none}, [3]uint32{2, 7, 1000}, [3]uint32{4, 4, none}, [3]uint32{16, 4, none}, [3]uint32{32, 4, none})
	if got := must(db.GetXattr(ctx, f.Ino, index.AccessACL)); string(got) != string(want) {
		t.Errorf("after chmod: %v, want %v", got, want)
	}
	for name, bad := range map[string][]byte{
		"empty":              {},
		"version":            append([]byte{1, 0, 0, 0}, value[4:]...),
		"half an entry":      value[:len(value)-4],
		"no entry":           value[:4],
		"no others":          value[:len(value)-8],
		"no mask":            aclValue([3]uint32{1, 6, none}, [3]uint32{2, 7, 1000}, [3]uint32{4, 4, none}, [3]uint32{32, 0, none}),
		"two masks":          aclValue([3]uint32{1, 6, none}, [3]uint32{4, 4, none}, [3]uint32{16, 6, none}, [3]uint32{16, 6, none}, [3]uint32{32, 0, none}),
		"unknown tag":        aclValue([3]uint32{1, 6, none}, [3]uint32{4, 4, none}, [3]uint32{16, 6, none}, [3]uint32{17, 6, none}, [3]uint32{32, 0, none}),
		"unknown rights":     aclValue([3]uint32{1, 8, none}, [3]uint32{4, 4, none}, [3]uint32{32, 0, none}),
		"in the wrong order": aclValue([3]uint32{4, 4, none}, [3]uint32{1, 6, none}, [3]uint32{32, 0, none}),
	} {
		for _, attr := range []string{index.AccessACL, index.DefaultACL} {
			if err := db.SetXattr(ctx, f.Ino, attr, bad, 0); !errors.Is(err, index.ErrRange) {
				t.Errorf("%s as %s: %v", name, attr, err)
			}
		}
	}
	if got := must(db.GetXattr(ctx, f.Ino, index.AccessACL)); string(got) != string(want) {
		t.Errorf("after what was refused: %v, want %v", got, want)
	}
}
