// Package staging keeps the bytes of a drive that are not certified yet, and
// the clean local copies of those that are.
//
// Each inode with local bytes has a sparse file, files/<2 hex>/<ino>.data,
// whose length is the live size. Most have nothing else: such a file is the
// whole content, all of it changed since it was published, if it ever was.
// Once only a part of the content is here, or only a part of it changed, a
// block map stands beside it:
//
//	files/<bits 8 to 15 of ino, 2 hex>/<ino>.map, integers little-endian
//	 0  4  "WSMP"
//	 4  4  version 3
//	 8  8  inode
//	16  8  base: below it published content shows through blocks that are not held
//	24  4  flags: 1 the data file is the whole content, holes included
//	28  4  zero
//	32  8  newest version whose content shows through, as far as a version is known; 0: it is not
//	40  8  oldest version that shows the same there; 0: not known
//	48 12  zero
//	60  4  CRC32C of bytes 0 to 60
//	64  …  units of 64 bytes: 60 bytes with two bits per block of 4096 bytes, the first block
//	       in the lowest, and CRC32C over inode, number of the unit (8 bytes each) and those 60;
//	       zeros where nothing is held. A block is 0 not held, 1 held and clean, 2 held and
//	       dirty, 3 held, packed and not certified yet
//
// Version 1 had the bits without units and checksums; it is rewritten when it is read.
// Version 2 had zeros in the place of the versions.
//
// The map is written before a write is answered, in this order: blocks that
// are held become dirty, the data is written, new blocks become held. So after
// kill -9 it tells the truth. After a power cut it may not; see Restrict.
//
// A deleted inode leaves files/<2 hex>/<ino>.grave, empty, until its deletion
// is safe from a power cut. The folder outbox keeps sealed segments, snap the copies that packs read
// from, lost+found what no inode knows.
package staging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// BlockSize is the granularity, in bytes, of what staging holds.
const BlockSize = 4096

// The errors that callers branch on.
var (
	ErrBusy     = errors.New("staging file is in use")
	ErrNotExist = errors.New("not in staging")
	ErrCorrupt  = errors.New("block map is damaged")
	ErrTooLarge = errors.New("file too large")
)

// Config is what Open needs.
type Config struct {
	Dir string
	// MarkDirty raises the version of an inode in the index and returns it. It
	// runs before the first write after the file was opened, and after a Pack.
	// Seq is newer than that of every state in which the write is not.
	MarkDirty func(ctx context.Context, ino index.Ino, seq uint64) (uint64, error)
	// Unmark takes back the MarkDirty that made a version, as index.Unmark does.
	// Nil: what was marked stays so.
	Unmark func(ctx context.Context, ino index.Ino, version uint64, packing bool) (bool, error)
	// Version returns the live version of an inode. A Pack asks for it when
	// the file was not written since it was opened; nil: it marks the inode.
	Version func(ctx context.Context, ino index.Ino) (uint64, error)
	// Cut makes a state durable, like index.Barrier, before staging gives up
	// bytes that an earlier barrier vouched for. Nil: nothing to do.
	Cut func(ctx context.Context, h index.Held) error
	// NoSync leaves out all syncing to disk, for tests.
	NoSync bool
	Log    *slog.Logger
}

// The folders in Config.Dir.
const (
	dirFiles  = "files"
	dirOutbox = "outbox"
	dirSnap   = "snap"
	dirLost   = "lost+found"
)

// Dir is the staging folder of a drive. Its methods may be called concurrently.
type Dir struct {
	c    Config
	log  *slog.Logger
	disk disk

	reserve reserve // for what makes room on a full disk

	seq atomic.Uint64 // newest number of a state that was told, see File.state

	mu      sync.Mutex // guards the fields below
	open    map[index.Ino]*File
	present map[index.Ino]*presence
	bytes   int64
	boxes   map[uint64]struct{}
	graves  map[index.Ino]struct{}
	doubted map[index.Ino]*presence // files that must not be read, see Doubt
	snaps   int                     // number of the next snapshot file
	opens   uint64                  // how often files were opened
	lent    map[index.Ino]*File

	fineTimes atomic.Bool // see Probe
	clones    bool        // see Probe; set before anything is lent
}

// presence is what is remembered of a data file while it is not open.
type presence struct {
	bytes    int64     // on disk
	unsynced bool      // the data may not be on stable storage
	unlinked bool      // nor the name
	mapped   bool      // a block map stands beside it
	written  bool      // since its last Pack, by this process
	fresh    bool      // nothing of it is or is about to be published: the data file is all there is
	synced   bool      // it is a whole clean copy on stable storage, so that a damaged map does not matter
	revived  bool      // likewise after a reboot, so that no map counts
	copyOf   index.Ino // see CopyOf
	opened   uint64    // number of the last opening, of all that there were of files; 0: none since the folder was opened
	unseen   bool      // nobody has looked how long the data file is; it is not counted yet
	size     int64     // of the data file when the folder was opened; unknown of what Trust took over
	mtime    int64     // likewise
}

// Open opens the folder or creates it.
func Open(c Config) (*Dir, error) {
	d := &Dir{c: c, log: c.Log, open: map[index.Ino]*File{}, present: map[index.Ino]*presence{}, boxes: map[uint64]struct{}{}, graves: map[index.Ino]struct{}{}, doubted: map[index.Ino]*presence{}}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.disk.off = c.NoSync || !syncs
	if err := d.makeFolders(); err != nil {
		return nil, fmt.Errorf("open staging: %w", err)
	}
	if err := d.scan(); err != nil {
		return nil, fmt.Errorf("open staging: %w", err)
	}
	d.reserve.open(c.Dir)
	return d, nil
}

func (d *Dir) makeFolders() error {
	for _, name := range []string{dirOutbox, dirSnap, dirLost, dirFiles} {
		if err := os.MkdirAll(filepath.Join(d.c.Dir, name), 0o700); err != nil {
			return err
		}
	}
	spread(filepath.Join(d.c.Dir, dirFiles))
	made := false
	for i := range 256 {
		err := os.Mkdir(filepath.Join(d.c.Dir, dirFiles, fmt.Sprintf("%02x", i)), 0o700)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		made = made || err == nil
	}
	if !made {
		return nil
	}
	return errors.Join(d.disk.syncDir(filepath.Join(d.c.Dir, dirFiles)), d.disk.syncDir(d.c.Dir))
}

// scanParallel is how many folders are looked at side by side.
const scanParallel = 4

// scan finds the names of the files that are here and removes what a crash left half
// made. The files are looked at later: of most the index knows all that is asked.
func (d *Dir) scan() error {
	if err := emptyFolder(filepath.Join(d.c.Dir, dirSnap)); err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(scanParallel)
	for i := range 256 {
		group.Go(func() error {
			return d.scanFolder(filepath.Join(d.c.Dir, dirFiles, fmt.Sprintf("%02x", i)))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return d.scanOutbox()
}

// scanFolder looks at one of the folders of files.
func (d *Dir) scanFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	found := map[index.Ino]*presence{}
	var mapped, graves []index.Ino
	for _, e := range entries {
		stem, ext, _ := strings.Cut(e.Name(), ".")
		n, err := strconv.ParseUint(stem, 10, 64)
		switch {
		case strings.HasSuffix(e.Name(), ".tmp"):
			if err := os.Remove(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
			continue
		case err != nil, ext != "data" && ext != "map" && ext != "grave", d.folder(index.Ino(n)) != folder:
			d.log.Warn("unknown file in staging", "op", "scan")
			continue
		}
		switch ext {
		case "map":
			mapped = append(mapped, index.Ino(n))
			continue
		case "grave":
			if err := os.Truncate(filepath.Join(folder, e.Name()), 0); err != nil {
				return err
			}
			graves = append(graves, index.Ino(n))
			continue
		}
		found[index.Ino(n)] = &presence{unseen: true, unsynced: true, unlinked: true}
	}
	for _, ino := range mapped {
		if p := found[ino]; p != nil {
			p.mapped = true
		} else if err := os.Remove(d.mapPath(ino)); err != nil { // made before its data file, or left after it
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ino := range graves {
		d.graves[ino] = struct{}{}
	}
	maps.Copy(d.present, found)
	return nil
}

// seenTogether is how many files are looked at by one after the other.
const seenTogether = 256

// See looks at all files that nobody has looked at since the folder was opened, of which
// Trust did not tell enough. Bytes counts them from then on.
func (d *Dir) See() error {
	var unseen []index.Ino
	d.mu.Lock()
	for ino, p := range d.present {
		if p.unseen {
			unseen = append(unseen, ino)
		}
	}
	d.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(scanParallel)
	for some := range slices.Chunk(unseen, seenTogether) {
		group.Go(func() error {
			infos := make([]os.FileInfo, len(some))
			for i, ino := range some {
				var err error
				if infos[i], err = os.Lstat(d.dataPath(ino)); err != nil {
					return fmt.Errorf("look at staging file %d: %w", ino, err)
				}
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			for i, ino := range some {
				if p := d.present[ino]; p != nil && p.unseen {
					d.saw(p, infos[i])
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// see looks at a file if nobody has. The caller holds mu.
func (d *Dir) see(ino index.Ino, p *presence) {
	if !p.unseen {
		return
	}
	if info, err := os.Lstat(d.dataPath(ino)); err == nil {
		d.saw(p, info)
	}
}

// saw notes what a file is found to be. The caller holds mu.
func (d *Dir) saw(p *presence, info os.FileInfo) {
	p.size, p.mtime = info.Size(), info.ModTime().UnixNano()
	d.count(p, footprint(info, p.mapped))
}

// count notes how much room a file takes. The caller holds mu.
func (d *Dir) count(p *presence, bytes int64) {
	d.bytes += bytes - p.bytes
	p.bytes, p.unseen = bytes, false
}

// sizeUnknown is the size of a file that nobody looked at because Trust told of it.
const sizeUnknown = -1

// Plain tells of a file that nobody has opened since the folder was: its size
// and mtime (Unix time in nanoseconds), if the data file alone is the whole content.
// Of a copy that Trust told of it does not know.
func (d *Dir) Plain(ino index.Ino) (size, mtime int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.present[ino]
	if p == nil || p.mapped || p.opened > 0 {
		return 0, 0, false
	}
	d.see(ino, p)
	return p.size, p.mtime, !p.unseen && p.size != sizeUnknown
}

// Trust tells what the index knows of a file that nobody has opened since the
// folder was. Settled: the anchor covers its content, so that nothing here has
// to reach the disk. Published: some version of it is. A copy takes as much room
// as was counted when it became one; nobody has to look at it again.
func (d *Dir) Trust(l index.Local) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.present[l.Ino]
	if p == nil || p.opened > 0 {
		return
	}
	p.unsynced = !l.Settled
	p.fresh = !l.Published && !p.mapped
	p.synced = l.Synced
	if p.unseen && l.Settled && l.Bytes > 0 {
		p.size = sizeUnknown
		d.count(p, l.Bytes)
	}
}

// Close forgets the folder. No file may be in use.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.open) > 0 {
		return fmt.Errorf("close staging: %d files: %w", len(d.open), ErrBusy)
	}
	return nil
}

// Inos returns the inodes of which staging holds something, in ascending order.
func (d *Dir) Inos() []index.Ino {
	d.mu.Lock()
	defer d.mu.Unlock()
	inos := make([]index.Ino, 0, len(d.present))
	for ino := range d.present {
		inos = append(inos, ino)
	}
	slices.Sort(inos)
	return inos
}

// Has reports whether staging holds something of an inode.
func (d *Dir) Has(ino index.Ino) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.present[ino] != nil
}

// Allocated returns how many bytes the data of an inode took on disk when it
// was last released, and whether staging holds anything of it.
func (d *Dir) Allocated(ino index.Ino) (int64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.present[ino]; p != nil {
		d.see(ino, p)
		return p.bytes, true
	}
	return 0, false
}

// Bytes returns about how much room the files take, clean copies and the
// copies of running packs included.
func (d *Dir) Bytes() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bytes
}

// Free returns the room that the disk has left, in bytes.
func (d *Dir) Free() (int64, error) {
	s, err := d.statfs()
	if err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// Total returns the size of the disk, in bytes.
func (d *Dir) Total() (int64, error) {
	s, err := d.statfs()
	if err != nil {
		return 0, err
	}
	return int64(s.Blocks) * s.Bsize, nil
}

func (d *Dir) statfs() (unix.Statfs_t, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.c.Dir, &s); err != nil {
		return s, fmt.Errorf("statfs of staging: %w", err)
	}
	return s, nil
}

// account notes how much room a file takes now.
func (d *Dir) account(ino index.Ino, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.present[ino]; p != nil {
		d.count(p, bytes)
	}
}

func (d *Dir) folder(ino index.Ino) string {
	return filepath.Join(d.c.Dir, dirFiles, fmt.Sprintf("%02x", uint8(ino>>8)))
}

func (d *Dir) dataPath(ino index.Ino) string {
	return filepath.Join(d.folder(ino), strconv.FormatUint(uint64(ino), 10)+".data")
}

func (d *Dir) mapPath(ino index.Ino) string {
	return filepath.Join(d.folder(ino), strconv.FormatUint(uint64(ino), 10)+".map")
}

func (d *Dir) gravePath(ino index.Ino) string {
	return filepath.Join(d.folder(ino), strconv.FormatUint(uint64(ino), 10)+".grave")
}

func emptyFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(folder, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
