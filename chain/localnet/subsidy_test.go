package localnet

import (
	"testing"

	"github.com/walfs/walfs/chain/move"
)

// inPackage calls a function of another package than Walrus.
func (b *build) inPackage(pkg move.Address, module, function string, arguments ...move.Argument) move.Argument {
	return b.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: pkg, Module: module, Function: function, Arguments: arguments}})
}

// created returns the object of a type that a transaction made.
func created(t *testing.T, n *Net, e *Executed, tag move.StructTag) move.ID {
	t.Helper()
	for _, c := range e.Effects.Changed {
		o, err := n.Object(t.Context(), c.ID)
		if err == nil && o.Type.Equal(tag) {
			return c.ID
		}
	}
	t.Fatalf("no %s was made", tag)
	return move.ID{}
}

// TestSubsidiesOfPrograms makes both packages' subsidies with signed
// transactions, and buys and pays with them.
func TestSubsidiesOfPrograms(t *testing.T) {
	n, w, _ := newProgramNet(t)
	p := &n.facts.packages
	b := w.build()
	forBuyers := b.inPackage(p.BuyersPackage, "subsidies", "new_with_initial_rates_and_funds", b.id(p.BuyersPackage), b.u16(1000), b.u16(500),
		b.split(b.object(w.coin()), 1_000_000_000))
	forNodes := b.inPackage(p.Subsidies, "walrus_subsidies", "new", b.object(n.facts.system), b.object(n.facts.staking), b.u32(5000), b.u64(10), b.u64(1))
	b.transfer(w.address(), forBuyers, forNodes)
	e := w.succeed(b)
	buyers, nodes := created(t, n, e, p.BuyerSubsidies()), created(t, n, e, p.WalrusSubsidies())
	admin := created(t, n, e, p.BuyerSubsidiesAdminCap())

	b = w.build()
	storage := b.inPackage(p.BuyersPackage, "subsidies", "reserve_space", b.object(buyers), b.object(n.facts.system), b.u64(1<<20), b.u32(3), b.object(w.coin()))
	b.inPackage(p.Subsidies, "walrus_subsidies", "add_coin", b.object(nodes), b.split(b.object(w.coin()), 1_000_000_000))
	b.inPackage(p.Subsidies, "walrus_subsidies", "process_subsidies", b.object(nodes), b.object(n.facts.staking), b.object(n.facts.system), b.object(move.ClockID))
	b.transfer(w.address(), storage)
	const price = 3 * DefaultStoragePrice
	checkBalances(t, w.succeed(b), w.address(), p.WALType(), -(price - price/10 + 1_000_000_000))

	b = w.build()
	balance := b.inPackage(p.BuyersPackage, "subsidies", "withdraw_balance", b.object(buyers), b.object(admin))
	b.transfer(w.address(), b.framework("coin", "from_balance", p.WALType(), balance))
	checkBalances(t, w.succeed(b), w.address(), p.WALType(), 1_000_000_000-price/10-price/20)

	b = w.build()
	b.inPackage(p.Subsidies, "walrus_subsidies", "set_base_subsidy", b.object(nodes), b.object(admin), b.u64(1))
	if e, err := w.try(w.resolve(b)); err == nil && e.Effects.Status.Failure == nil {
		t.Error("the right of one package served another")
	}
	checkSupply(t, n)
}
