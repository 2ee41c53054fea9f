package localnet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
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
		if _, err := Open(ctx, Config{Dir: dir, Genesis: c.genesis}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		// Nothing is in the way of a second try.
		openNet(t, Config{Dir: dir, Genesis: good})
	}
	for name, g := range map[string]*Genesis{
		"wrong proof":    change(func(g *Genesis) { g.Nodes[1].ProofOfPossession = g.Nodes[0].ProofOfPossession }),
		"other operator": change(func(g *Genesis) { g.Nodes[1].Operator = alice }),
	} {
		var abort *chain.AbortError
		if _, err := Open(ctx, Config{Dir: t.TempDir(), Genesis: g}); !errors.As(err, &abort) || abort.Name != "EInvalidProofOfPossession" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOpenTwice(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	dir := t.TempDir()
	n := openNet(t, Config{Dir: dir, Genesis: g})
	if _, err := Open(context.Background(), Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := n.Ledger(alice).State(context.Background()); err == nil {
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
	if _, err := Open(context.Background(), Config{Dir: dir}); !errors.Is(err, ErrSchema) {
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
		s, _, err := openStore(dir, "sqlite3")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.writer.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		if n, err := Open(context.Background(), Config{Dir: dir}); err == nil {
			t.Errorf("%s: opened, %v", statement, n.Close())
		}
	}
	// A file that is no database at all.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, databaseFile), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(context.Background(), Config{Dir: dir}); err == nil {
		t.Errorf("a file of zeros: opened, %v", n.Close())
	}
}

func TestGenesis(t *testing.T) {
	g, _ := newGenesis(t, 10, 100)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	state, err := n.Ledger(alice).State(context.Background())
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
	g, _ := newGenesis(t, 4, 10)
	open := func(seed byte) *Net {
		g := *g
		g.Seed = [32]byte{seed}
		return openNet(t, Config{Dir: t.TempDir(), Genesis: &g})
	}
	one, same, other, random := open(1), open(1), open(2), open(0)
	if one.facts != same.facts {
		t.Error("the same seed gave two ledgers")
	}
	if one.ChainID() == other.ChainID() || one.ChainID() == random.ChainID() || one.facts.system == other.facts.system {
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
	if b, err := n.Ledger(alice).Balance(ctx); err != nil || b != (chain.Balance{WALFrost: 12, SUIMist: 9}) {
		t.Errorf("balance %+v, %v", b, err)
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

// TestEffectsOfRegister looks at the objects that one registration leaves.
func TestEffectsOfRegister(t *testing.T) {
	ctx := context.Background()
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	fund(t, n, chain.TxID{1}, alice, 1e12)
	fund(t, n, chain.TxID{2}, alice, 1e12)
	tx := chain.TxID{3}
	out, err := n.Ledger(alice).Register(ctx, tx, numberedBlobs(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	digest := move.Digest(tx)
	if want := move.CreatedID(digest, 1); move.ID(out.Registered[0].Object) != want {
		t.Errorf("blob object %s, want the second that the transaction made, %s", out.Registered[0].Object, want)
	}
	if o, err := n.store.object(ctx, n.store.reader, move.CreatedID(digest, 0)); err != nil || o != nil {
		t.Errorf("the reservation is wrapped: got %v, %v", o, err)
	}
	blob, err := n.store.object(ctx, n.store.reader, move.CreatedID(digest, 1))
	if err != nil || blob.Owner != move.AddressOwner(move.Address(alice)) || blob.PreviousTransaction != digest {
		t.Errorf("blob object: %+v, %v", blob, err)
	}
	coins, err := n.ownedIDs(ctx, n.store.reader, move.Address(alice), n.facts.packages.WALCoin())
	if err != nil || len(coins) != 1 {
		t.Fatalf("coins: %v, %v, want one", coins, err)
	}
	coin, err := n.store.object(ctx, n.store.reader, coins[0])
	if err != nil {
		t.Fatal(err)
	}
	sys, err := n.store.object(ctx, n.store.reader, n.facts.system)
	if err != nil {
		t.Fatal(err)
	}
	if coin.Version != blob.Version || sys.Version != blob.Version {
		t.Errorf("versions %d, %d and %d, want one", coin.Version, blob.Version, sys.Version)
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
	before, err := n.Ledger(alice).State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	m.at = m.at.AddDate(1, 0, 0)
	n = openNet(t, Config{Dir: dir, Now: m.now})
	m.at = m.at.Add(time.Minute)
	after, err := n.Ledger(alice).State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Now.Sub(before.Now); got != time.Minute || before.Now.Sub(before.EpochStart) != time.Hour {
		t.Errorf("an hour after the start it was %s later; the year took %s, want a minute", before.Now.Sub(before.EpochStart), got)
	}
	if _, err := n.tick(ctx); err != nil {
		t.Fatal(err)
	}
	if after, err = n.Ledger(alice).State(ctx); err != nil || after.Epoch != before.Epoch {
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
		state, err := n.Ledger(alice).State(ctx)
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
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
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

// TestLongLife takes a drive through epochs beyond the ring, renewing one blob
// and letting another expire, and checks the supply.
func TestLongLife(t *testing.T) {
	ctx := context.Background()
	g, keys := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	env := newEnv(t, n, Config{}, keys)
	batch := numberedBlobs(0, 2)
	out, err := env.Ledger.Register(ctx, chain.TxID{10}, batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range out.Registered {
		cert := keys.sign(t, n.Committee(), []int{0, 1, 2, 3}, confirmation(1, batch[i], r))
		if _, err := env.Ledger.Certify(ctx, numbered('c', i), []chain.Certification{{Object: r.Object, Cert: cert}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		if err := n.AdvanceEpoch(ctx); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			if _, err := env.Ledger.Extend(ctx, numbered('e', i), []chain.Extension{{Object: out.Registered[0].Object, Epochs: 20}}); err != nil {
				t.Fatalf("epoch %d: %v", i, err)
			}
		}
	}
	state, err := env.Ledger.State(ctx)
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
	_, err = env.Ledger.Extend(ctx, chain.TxID{11}, []chain.Extension{{Object: out.Registered[1].Object, Epochs: 1}})
	if !errors.As(err, &abort) || abort.Name != "EResourceBounds" {
		t.Errorf("extend what expired: got %v", err)
	}
	checkSupply(t, n)
}

// checkSupply checks that all WAL on the ledger is the supply of the treasury.
func checkSupply(t *testing.T, n *Net) {
	t.Helper()
	ctx := context.Background()
	tx, system, staking, err := n.inners(ctx, n.store.reader)
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, a := range system.Accounting.Entries {
		sum += a.Rewards
	}
	for _, m := range staking.Committee {
		pool, err := contract.Pool(tx, staking, m.Key)
		if err != nil {
			t.Fatal(err)
		}
		sum += pool.RewardsPool + pool.Commission + stakeFrost
	}
	for _, owner := range []chain.Address{alice, bob, n.facts.faucet} {
		coins, err := n.coins(ctx, n.store.reader, owner, n.facts.packages.WALCoin())
		if err != nil {
			t.Fatal(err)
		}
		sum += coins
	}
	capType := move.FrameworkType("coin", "TreasuryCap", n.facts.packages.WALType().Tag())
	supply, err := overlay.ObjectField[move.TreasuryCap](tx, n.facts.treasury, n.facts.packages.TreasuryKey(), capType)
	if err != nil {
		t.Fatal(err)
	}
	if sum != supply.TotalSupply || supply.TotalSupply >= contract.WALSupply {
		t.Errorf("%d FROST are held, the supply is %d of %d", sum, supply.TotalSupply, uint64(contract.WALSupply))
	}
}
