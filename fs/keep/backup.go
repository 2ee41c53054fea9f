package keep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// BackupConfig says where copies of the index are kept. Index and Dir are required.
type BackupConfig struct {
	Index *index.DB
	Dir   string           // made if missing, mode 0700
	Keep  int              // how many; 0 means DefaultBackups
	Now   func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil means silent
}

// DefaultBackups is how many copies of the index are kept.
const DefaultBackups = 3

const (
	// backupEvery is how long a drive runs between two copies, whatever the clock says.
	backupEvery = 24 * time.Hour
	// backupLook is how often it is looked whether a copy is due.
	backupLook = 10 * time.Minute
	// backupPause is the least time between two copies of one process, however the clock jumps.
	backupPause = time.Hour
	// backupReserve is left free on the disk, or a twentieth of it if that is less.
	backupReserve = 1 << 30
)

// The names of copies are numbered, so that a clock that jumps does not change their order.
const (
	backupPrefix = "index-"
	backupSuffix = ".db"
	backupNew    = "new.db"
)

// ErrBackupRoom reports that the disk has too little room for a copy of the index.
var ErrBackupRoom = errors.New("too little room for a copy of the index")

// Backup is a copy of the index.
type Backup struct {
	Path string
	Time time.Time // when it was made, by the clock of then
	Size int64     // in bytes

	number uint64
}

// Backups copies the index once a day. Its methods may be called concurrently.
type Backups struct {
	cfg BackupConfig

	mu   sync.Mutex // held while a copy is made; guards the fields below
	last time.Time  // when this process made one, with the monotonic clock
	err  error      // of the last try
}

// NewBackups makes the keeper of copies of the index.
func NewBackups(cfg BackupConfig) *Backups {
	if cfg.Keep <= 0 {
		cfg.Keep = DefaultBackups
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Backups{cfg: cfg}
}

// Run makes a copy whenever one is due, until ctx ends.
func (b *Backups) Run(ctx context.Context) error {
	tick := time.NewTicker(backupLook)
	defer tick.Stop()
	for {
		if _, err := b.Look(ctx); err != nil && ctx.Err() == nil {
			b.cfg.Log.Warn("index is not copied", "op", "backup", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Look makes a copy if one is due, and reports whether it did: when there is none, on
// another day by the clock than the newest, after a day of running time, or
// when the newest has another writer, or cannot be read.
func (b *Backups) Look(ctx context.Context) (made bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, err := ListBackups(b.cfg.Dir)
	due := err == nil && b.due(list)
	if err == nil && !due && b.last.IsZero() {
		due, err = b.outdated(ctx, list[0])
	}
	if due {
		made, err = true, b.make(ctx, list)
	}
	b.err = err
	return made && err == nil, err
}

func (b *Backups) due(list []Backup) bool {
	if len(list) == 0 {
		return true
	}
	if b.last.IsZero() {
		return !sameDay(b.cfg.Now(), list[0].Time)
	}
	ran := time.Since(b.last)
	return ran >= backupEvery || ran >= backupPause && !sameDay(b.cfg.Now(), list[0].Time)
}

// outdated reports whether a copy is of no use to tell that this machine was the
// last to write the drive: a rebuild and a takeover give it another ID.
func (b *Backups) outdated(ctx context.Context, newest Backup) (bool, error) {
	d, err := b.cfg.Index.Drive(ctx)
	if err != nil {
		return false, err
	}
	was, err := index.Whose(newest.Path)
	return err != nil || was.Writer != d.Writer, nil
}

func sameDay(a, b time.Time) bool {
	y1, m1, d1 := a.UTC().Date()
	y2, m2, d2 := b.UTC().Date()
	return y1 == y2 && m1 == m2 && d1 == d2
}

// make copies the index, reads the copy from end to end, and only then gives it
// its name and removes the oldest. The caller holds mu.
func (b *Backups) make(ctx context.Context, list []Backup) error {
	if err := os.MkdirAll(b.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("back up index: %w", err)
	}
	if err := b.room(list); err != nil {
		return err
	}
	next := uint64(1)
	if len(list) > 0 {
		next = list[0].number + 1
	}
	fresh := filepath.Join(b.cfg.Dir, backupNew)
	if err := b.cfg.Index.Backup(ctx, fresh); err != nil {
		return errors.Join(err, removeCopy(fresh), removeIfThere(fresh+".tmp"))
	}
	if _, err := index.Verify(ctx, fresh); err != nil {
		return errors.Join(fmt.Errorf("copy of the index: %w", err), removeCopy(fresh))
	}
	now := b.cfg.Now()
	path := filepath.Join(b.cfg.Dir, backupPrefix+fmt.Sprintf("%08d", next)+backupSuffix)
	if err := errors.Join(os.Chtimes(fresh, now, now), renameCopy(fresh, path), syncFolder(b.cfg.Dir)); err != nil {
		return fmt.Errorf("back up index: %w", err)
	}
	b.last = time.Now()
	b.cfg.Log.Info("index copied", "op", "backup", "number", next)
	for _, old := range list[min(len(list), b.cfg.Keep-1):] {
		if err := removeCopy(old.Path); err != nil {
			return fmt.Errorf("remove old copy of the index: %w", err)
		}
	}
	return nil
}

// room refuses a copy that would take the room that draining needs.
func (b *Backups) room(list []Backup) error {
	var st unix.Statfs_t
	if err := unix.Statfs(b.cfg.Dir, &st); err != nil {
		return fmt.Errorf("room for a copy of the index: %w", err)
	}
	free, total := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
	size, err := b.cfg.Index.Size()
	if err != nil {
		return err
	}
	if free-min(backupReserve, total/20) < 2*size {
		return fmt.Errorf("%w: %d bytes are free, the index has %d; %d copies are there", ErrBackupRoom, free, size, len(list))
	}
	return nil
}

// Problems tells in sentences what a person has to know.
func (b *Backups) Problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return nil
	}
	return []string{fmt.Sprintf("the index is not copied: %v", b.err)}
}

// ListBackups returns the copies of the index in a folder, the newest first. There need not be a folder.
func ListBackups(dir string) ([]Backup, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list copies of the index: %w", err)
	}
	var list []Backup
	for _, e := range entries {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), backupSuffix), backupPrefix)
		number, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || !strings.HasSuffix(e.Name(), backupSuffix) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it was removed just now
		}
		list = append(list, Backup{Path: filepath.Join(dir, e.Name()), Time: info.ModTime(), Size: info.Size(), number: number})
	}
	slices.SortFunc(list, func(a, b Backup) int { return int(int64(b.number - a.number)) })
	return list, nil
}

// renameCopy gives a copy of the index its name; what lies beside it goes first.
func renameCopy(from, to string) error {
	beside := index.Backed(to)
	for i, path := range index.Backed(from) {
		if err := os.Rename(path, beside[i]); err != nil {
			return err
		}
	}
	return os.Rename(from, to)
}

// removeCopy removes a copy of the index, and what lies beside it.
func removeCopy(path string) error {
	errs := []error{removeIfThere(path)}
	for _, beside := range index.Backed(path) {
		errs = append(errs, removeIfThere(beside))
	}
	return errors.Join(errs...)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
