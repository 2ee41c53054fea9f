package contract

import "github.com/walfs/walfs/chain/move"

// worth remembers what WAL an object holds; objects do not change, ledgers
// exchange them.
type worth map[*move.Object]uint64

// held sums all WAL that is anywhere, and returns the supply beside it.
func (e *economy) held() (sum, supply uint64) {
	e.t.Helper()
	known := make(worth, len(e.objects))
	for _, o := range e.objects {
		if o.Type.Name == "TreasuryCap" {
			var c move.TreasuryCap
			e.read(o, &c)
			supply = c.TotalSupply
			continue
		}
		amount, ok := e.worth[o]
		if !ok {
			amount = e.holds(o)
		}
		known[o] = amount
		sum += amount
	}
	e.worth = known
	return sum, supply
}

func (e *economy) read(o *move.Object, v move.Layout) {
	e.t.Helper()
	if err := move.Unmarshal(o.Contents, v); err != nil {
		e.t.Fatalf("object %s: %v", o.ID(), err)
	}
}

// holds returns the WAL in one object.
func (e *economy) holds(o *move.Object) (sum uint64) {
	e.t.Helper()
	subsidies := move.FieldType(e.types.SubsidiesKey().Type, e.types.WalrusSubsidiesInner().Tag())
	switch name := o.Type.Name; {
	case o.Type.Equal(e.types.WALCoin()):
		var c move.Coin
		e.read(o, &c)
		return c.Balance
	case name == "SharedBlob":
		var b move.SharedBlob
		e.read(o, &b)
		return b.Funds
	case name == "Exchange":
		var x move.Exchange
		e.read(o, &x)
		return x.WAL
	case name == "Subsidies":
		var s move.BuyerSubsidies
		e.read(o, &s)
		return s.Pool
	case o.Type.Equal(subsidies):
		var inner move.WalrusSubsidiesInner
		e.read(o, &move.Field{Name: make([]byte, 1), Value: &inner})
		return inner.Pool
	case name == "StakedWal":
		var s move.StakedWAL
		e.read(o, &s)
		return s.Principal
	case name == "StakingPool":
		var p move.StakingPool
		e.read(o, &p)
		return p.RewardsPool + p.Commission
	case o.Owner.Address == e.system && name == "Field":
		var inner move.SystemInner
		e.read(o, &move.Field{Name: make([]byte, 8), Value: &inner})
		for _, a := range inner.Accounting.Entries {
			sum += a.Rewards
		}
	}
	return sum
}
