package localnet

import (
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// TestHandOver opens ledgers of programs that sent unsigned transactions: the
// house gets all that was of the faucet and of the nodes' operators, once, and does with
// it what those did. What people with keys have stays theirs.
func TestHandOver(t *testing.T) {
	for name, had := range map[string]func(n *Net) move.Address{
		LogFile:    func(*Net) move.Address { return move.Address{1} },                        // somebody without a key, but no operator
		programLog: func(*Net) move.Address { return (&wallet{key: personKey(1)}).address() }, // whose key is known
	} {
		t.Run(name, func(t *testing.T) {
			n := rebuilt(t, filepath.Join("testdata", name))
			house := n.house.address
			if ids, err := ownedBy(t.Context(), n.store.reader, move.Address(n.facts.faucet)); err != nil || len(ids) > 0 {
				t.Errorf("the faucet of before has %d objects, %v", len(ids), err)
			}
			for _, tag := range []move.StructTag{n.facts.packages.NodeCap(), n.facts.packages.WALCoin(), move.CoinType(move.SUI),
				n.facts.packages.StakedWAL(), n.facts.packages.EmergencyUpgradeCap()} {
				if ids, err := n.ownedIDs(t.Context(), n.store.reader, house, tag); err != nil || len(ids) == 0 {
					t.Errorf("the house has %d objects of type %s, %v", len(ids), tag, err)
				}
			}
			if ids, err := n.ownedIDs(t.Context(), n.store.reader, had(n), n.facts.packages.Blob()); err != nil || len(ids) != 1 {
				t.Errorf("their owner has %d blobs, %v", len(ids), err)
			}
			for _, id := range mustIDs(t, n, n.facts.packages.StakingPool()) {
				o, err := n.Object(t.Context(), id)
				must(t, err)
				var pool move.StakingPool
				must(t, move.Unmarshal(o.Contents, &pool))
				if pool.GovernanceAuthorized != (move.Authorized{Address: house}) {
					t.Errorf("node %s: %+v votes", pool.Info.Name, pool.GovernanceAuthorized)
				}
			}
			fund(t, n, numbered('h', 1), alice, 1e9)
			must(t, n.AdvanceEpoch(t.Context()))
			checkSupply(t, n)
			before := tables(t, n)
			must(t, n.Close())
			again := openNet(t, Config{Dir: n.dir})
			diffTables(t, "opened again", tables(t, again), before)
			checkRows(t, again)
			checkLog(t, "handed over", again)
			if e := history(t, again); e[len(e)-1].Signatures == nil {
				t.Error("the end of an epoch was not signed")
			}
		})
	}
}

// mustIDs lists all objects of a type.
func mustIDs(t *testing.T, n *Net, tag move.StructTag) (ids []move.ID) {
	t.Helper()
	for _, o := range allObjects(t, n) {
		if o.Type.Equal(tag) {
			ids = append(ids, o.ID())
		}
	}
	return ids
}

// TestOnlySignedTransactions looks through the history of a ledger on which much happened: what
// is not signed by its sender is what made the first objects.
func TestOnlySignedTransactions(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	newWallet(t, n, 1)
	fund(t, n, chain.TxID{1}, alice, 1e9)
	must(t, n.AdvanceEpoch(t.Context()))
	unsigned := 0
	for _, e := range history(t, n) {
		if e.Transaction == nil {
			unsigned++
			continue
		}
		if err := checkSignatures(e.Transaction, e.BCS, e.Signatures); err != nil {
			t.Errorf("transaction %d: %v", e.Seq, err)
		}
	}
	if want := 1 + len(n.furniture()); unsigned != want {
		t.Errorf("%d transactions are not signed, want %d", unsigned, want)
	}
}
