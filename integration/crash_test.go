package integration

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // the tests look into ledger and index
)

// stages are the named moments of the write path at which a build with
// failpoints can kill itself.
var stages = []string{
	"before-outbox", "after-outbox", "before-register", "after-register", "before-store",
	"after-store", "before-certify", "after-certify", "before-finish", "after-finish",
}

// TestCrashAtEachStage kills the daemon at each stage of the write path once.
func TestCrashAtEachStage(t *testing.T) {
	t.Parallel()
	needTool(t, "rsync", "sqlite3")
	d := newDrive(t)
	d.bin = walfsBinary(t, "failpoint")
	w := newWriters(t, d)
	for _, stage := range stages {
		d.env = []string{"WALFS_FAILPOINT=" + stage}
		err := d.tryMount()
		d.env = nil
		switch {
		case err == nil:
			w.start()
			select {
			case <-d.exited:
				d.daemon = nil
			case <-time.After(patience):
				t.Fatalf("stage %s was not reached within %s", stage, patience)
			}
			w.stop()
		case strings.Contains(err.Error(), "signal: killed"):
			w.rounds++ // what the crash before left behind reached the stage at once
		default:
			t.Fatal(err)
		}
		w.checkRound(fmt.Sprintf("stage %s", stage), true)
	}
	w.checkEnd()
}

// TestCrashAtRandom kills the daemon at random moments of a running rsync, an
// SQLite writer and a program that saves by rename.
func TestCrashAtRandom(t *testing.T) {
	t.Parallel()
	needTool(t, "rsync", "sqlite3")
	rounds, longest, restored := 15, 2500*time.Millisecond, 3
	if soak() {
		rounds, longest, restored = 500, 4*time.Second, 5
	}
	rng := seeded(t)
	d := newDrive(t)
	w := newWriters(t, d)
	for i := range rounds {
		d.mount()
		w.start()
		moment := 200*time.Millisecond + time.Duration(rng.Int64N(int64(longest-200*time.Millisecond)))
		time.Sleep(moment) // the crash comes at a moment that nothing announces
		d.kill()
		w.stop()
		w.checkRound(fmt.Sprintf("round %d, killed after %s", i, moment.Round(time.Millisecond)), i%restored == restored-1)
	}
	w.checkEnd()
}

// writers are the programs that write while the drive is killed, and what they
// were promised.
type writers struct {
	t      *testing.T
	d      *drive
	source string

	stopping atomic.Bool
	wg       sync.WaitGroup
	rounds   int

	mu       sync.Mutex
	saved    map[string]int // file -> newest version whose save was acknowledged
	tried    map[string]int // file -> newest version ever begun
	inserted int            // newest row acknowledged by SQLite
	copied   int            // rsync runs that ended well
}

func newWriters(t *testing.T, d *drive) *writers {
	t.Helper()
	w := &writers{t: t, d: d, source: t.TempDir(), saved: map[string]int{}, tried: map[string]int{}}
	for i := range 300 {
		dir := filepath.Join(w.source, fmt.Sprintf("d%d", i%10))
		must(t, os.MkdirAll(dir, 0o755))
		writeRandom(t, filepath.Join(dir, fmt.Sprintf("f%d", i)), int64(100+i*i), uint64(i))
	}
	t.Cleanup(func() { w.stopping.Store(true) }) // of a test that failed
	return w
}

// folder is where the writers write. It exists on the drive only, so that
// nothing is taken for acknowledged that went to the bare mount point.
const folder = "data"

// start runs the writers until stop.
func (w *writers) start() {
	w.t.Helper()
	err := os.Mkdir(w.d.path(folder), 0o755)
	gone := errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ENOTCONN) // the daemon was killed since it answered
	if errors.Is(err, syscall.EIO) {                                                 // what the kernel says of a request whose reader dies over it
		waitFor(w.t, "the daemon to be dead after EIO", func() bool { return w.d.daemon.Process.Signal(syscall.Signal(0)) != nil })
		gone = true
	}
	if err != nil && !gone && !errors.Is(err, os.ErrExist) {
		w.t.Fatal(err)
	}
	w.stopping.Store(false)
	w.rounds++
	for _, run := range []func() error{w.rsync, w.sqlite, w.save, w.drain} {
		w.wg.Go(func() {
			for !w.stopping.Load() {
				if run() != nil {
					return // the daemon is gone; what matters is what was acknowledged before
				}
			}
		})
	}
}

func (w *writers) stop() {
	w.stopping.Store(true)
	// A writer that hangs on the dead mount would be a defect, and time out the test.
	w.wg.Wait()
}

// rsync copies the source into a folder of this round.
func (w *writers) rsync() error {
	dst := w.d.path(folder, fmt.Sprintf("copy-%d", w.rounds))
	if err := exec.Command("rsync", "-a", w.source+"/", dst+"/").Run(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.copied++
	return os.RemoveAll(dst)
}

// sqlite inserts one row in a process of its own; its exit is the acknowledgement.
func (w *writers) sqlite() error {
	next := w.inserted + 1
	stmt := fmt.Sprintf("PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, pad TEXT); INSERT INTO t VALUES(%d, hex(randomblob(500)));", next)
	if err := exec.Command("sqlite3", "-bail", w.d.path(folder, "rows.db"), stmt).Run(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inserted = next
	return nil
}

// save writes the next version of a file as editors do: new file, fsync, rename
// over the old one, fsync of the folder.
func (w *writers) save() error {
	for i := range 5 {
		name := fmt.Sprintf("saved-%d", i)
		w.mu.Lock()
		w.tried[name]++
		version := w.tried[name]
		w.mu.Unlock()
		if err := saveVersion(w.d.path(folder), name, version); err != nil {
			return err
		}
		w.mu.Lock()
		w.saved[name] = version
		w.mu.Unlock()
	}
	return nil
}

// drain keeps syncs running, so that the write path is walked to its end.
func (w *writers) drain() error {
	return exec.Command(w.d.bin, "--home", w.d.home, "sync").Run()
}

func saveVersion(dir, name string, version int) (err error) {
	tmp := filepath.Join(dir, "."+name+".tmp")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, werr := f.Write(versionBody(name, version))
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}

// versionBody is a text that proves by itself that it is whole: a line with
// name and version, filler, and a checksum at the end.
func versionBody(name string, version int) []byte {
	head := fmt.Sprintf("%s %d\n", name, version)
	filler := strings.Repeat(fmt.Sprintf("version %d of %s\n", version, name), 200+version%300)
	sum := sha256.Sum256([]byte(head + filler))
	return []byte(head + filler + hex.EncodeToString(sum[:]) + "\n")
}

// wholeVersion returns the version that body is, or an error when it is none.
func wholeVersion(name string, body []byte) (int, error) {
	head, _, _ := strings.Cut(string(body), "\n")
	version, err := strconv.Atoi(strings.TrimPrefix(head, name+" "))
	if err != nil {
		return 0, fmt.Errorf("%s: %d bytes without a version line", name, len(body))
	}
	if string(versionBody(name, version)) != string(body) {
		return 0, fmt.Errorf("%s: version %d is not whole: %d bytes", name, version, len(body))
	}
	return version, nil
}

// checkRound looks at what a crash left: if asked, first by a restore from
// ledger, nodes and key alone, then on the drive itself.
func (w *writers) checkRound(what string, restore bool) {
	w.t.Helper()
	if restore {
		w.checkRestored(what)
	}
	start := time.Now()
	w.d.mount()
	w.t.Logf("%s: mounted in %s; acknowledged: %d rows, %d copies, saves %v", what, time.Since(start).Round(time.Millisecond), w.inserted, w.copied, w.saved)
	w.checkSaved(what, w.d.path(folder), true)
	w.checkCopies(what, w.d.path(folder))
	w.checkRows(what)
	w.d.umount()
}

// checkSaved reads every saved file: it is a whole version, and with strict at
// least the newest one that was acknowledged.
func (w *writers) checkSaved(what, dir string, strict bool) {
	w.t.Helper()
	for name := range w.tried {
		body, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) && (!strict || w.saved[name] == 0) {
			continue
		}
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
		version, err := wholeVersion(name, body)
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
		if strict && (version < w.saved[name] || version > w.tried[name]) {
			w.t.Fatalf("%s: %s is version %d; %d was acknowledged, %d begun", what, name, version, w.saved[name], w.tried[name])
		}
		w.tried[name] = max(w.tried[name], version)
	}
}

// checkCopies: whatever rsync renamed into place is whole.
func (w *writers) checkCopies(what, dir string) {
	w.t.Helper()
	copies, err := filepath.Glob(filepath.Join(dir, "copy-*", "d*", "f*"))
	must(w.t, err)
	for _, path := range copies {
		rel := strings.SplitN(strings.TrimPrefix(path, dir+"/"), "/", 2)[1]
		want, err := sumFile(filepath.Join(w.source, rel))
		must(w.t, err)
		got, err := sumFile(path)
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
		if got != want {
			info, _ := os.Stat(path)
			w.t.Fatalf("%s: %s was renamed into place and is not whole (%d bytes)", what, path, info.Size())
		}
	}
}

// checkRows: every row that SQLite acknowledged is there, and the file is sound.
func (w *writers) checkRows(what string) {
	w.t.Helper()
	if w.inserted == 0 {
		return
	}
	out, err := exec.Command("sqlite3", "-bail", w.d.path(folder, "rows.db"), "PRAGMA integrity_check; SELECT count(*), max(n) FROM t;").CombinedOutput()
	lines := strings.Fields(strings.ReplaceAll(string(out), "|", " "))
	if err != nil || len(lines) != 3 || lines[0] != "ok" {
		w.t.Fatalf("%s: sqlite: %v: %s", what, err, out)
	}
	count, _ := strconv.Atoi(lines[1])
	newest, _ := strconv.Atoi(lines[2])
	if count < w.inserted || newest < w.inserted {
		w.t.Fatalf("%s: %d rows up to %d, but row %d was acknowledged", what, count, newest, w.inserted)
	}
	w.inserted = newest // the row in flight may have made it
}

// checkRestored restores a copy of ledger and nodes on a fresh home and finds
// one whole version of each file there, or no file.
func (w *writers) checkRestored(what string) {
	w.t.Helper()
	r := w.d.restoreCopy()
	r.mount()
	w.checkSaved(what+", restored", r.path(folder), false)
	w.checkCopies(what+", restored", r.path(folder))
	r.umount()
	r.cleanup()
	must(w.t, os.RemoveAll(filepath.Dir(r.home)))
}

// checkEnd drains the drive and counts registrations: one for each segment.
func (w *writers) checkEnd() {
	w.t.Helper()
	w.d.mount()
	w.d.sync()
	w.checkSaved("at the end", w.d.path(folder), true)
	w.d.umount()
	w.d.checkRegistrations()
}

// checkRegistrations compares ledger and index: exactly one registration event
// for each segment, and one for the anchor.
func (d *drive) checkRegistrations() {
	d.t.Helper()
	segments := d.query(filepath.Join(d.home, "index.db"), "SELECT lower(hex(blob)) FROM segments")
	if len(segments) == 0 {
		d.t.Fatal("the index knows no segments")
	}
	ledger := filepath.Join(d.home, "network", "ledger", "ledger.db")
	registered := map[string]int{}
	for _, blob := range d.query(ledger, "SELECT lower(hex(substr(bcs, 5, 32))) FROM events JOIN types ON types.id = events.type WHERE types.name LIKE '%::events::BlobRegistered'") {
		registered[blob]++
	}
	for _, s := range segments {
		if registered[s] != 1 {
			d.t.Errorf("segment %s was registered %d times", s, registered[s])
		}
		delete(registered, s)
	}
	if len(registered) != 1 {
		d.t.Errorf("besides the segments %d blobs were registered, want the anchor alone: %v", len(registered), registered)
	}
}

// query reads one column of a database that nobody has open.
func (d *drive) query(path, stmt string) []string {
	d.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=rw")
	must(d.t, err)
	defer db.Close()
	rows, err := db.Query(stmt)
	if err != nil {
		d.t.Fatalf("%s: %s: %v", path, stmt, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		must(d.t, rows.Scan(&s))
		all = append(all, s)
	}
	must(d.t, rows.Err())
	return all
}
