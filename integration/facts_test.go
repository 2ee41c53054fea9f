package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// facts is all that a file can be told by, but its inode number.
type facts struct {
	Mode     uint32 // type and all bits
	UID, GID uint32
	Nlink    uint64
	Rdev     uint64
	Size     int64
	Atime    int64 // ns
	Mtime    int64
	Ctime    int64
	Names    string // the first path, in order, that shares the inode
	Target   string
	Sum      string
	Xattrs   string
	data     int64 // bytes that are no hole
}

// readFacts walks dir and gives every entry below it, and the root as ".".
func readFacts(t *testing.T, dir string) map[string]facts {
	t.Helper()
	tree := map[string]facts{}
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, ino, err := factsOf(path)
		if err != nil {
			return fmt.Errorf("%q: %w", rel, err)
		}
		if _, ok := first[ino]; !ok {
			first[ino] = rel
		}
		f.Names = first[ino]
		tree[rel] = f
		return nil
	})
	if err != nil {
		t.Fatalf("walk %s: %v", dir, err)
	}
	return tree
}

func factsOf(path string) (f facts, ino uint64, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return f, 0, err
	}
	f = facts{
		Mode: st.Mode, UID: st.Uid, GID: st.Gid, Nlink: uint64(st.Nlink), Rdev: uint64(st.Rdev),
		Atime: st.Atim.Nano(), Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(),
	}
	if f.Xattrs, err = xattrsOf(path); err != nil {
		return f, 0, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f.Size = st.Size
		if f.Sum, err = sumFile(path); err == nil {
			f.data, err = dataOf(path)
		}
	case unix.S_IFLNK:
		f.Size = st.Size
		f.Target, err = os.Readlink(path)
	}
	return f, st.Ino, err
}

// xattrsOf returns names and values, without those that walfs makes up.
func xattrsOf(path string) (string, error) {
	list := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		return "", fmt.Errorf("list attributes: %w", err)
	}
	names := strings.Split(string(list[:n]), "\x00")
	sort.Strings(names)
	var all strings.Builder
	value := make([]byte, 1<<16)
	for _, name := range names {
		if name == "" || strings.HasPrefix(name, "user.walfs.") {
			continue
		}
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", fmt.Errorf("attribute %s: %w", name, err)
		}
		sum := sha256.Sum256(value[:n])
		fmt.Fprintf(&all, "%q=%d:%s ", name, n, hex.EncodeToString(sum[:4]))
	}
	return all.String(), nil
}

// dataOf adds up what lies between the holes of a file.
func dataOf(path string) (n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for at := int64(0); ; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return n, nil
		}
		if err != nil {
			return 0, fmt.Errorf("seek data: %w", err)
		}
		if at, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE); err != nil {
			return 0, fmt.Errorf("seek hole: %w", err)
		}
		n += at - data
	}
}

// diffFacts fails the test when two trees differ in anything, or when one that
// was stored has more data between its holes than the first.
func diffFacts(t *testing.T, what string, want, got map[string]facts) {
	t.Helper()
	var lines []string
	for path, w := range want {
		g, ok := got[path]
		if !ok {
			lines = append(lines, fmt.Sprintf("%.80q: missing", path))
			continue
		}
		if g.data > w.data {
			lines = append(lines, fmt.Sprintf("%.80q: %d bytes of data, want at most %d", path, g.data, w.data))
		}
		if g.data = w.data; g != w {
			lines = append(lines, fmt.Sprintf("%.80q:\n    got  %+v\n    want %+v", path, g, w))
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			lines = append(lines, fmt.Sprintf("%.80q: not expected", path))
		}
	}
	sort.Strings(lines)
	n := len(lines)
	for _, l := range lines[:min(n, 10)] {
		t.Errorf("%s: %s", what, l)
	}
	if n > 10 {
		t.Errorf("%s: and %d more", what, n-10)
	}
}
