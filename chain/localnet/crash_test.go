package localnet

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// hookedDriver is SQLite that tells of each row that is written and of each commit that begins.
const hookedDriver = "sqlite3_hooked"

var rowHook atomic.Pointer[func(what string)]

func init() {
	tell := func(what string) {
		if f := rowHook.Load(); f != nil {
			(*f)(what)
		}
	}
	sql.Register(hookedDriver, &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		c.RegisterUpdateHook(func(op int, _, table string, row int64) { tell(fmt.Sprint(table, " ", op, " ", row)) })
		c.RegisterCommitHook(func() int {
			tell("commit")
			return 0
		})
		return nil
	}})
}

// copyLedger copies the files of a ledger as a killed process would leave them.
func copyLedger(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{databaseFile, databaseFile + "-wal", LogFile} {
		in, err := os.Open(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(in.Close(), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestCrashDuringGenesis copies the files while a ledger is made: each copy is
// an empty folder to Open, and becomes the same ledger.
func TestCrashDuringGenesis(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	dir := t.TempDir()
	var copies []string
	moments, commits := 0, 0
	hook := func(what string) {
		if moments++; moments%20 == 1 && commits == 0 {
			copies = append(copies, copyLedger(t, dir))
		}
		if what == "commit" {
			commits++
		}
	}
	rowHook.Store(&hook)
	n, err := open(context.Background(), Config{Dir: dir, Seed: testSeed, Genesis: g}, hookedDriver)
	rowHook.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	want := readContents(t, &wallet{t: t, net: n, key: n.house.key})
	if len(copies) < 5 {
		t.Fatalf("%d moments were seen", len(copies))
	}
	for moment, dir := range copies {
		if _, err := Open(context.Background(), Config{Seed: testSeed, Dir: dir}); !errors.Is(err, ErrNoGenesis) {
			t.Errorf("moment %d: got %v, want ErrNoGenesis", moment, err)
		}
		again := openNet(t, Config{Dir: dir, Genesis: g})
		if got := readContents(t, &wallet{t: t, net: again, key: again.house.key}); !reflect.DeepEqual(got, want) {
			t.Errorf("moment %d:\n got %+v\nwant %+v", moment, got, want)
		}
	}
}

// checkRows checks that what the database derives from objects is right.
func checkRows(t *testing.T, n *Net) {
	t.Helper()
	ctx := context.Background()
	rows, err := n.store.reader.Query(`SELECT id, digest, blob FROM objects`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, digest, blob []byte
		if err := rows.Scan(&id, &digest, &blob); err != nil {
			t.Fatal(err)
		}
		o, err := n.store.object(ctx, n.store.reader, move.ID(id))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := o.Digest(); err != nil || want != move.Digest(digest) || o.ID() != move.ID(id) {
			t.Errorf("object %x: digest %x, want %x, %v", id, digest, want, err)
		}
		if o.Type.Equal(n.facts.packages.Blob()) {
			var b move.Blob
			if err := move.Unmarshal(o.Contents, &b); err != nil || b.BlobID != move.U256(blob) {
				t.Errorf("object %x: blob %x, %v", id, blob, err)
			}
		}
	}
}

// childDir tells a copy of this test that it is the process to be killed.
const childDir = "WALFS_LOCALNET_CHILD"

// TestKilledProcess kills a process that registers blobs, again and again:
// what it was told is there, each transaction happened at most once, nothing
// else was paid.
func TestKilledProcess(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		registerForever(t, dir)
		return
	}
	dir := t.TempDir()
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: dir, Genesis: g})
	newWallet(t, n, 1)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	sent := make(map[move.Digest]bool) // and whether it was answered
	for round := range 4 {
		runAndKill(t, dir, 10+7*round, sent)
	}
	n = openNet(t, Config{Dir: dir})
	found := 0
	for digest, answered := range sent {
		_, err := n.Transaction(t.Context(), digest)
		if err != nil && (answered || !errors.Is(err, chain.ErrNotExist)) {
			t.Errorf("transaction %s, answered %v: %v", digest, answered, err)
		}
		if err == nil {
			found++
		}
	}
	a := account{&wallet{t: t, net: n, key: personKey(1)}}
	cost := uint64(2*found) * registerCost(t, n)
	if blobs, paid := len(a.blobs()), 1e15-a.Balance().WALFrost; blobs != 2*found || paid != cost {
		t.Errorf("%d objects, %d paid; want %d and %d", blobs, paid, 2*found, cost)
	}
	if found < 40 {
		t.Errorf("%d transactions only", found)
	}
	checkRows(t, n)
}

// registerForever says on standard output what it is about to do, and what it was told.
func registerForever(t *testing.T, dir string) {
	n := openNet(t, Config{Dir: dir})
	w := &wallet{t: t, net: n, key: personKey(1)}
	for i := 0; ; i++ {
		bcs, signatures := w.sign(w.resolve(w.registerMany(numberedBlobs(os.Getpid()*1000+i, 2))))
		digest := move.TransactionDigest(bcs)
		fmt.Printf("send %x\n", digest[:])
		if _, err := n.Execute(t.Context(), bcs, signatures); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("done %x\n", digest[:])
	}
}

// runAndKill runs a process and kills it once it was told of so many calls.
func runAndKill(t *testing.T, dir string, calls int, sent map[move.Digest]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledProcess$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	killed := false
	for lines.Scan() {
		var word, text string
		if _, err := fmt.Sscan(lines.Text(), &word, &text); err != nil {
			t.Logf("child: %s", lines.Text())
			continue
		}
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != 32 {
			continue // a line that the kill has cut
		}
		switch strings.TrimSpace(word) {
		case "send":
			sent[move.Digest(raw)] = false
		case "done":
			sent[move.Digest(raw)] = true
			if calls--; calls <= 0 && !killed {
				killed = true
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if err := cmd.Wait(); err == nil || !killed {
		t.Fatalf("the process ended by itself: %v", err)
	}
}
