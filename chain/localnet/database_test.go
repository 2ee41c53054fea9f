package localnet

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/pagesum"
)

// someLedger makes a ledger with rows of all kinds, and closes it.
func someLedger(t *testing.T) (dir string, want map[string][][]value) {
	t.Helper()
	g, keys := newGenesis(t, 4, 10)
	dir = t.TempDir()
	n := openNet(t, Config{Dir: dir, Genesis: g})
	w := &worker{rand.New(rand.NewPCG(7, 7)), t, n, keys, 0}
	fund(t, n, chain.TxID{1}, alice, 1e15)
	for range 6 {
		w.register(as(t, n, alice))
	}
	want = tables(t, n)
	must(t, n.Close())
	return dir, want
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(path, b, 0o600))
}

// ruins are what may become of a database: a bit anywhere in a page, and whole pages.
func ruins(r *rand.Rand, whole []byte) map[string][]byte {
	const page = pagesum.PageSize
	pages := len(whole) / page
	all := map[string][]byte{"short of a page": whole[:len(whole)-page], "short of a byte": whole[:len(whole)-1]}
	for i := range pages {
		for range 2 {
			b, at := bytes.Clone(whole), i*page+r.IntN(page)
			b[at] ^= 1 << r.IntN(8)
			all[fmt.Sprint("a bit of byte ", at)] = b
		}
		zero, other := bytes.Clone(whole), bytes.Clone(whole)
		clear(zero[i*page:][:page])
		copy(other[i*page:][:page], whole[(i+1)%pages*page:])
		all[fmt.Sprint("zeros for page ", i+1)], all[fmt.Sprint("its neighbour for page ", i+1)] = zero, other
	}
	for _, at := range []int{0, 16, 18, 20, 24, 28, 60, 100} { // of the header
		b := bytes.Clone(whole)
		b[at] ^= 1
		all[fmt.Sprint("a bit of byte ", at, " of the header")] = b
	}
	return all
}

// TestRuinedDatabase changes ledger.db while it is closed, in each of its pages. Every change is
// noticed; the ledger that is opened then is the one that was closed, and its log as it was.
func TestRuinedDatabase(t *testing.T) {
	dir, want := someLedger(t)
	path := filepath.Join(dir, databaseFile)
	whole, log := readFile(t, path), readFile(t, filepath.Join(dir, LogFile))
	scratch := filepath.Join(t.TempDir(), databaseFile)
	open := 0
	for what, b := range ruins(rand.New(rand.NewPCG(1, 2)), whole) {
		writeFile(t, scratch, b)
		if damage, err := damageOf(scratch); err != nil || damage == "" {
			t.Errorf("%s: %q, %v", what, damage, err)
		}
		if open++; open > 6 { // the way from there is one
			continue
		}
		writeFile(t, path, b)
		n := openNet(t, Config{Dir: dir})
		diffTables(t, what, tables(t, n), want)
		must(t, n.Close())
		if got := readFile(t, path+damagedSuffix); !bytes.Equal(got, b) {
			t.Errorf("%s: what was damaged is not kept", what)
		}
		if !bytes.Equal(readFile(t, filepath.Join(dir, LogFile)), log) {
			t.Fatalf("%s: the log has changed", what)
		}
	}
	if t.Logf("%d ruins", open); open < 20 {
		t.Fatalf("%d ruins only", open)
	}
	writeFile(t, scratch, whole)
	if damage, err := damageOf(scratch); err != nil || damage != "" {
		t.Errorf("what is whole: %q, %v", damage, err)
	}
}

// forget makes connections forget what they have read.
func forget(t *testing.T, dbs ...*sql.DB) {
	t.Helper()
	for _, db := range dbs {
		db.SetMaxIdleConns(1)
		db.SetMaxOpenConns(1)
		_, err := db.Exec("PRAGMA shrink_memory")
		must(t, err)
	}
}

// TestRuinedWhileOpen changes each page of ledger.db while the ledger is open and has forgotten
// what it read. Reads give what is right or name the damage, transactions are done or not, and the log
// is that of the ledger, compacted or not.
func TestRuinedWhileOpen(t *testing.T) {
	dir, _ := someLedger(t)
	n := openNet(t, Config{Dir: dir})
	must(t, n.store.copyWAL(t.Context()))
	all := func() (rows map[string][][]value, err error) {
		rows = make(map[string][][]value)
		err = n.view(t.Context(), func(tx *sql.Tx) error {
			for i := range logTables {
				table := &logTables[i]
				if err := table.read(t.Context(), tx, func(some [][]value) error {
					rows[table.name] = append(rows[table.name], some...)
					return nil
				}); err != nil {
					return err
				}
			}
			return nil
		})
		return rows, err
	}
	path := filepath.Join(dir, databaseFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) }) // after the ledger: see index.sums
	r := rand.New(rand.NewPCG(3, 4))
	named, refused, compacted := 0, 0, 0
	pages := len(readFile(t, path)) / pagesum.PageSize
	check := func(what string, err error) bool {
		var bad *DatabaseError
		if err != nil && (!errors.As(err, &bad) || !errors.Is(err, ErrDatabase)) {
			t.Errorf("%s: %v", what, err)
		}
		return err != nil
	}
	for i := range pages {
		forget(t, n.store.reader, n.store.writer)
		want, err := all()
		must(t, err)
		page := make([]byte, pagesum.PageSize)
		_, err = f.ReadAt(page, int64(i*pagesum.PageSize))
		must(t, err)
		bad := bytes.Clone(page)
		switch i % 3 {
		case 0:
			clear(bad)
		default:
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		}
		_, err = f.WriteAt(bad, int64(i*pagesum.PageSize))
		must(t, err)
		forget(t, n.store.reader, n.store.writer)
		got, err := all()
		if check(fmt.Sprint("read, page ", i+1), err) {
			named++
		} else if !reflect.DeepEqual(got, want) {
			t.Fatalf("page %d: a wrong answer", i+1)
		}
		forget(t, n.store.reader, n.store.writer)
		if err := n.Faucet(t.Context(), numbered('z', i), bob, 7, 0); check(fmt.Sprint("write, page ", i+1), err) {
			refused++
		}
		if i%4 == 0 {
			forget(t, n.store.reader, n.store.writer)
			if err := n.compact(t.Context()); !check(fmt.Sprint("compact, page ", i+1), err) {
				compacted++
			}
		}
		now := make([]byte, len(page))
		_, err = f.ReadAt(now, int64(i*pagesum.PageSize))
		must(t, err)
		if bytes.Equal(now, bad) { // nothing has written the page since
			_, err = f.WriteAt(page, int64(i*pagesum.PageSize))
			must(t, err)
		}
	}
	forget(t, n.store.reader, n.store.writer)
	n.store.reader.SetMaxOpenConns(maxReaders)
	checkLog(t, "at the end", n)
	checkRows(t, n)
	t.Logf("%d pages: %d reads and %d transactions found it, %d compactions did not", pages, named, refused, compacted)
	if named < pages/3 || refused == 0 || compacted == 0 {
		t.Errorf("%d pages: %d reads and %d transactions found it, %d compactions did not", pages, named, refused, compacted)
	}
}

// TestRuinedWAL changes what a crash left in SQLite's log, a part of which is in the database already.
func TestRuinedWAL(t *testing.T) {
	dir, _ := someLedger(t)
	n := openNet(t, Config{Dir: dir})
	fund(t, n, numbered('f', 1), bob, 1e12)
	fund(t, n, numbered('f', 2), bob, 1e12)
	must(t, n.store.copyWAL(t.Context()))
	want, left := tables(t, n), copyLedger(t, dir)
	wal := readFile(t, filepath.Join(left, databaseFile+walSuffix))
	const header, frame = 32, 24 + pagesum.PageSize
	frames := (len(wal) - header) / frame
	if frames < 10 || len(wal) != header+frames*frame {
		t.Fatalf("%d frames in %d bytes", frames, len(wal))
	}
	last := header + (frames-1)*frame
	r := rand.New(rand.NewPCG(5, 6))
	places := []int{0, 20, header + 2, last + 8, last + 17, last + 24 + r.IntN(pagesum.PageSize)}
	for range 3 {
		places = append(places, r.IntN(len(wal)))
	}
	for _, at := range places {
		dir := copyLedger(t, left)
		b := bytes.Clone(wal)
		b[at] ^= 1
		writeFile(t, filepath.Join(dir, databaseFile+walSuffix), b)
		again := openNet(t, Config{Dir: dir})
		diffTables(t, fmt.Sprintf("byte %d of %d, %d of a frame", at, len(wal), (at-header)%frame), tables(t, again), want)
		checkRows(t, again)
		must(t, again.Close())
		if _, err := os.Stat(filepath.Join(dir, databaseFile+damagedSuffix)); err != nil {
			t.Errorf("byte %d of %d: not noticed: %v", at, len(wal), err)
		}
	}
}

// TestRuinedTwice changes the database where the log does not have all of it: it stays where it is,
// and with a whole copy of the log the ledger opens.
func TestRuinedTwice(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(log []byte) []byte
	}{
		{"log gone", func([]byte) []byte { return nil }},
		{"log damaged in the middle", func(b []byte) []byte { b[len(b)/3] ^= 1; return b }},
		{"log damaged in the state", func(b []byte) []byte { b[headerSize+100] ^= 1; return b }},
		{"log short of a record", func(b []byte) []byte { return b[:len(b)-1] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, want := someLedger(t)
			path, log := filepath.Join(dir, databaseFile), filepath.Join(dir, LogFile)
			away, whole := t.TempDir(), readFile(t, log)
			writeFile(t, filepath.Join(away, LogFile), whole)
			b := readFile(t, path)
			b[len(b)-100] ^= 1 // not where the place in the log is
			writeFile(t, path, b)
			if bad := c.spoil(bytes.Clone(whole)); bad == nil {
				must(t, os.Remove(log))
			} else {
				writeFile(t, log, bad)
			}
			g, _ := newGenesis(t, 4, 10)
			for _, cfg := range []Config{{Dir: dir}, {Dir: dir, Genesis: g}} {
				cfg.Seed = testSeed
				_, err := Open(t.Context(), cfg)
				var named *DatabaseError
				if !errors.As(err, &named) || named.Err == nil || !errors.Is(err, ErrDamaged) {
					t.Errorf("got %v", err)
				}
			}
			if !bytes.Equal(readFile(t, path), b) {
				t.Error("the database was touched")
			}
			n := openNet(t, Config{Dir: dir, Copies: []string{away}})
			diffTables(t, c.name, tables(t, n), want)
		})
	}
}

// TestRuinedAndTakenOver damages the database of a home that has lost its network to another one: it does not go on with the other's log.
func TestRuinedAndTakenOver(t *testing.T) {
	for _, lost := range []string{"damaged", "gone"} {
		dir, _ := someLedger(t)
		away := t.TempDir()
		writeFile(t, filepath.Join(away, LogFile), readFile(t, filepath.Join(dir, LogFile)))
		must(t, openNet(t, Config{Dir: away, TakeOver: true}).Close())
		path := filepath.Join(dir, databaseFile)
		b := readFile(t, path)
		clear(b[len(b)/2:]) // with the place in the log, perhaps
		if writeFile(t, path, b); lost == "gone" {
			must(t, os.Remove(path))
		}
		if _, err := Open(t.Context(), Config{Dir: dir, Seed: testSeed, Copies: []string{away}}); !errors.Is(err, ErrTakenOver) {
			t.Errorf("%s: got %v, want ErrTakenOver", lost, err)
		}
	}
}

func hasSums(t *testing.T, path string) bool {
	t.Helper()
	b := readFile(t, path)
	return pagesum.Has(bytes.NewReader(b), int64(len(b)))
}

// withoutSums makes of a closed ledger's database one of the time before pages had checksums.
func withoutSums(t *testing.T, dir string, statements string) {
	t.Helper()
	path := filepath.Join(dir, databaseFile)
	must(t, pagesum.Register())
	db, err := sql.Open("sqlite3", "file:"+path+".plain?_journal_mode=WAL")
	must(t, err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec(schema)
	must(t, err)
	_, err = db.Exec("ATTACH ? AS summed", pagesum.URI(path, "vfs="+pagesum.VFS))
	must(t, err)
	for i := range logTables {
		table := &logTables[i]
		columns := table.columns[0]
		for _, c := range table.columns[1:] {
			columns += ", " + c
		}
		_, err = db.Exec(fmt.Sprintf("INSERT INTO main.%s (%s) SELECT %s FROM summed.%s", table.name, columns, columns, table.name))
		must(t, err)
	}
	_, err = db.Exec(fmt.Sprintf("DETACH summed; PRAGMA user_version = %d; %s", schemaVersion, statements))
	must(t, errors.Join(err, db.Close()))
	must(t, os.Rename(path+".plain", path))
	if hasSums(t, path) {
		t.Fatal("it has checksums")
	}
}

// TestWithoutSums opens ledgers of before pages had checksums: what the log has comes from the log, also where
// the database has rotted; what it lacks comes from the database, unless that has rotted.
func TestWithoutSums(t *testing.T) {
	rot := "UPDATE objects SET contents = zeroblob(length(contents)) WHERE rowid = (SELECT max(rowid) FROM objects)"
	for _, c := range []struct {
		name       string
		log        bool
		statements string
		want       error
	}{
		{"log and database", true, "", nil},
		{"rotten database", true, rot, nil},
		{"no log", false, "", nil},
		{"no log and a rotten database", false, rot, ErrDamaged},
		{"a database of the time without logs", false, "DELETE FROM meta WHERE key = 'log'", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, want := someLedger(t)
			path := filepath.Join(dir, databaseFile)
			withoutSums(t, dir, c.statements)
			writeFile(t, path+".tmp", []byte("what a crash left"))
			if !c.log {
				must(t, os.Remove(filepath.Join(dir, LogFile)))
			}
			n, err := Open(t.Context(), Config{Dir: dir, Seed: testSeed})
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil {
				return
			}
			diffTables(t, c.name, tables(t, n), want)
			checkLog(t, c.name, n)
			must(t, n.Close())
			if damage, err := damageOf(path); err != nil || damage != "" || !hasSums(t, path) {
				t.Errorf("%q, %v", damage, err)
			}
			if _, err := os.Stat(path + oldSuffix); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old one is still there: %v", err)
			}
		})
	}
}

// TestCrashBesideDatabase opens what a crash leaves while a database is put aside.
func TestCrashBesideDatabase(t *testing.T) {
	dir, want := someLedger(t)
	n := openNet(t, Config{Dir: dir})
	left := copyLedger(t, dir) // with a log of SQLite
	must(t, n.Close())
	path := filepath.Join(left, databaseFile)
	b := readFile(t, path)
	b[len(b)/2] ^= 1
	for _, moved := range []int{1, 2} {
		writeFile(t, path, b)
		must(t, os.Rename(path+walSuffix, path+damagedSuffix+walSuffix))
		if moved == 2 {
			must(t, os.Rename(path, path+damagedSuffix))
		}
		n := openNet(t, Config{Dir: left})
		diffTables(t, fmt.Sprint(moved, " moved"), tables(t, n), want)
		must(t, n.Close())
		writeFile(t, path+walSuffix, nil)
	}
}

// BenchmarkOpen opens a ledger with some thousands of blobs.
func BenchmarkOpen(b *testing.B) {
	g, _ := newGenesis(b, 10, 100)
	dir := b.TempDir()
	n := openNet(b, Config{Dir: dir, Genesis: g})
	fund(b, n, chain.TxID{1}, alice, 1e17)
	ledger := as(b, n, alice)
	for i := range 300 {
		if _, err := ledger.Register(context.Background(), numberedBlobs(i, 8)); err != nil {
			b.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n, err := Open(context.Background(), Config{Dir: dir, Seed: testSeed})
		if err != nil {
			b.Fatal(err)
		}
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
