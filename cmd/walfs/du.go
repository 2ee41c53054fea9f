package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// usageArgs is the question of opUsage.
type usageArgs struct {
	Paths  [][]byte `json:"paths"` // in the drive
	Stored bool     `json:"stored,omitempty"`
}

// usage is the answer of opUsage.
type usage struct {
	Entries []usageEntry `json:"entries"`
	Stored  *storedUsage `json:"stored,omitempty"`
}

// usageEntry is what lies at and below a path. A file with several names counts once.
type usageEntry struct {
	Path   string `json:"path"`
	Inodes int64  `json:"inodes"`
	Bytes  int64  `json:"bytes"`                  // of content, without holes
	Stored int64  `json:"stored_bytes,omitempty"` // its share of what the nodes keep
}

// storedUsage is what the whole drive takes on the nodes, in bytes there.
type storedUsage struct {
	Blobs    int   `json:"blobs"`
	Stored   int64 `json:"stored_bytes"`
	Content  int64 `json:"content_bytes"`
	Trailers int64 `json:"trailer_bytes"`
	Garbage  int64 `json:"garbage_bytes"`
	Freeable int64 `json:"freeable_bytes"`
}

func newUsageCommand(a *app) *cobra.Command {
	var stored bool
	cmd := &cobra.Command{
		Use:   "du [PATH...]",
		Short: "Show how much room files take",
		Long: "Du adds up the content of files below each path, of sparse ones what is not a hole, and of those\n" +
			"with several names once. --stored also shows what they cost on the nodes, with all redundancy,\n" +
			"and what the drive costs beside: content that was deleted or replaced, trailers with names and\n" +
			"attributes, and what gc would free of that.",
		Args: anyNames,
		RunE: func(cmd *cobra.Command, args []string) error { return a.usage(cmd.Context(), stored, args) },
	}
	cmd.Flags().BoolVar(&stored, "stored", false, "show bytes on the nodes too")
	return cmd
}

func (a *app) usage(ctx context.Context, stored bool, paths []string) (err error) {
	l, err := a.reach(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	args := usageArgs{Stored: stored}
	for _, path := range paths {
		inside, err := l.existing(ctx, path)
		if err != nil {
			return err
		}
		args.Paths = append(args.Paths, inside)
	}
	if len(paths) == 0 {
		args.Paths, paths = [][]byte{[]byte("/")}, []string{"/"}
	}
	var u usage
	if err := l.call(ctx, opUsage, args, nil, &u); err != nil {
		return err
	}
	for i := range u.Entries {
		u.Entries[i].Path = paths[i]
	}
	return a.showUsage(u)
}

func (a *app) showUsage(u usage) error {
	for _, e := range u.Entries {
		err := a.result("du", e, func() error {
			if u.Stored == nil {
				return a.Print("%9s  %s", ui.Size(e.Bytes), ui.Clean(e.Path))
			}
			return a.Print("%9s  %9s  %s", ui.Size(e.Bytes), ui.Size(e.Stored), ui.Clean(e.Path))
		})
		if err != nil {
			return err
		}
	}
	if u.Stored == nil {
		return nil
	}
	s := *u.Stored
	return a.result("stored", s, func() error {
		return a.Print("on the nodes: %s in %s: content %s, trailers %s, garbage %s; %s gc --compact would free %s",
			ui.Size(s.Stored), blobs(s.Blobs), ui.Size(s.Content), ui.Size(s.Trailers), ui.Size(s.Garbage), a.self, ui.Size(s.Freeable))
	})
}

func (d *drive) answerUsage(ctx context.Context, args usageArgs, _ func(any) error) (u usage, err error) {
	m := meter{d: d, seen: map[index.Ino]bool{}, stored: args.Stored}
	for _, path := range args.Paths {
		attr, err := d.resolve(ctx, path)
		if err != nil {
			return u, err
		}
		m.entry = usageEntry{}
		if err := m.add(ctx, attr); err != nil {
			return u, fmt.Errorf("%s: %w", ui.Clean(string(path)), err)
		}
		u.Entries = append(u.Entries, m.entry)
	}
	if !args.Stored {
		return u, nil
	}
	s, err := d.collector.Survey(ctx)
	u.Stored = &storedUsage{Blobs: s.Segments, Stored: s.Stored, Content: s.Content, Trailers: s.Trailers, Garbage: s.Garbage, Freeable: s.Freeable}
	return u, err
}

// meter adds up what lies below a path.
type meter struct {
	d      *drive
	seen   map[index.Ino]bool // through all paths
	stored bool
	entry  usageEntry
}

// add counts an inode and what lies below. What is deleted meanwhile is left out.
func (m *meter) add(ctx context.Context, attr index.Attr) error {
	if m.seen[attr.Ino] {
		return nil
	}
	m.seen[attr.Ino] = true
	m.entry.Inodes++
	switch {
	case attr.IsRegular():
		return m.file(ctx, attr)
	case attr.IsDir():
		return m.dir(ctx, attr.Ino)
	}
	return nil
}

func (m *meter) dir(ctx context.Context, ino index.Ino) error {
	for after := uint64(0); ; {
		entries, err := m.d.index.ReadDir(ctx, ino, after, maxListPage)
		if errors.Is(err, index.ErrNotExist) {
			return nil
		}
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			after = e.Cookie
			if err := m.add(ctx, e.Attr); err != nil {
				return err
			}
		}
	}
}

// file counts the content: what staging holds of it or what is published,
// whichever is more, as stat does.
func (m *meter) file(ctx context.Context, attr index.Attr) error {
	extents, err := m.d.index.Extents(ctx, attr.Ino, 0, -1)
	if err != nil {
		return err
	}
	published := int64(0)
	for _, e := range extents {
		published += e.Len
		if m.stored {
			m.entry.Stored += m.share(e.Len, e.SealedSize)
		}
	}
	local, _ := m.d.staging.Allocated(attr.Ino)
	m.entry.Bytes += min(attr.Size, max(local, published))
	return nil
}

// share returns what a part of a blob's content costs on the nodes.
func (m *meter) share(part, sealed int64) int64 {
	encoded, err := m.d.blobs.Geometry().EncodedSize(sealed)
	if err != nil || sealed <= 0 {
		return 0
	}
	return int64(float64(encoded) * float64(part) / float64(sealed))
}
