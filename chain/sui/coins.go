package sui

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// coin is a coin object of the owner.
type coin struct {
	ref     move.ObjectRef
	balance uint64
}

// coins lists the owner's coins of a type, the fullest first.
func (c *Client) coins(ctx context.Context, coinType move.StructTag) ([]coin, error) {
	objects, err := c.conn.owned(ctx, c.me(), coinType)
	if err != nil {
		return nil, err
	}
	list := make([]coin, 0, len(objects))
	for _, o := range objects {
		var v move.Coin
		if err := move.Unmarshal(o.contents, &v); err != nil {
			return nil, fmt.Errorf("coin %s: %w", o.ref.ID, err)
		}
		list = append(list, coin{o.ref, v.Balance})
	}
	slices.SortFunc(list, func(a, b coin) int {
		return cmp.Or(cmp.Compare(b.balance, a.balance), slices.Compare(a.ref.ID[:], b.ref.ID[:]))
	})
	return list, nil
}

// total is what coins hold together.
func total(coins []coin) (sum uint64) {
	for _, c := range coins {
		next, carry := bits.Add64(sum, c.balance, 0)
		if carry != 0 {
			return ^uint64(0)
		}
		sum = next
	}
	return sum
}

// enough returns the first of some coins that hold need together, at most max
// of them, or nil when they do not.
func enough(coins []coin, need uint64, max int) []coin {
	for n := 1; n <= min(len(coins), max); n++ {
		if total(coins[:n]) >= need {
			return coins[:n]
		}
	}
	return nil
}

// purse is a coin argument that holds what is to be paid. It comes into the
// transaction when it is used first.
type purse struct {
	b     *builder
	coins []coin
	arg   *move.Argument
}

// maxPurse is how many coins are put together to pay.
const maxPurse = 256

// newPurse picks coins for a price. It returns chain.ErrNoFunds when there are not enough.
func newPurse(b *builder, coins []coin, price uint64) (*purse, error) {
	picked := enough(coins, price, maxPurse)
	if picked == nil && price > 0 || len(coins) == 0 {
		return nil, &FundsError{Need: price, Have: total(coins)}
	}
	return &purse{b: b, coins: picked}, nil
}

// use returns the coin. The others of the purse are put into it before.
func (p *purse) use() move.Argument {
	if p.arg != nil {
		return *p.arg
	}
	first := p.b.owned(p.coins[0].ref)
	p.arg = &first
	var rest []move.Argument
	for _, c := range p.coins[1:] {
		rest = append(rest, p.b.owned(c.ref))
	}
	p.b.merge(first, rest...)
	return first
}

// gas picks coins for a budget in MIST among those that the transaction does not use otherwise.
func gas(coins []coin, b *builder, budget uint64) ([]move.ObjectRef, error) {
	free := slices.DeleteFunc(slices.Clone(coins), func(c coin) bool { _, used := b.objects[c.ref.ID]; return used })
	picked := enough(free, budget, maxGasCoins)
	if picked == nil {
		return nil, &FundsError{SUI: true, Need: budget, Have: total(free)}
	}
	refs := make([]move.ObjectRef, len(picked))
	for i, c := range picked {
		refs[i] = c.ref
	}
	return refs, nil
}

// mulDiv returns a*b/c, or the largest number when that does not fit.
func mulDiv(a, b, c uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high >= c {
		return ^uint64(0)
	}
	q, _ := bits.Div64(high, low, c)
	return q
}

// Balance implements chain.Ledger. It counts coins alone: what lies in an
// address balance, which Sui keeps beside coins, Funds tells.
func (c *Client) Balance(ctx context.Context) (b chain.Balance, err error) {
	f, err := c.Funds(ctx)
	return chain.Balance{WALFrost: f.WALCoins, SUIMist: f.SUICoins}, err
}
