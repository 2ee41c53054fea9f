package keep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/walfs/walfs/index"
)

const (
	// maxMissed, maxSalvaged and maxLost bound the lists of a report.
	maxMissed   = 1000
	maxSalvaged = 1000
	maxLost     = 1000
	// maxDepth bounds how far names are followed upwards.
	maxDepth = 4096
)

// SalvagedFile is a file that a generation above one that cannot be read told of.
type SalvagedFile struct {
	Path       string
	Bytes      int64
	Generation uint64   // the newest that told of it; 0: only the name is told, that it lost
	Uncertain  []string // what generations that cannot be read may have said of it
}

// survey reports what was salvaged, and what is missing still.
type survey struct {
	db       *index.DB
	s        *salvage
	restored uint64 // the generation below the hole
	passed   []Passed
	named    map[index.Ino]index.LaterName // the newest name of each
	salvaged []SalvagedFile
	missed   map[string]bool
}

// report fills in what became of what the generations above the hole told.
func (s *salvage) report(ctx context.Context, db *index.DB, r *Report) error {
	if s == nil {
		return nil
	}
	v := survey{db: db, s: s, restored: r.Generation, passed: r.Passed, named: map[index.Ino]index.LaterName{}, missed: map[string]bool{}}
	for _, n := range s.later.Names() {
		if n.Ino != 0 {
			v.named[n.Ino] = n
		}
	}
	told := map[index.Ino]*index.LaterInode{}
	for _, n := range s.later.Inodes() {
		told[n.Ino] = n
		if err := v.missing(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range s.later.Names() {
		if n.Ino == 0 || s.placed.Names[n] || s.placed.Inodes[n.Ino] {
			continue
		}
		path, err := v.path(ctx, n)
		if err != nil {
			return err
		}
		v.missed[path] = true
	}
	for ino := range s.placed.Inodes {
		if err := v.file(ctx, ino, told[ino]); err != nil {
			return err
		}
	}
	slices.SortFunc(v.salvaged, func(a, b SalvagedFile) int { return strings.Compare(a.Path, b.Path) })
	r.SalvagedIn, r.Salvaged = len(v.salvaged), v.salvaged[:min(len(v.salvaged), maxSalvaged)]
	for path := range v.missed {
		r.Missed = append(r.Missed, path)
	}
	slices.Sort(r.Missed)
	r.MissedIn, r.Missed = len(r.Missed), r.Missed[:min(len(r.Missed), maxMissed)]
	return nil
}

// missing notes a file of which the newest version that is told is not there.
func (v *survey) missing(ctx context.Context, n *index.LaterInode) error {
	if n.Told == 0 {
		return nil
	}
	a, err := v.db.Get(ctx, n.Ino)
	if err == nil && (a.PubVersion >= n.Told && v.isSame(&a, n)) {
		return nil
	}
	if err != nil && !errors.Is(err, index.ErrNotExist) {
		return err
	}
	if err == nil && v.isSame(&a, n) {
		path, err := v.db.Path(ctx, n.Ino)
		v.missed[path] = true
		return err
	}
	if _, named := v.named[n.Ino]; !named { // else it is noted by that
		v.missed[fmt.Sprintf("inode %d", n.Ino)] = true
	}
	return nil
}

// isSame reports whether a number is that of the file that is told of.
func (v *survey) isSame(a *index.Attr, n *index.LaterInode) bool {
	return n.Row == nil || n.Row.Btime == a.Btime
}

// file notes a file that was salvaged, or moved. Directories are noted only if
// they have lost their place.
func (v *survey) file(ctx context.Context, ino index.Ino, n *index.LaterInode) error {
	a, err := v.db.Get(ctx, ino)
	if err != nil {
		return err
	}
	if ino == index.Root || a.IsDir() && !v.s.placed.Lost[ino] {
		return nil
	}
	f := SalvagedFile{Bytes: a.Size}
	if f.Path, err = v.db.Path(ctx, ino); err != nil {
		return err
	}
	content := v.restored
	if n != nil {
		f.Generation, content = n.Generation, n.Generation
		if n.Content != nil && n.Content.Version == a.PubVersion {
			content = n.ContentOf
			f.Generation = max(f.Generation, content)
		}
		if n.Told > a.PubVersion && a.IsRegular() {
			f.Uncertain = append(f.Uncertain, "a newer version of it is missing")
		}
	}
	if hole := v.above(content); hole != 0 {
		f.Uncertain = append(f.Uncertain, fmt.Sprintf("generation %d, which cannot be read, may have changed it", hole))
	}
	if v.s.placed.Bare[ino] {
		f.Uncertain = append(f.Uncertain, "its owner, mode and attributes are not known")
	}
	name, told := v.named[ino]
	hole := v.above(v.restored)
	if told {
		f.Generation = max(f.Generation, name.Generation)
		hole = v.above(name.Generation)
	}
	switch {
	case strings.HasPrefix(f.Path, "/"+index.LostFolder+"/"):
		f.Uncertain = append(f.Uncertain, "its name or its folder is not known, or it was removed")
	case hole != 0:
		f.Uncertain = append(f.Uncertain, fmt.Sprintf("generation %d, which cannot be read, may have renamed or removed it", hole))
	}
	v.salvaged = append(v.salvaged, f)
	return nil
}

// above returns the newest generation above g that cannot be read; 0: all can.
func (v *survey) above(g uint64) uint64 {
	if len(v.passed) > 0 && v.passed[0].Generation > g {
		return v.passed[0].Generation
	}
	return 0
}

// path follows a name up to the root, through what is told and what was restored.
func (v *survey) path(ctx context.Context, at index.LaterName) (string, error) {
	names := []string{at.Name}
	for range maxDepth {
		above, ok := v.named[at.Parent]
		if !ok {
			break
		}
		names, at = append(names, above.Name), above
	}
	slices.Reverse(names)
	folder, err := v.db.Path(ctx, at.Parent)
	if errors.Is(err, index.ErrNotExist) {
		folder, err = "…", nil
	}
	return strings.TrimSuffix(folder, "/") + "/" + strings.Join(names, "/"), err
}
