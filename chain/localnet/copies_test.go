package localnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/walfs/walfs/chain"
)

// copyStates returns the errors of all copies, by folder.
func copyStates(n *Net) map[string]error {
	all := map[string]error{}
	for _, c := range n.Copies() {
		all[c.Dir] = c.Err
	}
	return all
}

// wholeCopy checks that a copy makes the ledger that n is.
func wholeCopy(t *testing.T, what string, n *Net, dir string) {
	t.Helper()
	if err := copyStates(n)[dir]; err != nil {
		t.Errorf("%s: %v", what, err)
	}
	diffTables(t, what, tables(t, rebuilt(t, filepath.Join(dir, LogFile))), tables(t, n))
}

// TestCopyFallsBehind does to the file of a copy what disks and people do. The
// ledger goes on, says so, and Mend puts it right.
func TestCopyFallsBehind(t *testing.T) {
	harms := map[string]func(t *testing.T, n *Net, dir string){
		"removed": func(t *testing.T, _ *Net, dir string) { must(t, os.Remove(filepath.Join(dir, LogFile))) },
		"replaced": func(t *testing.T, _ *Net, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, LogFile), []byte("x"), 0o600))
		},
		"replaced by rename": func(t *testing.T, _ *Net, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "x"), make([]byte, 500), 0o600))
			must(t, os.Rename(filepath.Join(dir, "x"), filepath.Join(dir, LogFile)))
		},
		"cut short": func(t *testing.T, n *Net, dir string) {
			must(t, os.Truncate(filepath.Join(dir, LogFile), n.home.state+10))
		},
		"its disk fails": func(t *testing.T, n *Net, dir string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			must(t, n.copies[0].f.Close()) // every write fails from now on
		},
		"gone and back": func(t *testing.T, n *Net, dir string) { n.Detach(dir) },
	}
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			dir, _ := withTransactions(t, 2)
			n := openNet(t, Config{Dir: dir})
			away, other := t.TempDir(), t.TempDir()
			must(t, n.Attach(away))
			must(t, n.Attach(other))
			harm(t, n, away)
			fund(t, n, numbered('h', 1), bob, 1e9)
			fund(t, n, numbered('h', 2), bob, 1e9)
			wholeCopy(t, "the other copy", n, other)
			if name == "its disk fails" && copyStates(n)[away] == nil {
				t.Error("nobody was told that the copy is behind")
			}
			if name == "cut short" || name == "replaced" { // as long again by now, with a hole: seen when it is looked at anew
				n.Detach(away)
			}
			n.Mend()
			if _, attached := copyStates(n)[away]; !attached {
				must(t, n.Attach(away))
			}
			wholeCopy(t, "after mending", n, away)
			fund(t, n, numbered('h', 3), bob, 1e9)
			wholeCopy(t, "after another transaction", n, away)
			sameFiles(t, filepath.Join(dir, LogFile), filepath.Join(away, LogFile))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFailingHomeLog lets the home's log fail: the transaction did not happen,
// in no place, and can be repeated.
func TestFailingHomeLog(t *testing.T) {
	dir, _ := withTransactions(t, 1)
	n := openNet(t, Config{Dir: dir})
	away := t.TempDir()
	must(t, n.Attach(away))
	want := tables(t, n)
	readOnly, err := os.Open(filepath.Join(dir, LogFile))
	must(t, err)
	good := n.home.f
	n.home.f = readOnly // every write fails, and so does taking it back
	if err := n.Faucet(t.Context(), numbered('x', 1), bob, 7, 0); err == nil {
		t.Fatal("a transaction without a log was answered")
	}
	if err := n.Faucet(t.Context(), numbered('x', 2), bob, 7, 0); !errors.Is(err, errHomeLog) {
		t.Errorf("a log in doubt: %v", err)
	}
	diffTables(t, "database", tables(t, n), want)
	diffTables(t, "copy", tables(t, rebuilt(t, filepath.Join(away, LogFile))), want)
	n.home.f = good
	must(t, errors.Join(readOnly.Close(), n.Close()))
	n = openNet(t, Config{Dir: dir, Copies: []string{away}})
	must(t, n.Attach(away))
	fund(t, n, numbered('x', 1), bob, 1e9)
	checkLog(t, "home", n)
	wholeCopy(t, "copy", n, away)
}

// TestFailingCommit lets the commit of the database fail: the record is taken
// back from the log and from the copies.
func TestFailingCommit(t *testing.T) {
	dir, _ := withTransactions(t, 1)
	n := openNet(t, Config{Dir: dir})
	away := t.TempDir()
	must(t, n.Attach(away))
	want, end := tables(t, n), n.home.tip
	// a deferred constraint is checked when the transaction commits
	_, err := n.store.writer.Exec(`CREATE TABLE hurdle (id INTEGER PRIMARY KEY, up INTEGER REFERENCES hurdle (id) DEFERRABLE INITIALLY DEFERRED);
		CREATE TRIGGER trip AFTER INSERT ON transactions BEGIN INSERT INTO hurdle VALUES (1, 99); END`)
	must(t, err)
	if err := n.Faucet(t.Context(), numbered('x', 1), bob, 7, 0); err == nil {
		t.Fatal("a transaction that cannot be committed was answered")
	}
	if n.home.tip != end {
		t.Errorf("the log ends at %+v, want %+v", n.home.tip, end)
	}
	diffTables(t, "database", tables(t, n), want)
	_, err = n.store.writer.Exec(`DROP TRIGGER trip; DROP TABLE hurdle`)
	must(t, err)
	checkLog(t, "home", n)
	wholeCopy(t, "copy", n, away)
	fund(t, n, numbered('x', 1), bob, 1e9)
	checkLog(t, "home, after a repetition", n)
	wholeCopy(t, "copy, after a repetition", n, away)
}

// TestCrashMoments kills a ledger, by copying its files, with each combination of
// what a transaction may have reached: home's log, one copy, the database. What is
// opened is the ledger before or after it, the same in every place, and goes on.
func TestCrashMoments(t *testing.T) {
	dir, _ := withTransactions(t, 2)
	n := openNet(t, Config{Dir: dir})
	away, other := t.TempDir(), t.TempDir()
	must(t, n.Attach(away))
	must(t, n.Attach(other))
	before := tables(t, n)
	old := map[string]string{"home": copyLedger(t, dir), "away": copyLog(t, away)}
	fund(t, n, numbered('x', 1), bob, 1e9)
	after := tables(t, n)
	for moment := range 8 {
		home, copied, database := moment&1 != 0, moment&2 != 0, moment&4 != 0
		if database && !home {
			continue // the log is synced before
		}
		name := fmt.Sprintf("log %v, copy %v, database %v", home, copied, database)
		at, with, without := t.TempDir(), copyLog(t, old["away"]), copyLog(t, old["away"])
		put := func(to, from string, files ...string) {
			for _, f := range files {
				b, err := os.ReadFile(filepath.Join(from, f))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				must(t, err)
				must(t, os.WriteFile(filepath.Join(to, f), b, 0o600))
			}
		}
		now := copyLedger(t, dir)
		source := func(new bool) string {
			if new {
				return now
			}
			return old["home"]
		}
		put(at, source(home), LogFile)
		put(at, source(database), databaseFile, databaseFile+"-wal")
		if copied {
			put(with, away, LogFile)
		}
		again := openNet(t, Config{Dir: at, Copies: []string{with, without}})
		want := before
		if home || copied {
			want = after
		}
		diffTables(t, name, tables(t, again), want)
		for _, dir := range []string{with, without} {
			must(t, again.Attach(dir))
			wholeCopy(t, name, again, dir)
		}
		fund(t, again, numbered('x', 2), bob, 1e9)
		checkLog(t, name, again)
		wholeCopy(t, name+", going on", again, with)
		must(t, again.Close())
	}
}

// copyLog copies the log in a folder into another one.
func copyLog(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	b, err := os.ReadFile(filepath.Join(dir, LogFile))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(to, LogFile), b, 0o600))
	return to
}

// TestUnansweredRecord brings back a copy with the record of a transaction that
// did not happen, after another one has happened.
func TestUnansweredRecord(t *testing.T) {
	dir, _ := withTransactions(t, 2)
	stale := copyLedger(t, dir)
	n := openNet(t, Config{Dir: dir})
	fund(t, n, numbered('x', 1), bob, 1e9)
	away := copyLog(t, dir)
	must(t, n.Close())

	n = openNet(t, Config{Dir: stale})
	fund(t, n, numbered('y', 1), carol, 1e9)
	must(t, n.Attach(away))
	wholeCopy(t, "copy with one record of its own", n, away)
	fund(t, n, numbered('y', 2), carol, 1e9)
	wholeCopy(t, "copy with one record of its own", n, away)
}

// TestFork refuses to write over a copy with transactions that somebody was told of.
func TestFork(t *testing.T) {
	dir, _ := withTransactions(t, 2)
	stale := copyLedger(t, dir)
	n := openNet(t, Config{Dir: dir})
	for i := range 3 {
		fund(t, n, numbered('x', i), bob, 1e9)
	}
	away, longer := copyLog(t, dir), ""
	for i := range 4 {
		fund(t, n, numbered('z', i), bob, 1e9)
	}
	longer = copyLog(t, dir)
	must(t, n.Close())

	m := openNet(t, Config{Dir: stale})
	for i := range 5 {
		fund(t, m, numbered('y', i), carol, 1e9)
	}
	for _, dir := range []string{away, longer} {
		was, err := os.ReadFile(filepath.Join(dir, LogFile))
		must(t, err)
		if err := m.Attach(dir); !errors.Is(err, ErrFork) {
			t.Errorf("got %v, want ErrFork", err)
		}
		if now, err := os.ReadFile(filepath.Join(dir, LogFile)); err != nil || !bytes.Equal(was, now) {
			t.Errorf("the copy was changed: %v", err)
		}
	}
	if len(m.Copies()) != 0 {
		t.Errorf("%+v", m.Copies())
	}
	must(t, m.Close())
	// nor is such a copy taken for the ledger
	m = openNet(t, Config{Dir: stale, Copies: []string{away, longer}})
	if b := as(t, m, carol).Balance(); b.WALFrost != 5e9 {
		t.Errorf("%+v", b)
	}
	// a ledger whose home lost its newest transactions, by a backup that was put back, has them from a copy
	stale2 := copyLedger(t, stale)
	must(t, m.Attach(t.TempDir()))
	fund(t, m, numbered('v', 1), carol, 1e9)
	fund(t, m, numbered('v', 2), carol, 1e9)
	back := openNet(t, Config{Dir: stale2, Copies: []string{m.Copies()[0].Dir}})
	diffTables(t, "home put back", tables(t, back), tables(t, m))
}

// TestTakenOver takes a network over with some of its folders. The home of before
// refuses it once it sees one of them; a folder that it wrote meanwhile is brought into line.
func TestTakenOver(t *testing.T) {
	dir, _ := withTransactions(t, 2)
	n := openNet(t, Config{Dir: dir})
	away, other := t.TempDir(), t.TempDir()
	must(t, n.Attach(away))
	must(t, n.Attach(other))
	must(t, n.Close())

	second := t.TempDir()
	m := openNet(t, Config{Dir: second, Copies: []string{away}, TakeOver: true})
	must(t, m.Attach(away))
	fund(t, m, numbered('m', 1), bob, 1e9)
	wholeCopy(t, "taken over", m, away)

	n = openNet(t, Config{Dir: dir, Copies: []string{other}}) // does not see it
	fund(t, n, numbered('n', 1), bob, 1e9)
	fund(t, n, numbered('n', 2), bob, 1e9)
	fund(t, n, numbered('n', 3), bob, 1e9)
	must(t, n.Attach(other))
	if err := n.Attach(away); !errors.Is(err, ErrTakenOver) {
		t.Errorf("attach: got %v, want ErrTakenOver", err)
	}
	must(t, n.Close())
	if _, err := Open(t.Context(), Config{Seed: testSeed, Dir: dir, Copies: []string{other, away}}); !errors.Is(err, ErrTakenOver) {
		t.Errorf("open: got %v, want ErrTakenOver", err)
	}
	must(t, m.Attach(other))
	wholeCopy(t, "folder that the first home wrote on", m, other)

	// another restore, from the same folders at the same time, does not mix with it
	third := openNet(t, Config{Dir: t.TempDir(), Copies: []string{copyLog(t, dir)}, TakeOver: true})
	fund(t, third, numbered('o', 1), bob, 1e9)
	if err := third.Attach(away); !errors.Is(err, ErrFork) {
		t.Errorf("attach to what another restore has: got %v, want ErrFork", err)
	}
	if third.home.tip.era == m.home.tip.era || third.home.tip.era.takeovers() != 1 {
		t.Errorf("eras %x and %x", third.home.tip.era, m.home.tip.era)
	}
	// a log that was taken over is opened again like any other
	must(t, m.Close())
	m = openNet(t, Config{Dir: second, Copies: []string{away, other}})
	checkLog(t, "taken over, opened again", m)
}

// TestCompactWhileBusy compacts the log under transactions and copies.
func TestCompactWhileBusy(t *testing.T) {
	dir, _ := withTransactions(t, 1)
	n := openNet(t, Config{Dir: dir})
	away := t.TempDir()
	must(t, n.Attach(away))
	for i := range 40 {
		fund(t, n, numbered('a', i), alice, 1e9)
	}
	long := n.home.tip.end
	var work sync.WaitGroup
	for worker := range 2 {
		work.Go(func() {
			for i := range 30 {
				if err := n.Faucet(context.Background(), numbered(byte('p'+worker), i), bob, 1e9, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		if err := n.compact(context.Background()); err != nil {
			t.Error(err)
		}
		n.Mend()
	}
	work.Wait()
	n.Mend()
	checkLog(t, "home", n)
	wholeCopy(t, "copy", n, away)
	sameFiles(t, filepath.Join(dir, LogFile), filepath.Join(away, LogFile))
	must(t, n.compact(context.Background()))
	if short := n.home.tip.end; short >= long*2 {
		t.Errorf("log of %d bytes after %d", short, long)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	// a copy of the log before goes on with its old file until it is replaced
	fund(t, n, numbered('z', 1), bob, 1e9)
	wholeCopy(t, "copy of the log before", n, away)
	must(t, n.Close())
	n = openNet(t, Config{Dir: dir, Copies: []string{away}})
	must(t, n.Attach(away))
	wholeCopy(t, "copy after a start", n, away)
}

// TestCompactIfDue leaves short logs alone.
func TestCompactIfDue(t *testing.T) {
	dir, _ := withTransactions(t, 1)
	n := openNet(t, Config{Dir: dir})
	before := n.home.swaps
	must(t, n.compactIfDue(t.Context()))
	if n.home.swaps != before {
		t.Error("a short log was compacted")
	}
	big := make([]chain.Attribute, 8)
	fill := func(with byte) {
		for i := range big {
			big[i] = chain.Attribute{Key: fmt.Sprint("k", i), Value: string(bytes.Repeat([]byte{with}, 15_000))}
		}
	}
	fill('v')
	batch := numberedBlobs(1, 1)
	batch[0].Attributes = big
	out, err := as(t, n, alice).Register(t.Context(), batch)
	must(t, err)
	for i := range 60 {
		fill(byte('a' + i%26))
		_, err := as(t, n, alice).Certify(t.Context(), nil, &chain.AnchorUpdate{Object: out.Registered[0].Object, Attributes: big})
		must(t, err)
		must(t, n.compactIfDue(t.Context()))
	}
	if n.home.swaps == before {
		t.Errorf("a log of %d bytes with a state of %d was not compacted", n.home.tip.end, n.home.state)
	}
	checkLog(t, "compacted", n)
}
