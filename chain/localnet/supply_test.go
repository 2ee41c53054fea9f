package localnet

import (
	"context"
	"testing"

	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/move"
)

// frostIn is how much WAL an object holds.
func frostIn(t *testing.T, p *move.Packages, o *move.Object) (sum uint64) {
	t.Helper()
	read := func(v move.Layout) {
		t.Helper()
		if err := move.Unmarshal(o.Contents, v); err != nil {
			t.Fatalf("object %s: %v", o.ID(), err)
		}
	}
	inner := move.FieldType(move.U64Key(0).Type, p.SystemInner().Tag())
	switch {
	case o.Type.Equal(p.WALCoin()):
		var v move.Coin
		read(&v)
		return v.Balance
	case o.Type.Equal(inner):
		v := new(move.SystemInner)
		read(&move.Field{Name: make([]byte, 8), Value: v})
		for _, a := range v.Accounting.Entries {
			sum += a.Rewards
		}
	case o.Type.Equal(p.StakingPool()):
		var v move.StakingPool
		read(&v)
		return v.RewardsPool + v.Commission
	case o.Type.Equal(p.StakedWAL()):
		var v move.StakedWAL
		read(&v)
		return v.Principal
	case o.Type.Equal(p.SharedBlob()):
		var v move.SharedBlob
		read(&v)
		return v.Funds
	case o.Type.Equal(p.ExchangeType()):
		var v move.Exchange
		read(&v)
		return v.WAL
	case o.Type.Equal(p.BuyerSubsidies()):
		var v move.BuyerSubsidies
		read(&v)
		return v.Pool
	case o.Type.Equal(move.FieldType(p.SubsidiesKey().Type, p.WalrusSubsidiesInner().Tag())):
		var v move.WalrusSubsidiesInner
		read(&move.Field{Name: make([]byte, 1), Value: &v})
		return v.Pool
	}
	return sum
}

// checkSupply checks that all WAL on the ledger is the supply of the treasury,
// and returns that.
func checkSupply(t *testing.T, n *Net) uint64 {
	t.Helper()
	var sum uint64
	for _, o := range allObjects(t, n) {
		sum += frostIn(t, &n.facts.packages, o)
	}
	info, err := n.CoinInfo(context.Background(), n.facts.packages.WALType())
	if err != nil {
		t.Fatal(err)
	}
	if sum != *info.Supply || sum > contract.WALSupply {
		t.Errorf("%d FROST are held, the supply is %d of %d", sum, *info.Supply, uint64(contract.WALSupply))
	}
	return *info.Supply
}

// allObjects reads every object of a ledger.
func allObjects(t *testing.T, n *Net) (all []*move.Object) {
	t.Helper()
	rows, err := n.store.reader.Query(`SELECT id FROM objects`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ids []move.ID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, move.ID(id))
	}
	all, err = n.Objects(context.Background(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
