package fs

import (
	"bytes"
	"context"
	"strings"

	fusefs "github.com/hanwen/go-fuse/v2/fs"

	"github.com/walfs/walfs/index"
)

// Untrash makes files of what lies in the trash, as index.Untrash does, and
// the kernel sees them at once. ErrReadOnly.
func (fs *FS) Untrash(ctx context.Context, list []index.UntrashRequest) ([]index.Untrashed, error) {
	if err := fs.change(); err != nil {
		return nil, err
	}
	done, err := fs.cfg.Index.Untrash(ctx, list)
	if err != nil {
		return nil, err
	}
	fs.cfg.Wake()
	a := announcement{fs: fs, told: map[*fusefs.Inode]bool{}}
	linked := map[index.Ino]bool{}
	for i := range done {
		if done[i].Err != nil {
			continue
		}
		if ino := done[i].Ino; done[i].Linked && !linked[ino] {
			linked[ino] = true
			if err := a.links(ctx, ino); err != nil {
				fs.log.Warn("the kernel may show old attributes of a file", "op", "untrash", "ino", ino, "err", err)
			}
		}
		a.path(done[i].Path)
	}
	return done, nil
}

// announcement tells the kernel of names that it did not ask for. It may
// remember that there was no such name, and what a directory held.
type announcement struct {
	fs   *FS
	told map[*fusefs.Inode]bool
}

// links tells that a file has more links than the kernel may know.
func (a *announcement) links(ctx context.Context, ino index.Ino) error {
	at := a.fs.root.Load()
	if at == nil {
		return nil // not mounted
	}
	paths, err := a.fs.cfg.Index.Paths(ctx, ino)
	for _, path := range paths {
		known := at.EmbeddedInode()
		for name := range strings.SplitSeq(path, "/") {
			if known = known.GetChild(name); known == nil {
				break
			}
		}
		if known != nil && known.StableAttr().Ino == uint64(ino) {
			_ = known.NotifyContent(-1, 0) // attributes only; not there is good too
			break
		}
	}
	return err
}

// path tells of the first name on the way to a file that the kernel has no
// inode for: what follows it cannot know.
func (a *announcement) path(path []byte) {
	at := a.fs.root.Load()
	if at == nil {
		return // not mounted
	}
	dir := at.EmbeddedInode()
	for name := range bytes.SplitSeq(path, []byte("/")) {
		child := dir.GetChild(string(name))
		if child == nil {
			if !a.told[dir] {
				a.told[dir] = true
				_ = dir.NotifyContent(0, 0) // what it held, and its times; not there is good too
			}
			_ = dir.NotifyEntry(string(name))
			return
		}
		dir = child
	}
}
