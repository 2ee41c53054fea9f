package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// entry is all that a restored or remounted tree is compared in.
type entry struct {
	Mode     fs.FileMode
	UID, GID uint32
	Rdev     uint64
	Size     int64
	Mtime    int64 // ns
	Links    string
	Target   string
	Sum      string
	Xattrs   string
}

// readTree walks dir and gives every entry below it, and the root as ".".
// Links names the first path, in order, that shares the inode.
func readTree(t *testing.T, dir string) map[string]entry {
	t.Helper()
	tree := map[string]entry{}
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, de fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		e, ino, err := readEntry(path)
		if err != nil {
			return err
		}
		if _, ok := first[ino]; !ok {
			first[ino] = rel
		}
		e.Links = first[ino]
		tree[rel] = e
		return nil
	})
	if err != nil {
		t.Fatalf("walk %s: %v", dir, err)
	}
	return tree
}

func readEntry(path string) (entry, uint64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return entry{}, 0, err
	}
	st := info.Sys().(*syscall.Stat_t)
	e := entry{Mode: info.Mode(), UID: st.Uid, GID: st.Gid, Rdev: uint64(st.Rdev), Mtime: info.ModTime().UnixNano()}
	switch {
	case info.Mode().IsRegular():
		e.Size = info.Size()
		if e.Sum, err = sumFile(path); err != nil {
			return e, 0, err
		}
	case info.Mode()&fs.ModeSymlink != 0:
		e.Target, err = os.Readlink(path)
	}
	if err == nil {
		e.Xattrs, err = readXattrs(path)
	}
	return e, st.Ino, err
}

// readXattrs gives all attributes of a file, ACLs among them, by name.
func readXattrs(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	var all strings.Builder
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", fmt.Errorf("%s of %s: %w", name, path, err)
		}
		fmt.Fprintf(&all, "%s=%q ", name, buf[:n])
	}
	return all.String(), nil
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// diffTrees fails the test when the two trees differ in anything.
func diffTrees(t *testing.T, what string, want, got map[string]entry) {
	t.Helper()
	var lines []string
	for path, w := range want {
		g, ok := got[path]
		switch {
		case !ok:
			lines = append(lines, fmt.Sprintf("%s: missing", path))
		case g != w:
			lines = append(lines, fmt.Sprintf("%s: got %+v, want %+v", path, g, w))
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			lines = append(lines, fmt.Sprintf("%s: not expected", path))
		}
	}
	sort.Strings(lines)
	if n := len(lines); n > 0 {
		if n > 10 {
			lines = append(lines[:10], fmt.Sprintf("and %d more", n-10))
		}
		t.Errorf("%s: trees differ:", what)
		for _, l := range lines {
			t.Error("  " + l)
		}
		t.FailNow()
	}
}

// writeRandom makes a file of size random bytes that follow from seed.
func writeRandom(t *testing.T, path string, size int64, seed uint64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, randomBytes(seed), size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// randomBytes is an endless stream that follows from seed.
func randomBytes(seed uint64) io.Reader {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(key)
}

// makeTree makes n entries of all kinds below dir: files of many sizes, folders,
// symlinks, hard links, odd names, modes and times.
func makeTree(t *testing.T, dir string, n int, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	dirs, files := []string{dir}, []string{}
	for i := range n {
		parent := dirs[rng.IntN(len(dirs))]
		path := filepath.Join(parent, oddName(rng, i))
		switch k := rng.IntN(20); {
		case k < 3:
			must(t, os.Mkdir(path, 0o700|os.FileMode(rng.IntN(0o100))))
			dirs = append(dirs, path)
			continue
		case k < 5:
			must(t, os.Symlink(fmt.Sprintf("../some/where-%d", i), path))
			continue
		case k < 6 && len(files) > 0:
			must(t, os.Link(files[rng.IntN(len(files))], path))
			continue
		case k < 7:
			sparseFile(t, path, rng)
		default:
			writeRandom(t, path, int64(rng.ExpFloat64()*20000), rng.Uint64())
		}
		must(t, os.Chmod(path, 0o400|os.FileMode(rng.IntN(0o400))))
		files = append(files, path)
		mtime := syscall.Timespec{Sec: int64(rng.IntN(1 << 31)), Nsec: int64(rng.IntN(1e9))}
		must(t, syscall.UtimesNano(path, []syscall.Timespec{mtime, mtime}))
	}
}

func sparseFile(t *testing.T, path string, rng *rand.Rand) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(int64(rng.IntN(4<<20))))
	for range 3 {
		_, err := f.WriteAt([]byte("an island in a sea of zeros"), int64(rng.IntN(4<<20)))
		must(t, err)
	}
}

// oddName gives names that are unique by i, some of them hostile to programs.
func oddName(rng *rand.Rand, i int) string {
	switch rng.IntN(12) {
	case 0:
		return fmt.Sprintf("%0255d", i)
	case 1:
		return fmt.Sprintf("not-utf8-\xff\xfe-%d", i)
	case 2:
		return fmt.Sprintf(" blank\nline\t%d ", i)
	case 3:
		return fmt.Sprintf("-rf*?[%d]'\"$", i)
	}
	return fmt.Sprintf("name-%d", i)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
