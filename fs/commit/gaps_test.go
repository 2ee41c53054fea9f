package commit_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// then is what a restore gave.
type then struct {
	*tree
	report keep.Report
}

// restoredAs restores beside the drive, as change says.
func (r *rig) restoredAs(change func(*keep.RestoreConfig)) then {
	r.Helper()
	ctx := context.Background()
	path := filepath.Join(r.TempDir(), "then.db")
	blobs := r.client()
	r.Cleanup(func() { r.must(blobs.Close()) })
	cfg := keep.RestoreConfig{Ledger: r.owner, Blobs: blobs, Keys: r.keys, Path: path, ReadOnly: true}
	change(&cfg)
	report, err := keep.Restore(ctx, cfg)
	r.must(err)
	db, err := index.Open(ctx, index.Config{Path: path})
	r.must(err)
	r.Cleanup(func() { r.must(db.Close()) })
	problems, err := db.Check(ctx)
	r.must(err)
	if len(problems) > 0 {
		r.Errorf("restored generation %d is not sound: %q", report.Generation, problems)
	}
	return then{&tree{TB: r.TB, db: db, blobs: blobs, keys: r.keys}, report}
}

// client remembers nothing of what nodes have lost.
func (r *rig) client() *blobstore.Client {
	r.Helper()
	c, err := blobstore.New(blobstore.Config{Ledger: r.owner, Dial: r.net.Dial, Codec: r.net.Codec(), ReadTimeout: time.Minute})
	r.must(err)
	return c
}

func at(generation uint64) func(*keep.RestoreConfig) {
	return func(cfg *keep.RestoreConfig) { cfg.At = keep.At{Generation: generation} }
}

// readOrGap returns the content of a file; ok is false if a part of it was lost
// before it was stored, which has to be reported.
func (t then) readOrGap(name string) (b []byte, ok bool) {
	t.Helper()
	ctx := context.Background()
	attr, err := t.db.Resolve(ctx, "/"+name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	b = make([]byte, attr.Size)
	err = published(ctx, t.db, t.blobs, t.keys, attr.Ino, b, 0)
	if err != nil && !errors.Is(err, seal.ErrGap) {
		t.Fatalf("read %s: %v", name, err)
	}
	lost := slices.ContainsFunc(t.report.Lost, func(l keep.LostFile) bool { return l.Path == "/"+name && l.Bytes > 0 && l.Why != "" })
	if lost != (err != nil) {
		t.Errorf("generation %d: reading %s: %v, and lost are %+v", t.report.Generation, name, err, t.report.Lost)
	}
	return b, err == nil
}

// honest wants each file to be in a version that it once had, or not to be read.
func (l *loser) honest(t then) (gaps int) {
	l.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	names := t.names("/")
	if i := slices.Index(names, index.LostFolder); i >= 0 {
		names = slices.Delete(names, i, i+1)
		for _, name := range t.names("/" + index.LostFolder) {
			names = append(names, index.LostFolder+"/"+name)
		}
	}
	for _, name := range names {
		b, ok := t.readOrGap(name)
		known := name
		if strings.HasPrefix(name, index.LostFolder) { // as INODE-NAME
			_, known, _ = strings.Cut(name, "-")
		}
		had := append(slices.Clone(l.known[known]), l.known[anyName]...)
		if !ok {
			gaps++
		} else if len(name) < 100 && !slices.ContainsFunc(had, func(v []byte) bool { return bytes.Equal(v, b) }) {
			l.Errorf("generation %d: %s has %d bytes that it never had, %d of them zero", t.report.Generation, name, len(b), bytes.Count(b, []byte{0}))
		}
	}
	return gaps
}

// destroy removes what all nodes have of a segment.
func (r *rig) destroy(number uint64) {
	r.Helper()
	blob, n := r.row(number).Blob, 0
	r.must(filepath.WalkDir(filepath.Join(r.dir, "network"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == hex.EncodeToString(blob[:]) {
			n++
			return os.Remove(path)
		}
		return err
	}))
	if n == 0 {
		r.Fatalf("no node has segment %d", number)
	}
}

// gapScene is a drive with a generation that shows gaps, and some above it.
type gapScene struct {
	*loser
	lost uint64 // the generation, and its segment
	want map[string][]byte
}

// noFull is crashPolicy without full snapshots.
var noFull = func() commit.Policy {
	p := crashPolicy
	p.FullAfter = 1 << 40
	return p
}()

func newGapScene(t *testing.T, o options) *gapScene {
	s := &gapScene{loser: newLoser(t, o), want: map[string][]byte{}}
	s.put("f", random(1, 100_000))
	s.put("whole", random(2, 50_000))
	s.put("cut", random(11, 60_000))
	s.drain()
	s.put("second", random(13, 1000))
	s.drain()
	s.refuse(true)
	s.put("f", random(3, 120_000))
	s.put("fresh", random(4, 30_000))
	s.put("gone", random(5, 20_000))
	s.put("stays", random(6, 70_000))
	s.put("cut", random(12, 60_000))
	s.want["f"], s.want["stays"], s.want["cut"] = random(1, 100_000), random(6, 70_000), random(11, 60_000)
	s.want["whole"] = random(2, 50_000)
	s.stuck()
	s.lost = s.last()
	next := overlay(random(3, 120_000), random(7, 9000), 40_000)
	s.know("f", next)
	s.patch("f", random(7, 9000), 40_000)
	s.put("fresh", random(8, 30_000))
	s.know("cut", random(12, 60_000)[:5000])
	s.resize("cut", 5000)
	a, err := s.db.Unlink(context.Background(), index.Root, []byte("gone"))
	s.must(err)
	s.bury(a.Ino)
	s.must(s.stage.RemoveOutbox(s.lost))
	s.refuse(false)
	s.drain()
	s.put("later", random(9, 1000))
	s.drain()
	s.patch("f", random(10, 100), 10)
	s.know("f", overlay(next, random(10, 100), 10))
	s.drain()
	if !seal.Header(s.row(s.lost).Header).Gapped() {
		t.Fatal("the segment does not say that it has gaps")
	}
	return s
}

// wants looks at what was restored at the generation that shows gaps.
func (s *gapScene) wants(t then) {
	s.Helper()
	for name, want := range s.want {
		if b, ok := t.readOrGap(name); !ok || !bytes.Equal(b, want) {
			s.Errorf("%s is not what it should be: %v", name, ok)
		}
		older := slices.ContainsFunc(t.report.Problems, func(p string) bool { return strings.HasPrefix(p, "/"+name+" is an older version") })
		if older != (name == "f" || name == "cut") {
			s.Errorf("problems: %q", t.report.Problems)
		}
	}
	for _, name := range []string{"fresh", "gone"} {
		if _, ok := t.readOrGap(name); ok {
			s.Errorf("%s can be read", name)
		}
	}
}

// TestGapsInRestores loses a segment before it is stored while its files move on,
// and restores each generation: none gives away what is not there.
func TestGapsInRestores(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"trailers":       {policy: noFull},
		"full snapshots": {policy: crashPolicy},
		"plain":          {policy: noFull, plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newGapScene(t, o)
			newest := s.restored()
			newest.same("/fresh", random(8, 30_000))
			newest.same("/cut", random(12, 60_000)[:5000])
			for g := s.last(); g > 0; g-- {
				then := s.restoredAs(at(g))
				gaps := s.honest(then)
				if g == s.lost {
					s.wants(then)
				} else if gaps > 0 {
					t.Errorf("generation %d shows gaps", g)
				}
			}
		})
	}
}

// TestGapsBelowHoles restores when what is above a generation with gaps cannot be
// read: what younger ones tell is there, older versions stand for the rest, and
// whoever goes on from there, also over a full snapshot, spreads nothing.
func TestGapsBelowHoles(t *testing.T) {
	t.Parallel()
	s := newGapScene(t, options{policy: noFull})
	last := s.last()
	for g := s.lost + 1; g <= last; g++ {
		s.destroy(g)
	}
	then := s.restoredAs(func(*keep.RestoreConfig) {})
	if then.report.Generation != s.lost || len(then.report.Passed) == 0 {
		t.Fatalf("restored generation %d, want %d: %+v", then.report.Generation, s.lost, then.report)
	}
	s.wants(then)

	s.takeOver()
	s.wantsNow(s.restoredAs(func(*keep.RestoreConfig) {}))
	s.put("next", random(20, 1000))
	s.drain()
	then = s.restoredAs(func(*keep.RestoreConfig) {})
	s.wantsNow(then)
	if len(then.report.Problems) > 0 {
		t.Errorf("problems: %q", then.report.Problems)
	}
	s.must(s.c.StoreFull(context.Background()))
	then = s.restoredAs(func(*keep.RestoreConfig) {})
	s.wantsNow(then)
	if then.report.Generations > 2 {
		t.Errorf("%d generations were read, the full snapshot was not", then.report.Generations)
	}
	problems, err := s.db.Check(context.Background())
	s.must(err)
	if len(problems) > 0 {
		t.Errorf("index: %q", problems)
	}
	lost, _, err := keep.LostFiles(context.Background(), s.db)
	if s.must(err); len(lost) != 2 {
		t.Errorf("lost: %+v", lost)
	}
	// What is lost is so no more once it was written again.
	s.put("fresh", random(22, 500))
	s.put("gone", random(23, 500))
	s.drain()
	then = s.restoredAs(func(*keep.RestoreConfig) {})
	then.same("/fresh", random(22, 500))
	then.same("/gone", random(23, 500))
	if then.report.LostIn != 0 {
		t.Errorf("lost: %+v", then.report.Lost)
	}
	lost, _, err = keep.LostFiles(context.Background(), s.db)
	if s.must(err); len(lost) > 0 {
		t.Errorf("lost: %+v", lost)
	}
}

// TestGapsAboveHoles restores when a generation below the one with gaps cannot be
// read: what that tells of whole files is there, but not what it has lost.
func TestGapsAboveHoles(t *testing.T) {
	t.Parallel()
	s := newGapScene(t, options{policy: noFull})
	s.destroy(2)
	for _, g := range []uint64{s.lost, s.last()} {
		then := s.restoredAs(at(g))
		if then.report.Generation != 1 || then.report.SalvagedIn == 0 {
			t.Fatalf("restored generation %d: %+v", then.report.Generation, then.report)
		}
		if gaps := s.honest(then); gaps > 0 {
			t.Errorf("at %d: %d files with gaps", g, gaps)
		}
		then.same("/stays", random(6, 70_000))
	}
}

// takeOver makes a fresh machine the writer, from what can be restored, and opens the drive there.
func (s *gapScene) takeOver() {
	s.Helper()
	fresh, blobs := filepath.Join(s.dir, "fresh.db"), s.client()
	report, err := keep.Restore(context.Background(), keep.RestoreConfig{
		Ledger: s.owner, Blobs: blobs, Keys: s.keys, Path: fresh, AcceptLoss: true,
	})
	s.must(blobs.Close())
	s.must(err)
	if !report.Writer || report.LostIn == 0 {
		s.Fatalf("took over: %+v", report)
	}
	s.close()
	for _, suffix := range []string{"", "-wal", "-shm", ".sums"} {
		if err := os.Remove(filepath.Join(s.dir, "index.db"+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Fatal(err)
		}
	}
	s.must(os.RemoveAll(filepath.Join(s.dir, "staging")))
	s.must(os.Rename(fresh, filepath.Join(s.dir, "index.db")))
	s.rig.reopen(options{policy: noFull})
}

// wantsNow is wants, but for problems, which only the restore at the gaps reports.
func (s *gapScene) wantsNow(t then) {
	s.Helper()
	for name, want := range s.want {
		if b, ok := t.readOrGap(name); !ok || !bytes.Equal(b, want) {
			s.Errorf("%s is not what it should be: %v", name, ok)
		}
	}
	for _, name := range []string{"fresh", "gone"} {
		if _, ok := t.readOrGap(name); ok {
			s.Errorf("%s can be read", name)
		}
	}
}
