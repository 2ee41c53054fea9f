package localnet

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

var update = flag.Bool("update", false, "write the golden file anew")

// tables returns all rows of a ledger but the clock and the place in the log.
func tables(t *testing.T, n *Net) map[string][][]value {
	t.Helper()
	all := make(map[string][][]value)
	err := n.view(context.Background(), func(tx *sql.Tx) error {
		for i := range logTables {
			table := &logTables[i]
			err := table.read(context.Background(), tx, func(rows [][]value) error {
				all[table.name] = append(all[table.name], rows...)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// diffTables compares the rows of two ledgers.
func diffTables(t *testing.T, what string, got, want map[string][][]value) {
	t.Helper()
	for i := range logTables {
		name := logTables[i].name
		if len(got[name]) != len(want[name]) {
			t.Errorf("%s: table %s has %d rows, want %d", what, name, len(got[name]), len(want[name]))
			continue
		}
		for k := range want[name] {
			if !reflect.DeepEqual(got[name][k], want[name][k]) {
				t.Fatalf("%s: table %s, row %d:\n got %v\nwant %v", what, name, k, got[name][k], want[name][k])
			}
		}
	}
}

// rebuilt opens a ledger that has only the log at path.
func rebuilt(t *testing.T, path string) *Net {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, LogFile), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return openNet(t, Config{Dir: dir})
}

// checkLog checks that the log alone makes the ledger that the database has.
func checkLog(t *testing.T, what string, n *Net) {
	t.Helper()
	again := rebuilt(t, filepath.Join(n.dir, LogFile))
	diffTables(t, what, tables(t, again), tables(t, n))
	if got, want := again.home.tip, n.home.tip; got != want {
		t.Errorf("%s: the log ends at %+v, want %+v", what, got, want)
	}
}

// worker does random things to a ledger.
type worker struct {
	*rand.Rand
	t     *testing.T
	n     *Net
	keys  testNodes
	count int
}

func (w *worker) tx() chain.TxID {
	w.count++
	return numbered('w', w.count)
}

// step executes one random transaction.
func (w *worker) step() {
	w.t.Helper()
	ctx := context.Background()
	ledger := as(w.t, w.n, alice)
	blobs := ledger.blobs()
	if len(blobs) == 0 {
		w.register(ledger)
		return
	}
	var err error
	o := blobs[w.IntN(len(blobs))]
	switch w.IntN(8) {
	case 0, 1, 2:
		w.register(ledger)
	case 3:
		err = ledger.Delete(ctx, o.Object)
	case 4:
		err = ledger.Extend(ctx, o.Object, 1)
	case 5:
		err = w.n.AdvanceEpoch(ctx)
	case 6:
		err = w.n.Faucet(ctx, w.tx(), bob, 1000, 1)
	case 7:
		anchor := &chain.AnchorUpdate{Object: o.Object,
			Attributes: []chain.Attribute{{Key: fmt.Sprint("key ", w.IntN(3)), Value: fmt.Sprint(w.Uint64())}}}
		_, err = ledger.Certify(ctx, nil, anchor)
	}
	if err != nil { // a blob that has ended, or may not be touched
		w.t.Logf("step %d: %v", w.count, err)
	}
}

func (w *worker) register(ledger account) {
	w.t.Helper()
	w.count++
	batch := numberedBlobs(4*w.count, 1+w.IntN(4))
	for i := range batch {
		batch[i].EpochsAhead = uint32(1 + w.IntN(5))
		if w.IntN(2) == 0 {
			batch[i].Attributes = []chain.Attribute{{Key: "k", Value: "v"}}
		}
	}
	out, err := ledger.Register(context.Background(), batch)
	if err != nil {
		w.t.Fatal(err)
	}
	state, err := w.n.State(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	var certs []chain.Certification
	for i := range w.IntN(len(batch) + 1) {
		msg := confirmation(state.Epoch, batch[i], out.Registered[i])
		certs = append(certs, chain.Certification{Object: out.Registered[i].Object, Cert: w.keys.sign(w.t, w.n.Committee(), []int{0, 1, 2, 3}, msg)})
	}
	if len(certs) > 0 {
		if _, err := ledger.Certify(context.Background(), certs, nil); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestLogMakesTheLedger does random things, compacts the log and opens the
// ledger anew now and then, and compares it row by row with what its log makes,
// in the home and in a copy.
func TestLogMakesTheLedger(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g, keys := newGenesis(t, 4, 10)
	dir, away := t.TempDir(), t.TempDir()
	w := &worker{rand.New(rand.NewPCG(seed, 1)), t, openNet(t, Config{Dir: dir, Genesis: g}), keys, 0}
	fund(t, w.n, chain.TxID{1}, alice, 1e15)
	fund(t, w.n, chain.TxID{2}, alice, 1e15)
	for round := range 6 {
		if err := w.n.Attach(away); err != nil {
			t.Fatal(err)
		}
		for range 15 {
			w.step()
		}
		switch round % 3 {
		case 1:
			if err := w.n.compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.n.Mend()
			w.step()
		case 2:
			if err := w.n.Close(); err != nil {
				t.Fatal(err)
			}
			w.n = openNet(t, Config{Dir: dir, Copies: []string{away}})
		}
		checkLog(t, fmt.Sprint("round ", round), w.n)
		if round%3 != 2 {
			sameFiles(t, filepath.Join(dir, LogFile), filepath.Join(away, LogFile))
		}
		checkRows(t, w.n)
	}
}

func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s of %d bytes and %s of %d differ", a, len(x), b, len(y))
	}
}

// withTransactions makes a ledger with so many transactions and closes it.
func withTransactions(t *testing.T, count int) (dir string, g *Genesis) {
	t.Helper()
	g, _ = newGenesis(t, 4, 10)
	dir = t.TempDir()
	n := openNet(t, Config{Dir: dir, Genesis: g})
	for i := range count {
		fund(t, n, numbered('f', i), alice, 1e12)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, g
}

// TestTornLog cuts the log of a crash at every byte of its last record. The
// database of before the transaction makes of it the ledger before, and of the
// whole record the one after; so does an empty folder.
func TestTornLog(t *testing.T) {
	dir, _ := withTransactions(t, 2)
	n := openNet(t, Config{Dir: dir})
	before, start := tables(t, n), n.home.tip.end
	behind := copyLedger(t, dir) // the database does not know what follows
	fund(t, n, numbered('f', 2), alice, 1e12)
	after, end := tables(t, n), n.home.tip.end
	whole, err := os.ReadFile(filepath.Join(dir, LogFile))
	if err != nil {
		t.Fatal(err)
	}
	for cut := start; cut <= end; cut++ {
		if cut > start+8 && cut < end-8 && cut%61 != 0 {
			continue
		}
		want := before
		if cut == end {
			want = after
		}
		for _, database := range []bool{true, false} {
			at := t.TempDir()
			if database {
				at = copyLedger(t, behind)
			}
			if err := os.WriteFile(filepath.Join(at, LogFile), whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			again := openNet(t, Config{Dir: at})
			diffTables(t, fmt.Sprintf("cut at %d of %d to %d, database %v", cut, start, end, database), tables(t, again), want)
			if info, err := os.Stat(filepath.Join(at, LogFile)); err != nil || info.Size() != again.home.tip.end {
				t.Errorf("cut at %d: a log of %d bytes, of which %d count, %v", cut, info.Size(), again.home.tip.end, err)
			}
			fund(t, again, numbered('g', 1), bob, 1e12) // and it goes on
			checkLog(t, fmt.Sprint("cut at ", cut), again)
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDamagedLog flips bits everywhere. Before the last record that is damage
// which is named with how far the log is whole; nothing wrong is ever read.
func TestDamagedLog(t *testing.T) {
	dir, _ := withTransactions(t, 4)
	path := filepath.Join(dir, LogFile)
	good, err := InspectLog(path)
	if err != nil || good.Number != 4 || good.Damage != nil {
		t.Fatalf("%+v, %v", good, err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int64]uint64{} // where records end
	for {
		rec, err := l.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !l.state {
			ends[l.off] = l.number
			_ = rec
		}
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), LogFile)
	for off := 0; off < len(whole); off += 37 {
		b := bytes.Clone(whole)
		b[off] ^= 1 << (off % 8)
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := InspectLog(damaged)
		whole := uint64(0) // records before the damage
		state := false
		for end, number := range ends {
			if int64(off) >= end {
				state, whole = true, max(whole, number)
			}
		}
		switch {
		case !state:
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrSchema) {
				t.Errorf("byte %d, in the state: %v", off, err)
			}
		case whole == 3: // the last one: torn, for all that can be known
			if err != nil || info.Damage != nil || info.Number != 3 {
				t.Errorf("byte %d, in the last record: %+v, %v", off, info, err)
			}
		default:
			if err != nil || info.Damage == nil || info.Damage.Number != whole || info.Number != whole {
				t.Errorf("byte %d, behind record %d: %+v, %v", off, whole, info.Damage, err)
			}
		}
		if off%7 != 0 || whole == 3 {
			continue
		}
		// alone, a damaged log is refused; a database that has all makes a new one
		_, err = Open(context.Background(), Config{Seed: testSeed, Dir: filepath.Dir(damaged)})
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrSchema) {
			t.Errorf("byte %d: opened alone: %v", off, err)
		}
		for _, name := range []string{databaseFile, databaseFile + "-wal", databaseFile + "-shm"} {
			if err := os.Remove(filepath.Join(filepath.Dir(damaged), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
}

// TestDamagedLogBesideItsDatabase opens a ledger whose log has a damaged
// middle: copies get none of it, and the log is made anew.
func TestDamagedLogBesideItsDatabase(t *testing.T) {
	dir, _ := withTransactions(t, 4)
	path := filepath.Join(dir, LogFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNet(t, Config{Dir: dir})
	away := t.TempDir()
	if err := n.Attach(away); err != nil {
		t.Fatal(err)
	}
	fund(t, n, numbered('f', 9), bob, 1e12)
	checkLog(t, "home", n)
	diffTables(t, "copy", tables(t, rebuilt(t, filepath.Join(away, LogFile))), tables(t, n))
}

// fromSchema3 takes out of a database what schema 3 put into it.
const fromSchema3 = `DROP INDEX events_by_tx; DROP INDEX transactions_by_request; ALTER TABLE events DROP COLUMN package; ALTER TABLE events DROP COLUMN module;
ALTER TABLE transactions DROP COLUMN bcs; ALTER TABLE transactions DROP COLUMN signatures;
ALTER TABLE transactions DROP COLUMN effects; ALTER TABLE transactions DROP COLUMN details`

// TestLostParts takes away the log, the database, or both.
func TestLostParts(t *testing.T) {
	for _, lost := range []string{"log", "database", "both", "log of an old program"} {
		t.Run(lost, func(t *testing.T) {
			dir, _ := withTransactions(t, 3)
			if lost == "log of an old program" { // which knew no signed transactions
				dir = goldenLedger(t)
			}
			n := openNet(t, Config{Dir: dir})
			want := tables(t, n)
			away := t.TempDir()
			if err := errors.Join(n.Attach(away), n.Close()); err != nil {
				t.Fatal(err)
			}
			if lost == "log of an old program" {
				withoutSums(t, dir, "DELETE FROM meta WHERE key = 'log'; PRAGMA user_version = 1;"+fromSchema4+";"+fromSchema3)
				must(t, os.Remove(filepath.Join(away, LogFile)))
			}
			if lost != "database" {
				if err := os.Remove(filepath.Join(dir, LogFile)); err != nil {
					t.Fatal(err)
				}
			}
			if lost == "database" || lost == "both" {
				if err := os.Remove(filepath.Join(dir, databaseFile)); err != nil {
					t.Fatal(err)
				}
			}
			again := openNet(t, Config{Dir: dir, Copies: []string{away}})
			diffTables(t, lost, tables(t, again), want)
			if err := again.Attach(away); err != nil {
				t.Fatal(err)
			}
			fund(t, again, numbered('f', 9), bob, 1e12)
			checkLog(t, lost, again)
			sameFiles(t, filepath.Join(dir, LogFile), filepath.Join(away, LogFile))
			var version int
			if err := again.store.reader.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version != schemaVersion {
				t.Errorf("schema %d, %v", version, err)
			}
		})
	}
}

// programLog is a log of version 2, which has signed transactions.
const programLog = "program.log"

// makeGoldenLog writes a log of today's version.
func makeGoldenLog(t *testing.T) {
	dir := t.TempDir()
	g, _ := newGenesis(t, 1, 4)
	n := openNet(t, Config{Dir: dir, Genesis: g, Now: (&manual{time.UnixMilli(1_700_000_000_000)}).now})
	w := newWallet(t, n, 1)
	w.succeed(w.registerMany(numberedBlobs(1, 1)))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	openNet(t, Config{Dir: dir, TakeOver: true})
	b, err := os.ReadFile(filepath.Join(dir, LogFile))
	if err == nil {
		err = os.WriteFile(filepath.Join("testdata", programLog), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestGoldenProgramLog reads a log that is as it was when signed transactions came.
func TestGoldenProgramLog(t *testing.T) {
	if *update {
		makeGoldenLog(t)
	}
	n := rebuilt(t, filepath.Join("testdata", programLog))
	all := history(t, n)
	last := all[len(all)-2] // before the house got what it should have
	if last.Transaction == nil || len(last.Transaction.Commands) != 3 || len(last.Events) != 1 || len(last.Signatures) != 1 || last.Digest != move.TransactionDigest(last.BCS) {
		t.Errorf("%+v", last)
	}
	checkRows(t, n)
}

// TestGoldenLog reads a log that is as it was when the format was made.
func TestGoldenLog(t *testing.T) {
	golden := filepath.Join("testdata", LogFile)
	info, err := InspectLog(golden)
	if err != nil || info.Number != 3 || info.Damage != nil || era(info.Era).takeovers() != 1 || info.Time.UnixMilli() < 1_700_000_000_000 {
		t.Errorf("%+v, %v", info, err)
	}
	n := rebuilt(t, golden)
	var blob move.Blob
	if ids, err := n.ownedIDs(t.Context(), n.store.reader, move.Address{1}, n.facts.packages.Blob()); err != nil || len(ids) != 1 {
		t.Errorf("%d blobs, %v", len(ids), err)
	} else if o, err := n.Object(t.Context(), ids[0]); err != nil || move.Unmarshal(o.Contents, &blob) != nil || blob.Size != 1000 {
		t.Errorf("%+v, %v", o, err)
	}
	checkRows(t, n)
	if info.Size > 32<<10 {
		t.Errorf("golden file of %d bytes", info.Size)
	}
	// what is read, written again, has the same bytes
	whole, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLog(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	again := l.header.encode()
	for {
		rec, err := l.next()
		if err != nil {
			break
		}
		b, _ := rec.encode()
		again = append(again, b...)
	}
	if !bytes.Equal(again, whole) {
		t.Error("what was read and written again differs")
	}
}

// FuzzLog reads bytes as a log: an error or a ledger, never a panic.
func FuzzLog(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", LogFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden, uint32(0), byte(0))
	f.Add(golden[:len(golden)-9], uint32(200), byte(1))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte, at uint32, flip byte) {
		b = bytes.Clone(b)
		if len(b) > 0 {
			b[int(at)%len(b)] ^= flip
		}
		path := filepath.Join(dir, LogFile)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := InspectLog(path)
		if err != nil {
			return
		}
		if info.Size > int64(len(b)) || len(info.hashes) != int(info.Number-info.base)+1 {
			t.Errorf("%d bytes whole of %d, %d hashes for records %d to %d", info.Size, len(b), len(info.hashes), info.base, info.Number)
		}
		if _, err := lastOf(path); err != nil && info.Damage == nil && info.Size == int64(len(b)) {
			t.Errorf("a whole log without a last record: %v", err)
		}
	})
}

// FuzzLogPayload reads bytes as what records hold.
func FuzzLogPayload(f *testing.F) {
	l, err := openLog(filepath.Join("testdata", LogFile))
	if err != nil {
		f.Fatal(err)
	}
	for {
		rec, err := l.next()
		if err != nil {
			break
		}
		f.Add(rec.kind, rec.payload)
	}
	if err := l.close(); err != nil {
		f.Fatal(err)
	}
	n, err := Open(context.Background(), Config{Seed: testSeed, Dir: goldenLedger(f)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = n.Close() })
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		tx, err := n.store.writer.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		rec := &logRecord{kind: kind, payload: payload}
		if kind%2 == 0 {
			_ = loadRows(t.Context(), tx, rec)
		} else {
			w := &writer{n.store, tx, &n.facts.packages}
			_ = w.apply(t.Context(), rec)
		}
	})
}

// goldenLedger returns a folder with the golden log.
func goldenLedger(f testing.TB) string {
	f.Helper()
	dir := f.TempDir()
	b, err := os.ReadFile(filepath.Join("testdata", LogFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, LogFile), b, 0o600)
	}
	if err != nil {
		f.Fatal(err)
	}
	return dir
}
