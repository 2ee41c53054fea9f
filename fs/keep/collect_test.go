package keep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// deleter is a ledger that fails as the test says, and whose clock it moves.
type deleter struct {
	chain.Ledger
	mu      sync.Mutex // guards the fields below
	ahead   time.Duration
	away    bool                             // nobody answers
	hang    bool                             // the next question is not answered before who asks gives up
	asked   int                              // questions
	refuse  func([]walrus.ObjectID) error    // a deletion, before it is executed
	lose    bool                             // the answer to the next deletion
	deleted map[walrus.ObjectID]int          // objects, by executed transactions
	txs     map[chain.TxID][]walrus.ObjectID // what they were sent with
}

func newDeleter(l chain.Ledger) *deleter {
	return &deleter{Ledger: l, deleted: map[walrus.ObjectID]int{}, txs: map[chain.TxID][]walrus.ObjectID{}}
}

var errAway = errors.New("the ledger is away")

func (d *deleter) State(ctx context.Context) (*chain.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.hang {
		d.hang = false
		d.mu.Unlock()
		<-ctx.Done()
		d.mu.Lock()
		return nil, ctx.Err()
	}
	if d.away {
		return nil, errAway
	}
	s, err := d.Ledger.State(ctx)
	if err != nil {
		return nil, err
	}
	shifted := *s
	shifted.Now = s.Now.Add(d.ahead)
	return &shifted, nil
}

func (d *deleter) Delete(ctx context.Context, tx chain.TxID, objects []walrus.ObjectID) (*chain.Outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return nil, errAway
	}
	if d.refuse != nil {
		if err := d.refuse(objects); err != nil {
			return nil, err
		}
	}
	out, err := d.Ledger.Delete(ctx, tx, objects)
	if err != nil {
		return nil, err
	}
	if d.txs[tx] == nil {
		for _, o := range objects {
			d.deleted[o]++
		}
	}
	d.txs[tx] = objects
	if d.lose {
		d.lose = false
		return nil, errAway
	}
	return out, nil
}

func (d *deleter) advance(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ahead += by
}

func (d *deleter) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// collector is a Collector of a machine's drive, with a ledger of its own.
func (m *machine) collector(change func(*keep.CollectConfig)) (*keep.Collector, *deleter) {
	ledger := newDeleter(m.world.ledger)
	cfg := keep.CollectConfig{Index: m.db, Ledger: ledger, Blobs: m.blobs, Keys: m.keys, Committer: m.c, Grace: time.Hour}
	if change != nil {
		change(&cfg)
	}
	return keep.NewCollector(cfg), ledger
}

// collect does a round for which nobody asked, or a whole one.
func (m *machine) collect(c *keep.Collector, o keep.CollectOptions) keep.Collected {
	m.Helper()
	done, err := c.Collect(context.Background(), o)
	m.must(err)
	return done
}

var asked = keep.CollectOptions{Asked: true}

// lively makes a drive with a history: files come, change and go, and of two of them nothing is left.
func lively(t *testing.T, changes int) *live {
	l := newLive(t, 1<<40)
	for range 2 {
		l.put("gone", content(7, 10_000))
		l.drain()
		_, err := l.db.Unlink(context.Background(), index.Root, []byte("gone"))
		l.must(err)
		l.reap()
		l.drain()
	}
	for range changes {
		l.change()
	}
	return l
}

// TestGrace: what nothing needs is deleted after the grace period of the
// ledger's time, and not before. Until then older generations can be restored;
// the newest one always can.
func TestGrace(t *testing.T) {
	t.Parallel()
	l := lively(t, 10)
	c, ledger := l.collector(nil)
	if dry := l.collect(c, keep.CollectOptions{DryRun: true, Asked: true}); !dry.Snapshot || dry.Condemned.Segments == 0 || dry.Deleted.Segments > 0 {
		t.Errorf("would collect %+v", dry)
	}
	done := l.collect(c, asked)
	if !done.Snapshot || done.Condemned.Segments == 0 || done.Deleted.Segments > 0 {
		t.Fatalf("collected %+v", done)
	}
	before := done.Waiting.Segments
	ledger.advance(30 * time.Minute) // and the test has as much time
	if done := l.collect(c, asked); done.Deleted.Segments > 0 {
		t.Fatalf("collected %+v within the grace period", done)
	}
	for _, m := range l.moments { // as if nothing had happened
		dir := t.TempDir()
		report, err := l.restore(dir, func(cfg *keep.RestoreConfig) {
			cfg.ReadOnly, cfg.At = true, keep.At{Generation: m.generation}
		})
		l.must(err)
		if report.Generation != m.generation || len(report.Problems) > 0 {
			t.Errorf("restored generation %d, want %d: %q", report.Generation, m.generation, report.Problems)
		}
		l.wants(dir, m.files)
	}

	ledger.advance(-24 * time.Hour) // another ledger
	if done := l.collect(c, asked); done.Deleted.Segments > 0 {
		t.Fatalf("collected %+v after the clock was set back", done)
	}
	ledger.advance(time.Hour)
	done = l.collect(c, asked)
	if done.Deleted.Segments < before {
		t.Fatalf("collected %+v, want %d deleted", done, before)
	}
	l.wants(l.dir, l.files)
	for range 3 { // the drive goes on
		l.change()
	}
	dir := t.TempDir()
	report, err := l.restore(dir, nil)
	l.must(err)
	if len(report.Problems) > 0 {
		t.Errorf("problems: %q", report.Problems)
	}
	l.wants(dir, l.files)
	l.clean(dir)

	_, err = l.restore(t.TempDir(), func(cfg *keep.RestoreConfig) {
		cfg.ReadOnly, cfg.At = true, keep.At{Generation: l.moments[0].generation}
	})
	if !errors.Is(err, keep.ErrCollected) {
		t.Errorf("restore of what was collected: %v", err)
	}
}

// clean checks that a restored drive knows of nothing that was collected.
func (l *live) clean(dir string) {
	l.Helper()
	ctx := context.Background()
	m := l.machine.machine(dir)
	rows, err := m.db.Segments(ctx, index.SegmentFilter{})
	l.must(err)
	owned, err := l.world.ledger.Owned(ctx, chain.OwnedQuery{})
	l.must(err)
	for _, s := range rows {
		if !slices.ContainsFunc(owned, func(o chain.OwnedObject) bool { return o.Object == s.Object }) {
			l.Errorf("segment %d was collected and is still known", s.Number)
		}
	}
	r := keep.NewRenewer(keep.RenewConfig{Index: m.db, Ledger: l.world.ledger, Ahead: 26})
	l.must(r.Renew(ctx))
	if p := r.Problems(); len(p) > 0 {
		l.Errorf("problems: %q", p)
	}
}

// TestReplayOfCollected: trailers since the newest full snapshot speak of
// segments that were collected, since later trailers supersede what they say.
func TestReplayOfCollected(t *testing.T) {
	t.Parallel()
	l := newLive(t, 1<<40)
	ctx := context.Background()
	old := content(1, 50_000)
	l.files["a"] = old
	l.put("a", old)
	l.drain()
	l.files["b"] = content(9, 100)
	l.put("b", l.files["b"])
	l.drain()
	l.must(l.c.StoreFull(ctx))
	// The trailer of this change speaks of the first segment: the rest of the file stays there.
	l.files["a"] = l.rewrite("a", old, content(2, 3000))
	attr, err := l.db.Lookup(ctx, index.Root, []byte("a"))
	l.must(err)
	l.drain()
	f, err := l.stage.File(ctx, attr.Ino, staging.Shape{Size: int64(len(l.files["a"])), Base: int64(len(l.files["a"]))})
	l.must(err)
	l.must(f.Truncate(ctx, 0))
	_, err = f.WriteAt(ctx, content(3, 100), 0, nil)
	l.must(err)
	l.must(l.db.Queue(ctx, attr.Ino, index.Queued{Size: f.Size(), Mtime: f.Mtime()}))
	f.Release()
	l.files["a"] = content(3, 100)
	l.c.Wake()
	l.drain()
	c, ledger := l.collector(nil)
	l.collect(c, keep.CollectOptions{})
	ledger.advance(2 * time.Hour)
	if done := l.collect(c, keep.CollectOptions{}); done.Snapshot || done.Deleted.Segments == 0 {
		t.Fatalf("collected %+v, want the first segment and no new snapshot", done)
	}
	dir := t.TempDir()
	report, err := l.restore(dir, nil)
	l.must(err)
	if len(report.Problems) > 0 {
		t.Errorf("problems: %q", report.Problems)
	}
	l.wants(dir, l.files)
	l.clean(dir)
}

// TestDeletionTrouble: whatever the ledger does with deletions, each object is
// deleted once, and no row stays or goes that should not.
func TestDeletionTrouble(t *testing.T) {
	t.Parallel()
	abort := &chain.AbortError{Module: "blob", Function: "delete", Name: "ENo"}
	for name, fail := range map[string]func(d *deleter){
		"away":        func(d *deleter) { d.away = true },
		"lost answer": func(d *deleter) { d.lose = true },
		"one is refused": func(d *deleter) {
			var bad walrus.ObjectID
			d.refuse = func(list []walrus.ObjectID) error {
				if bad.IsZero() {
					bad = list[len(list)-1]
				}
				if slices.Contains(list, bad) {
					return abort
				}
				return nil
			}
		},
	} {
		l := lively(t, 6)
		c, ledger := l.collector(nil)
		l.collect(c, asked)
		ledger.advance(2 * time.Hour)
		ledger.set(func() { fail(ledger) })
		if _, err := c.Collect(context.Background(), asked); err == nil {
			t.Errorf("%s: no error", name)
		}
		if p := c.Problems(); len(p) != 1 || !strings.Contains(p[0], "garbage") {
			t.Errorf("%s: problems %q", name, p)
		}
		if name == "one is refused" { // it does not hold up the others, then and later
			if done, err := c.Collect(context.Background(), asked); !isAbort(err) || len(ledger.deleted) == 0 {
				t.Errorf("%s: %d objects deleted, %+v, %v", name, len(ledger.deleted), done, err)
			}
			if pending, err := l.db.Deletions(context.Background()); err != nil || len(pending) != 1 || len(pending[0].Segments) != 1 {
				t.Errorf("%s: pending %+v, %v", name, pending, err)
			}
		}
		ledger.set(func() { ledger.away, ledger.refuse = false, nil })
		l.collect(c, asked)
		if p := c.Problems(); len(p) > 0 {
			t.Errorf("%s: problems %q", name, p)
		}
		for o, n := range ledger.deleted {
			if n != 1 {
				t.Errorf("%s: object %s was deleted %d times", name, o, n)
			}
		}
		pending, err := l.db.Deletions(context.Background())
		l.must(err)
		if len(ledger.deleted) < 2 || len(pending) > 0 {
			t.Errorf("%s: %d objects deleted, pending %+v", name, len(ledger.deleted), pending)
		}
		l.wants(l.dir, l.files)
		l.clean(l.dirOfRestore())
	}
}

func isAbort(err error) bool {
	var abort *chain.AbortError
	return errors.As(err, &abort)
}

// dirOfRestore restores the drive into a folder.
func (l *live) dirOfRestore() string {
	l.Helper()
	dir := l.TempDir()
	_, err := l.restore(dir, nil)
	l.must(err)
	l.wants(dir, l.files)
	return dir
}

// TestOnlyTheWriterDeletes: a machine from which the drive was taken over
// deletes nothing, nor does one that may only read.
func TestOnlyTheWriterDeletes(t *testing.T) {
	t.Parallel()
	l := lively(t, 4)
	c, ledger := l.collector(nil)
	l.collect(c, asked)
	ledger.advance(2 * time.Hour)
	mute, _ := l.collector(func(cfg *keep.CollectConfig) { cfg.May = func() bool { return false } })
	if _, err := mute.Collect(context.Background(), asked); !errors.Is(err, keep.ErrNotWriter) {
		t.Errorf("a machine that may not: %v", err)
	}
	l.dirOfRestore() // takes over
	if _, err := c.Collect(context.Background(), asked); err == nil || len(ledger.deleted) > 0 {
		t.Errorf("taken over: %d deleted, %v", len(ledger.deleted), err)
	}
}

// TestCollectorRests: compaction waits for room, and leaves the rest to a later round.
func TestCollectorRests(t *testing.T) {
	t.Parallel()
	l := newLive(t, 1<<40)
	for i := range 12 {
		name := fmt.Sprintf("f%d", i)
		l.files[name] = content(byte(i), 60_000)
		l.put(name, l.files[name])
	}
	l.drain()
	for i := range 11 {
		name := fmt.Sprintf("f%d", i)
		_, err := l.db.Unlink(context.Background(), index.Root, []byte(name))
		l.must(err)
		delete(l.files, name)
	}
	l.reap()
	l.c.Wake()
	l.drain()
	room := int64(1000)
	c, _ := l.collector(func(cfg *keep.CollectConfig) { cfg.Room = func() int64 { return room } })
	o := keep.CollectOptions{Asked: true, Compact: true, Grace: new(time.Duration)}
	if done := l.collect(c, o); done.Compacted.Segments > 0 || done.Hindered == "" || done.Dead.Segments == 0 {
		t.Errorf("without room: %+v", done)
	}
	room = 1 << 40
	if done := l.collect(c, o); done.Compacted.Segments == 0 || done.Deleted.Segments == 0 || done.Hindered != "" {
		t.Errorf("with room: %+v", done)
	}
	l.wants(l.dir, l.files)
	l.wants(l.dirOfRestore(), l.files)
}

// TestCollectorRun: it goes on after an outage, tries no more often than it is
// told, and gives way to a round that somebody waits for.
func TestCollectorRun(t *testing.T) {
	t.Parallel()
	l := lively(t, 6)
	c, ledger := l.collector(nil)
	c.SetLooks(0, time.Hour, time.Millisecond)
	ledger.away = true
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	waitFor(t, "two tries", func() bool { ledger.mu.Lock(); defer ledger.mu.Unlock(); return ledger.asked >= 2 })
	if p := c.Problems(); len(p) != 1 {
		t.Errorf("problems %q", p)
	}
	ledger.set(func() { ledger.hang, ledger.away = true, false })
	waitFor(t, "a round that hangs", func() bool { ledger.mu.Lock(); defer ledger.mu.Unlock(); return !ledger.hang })
	if done := l.collect(c, keep.CollectOptions{Asked: true, Grace: new(time.Duration)}); done.Deleted.Segments == 0 {
		t.Errorf("collected %+v", done)
	}
	waitFor(t, "the end of the trouble", func() bool { return len(c.Problems()) == 0 })
	stop()
	l.must(<-ran)

	ctx, stop = context.WithCancel(context.Background())
	looks := 0
	c, ledger = l.collector(func(cfg *keep.CollectConfig) {
		cfg.May = func() bool {
			if looks++; looks == 3 {
				stop()
			}
			return false
		}
	})
	c.SetLooks(0, time.Millisecond, time.Millisecond)
	l.must(c.Run(ctx))
	if ledger.asked > 0 || len(c.Problems()) > 0 {
		t.Errorf("a machine that may not asks: %d, %q", ledger.asked, c.Problems())
	}
}
