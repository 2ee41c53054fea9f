package ptb

import (
	"fmt"
	"math"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// Env is the ledger as a transaction finds it.
type Env struct {
	Table    *Table
	Source   overlay.Source
	Versions Versions // of the Walrus package
	TimeMS   uint64   // of the ledger's clock
	Epoch    uint64   // of Sui
	ChainID  move.Digest
	// FixedCommittee says that the ledger's nodes cannot move shards.
	FixedCommittee bool
}

// input is an object that a transaction names, as the ledger has it.
type input struct {
	object  *move.Object
	mutable bool
}

// loaded is the inputs of a transaction that may be executed.
type loaded struct {
	inputs []*input // one for each of the transaction's; nil for plain ones
	gas    []*input // the coins that pay
}

// loader checks the inputs of a transaction.
type loader struct {
	env    *Env
	tx     *move.Transaction
	checks bool
	seen   map[move.ID]bool
}

// load checks a transaction as Sui does before it executes it, and reads what it names.
func (env *Env) load(tx *move.Transaction, checks bool) (*loaded, error) {
	l := &loader{env: env, tx: tx, checks: checks, seen: make(map[move.ID]bool)}
	if err := checkLimits(tx); err != nil {
		return nil, err
	}
	if err := l.expiration(); err != nil {
		return nil, err
	}
	out := &loaded{inputs: make([]*input, len(tx.Inputs))}
	var err error
	for i := range tx.Inputs {
		if out.inputs[i], err = l.input(&tx.Inputs[i]); err != nil {
			return nil, err
		}
	}
	if err := l.packages(); err != nil {
		return nil, err
	}
	out.gas, err = l.gas()
	return out, err
}

// expiration checks the time for which a transaction was made.
func (l *loader) expiration() error {
	e := &l.tx.Expiration
	switch e.Kind {
	case move.ExpirationEpoch:
		if l.env.Epoch > e.Epoch {
			return refuse(RefusedExpired, "transaction has expired: it was for epoch %d, now is %d", e.Epoch, l.env.Epoch)
		}
	case move.ExpirationValidDuring:
		if e.Chain != l.env.ChainID {
			return refuse(RefusedExpired, "transaction is for chain %s, this is %s", e.Chain, l.env.ChainID)
		}
		if outside(l.env.Epoch, e.MinEpoch, e.MaxEpoch) || outside(l.env.TimeMS, e.MinTime, e.MaxTime) {
			return refuse(RefusedExpired, "transaction is not valid in epoch %d, at %d ms", l.env.Epoch, l.env.TimeMS)
		}
	}
	return nil
}

func outside(now uint64, least, most *uint64) bool {
	return least != nil && now < *least || most != nil && now > *most
}

// packages checks that what is called is there.
func (l *loader) packages() error {
	for i := range l.tx.Commands {
		c := &l.tx.Commands[i]
		if c.Kind == move.CommandMoveCall && l.env.Table.group(l.env.Versions, c.Call.Package) == "" {
			return &RefusedError{Kind: RefusedMissing, Object: &move.ObjectRef{ID: c.Call.Package},
				Text: fmt.Sprintf("command %d: no package %s", i, c.Call.Package)}
		}
	}
	return nil
}

// input reads one input, nil for a plain one.
func (l *loader) input(in *move.Input) (*input, error) {
	switch in.Kind {
	case move.InputOwned:
		return l.owned(&in.Object)
	case move.InputShared:
		return l.shared(in)
	}
	return nil, nil
}

// find reads an object that nothing else of the transaction names.
func (l *loader) find(id move.ID) (*move.Object, error) {
	if l.seen[id] {
		return nil, refuse(RefusedMalformed, "object %s is an input more than once", id)
	}
	l.seen[id] = true
	o, err := l.env.Source(id)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, &RefusedError{Kind: RefusedMissing, Object: &move.ObjectRef{ID: id},
			Text: fmt.Sprintf("could not find the referenced object %s", id)}
	}
	if o.Type.Equal(move.PackageType()) {
		return nil, refuse(RefusedMalformed, "package %s cannot be an input", id)
	}
	return o, nil
}

// owned reads an object of the sender, or an immutable one.
func (l *loader) owned(ref *move.ObjectRef) (*input, error) {
	o, err := l.find(ref.ID)
	if err != nil {
		return nil, err
	}
	switch o.Owner.Kind {
	case move.OwnerShared:
		return nil, refuse(RefusedOwner, "object %s is shared, not owned", ref.ID)
	case move.OwnerObject:
		return nil, refuse(RefusedOwner, "object %s is a child of object %s", ref.ID, o.Owner.Address)
	}
	if err := stale(ref, o); err != nil {
		return nil, err
	}
	mutable := o.Owner.Kind == move.OwnerAddress
	if mutable && l.checks && o.Owner.Address != l.tx.Sender {
		return nil, refuse(RefusedOwner, "object %s is owned by %s, the sender is %s", ref.ID, o.Owner.Address, l.tx.Sender)
	}
	return &input{o, mutable}, nil
}

// stale refuses an object that is at another version than the transaction names.
func stale(ref *move.ObjectRef, o *move.Object) error {
	digest, err := o.Digest()
	if err != nil {
		return err
	}
	if ref.Version == o.Version && ref.Digest == digest {
		return nil
	}
	named := *ref
	return &RefusedError{Kind: RefusedStale, Object: &named, Have: &move.ObjectRef{ID: ref.ID, Version: o.Version, Digest: digest},
		Text: fmt.Sprintf("object %s version %d digest %s is not available for consumption, current version: %d digest %s",
			ref.ID, ref.Version, ref.Digest, o.Version, digest)}
}

// shared reads a shared object.
func (l *loader) shared(in *move.Input) (*input, error) {
	o, err := l.find(in.Object.ID)
	if err != nil {
		return nil, err
	}
	if o.Owner.Kind != move.OwnerShared {
		return nil, refuse(RefusedOwner, "object %s is not shared", in.Object.ID)
	}
	if o.Owner.InitialVersion != in.Initial {
		return nil, refuse(RefusedOwner, "object %s was shared at version %d, not %d", in.Object.ID, o.Owner.InitialVersion, in.Initial)
	}
	if in.Mutable && in.Object.ID == move.ClockID {
		return nil, refuse(RefusedOwner, "the clock %s cannot be taken as mutable", in.Object.ID)
	}
	return &input{o, in.Mutable}, nil
}

// gas checks what pays, and reads the coins.
func (l *loader) gas() ([]*input, error) {
	g := &l.tx.Gas
	if l.checks {
		switch {
		case g.Owner != l.tx.Sender:
			return nil, refuse(RefusedUnsupported, "gas of %s for a transaction of %s: this ledger has no sponsors", g.Owner, l.tx.Sender)
		case g.Price < GasPrice:
			return nil, refuse(RefusedGas, "gas price %d is under the reference price %d", g.Price, GasPrice)
		case g.Budget < GasCost:
			return nil, refuse(RefusedGas, "gas budget %d is lower than the minimum %d", g.Budget, GasCost)
		case g.Budget > MaxBudget:
			return nil, refuse(RefusedGas, "gas budget %d is higher than the maximum %d", g.Budget, uint64(MaxBudget))
		}
	}
	if len(g.Payment) == 0 {
		return nil, refuse(RefusedGas, "no gas coins: this ledger has no address balances")
	}
	var coins []*input
	var sum uint64
	for i := range g.Payment {
		coin, balance, err := l.gasCoin(&g.Payment[i])
		if err != nil {
			return nil, err
		}
		if sum > math.MaxUint64-balance {
			return nil, refuse(RefusedGas, "the gas coins hold more than a coin can")
		}
		sum += balance
		coins = append(coins, coin)
	}
	if l.checks && sum < g.Budget {
		return nil, refuse(RefusedGas, "balance of the gas coins %d is lower than the needed amount %d", sum, g.Budget)
	}
	return coins, nil
}

func (l *loader) gasCoin(ref *move.ObjectRef) (*input, uint64, error) {
	in, err := l.owned(ref)
	if err != nil {
		return nil, 0, err
	}
	if !in.mutable || !in.object.Type.Equal(move.CoinType(move.SUI)) {
		return nil, 0, refuse(RefusedGas, "gas object %s is not an owned coin of SUI", ref.ID)
	}
	var coin move.Coin
	err = move.Unmarshal(in.object.Contents, &coin)
	return in, coin.Balance, err
}
