package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Remnant is what an index still tells of a file.
type Remnant struct {
	Attr    Attr
	Parent  Ino      // of its first name; 0: none is known
	Name    []byte   // in Parent
	Path    string   // from the root, as far as it is known
	Extents []Extent // published content
	Held    *Held    // what the last barrier wrote; nil: nothing
	Settled bool     // the anchor covered its published version
}

// Salvage reads what is left of a damaged index, or of a copy. It asks for
// single rows, so that damage elsewhere does not matter. It belongs to one goroutine.
type Salvage struct {
	dir   string // holds a copy of the files; "": the file itself is read
	c     *conn
	state state
}

// OpenSalvage opens what is left of an index. The files are copied to a new
// folder below scratch first, since opening them would change them. ErrCorrupt:
// nothing can be read.
func OpenSalvage(ctx context.Context, path, scratch string) (_ *Salvage, err error) {
	s := &Salvage{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("salvage %s: %w", path, err), s.Close())
		}
	}()
	if s.dir, err = os.MkdirTemp(scratch, "salvage-"); err != nil {
		return nil, err
	}
	copied := filepath.Join(s.dir, "index.db")
	for _, suffix := range []string{"", "-wal"} {
		err := copyFile(copied+suffix, path+suffix)
		if err != nil && (suffix == "" || !errors.Is(err, os.ErrNotExist)) {
			return nil, err
		}
	}
	if s.c, err = openConn(copied, "trusted_schema = OFF", "query_only = ON"); err != nil {
		return nil, err
	}
	if s.state, _, err = s.c.loadCounters(); err != nil {
		return nil, err
	}
	return s, nil
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Close ends reading and removes the copy.
func (s *Salvage) Close() error {
	var err error
	if s.c != nil {
		err = s.c.close()
		s.c = nil
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
		s.dir = ""
	}
	return err
}

// Drive returns whose index it was.
func (s *Salvage) Drive() (Drive, error) { return s.c.drive() }

// Remnant returns what is known of a file. ErrNotExist: no row is, ErrCorrupt:
// its row cannot be read. What cannot be read of the rest is left out.
func (s *Salvage) Remnant(ino Ino) (r Remnant, err error) {
	n, err := s.c.inode(ino)
	if err != nil {
		return r, fmt.Errorf("salvage inode %d: %w", ino, err)
	}
	r.Attr = n.Attr
	r.Settled = n.pubGeneration <= s.state.anchored
	if parent, name, err := s.c.nameOf(ino); err == nil && checkName(name) == nil {
		r.Parent, r.Name = parent, name
		r.Path = s.path(parent, name)
	}
	if r.Extents, err = s.c.extents(ino, 0, never); err != nil {
		r.Extents, r.Settled = nil, false
	}
	row, err := s.c.one(`SELECT size, base, mtime, blocks FROM held WHERE ino = ?`, ino)
	if err == nil {
		r.Held = &Held{Ino: ino, Size: row.int(0), Base: row.int(1), Mtime: row.int(2), Blocks: row.bytes(3)}
	}
	return r, nil
}

// maxDepth bounds the way up from a file, in which damage may close a circle.
const maxDepth = 4096

// path returns where a name lies. What is not known of the way stands as three dots.
func (s *Salvage) path(parent Ino, name []byte) string {
	names := []string{string(name)}
	for range maxDepth {
		if parent == Root {
			slices.Reverse(names)
			return "/" + filepath.Join(names...)
		}
		up, dir, err := s.c.nameOf(parent)
		if err != nil || checkName(dir) != nil {
			break
		}
		names = append(names, string(dir))
		parent = up
	}
	slices.Reverse(names)
	return "/.../" + filepath.Join(names...)
}

// Adopt makes a regular file with a number of its own choice, which no inode
// has, with the attributes and the name of a Remnant: a file of which staging
// has all the content. It is open-dirty, as Create leaves it. ErrExist, and as Create.
func (db *DB) Adopt(ctx context.Context, parent Ino, name []byte, as Attr) (a Attr, err error) {
	if err := checkName(name); err != nil {
		return a, err
	}
	if !as.IsRegular() || as.Ino <= Root || as.Ino >= maxIno {
		return a, fmt.Errorf("adopt inode %d of mode %o: %w", as.Ino, as.Mode, ErrRange)
	}
	err = db.update(func(tx *txn) error {
		if _, err := tx.dir(parent); err != nil {
			return err
		}
		if _, err := tx.attr(as.Ino); !errors.Is(err, ErrNotExist) {
			return errors.Join(err, fmt.Errorf("inode %d: %w", as.Ino, ErrExist))
		}
		n := inode{
			Attr: Attr{Ino: as.Ino, Mode: as.Mode, UID: as.UID, GID: as.GID, Nlink: 1, Version: 1, Dirty: true,
				Atime: as.Atime, Mtime: as.Mtime, Ctime: tx.now, Btime: as.Btime},
			generation: tx.st.open,
		}
		if err := tx.bind(parent, name, &n.Attr); err != nil {
			return err
		}
		tx.st.nextIno = max(tx.st.nextIno, uint64(as.Ino)+1)
		tx.st.inoLimit = max(tx.st.inoLimit, tx.st.nextIno)
		tx.st.inodes++
		a = n.Attr
		return errors.Join(tx.touchDir(parent, 0), tx.insertInode(&n))
	})
	return a, err
}
