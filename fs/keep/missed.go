package keep

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/walfs/walfs/index"
)

const (
	// maxMissed and maxLost bound the lists of a report.
	maxMissed = 1000
	maxLost   = 1000
	// maxChanges bounds what is kept of generations above a hole.
	maxChanges = 100_000
	// maxDepth bounds how far names are followed upwards.
	maxDepth = 4096
)

// place is a name in a folder.
type place struct {
	parent index.Ino
	name   string
}

// missed is what readable generations above a hole speak of.
type missed struct {
	bound   map[index.Ino]place // names that were given
	changed map[index.Ino]bool  // content that was written
	gone    []place             // names that were removed
}

// tell collects what the generations above a hole speak of.
func (d *descent) tell(ctx context.Context) error {
	m := &missed{bound: map[index.Ino]place{}, changed: map[index.Ino]bool{}}
	for _, gen := range d.above {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(d.passed) == 0 || len(m.bound)+len(m.changed)+len(m.gone) > maxChanges {
			break
		}
		trailer, _, err := d.spooled(gen)
		if err != nil {
			return err
		}
		m.add(trailer)
	}
	d.r.missed = m
	return nil
}

// add takes over the rows of a trailer that is older than those before.
func (m *missed) add(t *index.Trailer) {
	for i := range t.Names {
		row := &t.Names[i]
		at := place{row.Parent, string(row.Name)}
		if row.Ino == 0 {
			m.gone = append(m.gone, at)
		} else if _, newer := m.bound[row.Ino]; !newer {
			m.bound[row.Ino] = at
		}
	}
	for i := range t.Contents {
		m.changed[t.Contents[i].Ino] = true
	}
}

// paths returns what was missed by path, sorted; at most maxMissed, and how many there are.
func (m *missed) paths(ctx context.Context, db *index.DB) (list []string, n int, err error) {
	all := map[string]bool{}
	add := func(at place) error {
		path, err := m.path(ctx, db, at)
		all[path] = true
		return err
	}
	for _, at := range m.bound {
		err = errors.Join(err, add(at))
	}
	for _, at := range m.gone {
		err = errors.Join(err, add(at))
	}
	for ino := range m.changed {
		if _, named := m.bound[ino]; named {
			continue
		}
		path, missing := db.Path(ctx, ino)
		switch {
		case missing == nil:
			all[path] = true
		case !errors.Is(missing, index.ErrNotExist):
			err = errors.Join(err, missing)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	for path := range all {
		list = append(list, path)
	}
	slices.Sort(list)
	return list[:min(len(list), maxMissed)], len(list), nil
}

// path follows a name up to the root, through what was missed and what was restored.
func (m *missed) path(ctx context.Context, db *index.DB, at place) (string, error) {
	names := []string{at.name}
	for range maxDepth {
		above, ok := m.bound[at.parent]
		if !ok {
			break
		}
		names, at = append(names, above.name), above
	}
	slices.Reverse(names)
	folder, err := db.Path(ctx, at.parent)
	if errors.Is(err, index.ErrNotExist) {
		folder, err = "…", nil
	}
	return strings.TrimSuffix(folder, "/") + "/" + strings.Join(names, "/"), err
}
