package contract

import (
	"math/big"
	"math/bits"
)

// u128 is Move's u128, for the weights of rewards and for quotients of stake.
type u128 struct{ high, low uint64 }

// product returns a*b.
func product(a, b uint64) u128 {
	high, low := bits.Mul64(a, b)
	return u128{high, low}
}

// plus returns x+y; sums of weights stay far below the limit.
func (x u128) plus(y u128) u128 {
	low, carry := bits.Add64(x.low, y.low, 0)
	return u128{x.high + y.high + carry, low}
}

// less reports whether x < y.
func (x u128) less(y u128) bool { return x.high < y.high || x.high == y.high && x.low < y.low }

func (x u128) big() *big.Int {
	n := new(big.Int).SetUint64(x.high)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(x.low))
}

// share returns amount*x/total rounded down, and 0 when total is 0.
func (x u128) share(total u128, amount uint64) uint64 {
	if total == (u128{}) {
		return 0
	}
	n := new(big.Int).SetUint64(amount)
	n.Mul(n, x.big())
	return n.Div(n, total.big()).Uint64()
}
