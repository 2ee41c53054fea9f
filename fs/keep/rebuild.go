package keep

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/walfs/walfs/index"
)

// RebuildConfig says which index to make anew. Restore.Staging is what is adopted, and required.
type RebuildConfig struct {
	Restore  RestoreConfig // with Path, where the damaged index lies, if there is one
	Backups  string        // folder with copies of the index, see Backups
	Rebooted bool          // the machine was started since the drive was used
	Claimed  [16]byte      // as whom this state folder has written the drive; zero: nothing tells
	Copied   string        // why another copy of this state folder may have written the drive since; "": none has
	Network  error         // why there is no network; nil: there is one
}

// Rebuilt says how an index was made anew.
type Rebuilt struct {
	Report
	Adopted
	Backup string // the copy that it was made from, because the network could not be read
	Reason error  // why not from the network, if so
	Aside  string // folder of the damaged one; "": there was none
}

// The names beside the index while one is made anew.
const (
	rebuildNew    = ".new"    // the new one until it is whole
	rebuildMarker = ".swap"   // names the folder that the damaged one moves into
	rebuildWriter = ".writer" // this machine's new ID, which the anchor may name already
	asideFolder   = "damaged" // with a number
)

// fallbackReserve is by how much numbers of new inodes grow when an index comes
// from a copy: newer ones may be in use on the network.
const fallbackReserve = 1 << 32

// Rebuild makes the index of a drive anew where the one at Path is damaged or
// missing: from the network, or, when that cannot be read, from the newest
// sound copy; then the drive can only be read, until it is rebuilt from the
// network. It can only be read as well when another machine has written it
// since, or nothing here tells that none has. What staging holds that is not certified is adopted. The damaged
// index is moved aside and stays. A crash leaves the old one or the new one;
// FinishRebuild, before the index is opened, sees to that.
//
// Errors are those of Restore.
func Rebuild(ctx context.Context, cfg RebuildConfig) (r Rebuilt, err error) {
	if cfg.Restore.Log == nil {
		cfg.Restore.Log = slog.New(slog.DiscardHandler)
	}
	if err := FinishRebuild(cfg.Restore.Path); err != nil {
		return r, err
	}
	b := rebuild{cfg: cfg, path: cfg.Restore.Path, fresh: NewIndex(cfg.Restore.Path)}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.run(ctx, &r); err != nil {
		return r, fmt.Errorf("rebuild index: %w", err)
	}
	return r, nil
}

// rebuild is one run of Rebuild.
type rebuild struct {
	cfg         RebuildConfig
	path, fresh string
	writer      [16]byte
	sources     []*index.Salvage
	current     int // see adoption
}

func (b *rebuild) close() error {
	var errs []error
	for _, s := range b.sources {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (b *rebuild) run(ctx context.Context, r *Rebuilt) error {
	backups, err := ListBackups(b.cfg.Backups)
	if err != nil {
		return err
	}
	b.open(ctx, backups)
	if err := errors.Join(b.clear(), b.chooseWriter()); err != nil {
		return err
	}
	if err := b.restore(ctx, r, backups); err != nil {
		return err
	}
	if err := b.adopt(ctx, r); err != nil {
		return err
	}
	if r.Aside, err = ReplaceIndex(b.path, asideFolder); err != nil {
		return err
	}
	return removeIfThere(b.path + rebuildWriter)
}

// chooseWriter chooses this machine's new ID, or takes the one that a run before
// this one chose: it may stand in the anchor, and nobody else has written then.
func (b *rebuild) chooseWriter() error {
	id, err := os.ReadFile(b.path + rebuildWriter)
	if err == nil && len(id) == len(b.writer) {
		b.writer = [16]byte(id)
		return nil
	}
	if _, err := rand.Read(b.writer[:]); err != nil {
		return err
	}
	return writeSynced(b.path+rebuildWriter, b.writer[:])
}

// open opens what tells of the state before.
func (b *rebuild) open(ctx context.Context, backups []Backup) {
	scratch := filepath.Dir(b.path)
	s, err := index.OpenSalvage(ctx, b.path, scratch)
	if err == nil {
		b.sources, b.current = append(b.sources, s), 1
	} else if !errors.Is(err, fs.ErrNotExist) {
		b.cfg.Restore.Log.Warn("nothing can be read of the damaged index", "op", "rebuild", "err", err)
	}
	for _, backup := range backups {
		if s, err := index.OpenSalvage(ctx, backup.Path, scratch); err == nil {
			b.sources = append(b.sources, s)
		}
	}
}

// clear removes what an earlier run left unfinished.
func (b *rebuild) clear() error {
	for _, suffix := range indexFiles {
		if err := removeIfThere(b.fresh + suffix); err != nil {
			return err
		}
	}
	return nil
}

// indexFiles are the files of an index, by what is appended to its path. The
// database itself is the last to be moved.
var indexFiles = []string{"-wal", "-shm", ".sums", ".ahead", ""}

// restore makes the new index, as it would be on a fresh machine.
func (b *rebuild) restore(ctx context.Context, r *Rebuilt, backups []Backup) (err error) {
	if err = b.cfg.Network; err == nil {
		cfg := b.cfg.Restore
		cfg.Path, cfg.Staging, cfg.Writer = b.fresh, nil, b.writer
		cfg.TakeOver = func(last [16]byte) bool { return b.notOurs(last) == "" }
		if r.Report, err = Restore(ctx, cfg); err == nil || ctx.Err() != nil {
			return err
		}
	}
	r.Reason = err
	for _, backup := range backups {
		drive, verr := index.Verify(ctx, backup.Path)
		if verr != nil || b.cfg.Restore.Drive != [16]byte{} && drive.ID != b.cfg.Restore.Drive {
			b.cfg.Restore.Log.Warn("copy of the index cannot be used", "op", "rebuild", "err", verr)
			continue
		}
		r.Report.Drive, r.Report.LastWriter, r.Backup = drive.ID, drive.Writer, backup.Path
		return b.copyBackup(ctx, backup.Path)
	}
	return err
}

// copyBackup makes the new index of a copy. It does not say that this machine wrote the
// anchor, so that nothing can be committed on it.
func (b *rebuild) copyBackup(ctx context.Context, path string) (err error) {
	if err := copySynced(b.fresh, path); err != nil {
		return err
	}
	db, err := index.Open(ctx, index.Config{Path: b.fresh, Log: b.cfg.Restore.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	highest := index.Ino(0)
	for _, ino := range b.cfg.Restore.Staging.Inos() {
		highest = max(highest, ino)
	}
	if err := db.Reserve(ctx, highest+fallbackReserve); err != nil {
		return err
	}
	state, err := db.Anchored(ctx)
	if errors.Is(err, index.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return db.SetAnchor(ctx, state.Object, 0)
}

func copySynced(to, from string) (err error) {
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
	return errors.Join(err, out.Sync(), out.Close())
}

// adopt brings staging under the new index.
func (b *rebuild) adopt(ctx context.Context, r *Rebuilt) (err error) {
	db, err := index.Open(ctx, index.Config{Path: b.fresh, Log: b.cfg.Restore.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	a := adoption{
		db: db, dir: b.cfg.Restore.Staging, sources: b.sources, current: b.current, rebooted: b.cfg.Rebooted,
		notOurs: b.notOurs(r.LastWriter), log: b.cfg.Restore.Log,
	}
	if r.Backup == "" && len(r.Passed) == 0 {
		a.versions = r.asStored
	}
	highest := index.Ino(0)
	for _, ino := range a.dir.Inos() {
		highest = max(highest, ino)
	}
	if err := db.Reserve(ctx, highest); err != nil {
		return err
	}
	err = a.run(ctx)
	r.Adopted = a.found
	return err
}

// notOurs says why this state folder may not have been the last to write the drive, "" if it was.
func (b *rebuild) notOurs(last [16]byte) string {
	if last == b.writer {
		return ""
	}
	if b.cfg.Copied != "" {
		return b.cfg.Copied
	}
	for _, s := range b.sources {
		d, err := s.Drive()
		switch {
		case err != nil || b.cfg.Restore.Drive != [16]byte{} && d.ID != b.cfg.Restore.Drive:
		case d.Writer == last:
			return ""
		default:
			return "another machine has written the drive since"
		}
	}
	if last == b.cfg.Claimed {
		return ""
	}
	return "nothing tells whether another machine has written the drive since"
}

// NewIndex returns where an index is made that is to take the place of the one at path.
func NewIndex(path string) string { return path + rebuildNew }

// ReplaceIndex puts the index at NewIndex(path), which nobody has open, in the
// place of the one at path. That moves into a folder beside it, whose name
// begins with a given word and which is returned. A crash leaves one of them
// whole at path, once FinishRebuild has run.
func ReplaceIndex(path, word string) (aside string, err error) {
	for i := 1; ; i++ {
		aside = filepath.Join(filepath.Dir(path), word+"-"+strconv.Itoa(i))
		err := os.Mkdir(aside, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	if err := writeSynced(path+rebuildMarker, []byte(filepath.Base(aside))); err != nil {
		return "", err
	}
	return aside, FinishRebuild(path)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(path+".tmp", path), syncFolder(filepath.Dir(path)))
}

// FinishRebuild ends what a crash has interrupted while an index that was
// rebuilt took its place. It comes before the index at path is opened.
func FinishRebuild(path string) error {
	name, err := os.ReadFile(path + rebuildMarker)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finish rebuild: %w", err)
	}
	dir := filepath.Dir(path)
	if _, err := os.Lstat(path + rebuildNew); err == nil { // what is at path is the old one still
		if err := removeIfThere(path + rebuildNew + ".sums"); err != nil { // made anew when it is opened
			return fmt.Errorf("finish rebuild: %w", err)
		}
		for _, suffix := range indexFiles {
			err := os.Rename(path+suffix, filepath.Join(dir, filepath.Base(string(name)), filepath.Base(path)+suffix))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("finish rebuild: %w", err)
			}
		}
		if err := errors.Join(syncFolder(dir), os.Rename(path+rebuildNew, path), syncFolder(dir)); err != nil {
			return fmt.Errorf("finish rebuild: %w", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("finish rebuild: %w", err)
	}
	if err := errors.Join(os.Remove(path+rebuildMarker), syncFolder(dir)); err != nil {
		return fmt.Errorf("finish rebuild: %w", err)
	}
	return nil
}
