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

	"github.com/walfs/walfs/blobstore/walrus"
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

// contents is everything that a ledger says of an owner.
type contents struct {
	Balance chain.Balance
	Blobs   []chain.OwnedObject
	Storage []chain.OwnedObject
	Events  []chain.Event
	Epoch   walrus.Epoch
	Used    uint64
}

func readContents(t *testing.T, l chain.Ledger) (c contents) {
	t.Helper()
	ctx := context.Background()
	state, err := l.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.Epoch, c.Used = state.Epoch, state.Used
	c.Balance, err = l.Balance(ctx)
	if err == nil {
		c.Blobs, err = l.Owned(ctx, chain.OwnedQuery{})
	}
	if err == nil {
		c.Storage, err = l.Owned(ctx, chain.OwnedQuery{Storage: true})
	}
	if err == nil {
		c.Events, err = l.Events(ctx, 0, 10_000)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCrashBetweenStatements copies the files before each row that a
// transaction writes and before its commit. Each copy, opened, is the ledger
// before the transaction, and from the commit on, when the log has it, the one
// after it; a repeated call brings it to where the original is.
func TestCrashBetweenStatements(t *testing.T) {
	ctx := context.Background()
	g, keys := newGenesis(t, 4, 10)
	dir := t.TempDir()
	n, err := open(ctx, Config{Dir: dir, Genesis: g}, hookedDriver)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	fund(t, n, chain.TxID{1}, alice, 1e12)
	ledger := n.Ledger(alice)

	batch := numberedBlobs(0, 2)
	batch[1].Attributes = []chain.Attribute{{Key: "k", Value: "v"}}
	var out *chain.Outcome // of the registration
	var cert chain.Certification
	certified := func(l chain.Ledger) (*chain.Outcome, error) {
		anchor := out.Registered[1].Object
		objects, err := l.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{anchor}})
		if err != nil || len(objects) != 1 {
			t.Fatalf("anchor: %v, %v", objects, err)
		}
		version := objects[0].Version
		if c, err := l.Outcome(ctx, chain.TxID{3}); err == nil {
			version = c.AnchorVersion - 1 // what it was before the call
		}
		return l.Certify(ctx, chain.TxID{3}, []chain.Certification{cert},
			&chain.AnchorUpdate{Object: anchor, Version: version, Attributes: []chain.Attribute{{Key: "k", Value: "w"}}})
	}
	calls := []struct {
		tx   chain.TxID
		call func(l chain.Ledger) (*chain.Outcome, error)
	}{
		{chain.TxID{2}, func(l chain.Ledger) (*chain.Outcome, error) { return l.Register(ctx, chain.TxID{2}, batch) }},
		{chain.TxID{3}, certified},
		{chain.TxID{4}, func(l chain.Ledger) (*chain.Outcome, error) {
			return l.Delete(ctx, chain.TxID{4}, []walrus.ObjectID{out.Registered[0].Object})
		}},
	}
	for i, c := range calls {
		before := readContents(t, ledger)
		var copies []string
		logged := 0 // the first copy in which the log has the transaction: when the commit begins
		hook := func(what string) {
			if what == "commit" && logged == 0 {
				logged = len(copies)
			}
			copies = append(copies, copyLedger(t, dir))
		}
		rowHook.Store(&hook)
		want, err := c.call(ledger)
		rowHook.Store(nil)
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		if i == 0 {
			out = want
			msg := confirmation(1, batch[0], out.Registered[0])
			cert = chain.Certification{Object: out.Registered[0].Object, Cert: keys.sign(t, n.Committee(), []int{0, 1, 2, 3}, msg)}
		}
		after := readContents(t, ledger)
		if len(copies) < 5 {
			t.Fatalf("call %d: %d moments were seen", i, len(copies))
		}
		for moment, dir := range append(copies, copyLedger(t, dir)) {
			done := moment >= logged // from there on it is replayed, and then it was answered
			again := openNet(t, Config{Dir: dir})
			copied := again.Ledger(alice)
			got, err := copied.Outcome(ctx, c.tx)
			if done && (err != nil || !reflect.DeepEqual(got, want)) || !done && !errors.Is(err, chain.ErrNotExist) {
				t.Errorf("call %d, moment %d of %d: outcome %+v, %v", i, moment, len(copies), got, err)
			}
			state := before
			if done {
				state = after
			}
			if got := readContents(t, copied); !reflect.DeepEqual(got, state) {
				t.Errorf("call %d, moment %d of %d:\n got %+v\nwant %+v", i, moment, len(copies), got, state)
			}
			if got, err := c.call(copied); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("call %d, moment %d, repeated: got %+v, %v, want %+v", i, moment, got, err, want)
			}
			if got := readContents(t, copied); !reflect.DeepEqual(got, after) {
				t.Errorf("call %d, moment %d, after the repetition:\n got %+v\nwant %+v", i, moment, got, after)
			}
			checkRows(t, again)
		}
	}
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
	n, err := open(context.Background(), Config{Dir: dir, Genesis: g}, hookedDriver)
	rowHook.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	want := readContents(t, n.Ledger(n.facts.faucet))
	if len(copies) < 5 {
		t.Fatalf("%d moments were seen", len(copies))
	}
	for moment, dir := range copies {
		if _, err := Open(context.Background(), Config{Dir: dir}); !errors.Is(err, ErrNoGenesis) {
			t.Errorf("moment %d: got %v, want ErrNoGenesis", moment, err)
		}
		again := openNet(t, Config{Dir: dir, Genesis: g})
		if got := readContents(t, again.Ledger(again.facts.faucet)); !reflect.DeepEqual(got, want) {
			t.Errorf("moment %d:\n got %+v\nwant %+v", moment, got, want)
		}
	}
}

// checkRows checks that what the database derives from objects is right.
func checkRows(t *testing.T, n *Net) {
	t.Helper()
	ctx := context.Background()
	keys := make(map[string]bool)
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
		if o.Type.Equal(n.facts.packages.MetadataField()) {
			var m move.Metadata
			if err := move.Unmarshal(o.Contents, &move.Field{Name: make([]byte, 9), Value: &m}); err != nil {
				t.Error(err)
			}
			for _, pair := range m.Pairs {
				keys[o.Owner.Address.String()+pair.Key] = true
			}
		}
	}
	var indexed int
	if err := n.store.reader.QueryRow(`SELECT count(*) FROM attributes`).Scan(&indexed); err != nil || indexed != len(keys) {
		t.Errorf("%d attributes are indexed, %v, want %d", indexed, err, len(keys))
	}
}

// childDir tells a copy of this test that it is the process to be killed.
const childDir = "WALFS_LOCALNET_CHILD"

// TestKilledProcess kills a process that registers blobs, again and again:
// what it was told is there, each call happened at most once, nothing else
// was paid.
func TestKilledProcess(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		registerForever(t, dir)
		return
	}
	dir := t.TempDir()
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: dir, Genesis: g})
	fund(t, n, chain.TxID{1}, alice, 1e15)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	sent, answered := make(map[chain.TxID]int), make(map[chain.TxID]bool)
	for round := range 4 {
		runAndKill(t, dir, 10+7*round, sent, answered)
	}
	n = openNet(t, Config{Dir: dir})
	ledger := n.Ledger(alice)
	var cost uint64
	found := 0
	for tx, number := range sent {
		out, err := ledger.Outcome(context.Background(), tx)
		if errors.Is(err, chain.ErrNotExist) && !answered[tx] {
			if out, err = ledger.Register(context.Background(), tx, numberedBlobs(number, 2)); err != nil {
				t.Errorf("transaction %x cannot be sent again: %v", tx[:4], err)
				continue
			}
		}
		if err != nil {
			t.Fatalf("transaction %x, answered %v: %v", tx[:4], answered[tx], err)
		}
		found++
		cost += out.CostFrost
	}
	c := readContents(t, ledger)
	if len(c.Blobs) != 2*found || 1e15-c.Balance.WALFrost != cost {
		t.Errorf("%d objects, %d paid; want %d and %d", len(c.Blobs), uint64(1e15)-c.Balance.WALFrost, 2*found, cost)
	}
	if found < 40 {
		t.Errorf("%d transactions only", found)
	}
	checkRows(t, n)
}

// registerForever says on standard output what it is about to do, and what it was told.
func registerForever(t *testing.T, dir string) {
	n, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		number := os.Getpid()*1000 + i
		tx := numbered('k', number)
		fmt.Printf("send %d %x\n", number, tx)
		if _, err := n.Ledger(alice).Register(context.Background(), tx, numberedBlobs(number, 2)); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("done %d %x\n", number, tx)
	}
}

// runAndKill runs a process and kills it once it was told of so many calls.
func runAndKill(t *testing.T, dir string, calls int, sent map[chain.TxID]int, answered map[chain.TxID]bool) {
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
		var number int
		if _, err := fmt.Sscan(lines.Text(), &word, &number, &text); err != nil {
			t.Logf("child: %s", lines.Text())
			continue
		}
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != 32 {
			continue // a line that the kill has cut
		}
		switch strings.TrimSpace(word) {
		case "send":
			sent[chain.TxID(raw)] = number
		case "done":
			answered[chain.TxID(raw)] = true
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
