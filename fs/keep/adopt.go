package keep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// Adopted says what became of what staging held when an index was rebuilt.
type Adopted struct {
	Newer   int      // files whose local content is newer than the certified one, and stands
	Placed  int      // files that were never certified, under their names again
	Clean   int      // local copies of certified content that were given up
	Shelved []string // what went to lost+found, and why
}

// adoption brings staging under an index that was rebuilt. Inode numbers are never used
// twice, so that a staging file belongs to the inode of its number. Whatever is not
// proven to belong goes to lost+found, with its path if that is known.
type adoption struct {
	db       *index.DB
	dir      *staging.Dir
	sources  []*index.Salvage     // what is left of the damaged index, then copies, the newest first
	current  int                  // how many of the sources tell the newest state: 1 or 0
	notOurs  string               // why somebody else may have written the drive since; "": nobody has
	rebooted bool                 // block maps may not tell the truth
	versions func(index.Ino) bool // whether the version of a file in the new index is the one of that number in block maps; nil: none is
	log      *slog.Logger
	found    Adopted
}

// lostFolder is where files lie in the drive whose names are only known from a copy, or are taken.
const lostFolder = "lost+found"

func (a *adoption) run(ctx context.Context) error {
	for _, ino := range a.dir.Inos() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.one(ctx, ino); err != nil {
			return fmt.Errorf("adopt inode %d: %w", ino, err)
		}
	}
	return a.db.Barrier(ctx, nil)
}

// remnant returns what is known of an inode from before, and whether that was the newest state.
func (a *adoption) remnant(ino index.Ino) (r index.Remnant, newest, ok bool) {
	for i, s := range a.sources {
		if r, err := s.Remnant(ino); err == nil && r.Attr.IsRegular() {
			return r, i < a.current, true
		}
	}
	return r, false, false
}

func (a *adoption) one(ctx context.Context, ino index.Ino) error {
	old, newest, told := a.remnant(ino)
	attr, err := a.db.Get(ctx, ino)
	known := err == nil
	if err != nil && !errors.Is(err, index.ErrNotExist) {
		return err
	}
	if why := a.settle(ino, known, old, newest); why != "" {
		return a.shelve(ctx, ino, old, why)
	}
	local, ok, err := a.dir.Lookup(ino)
	if errors.Is(err, staging.ErrCorrupt) {
		return a.shelve(ctx, ino, old, "its block map is damaged")
	}
	if err != nil || !ok {
		return err
	}
	why, err := "", error(nil)
	if known {
		why, err = a.known(ctx, local, attr, old, newest && told)
	} else {
		why, err = a.unknown(ctx, local, old, newest, told)
	}
	local.Release()
	if err != nil || why == "" {
		return err
	}
	if why == given {
		a.found.Clean++
		return a.dir.Remove(ino)
	}
	return a.shelve(ctx, ino, old, why)
}

// given tells that a local copy is not needed.
const given = "certified"

// settle brings a file back to what is sure to be on the disk after a reboot, as Recover
// of the file system does. It returns why the file cannot be used, if so.
func (a *adoption) settle(ino index.Ino, known bool, old index.Remnant, newest bool) string {
	if !a.rebooted {
		return ""
	}
	var err error
	switch {
	case !known && old.Attr.PubVersion == 0:
		err = a.dir.Adopt(ino)
	case newest && old.Held != nil:
		err = a.dir.Restrict(*old.Held)
	default:
		return "nothing tells what of it was on the disk when the machine stopped"
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// known decides about a file that the new index has. It returns why it cannot stand, if so.
func (a *adoption) known(ctx context.Context, local *staging.File, attr index.Attr, old index.Remnant, newest bool) (string, error) {
	switch {
	case !attr.IsRegular():
		return "its number belongs to something else", nil
	case a.isClean(local, attr, old, newest), a.named(attr) && local.IsCopyOf(attr.PubVersion) && local.Size() == attr.Size:
		return given, nil
	case a.notOurs != "":
		return a.notOurs, nil
	case !local.Complete() && !(newest && a.sameBelow(ctx, local, attr, old)) && !(a.named(attr) && local.Under(attr.PubVersion)):
		return "only a part of it is here, and what it belongs to is not known", nil
	}
	a.found.Newer++
	return "", a.newer(ctx, local, attr)
}

// named reports whether what block maps say of versions holds for a file: nobody but this
// state folder has numbered them, and the new index has them as they were stored.
func (a *adoption) named(attr index.Attr) bool {
	return a.notOurs == "" && a.versions != nil && attr.Version == attr.PubVersion && a.versions(attr.Ino)
}

// isClean reports whether a local copy has nothing that is not certified.
func (a *adoption) isClean(local *staging.File, attr index.Attr, old index.Remnant, newest bool) bool {
	if !newest || local.Size() != attr.Size {
		return false
	}
	was := old.Attr
	return !was.Dirty && was.Version == was.PubVersion && was.PubVersion == attr.PubVersion && old.Settled && was.Mtime == attr.Mtime
}

// sameBelow reports whether what shows through where staging holds nothing is what showed
// through before.
func (a *adoption) sameBelow(ctx context.Context, local *staging.File, attr index.Attr, old index.Remnant) bool {
	if old.Attr.PubVersion == attr.PubVersion && old.Settled {
		return true
	}
	if old.Extents == nil {
		return false
	}
	now, err := a.db.Extents(ctx, attr.Ino, 0, -1)
	if err != nil {
		return false
	}
	for _, r := range local.Held(0, local.Base()) {
		if !r.Held && !sameExtents(clip(old.Extents, r), clip(now, r)) {
			return false
		}
	}
	return true
}

// clip returns the parts of extents that lie in a range.
func clip(list []index.Extent, r staging.Range) (parts []index.Extent) {
	for _, e := range list {
		from, to := max(e.Off, r.Off), min(e.Off+e.Len, r.Off+r.Len)
		if from < to {
			e.Pos += from - e.Off
			e.Off, e.Len = from, to-from
			parts = append(parts, e)
		}
	}
	return parts
}

func sameExtents(a, b []index.Extent) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Off != b[i].Off || a[i].Len != b[i].Len || a[i].Segment != b[i].Segment || a[i].Pos != b[i].Pos {
			return false
		}
	}
	return true
}

// newer makes the local content the live version. What was packed and not certified is
// packed again, since the new index knows nothing of it.
func (a *adoption) newer(ctx context.Context, local *staging.File, attr index.Attr) error {
	if err := local.SetUnder(attr.PubVersion); err != nil { // from here on versions are numbered anew
		return err
	}
	if _, err := a.db.MarkDirty(ctx, local.Ino(), local.State().Seq); err != nil {
		return err
	}
	if err := local.Redirty(0, local.Size()); err != nil {
		return err
	}
	held, err := local.Sync(ctx)
	if err != nil {
		return err
	}
	return a.db.Barrier(ctx, []index.Held{held})
}

// unknown decides about a file that was never certified. It returns why it cannot stand, if so.
func (a *adoption) unknown(ctx context.Context, local *staging.File, old index.Remnant, newest, told bool) (string, error) {
	switch {
	case !told || old.Parent == 0:
		return "nothing tells its name", nil
	case newest && old.Attr.Nlink == 0:
		return "it was deleted", nil
	case !local.Complete():
		return "only a part of it is here", nil
	}
	parent, name, err := a.place(ctx, old, newest)
	if err != nil {
		return "", err
	}
	if _, err := a.db.Adopt(ctx, parent, name, old.Attr); err != nil {
		return "", err
	}
	a.found.Placed++
	if err := local.Redirty(0, local.Size()); err != nil { // the new index knows nothing of what was packed
		return "", err
	}
	held, err := local.Sync(ctx)
	if err != nil {
		return "", err
	}
	return "", a.db.Barrier(ctx, []index.Held{held})
}

// place returns the folder and a free name for a file: where it was, if that is sure and
// free, else the same path below lost+found in the drive.
func (a *adoption) place(ctx context.Context, old index.Remnant, newest bool) (index.Ino, []byte, error) {
	if newest {
		if dir, err := a.db.Get(ctx, old.Parent); err == nil && dir.IsDir() && a.free(ctx, dir.Ino, old.Name) {
			return dir.Ino, old.Name, nil
		}
		if !strings.HasPrefix(old.Path, "/.../") {
			dir, err := a.folders(ctx, path.Dir(old.Path))
			if err == nil && a.free(ctx, dir, old.Name) {
				return dir, old.Name, nil
			}
			if err != nil && !errors.Is(err, index.ErrNotDir) {
				return 0, nil, err
			}
		}
	}
	dir, err := a.folders(ctx, path.Join("/", lostFolder, strings.Replace(path.Dir(old.Path), "...", "", 1)))
	if errors.Is(err, index.ErrNotDir) {
		dir, err = index.Root, nil
	}
	if err != nil {
		return 0, nil, err
	}
	name := old.Name
	for i := 1; !a.free(ctx, dir, name); i++ {
		suffix := fmt.Sprintf(".%d", i)
		name = append(old.Name[:min(len(old.Name), index.MaxName-len(suffix)):len(old.Name)], suffix...)
	}
	return dir, name, nil
}

func (a *adoption) free(ctx context.Context, dir index.Ino, name []byte) bool {
	_, err := a.db.Lookup(ctx, dir, name)
	return errors.Is(err, index.ErrNotExist)
}

// folders returns the folder at a path and makes those that are missing. ErrNotDir: something else is in the way.
func (a *adoption) folders(ctx context.Context, p string) (index.Ino, error) {
	at := index.Root
	for name := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if name == "" {
			continue
		}
		attr, err := a.db.Lookup(ctx, at, []byte(name))
		if errors.Is(err, index.ErrNotExist) {
			root, rerr := a.db.Get(ctx, index.Root)
			if rerr != nil {
				return 0, rerr
			}
			attr, err = a.db.Create(ctx, index.CreateRequest{Parent: at, Name: []byte(name), Mode: uint32(0o040700), UID: root.UID, GID: root.GID})
		}
		if err != nil {
			return 0, err
		}
		if !attr.IsDir() {
			return 0, index.ErrNotDir
		}
		at = attr.Ino
	}
	return at, nil
}

func (a *adoption) shelve(_ context.Context, ino index.Ino, old index.Remnant, why string) error {
	name := old.Path
	if name == "" {
		name = "an unknown file"
	}
	a.log.Warn("staging file goes to lost+found", "op", "rebuild", "ino", uint64(ino), "err", why)
	a.found.Shelved = append(a.found.Shelved, fmt.Sprintf("%s (inode %d): %s", name, ino, why))
	var err error
	if old.Path == "" {
		err = a.dir.Shelve(ino)
	} else {
		err = a.dir.ShelveNamed(ino, old.Path)
	}
	if errors.Is(err, staging.ErrNotExist) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
