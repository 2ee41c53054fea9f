package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// findSurvivors looks for node folders where the flags say, and refuses what
// cannot bring a drive back.
func (a *app) findSurvivors(o restoreOptions) (*embedded.Survivors, error) {
	s, err := embedded.Find(o.nodeDirs)
	switch {
	case errors.Is(err, embedded.ErrNoFolders):
		return nil, ui.Errorf(ui.Failed, "%w", err).
			WithHint("name the folders of nodes, such as node-03 or node-03-1a2b3c4d, or folders that hold some; each has a folder %q in it", "drive")
	case errors.Is(err, embedded.ErrSeveral):
		return nil, ui.Errorf(ui.Failed, "%w", err).WithHint("name the node folders of one drive, not the folder that holds those of several")
	case errors.Is(err, embedded.ErrTwice):
		return nil, ui.Errorf(ui.Failed, "%w", err).WithHint("name the node folders themselves, and of these two only one")
	case errors.Is(err, embedded.ErrForked):
		return nil, ui.Errorf(ui.Failed, "%w", err).
			WithHint("the drive was used twice over, with some folders each: name only the folders of the one that you want")
	case err != nil:
		return nil, ui.Errorf(ui.Failed, "look for node folders: %w", err)
	}
	if here, _, need := s.Shards(); here < need {
		return nil, ui.Errorf(ui.TooFewNodes, "%d of the %d node folders of this drive are here, and reading needs %d: %s missing",
			len(s.Here), s.Nodes(), s.NeedFolders(), ui.Plural(s.NeedFolders()-len(s.Here), "more is", "more are")).
			WithHint("--node-dir with the folder of any of %s", strings.Join(s.Missing, ", "))
	}
	if damage := s.Best.Log.Damage; damage != nil && !o.loss {
		return nil, ui.Errorf(ui.Failed, "no folder here has the whole ledger: %w", damage).
			WithHint("look for more node folders; --accept-loss restores up to there, and what was stored later is lost")
	}
	return s, nil
}

// survivingKeys opens the copies of the keys in the node folders, and returns
// the folder that they were in.
func (a *app) survivingKeys(ctx context.Context, h home, s *embedded.Survivors) (k keys, dir string, err error) {
	const hint = "--identity FILE names it, identity.txt of key export or an ssh key; or --sheet FILE a recovery sheet"
	if err := a.needIdentity(h, config{}, s.Kept(), hint); err != nil {
		return k, "", err
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, config{})
	if err != nil {
		return k, "", err
	}
	var first error
	for _, dir := range s.Kept() {
		in := home{dir: dir}
		if pairs, err := in.pairs(); err != nil || len(pairs) == 0 {
			continue
		}
		k, _, err := in.openOurs(ids)
		if err == nil {
			return k, dir, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = ui.Errorf(ui.WrongKey, "no node folder has a copy of the keys").WithHint("--key-file or --sheet names one")
	}
	return k, "", first
}

// needIdentity says what is missing where no passphrase opens the keys in dirs, instead of asking for one.
func (a *app) needIdentity(h home, c config, dirs []string, hint string) error {
	if a.unlock.file(h, c) != "" || a.unlock.pass.given() {
		return nil
	}
	locked := ""
	for _, dir := range dirs {
		pairs, err := home{dir: dir}.pairs()
		if err != nil {
			continue
		}
		for _, p := range pairs {
			methods, err := seal.Methods(p.key, nil)
			if err != nil || slices.ContainsFunc(methods, func(m seal.Method) bool { return m.Kind == "scrypt" }) {
				return nil
			}
			locked = p.key
		}
	}
	if locked == "" {
		return nil
	}
	return ui.Errorf(ui.WrongKey, "%s is locked to an identity, and none is given", locked).WithHint("%s", hint)
}

// copyKept copies the locked keys from a node folder into the state folder.
func copyKept(h home, dir string) error {
	files, err := home{dir: dir}.kept()
	if err != nil {
		return err
	}
	for name := range files {
		if err := copyPrivate(filepath.Join(h.dir, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// isExport reports whether a key file lies where it was exported to, not in the state folder
// of a drive.
func isExport(keyFile string) bool {
	if keyFile == "" {
		return false
	}
	beside := home{dir: filepath.Dir(absolute(keyFile))}
	for _, name := range []string{beside.index(), beside.config(), beside.birth()} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// noteSurvival remembers that what opens the keys was kept elsewhere: it was used just now.
func noteSurvival(h home, o restoreOptions) error {
	if h.keysExported() {
		return nil
	}
	form := "folder"
	if o.sheet != "" {
		form = "sheet"
	}
	return noteExport(h, form)
}

// adoptNodes makes a network of the node folders.
func (a *app) adoptNodes(h home, c config, k keys, s *embedded.Survivors, o restoreOptions) error {
	dirs := make([]string, len(o.newNodeDirs))
	for i, dir := range o.newNodeDirs {
		dirs[i] = absolute(dir)
	}
	err := s.Adopt(c.networkFolder(h), k.ring, dirs)
	switch {
	case errors.Is(err, embedded.ErrLocked):
		return ui.Errorf(ui.InUse, "%w", err).WithHint("the drive is mounted: walfs umount ends that")
	case errors.Is(err, fs.ErrNotExist) && len(dirs) > 0:
		return ui.Errorf(ui.Failed, "%w", err).WithHint("--new-node-dir names folders that are there")
	}
	return err
}

// findLost lists the files that cannot be read whole from the nodes that are there.
func findLost(ctx context.Context, net *embedded.Network, blobs *blobstore.Client, db *index.DB) ([]string, error) {
	segments, err := db.Segments(ctx, index.SegmentFilter{})
	if err != nil {
		return nil, err
	}
	if len(segments) <= maxSurvey {
		if err := surveyNodes(ctx, net); err != nil {
			return nil, err
		}
	}
	held, err := heldShards(ctx, net)
	if err != nil {
		return nil, err
	}
	w := &lossWalk{db: db, lost: map[uint64]bool{}}
	for _, s := range segments {
		if held(s.Blob) >= blobs.Geometry().SourcePrimary() {
			continue
		}
		health, err := blobs.Check(ctx, s.Blob)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || !health.Recoverable {
			w.lost[s.Number] = true
		}
	}
	if len(w.lost) > 0 {
		err = w.folder(ctx, index.Root, "/")
	}
	return w.files, err
}

// maxSurvey is how many blobs a restore looks at on every node. Of a drive with more it
// believes what the nodes know; the mount looks at them all in its own time.
const maxSurvey = 20_000

// surveyNodes lets all nodes look at their folders, in parallel.
func surveyNodes(ctx context.Context, net *embedded.Network) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range net.Up() {
		group.Go(func() error {
			return n.Survey(ctx, node.Marks, walrus.BlobID{}, func(node.Gap) error { return ctx.Err() })
		})
	}
	return group.Wait()
}

// heldShards returns a function that says of how many shards the nodes have
// everything of a blob, as far as they know.
func heldShards(ctx context.Context, net *embedded.Network) (func(walrus.BlobID) int, error) {
	weights := map[string]int{}
	for _, s := range net.Nodes() {
		weights[s.Name] = s.Shards
	}
	all, lacking := 0, map[walrus.BlobID]int{}
	for _, n := range net.Up() {
		weight := weights[n.Status().Name]
		all += weight
		const page = 1000
		var after walrus.BlobID
		for {
			ids, err := n.Lacking(ctx, after, page)
			if err != nil {
				return nil, err
			}
			for _, id := range ids {
				lacking[id] += weight
			}
			if len(ids) < page {
				break
			}
			after = ids[len(ids)-1]
		}
	}
	return func(id walrus.BlobID) int { return all - lacking[id] }, nil
}

// lossWalk looks for files with extents in lost segments.
type lossWalk struct {
	db    *index.DB
	lost  map[uint64]bool
	files []string
}

func (w *lossWalk) folder(ctx context.Context, dir index.Ino, path string) error {
	var after uint64
	for {
		entries, err := w.db.ReadDir(ctx, dir, after, maxListPage)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(path, string(e.Name))
			switch {
			case e.Attr.IsDir():
				err = w.folder(ctx, e.Attr.Ino, name)
			case e.Attr.IsRegular():
				err = w.file(ctx, e.Attr, name)
			}
			if err != nil {
				return err
			}
			after = e.Cookie
		}
	}
}

func (w *lossWalk) file(ctx context.Context, attr index.Attr, path string) error {
	extents, err := w.db.Extents(ctx, attr.Ino, 0, attr.Size)
	var lost int64
	for _, e := range extents {
		if w.lost[e.Segment] {
			lost += e.Len
		}
	}
	if lost > 0 {
		w.files = append(w.files, fmt.Sprintf("%s: %s of it are on no node that is left", path, ui.Size(lost)))
	}
	return err
}
