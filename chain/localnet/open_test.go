package localnet

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/move"
)

func TestOpenErrors(t *testing.T) {
	ctx := context.Background()
	good, _ := newGenesis(t, 4, 10)
	change := func(f func(g *Genesis)) *Genesis {
		g := *good
		g.Nodes = append([]GenesisNode(nil), good.Nodes...)
		f(&g)
		return &g
	}
	cases := []struct {
		name    string
		genesis *Genesis
		want    error
	}{
		{"no genesis", nil, ErrNoGenesis},
		{"no nodes", change(func(g *Genesis) { g.Nodes = nil }), ErrGenesis},
		{"no shards", change(func(g *Genesis) { g.Shards = 0 }), ErrGenesis},
		{"more nodes than shards", change(func(g *Genesis) { g.Shards = 3 }), ErrGenesis},
		{"epoch without length", change(func(g *Genesis) { g.EpochDuration = 1 }), ErrGenesis},
	}
	for _, c := range cases {
		dir := filepath.Join(t.TempDir(), "ledger")
		if _, err := Open(ctx, Config{Seed: testSeed, Dir: dir, Genesis: c.genesis}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		// Nothing is in the way of a second try.
		openNet(t, Config{Dir: dir, Genesis: good})
	}
	var abort *chain.AbortError
	wrong := change(func(g *Genesis) { g.Nodes[1].ProofOfPossession = g.Nodes[0].ProofOfPossession })
	for _, cfg := range []Config{{Genesis: wrong, Seed: testSeed}, {Genesis: good, Seed: [32]byte{9}}} { // the other house is no operator of theirs
		cfg.Dir = t.TempDir()
		if _, err := Open(ctx, cfg); !errors.As(err, &abort) || abort.Name != "EInvalidProofOfPossession" {
			t.Errorf("seed %d: got %v", cfg.Seed[0], err)
		}
	}
	if _, err := Open(ctx, Config{Dir: t.TempDir(), Genesis: good}); !errors.Is(err, ErrSeed) {
		t.Errorf("genesis without a seed: got %v, want ErrSeed", err)
	}
}

// TestOtherSeed opens a ledger with a seed that it was not made of, and without one.
func TestOtherSeed(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	dir := t.TempDir()
	must(t, openNet(t, Config{Dir: dir, Genesis: g}).Close())
	for _, seed := range [][32]byte{{}, {2}} {
		if _, err := Open(t.Context(), Config{Dir: dir, Seed: seed}); !errors.Is(err, ErrSeed) {
			t.Errorf("seed %x: got %v, want ErrSeed", seed[:1], err)
		}
	}
	openNet(t, Config{Dir: dir})
}

func TestOpenTwice(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	dir := t.TempDir()
	n := openNet(t, Config{Dir: dir, Genesis: g})
	if _, err := Open(context.Background(), Config{Seed: testSeed, Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := n.State(context.Background()); err == nil {
		t.Error("a closed ledger answers")
	}
	openNet(t, Config{Dir: dir})
}

func TestNewerSchema(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	dir := t.TempDir()
	n := openNet(t, Config{Dir: dir, Genesis: g})
	if _, err := n.store.writer.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Config{Seed: testSeed, Dir: dir}); !errors.Is(err, ErrSchema) {
		t.Errorf("got %v, want ErrSchema", err)
	}
}

func TestDamagedLedger(t *testing.T) {
	for _, statement := range []string{"DELETE FROM meta WHERE key = 'system'", "UPDATE meta SET value = x'00' WHERE key = 'clock_ms'",
		"UPDATE meta SET value = x'00' WHERE key = 'chain_id'", "DELETE FROM objects WHERE owner_kind = 1"} {
		g, _ := newGenesis(t, 4, 10)
		dir := t.TempDir()
		n := openNet(t, Config{Dir: dir, Genesis: g})
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		lock, err := lockFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := openStore(dir, lock, "sqlite3", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.writer.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		if n, err := Open(context.Background(), Config{Seed: testSeed, Dir: dir}); err == nil {
			t.Errorf("%s: opened, %v", statement, n.Close())
		}
	}
	// A file that is no database at all.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, databaseFile), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(context.Background(), Config{Seed: testSeed, Dir: dir}); err == nil {
		t.Errorf("a file of zeros: opened, %v", n.Close())
	}
}

func TestGenesis(t *testing.T) {
	g, _ := newGenesis(t, 10, 100)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	state, err := n.State(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if state.Epoch != 1 || state.EpochDuration != DefaultEpochDuration || state.StoragePrice != DefaultStoragePrice ||
		state.WritePrice != DefaultWritePrice || state.MaxEpochsAhead != MaxEpochsAhead || state.Capacity < 1<<59 || state.Used != 0 {
		t.Errorf("state: %+v", state)
	}
	if state.ChainID != n.ChainID() || !reflect.DeepEqual(state.Committee, n.Committee()) {
		t.Errorf("chain %x and committee %+v differ from those of the ledger", state.ChainID, state.Committee)
	}
	names := make(map[string]bool)
	shard := uint16(0)
	for i, m := range n.Committee().Members {
		names[m.Name+" "+m.Address] = true
		if len(m.Shards) != 10 || m.Shards[0] != shard {
			t.Errorf("member %d holds shards %v, want 10 from %d on", i, m.Shards, shard)
		}
		shard += uint16(len(m.Shards))
	}
	for _, node := range g.Nodes {
		if !names[node.Name+" "+node.Address] {
			t.Errorf("%s is not in the committee", node.Name)
		}
	}
	checkRows(t, n)

	// Calls go to another package than the one that types are named after.
	ctx := context.Background()
	sys, err := n.store.object(ctx, n.store.reader, n.facts.system)
	if err != nil {
		t.Fatal(err)
	}
	var system move.System
	if err := move.Unmarshal(sys.Contents, &system); err != nil {
		t.Fatal(err)
	}
	if system.PackageID == sys.Type.Address || sys.Type.Address != n.facts.packages.Walrus || system.Version != contract.Version {
		t.Errorf("system %+v of type %s", system, sys.Type)
	}
	clock, err := n.store.object(ctx, n.store.reader, move.ClockID)
	if err != nil || clock.Owner.InitialVersion != clockVersion || clock.Owner.Kind != move.OwnerShared {
		t.Errorf("clock: %+v, %v", clock, err)
	}
}

func TestSeedDecidesIDs(t *testing.T) {
	g, keys := newGenesis(t, 4, 10)
	open := func(seed byte) *Net {
		g, cfg := *g, Config{Dir: t.TempDir(), Seed: [32]byte{seed}}
		g.Nodes, cfg.Genesis = slices.Clone(g.Nodes), &g
		for i := range g.Nodes {
			node := &g.Nodes[i]
			node.ProofOfPossession = keys[node.PublicKey].Sign(node.ProofMessage(House(cfg.Seed)))
		}
		n, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { must(t, n.Close()) })
		return n
	}
	one, same, other := open(1), open(1), open(2)
	if one.facts != same.facts {
		t.Error("the same seed gave two ledgers")
	}
	if one.ChainID() == other.ChainID() || one.facts.system == other.facts.system || one.house.address == other.house.address {
		t.Error("two seeds gave the same ids")
	}
}

func TestFaucet(t *testing.T) {
	ctx := context.Background()
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	for range 3 {
		if err := n.Faucet(ctx, chain.TxID{1}, alice, 7, 9); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Faucet(ctx, chain.TxID{2}, alice, 5, 0); err != nil {
		t.Fatal(err)
	}
	if b := as(t, n, alice).Balance(); b != (chain.Balance{WALFrost: 12, SUIMist: 9}) {
		t.Errorf("balance %+v", b)
	}
	if err := n.Faucet(ctx, chain.TxID{1}, bob, 7, 9); !errors.Is(err, chain.ErrTxReused) {
		t.Errorf("the id for another address: got %v, want ErrTxReused", err)
	}
	if err := n.Faucet(ctx, chain.TxID{3}, bob, contract.WALSupply, 0); !errors.Is(err, chain.ErrNoFunds) {
		t.Errorf("more than there is: got %v, want ErrNoFunds", err)
	}
}

// TestDurability asks SQLite whether an answered transaction survives kill -9. For
// a power cut there is the log: synchronous is NORMAL.
func TestDurability(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	for pragma, want := range map[string]string{"synchronous": "1", "journal_mode": "wal", "foreign_keys": "1"} {
		var got string
		if err := n.store.writer.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", pragma, got, err, want)
		}
	}
	if _, err := n.store.reader.Exec("DELETE FROM objects"); err == nil {
		t.Error("a connection for reading writes")
	}
}

func TestClock(t *testing.T) {
	m := &manual{time.UnixMilli(1_000_000)}
	c := newClock(m.now, 500)
	step := func(d time.Duration, want uint64) {
		t.Helper()
		m.at = m.at.Add(d)
		if got := c.timeMS(); got != want {
			t.Errorf("after %s: got %d, want %d", d, got, want)
		}
	}
	step(0, 500)
	step(2*time.Second, 2500)
	step(-time.Hour, 2500) // set back: time stands, then goes on
	step(time.Second, 3500)
	step(600*time.Microsecond, 3500) // parts of a millisecond add up
	step(600*time.Microsecond, 3501)
	c.advanceTo(10_000)
	step(time.Second, 11_000)
	c.advanceTo(5_000)
	step(0, 11_000)
}

// TestClockStandsStill closes a ledger for a year.
func TestClockStandsStill(t *testing.T) {
	ctx := context.Background()
	g, _ := newGenesis(t, 4, 10)
	dir := t.TempDir()
	m := &manual{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	n := openNet(t, Config{Dir: dir, Genesis: g, Now: m.now})
	m.at = m.at.Add(time.Hour)
	before, err := n.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	m.at = m.at.AddDate(1, 0, 0)
	n = openNet(t, Config{Dir: dir, Now: m.now})
	m.at = m.at.Add(time.Minute)
	after, err := n.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Now.Sub(before.Now); got != time.Minute || before.Now.Sub(before.EpochStart) != time.Hour {
		t.Errorf("an hour after the start it was %s later; the year took %s, want a minute", before.Now.Sub(before.EpochStart), got)
	}
	if _, err := n.tick(ctx); err != nil {
		t.Fatal(err)
	}
	if after, err = n.State(ctx); err != nil || after.Epoch != before.Epoch {
		t.Errorf("epoch %d, %v, want %d", after.Epoch, err, before.Epoch)
	}
}

// TestEpochsWhenDue moves a manual clock through the steps of an epoch change.
func TestEpochsWhenDue(t *testing.T) {
	ctx := context.Background()
	g, _ := newGenesis(t, 4, 10)
	g.EpochDuration = time.Hour
	m := &manual{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g, Now: m.now})
	kind := func(step time.Duration) (uint8, uint32) {
		t.Helper()
		m.at = m.at.Add(step)
		wait, err := n.tick(ctx)
		if err != nil || wait <= 0 || wait > clockInterval {
			t.Fatalf("tick: wait %s, %v", wait, err)
		}
		_, staking, err := n.readStaking(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return staking.State.Kind, staking.Epoch
	}
	steps := []struct {
		after time.Duration
		kind  uint8
		epoch uint32
	}{
		{29 * time.Minute, move.StateDone, 1},
		{time.Minute, move.StateSelected, 1},
		{29 * time.Minute, move.StateSelected, 1},
		{time.Minute, move.StateDone, 2},
		{5 * time.Hour, move.StateDone, 3}, // an epoch change takes place when it is made, not when it was due
	}
	for i, s := range steps {
		if k, epoch := kind(s.after); k != s.kind || epoch != s.epoch {
			t.Errorf("step %d: state %d in epoch %d, want %d in %d", i, k, epoch, s.kind, s.epoch)
		}
	}
	if n.Committee().Epoch != 3 {
		t.Errorf("committee of epoch %d, want 3", n.Committee().Epoch)
	}
}

// TestInterruptedEpochChange stops between the transactions of an epoch change.
func TestInterruptedEpochChange(t *testing.T) {
	ctx := context.Background()
	for stop := 1; stop <= 2; stop++ {
		g, _ := newGenesis(t, 4, 10)
		dir := t.TempDir()
		n := openNet(t, Config{Dir: dir, Genesis: g})
		for range stop {
			_, staking, err := n.readStaking(ctx)
			if err != nil {
				t.Fatal(err)
			}
			n.clock.advanceTo(dueMS(staking))
			if err := n.epochStep(ctx, staking); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n = openNet(t, Config{Dir: dir})
		if err := n.AdvanceEpoch(ctx); err != nil {
			t.Fatalf("stopped after %d: %v", stop, err)
		}
		state, err := n.State(ctx)
		if err != nil || state.Epoch != 2 || state.Committee.Epoch != 2 {
			t.Errorf("stopped after %d: epoch %d, committee of %d, %v", stop, state.Epoch, state.Committee.Epoch, err)
		}
		if _, staking, err := n.readStaking(ctx); err != nil || staking.State.Kind != move.StateDone {
			t.Errorf("stopped after %d: state %v, %v", stop, staking.State, err)
		}
	}
}

// TestRun lets epochs of a few milliseconds pass by themselves.
func TestRun(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	g.EpochDuration = 20 * time.Millisecond
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	for n.Committee().Epoch < 4 {
		select {
		case err := <-done:
			t.Fatalf("ended in epoch %d: %v", n.Committee().Epoch, err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRunOnFullDisk fills the ledger's disk for as long as some epochs last: Run does not end, and
// changes them once there is room.
func TestRunOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("no tmpfs here: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGenesis(t, 4, 10)
		g.EpochDuration = time.Hour
		n := openNet(t, Config{Dir: filepath.Join(dir, "ledger"), Genesis: g})
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 32<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		time.Sleep(3 * time.Hour)
		select {
		case err := <-done:
			t.Fatalf("ended on a full disk: %v", err)
		default:
		}
		before := n.Committee().Epoch
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if now := n.Committee().Epoch; now <= before {
			t.Errorf("epoch %d, and %d on the full disk", now, before)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestLongLife takes a drive through epochs beyond the ring, renewing one blob
// and letting another expire, and checks the supply.
func TestLongLife(t *testing.T) {
	ctx := context.Background()
	g, keys := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	fund(t, n, chain.TxID{1}, alice, 20*chain.FrostPerWAL)
	ledger := as(t, n, alice)
	batch := numberedBlobs(0, 2)
	out, err := ledger.Register(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range out.Registered {
		cert := keys.sign(t, n.Committee(), []int{0, 1, 2, 3}, confirmation(1, batch[i], r))
		if _, err := ledger.Certify(ctx, []chain.Certification{{Object: r.Object, Cert: cert}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		if err := n.AdvanceEpoch(ctx); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			if err := ledger.Extend(ctx, out.Registered[0].Object, 20); err != nil {
				t.Fatalf("epoch %d: %v", i, err)
			}
		}
	}
	state, err := n.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := state.Committee.Geometry().EncodedSize(1000)
	if err != nil {
		t.Fatal(err)
	}
	if state.Epoch != 61 || state.Used != encoded {
		t.Errorf("epoch %d, %d bytes used, want 61 and %d", state.Epoch, state.Used, encoded)
	}
	var abort *chain.AbortError
	err = ledger.Extend(ctx, out.Registered[1].Object, 1)
	if !errors.As(err, &abort) || abort.Name != "EResourceBounds" {
		t.Errorf("extend what expired: got %v", err)
	}
	if checkSupply(t, n) == contract.WALSupply {
		t.Error("nothing was burnt")
	}
}
