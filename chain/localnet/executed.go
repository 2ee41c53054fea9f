package localnet

import (
	"fmt"
	"math/big"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// Executed is a transaction and what it did.
type Executed struct {
	Digest move.Digest
	Seq    uint64 // number of its checkpoint, from 1; 0 when it was only simulated
	// Transaction, BCS and Signatures are nil for what the ledger did by itself
	// when it was made, for what a program executed that did not keep them, and
	// for what is old; Effects then say no more than whether it failed.
	Transaction *move.Transaction
	BCS         []byte
	Signatures  [][]byte
	Effects     *move.Effects // never nil
	Events      move.Events
	Changes     []Change // one for each of Effects.Changed, in that order
	Balances    []BalanceChange
	TimeMS      uint64            // of the ledger's clock
	Abort       *chain.AbortError // names the code of a FailedAbort or FailedPrimitive, else nil
	Results     [][]Result        // of a simulation that succeeded: what each command returned

	key   chain.TxID // of what somebody asked the faucet for, else zero
	asked [32]byte   // hash of what was asked for under key
}

// Change is an object that a transaction wrote or removed.
type Change struct {
	ID   move.ID
	Type move.StructTag
	// Before and After are the object as it was and as it is, nil when there is
	// none. Only Execute, when it did it just now, and Simulate tell them: older versions are not kept.
	Before, After *move.Object
}

// BalanceChange is by how much the coins of an address changed.
type BalanceChange struct {
	Owner    move.Address
	Currency move.TypeTag
	Amount   *big.Int
}

// Result is a value that a command returned.
type Result = ptb.Value

// RefusedError reports a transaction that was not executed, and left no trace.
type RefusedError = ptb.RefusedError

// RefusalKind says why a transaction was not executed at all.
type RefusalKind = ptb.RefusalKind

// The kinds of refusals. To Sui all but RefusedMissing are invalid arguments.
// After RefusedStale and RefusedMissing the sender looks again and builds anew.
const (
	RefusedMalformed   = ptb.RefusedMalformed   // no transaction, or beyond the limits
	RefusedUnsupported = ptb.RefusedUnsupported // a part of Sui that this ledger does not have
	RefusedSignature   = ptb.RefusedSignature   // missing, wrong, or of another scheme or key
	RefusedStale       = ptb.RefusedStale       // an owned object is at another version or digest
	RefusedMissing     = ptb.RefusedMissing     // an object or a package that is not there
	RefusedOwner       = ptb.RefusedOwner       // an object of somebody else, or not shared, or shared at another version
	RefusedGas         = ptb.RefusedGas         // price, budget or the coins that pay
	RefusedExpired     = ptb.RefusedExpired     // outside of the time that the transaction named, or for another chain
)

// refuse returns a refusal.
func refuse(kind RefusalKind, format string, args ...any) error {
	return &RefusedError{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Partial is a transaction whose sender left some things to the ledger.
type Partial struct {
	Inputs   []PartialInput
	Commands []move.Command
	Sender   move.Address
	// Gas: Owner zero is the sender, Price and Budget zero are chosen by Resolve.
	Gas        move.GasData
	SelectGas  bool // choose coins when Gas.Payment is empty
	Expiration move.Expiration
}

// PartialInput is an input of a Partial.
type PartialInput struct {
	move.Input
	// Lookup asks for everything about the object Object.ID. What is not zero of
	// version and digest has to be what the ledger has, else it is refused as stale.
	Lookup bool
}

// details are what is kept of a transaction beside its effects.
type details struct {
	types    []move.StructTag // of the changed objects, in the order of the effects
	balances []BalanceChange
	abort    *chain.AbortError
}

// BCS is the layout.
func (d *details) BCS(c *move.Codec) {
	move.Vector(c, &d.types, move.Struct[move.StructTag])
	move.Vector(c, &d.balances, func(c *move.Codec, b *BalanceChange) {
		c.ID(&b.Owner)
		b.Currency.BCS(c)
		amountBCS(c, &b.Amount)
	})
	move.Option(c, &d.abort, func(c *move.Codec, a *chain.AbortError) {
		c.String(&a.Module)
		c.String(&a.Function)
		c.U64(&a.Code)
		c.String(&a.Name)
	})
}

// amountBCS is a signed amount: whether it is negative, and its magnitude.
func amountBCS(c *move.Codec, amount **big.Int) {
	if c.Reading() {
		*amount = new(big.Int)
	}
	negative, magnitude := (*amount).Sign() < 0, (*amount).Bytes()
	c.Bool(&negative)
	c.Bytes(&magnitude)
	if c.Reading() {
		(*amount).SetBytes(magnitude)
		if negative {
			(*amount).Neg(*amount)
		}
	}
}
