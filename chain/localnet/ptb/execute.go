package ptb

import (
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// Value is a value that a command returned.
type Value struct {
	Type move.TypeTag
	BCS  []byte
}

// Outcome is what a transaction did.
type Outcome struct {
	Result  *overlay.Result // what to write
	Effects *move.Effects
	Events  move.Events
	Abort   *chain.AbortError // of a failure that is a contract's abort or arithmetic
	Values  [][]Value         // of each command, if the caller asked and it succeeded
}

// Options say how a transaction is run.
type Options struct {
	// Unchecked lets the sender use what belongs to others, and pay less than is due.
	Unchecked bool
	Values    bool // return what the commands returned
}

// Execute runs a transaction. When it fails, only gas is paid and its mutable
// inputs get new versions; Effects say so. What is not run at all gives a RefusedError.
func (env *Env) Execute(tx *move.Transaction, digest move.Digest, options Options) (*Outcome, error) {
	in, err := env.load(tx, !options.Unchecked)
	if err != nil {
		return nil, err
	}
	m, err := newMachine(env, tx, digest, in)
	if err != nil {
		return nil, err
	}
	m.wants = options.Values
	out, err := m.try()
	var f *failure
	if !errors.As(err, &f) {
		return out, err
	}
	if m, err = newMachine(env, tx, digest, in); err != nil {
		return nil, err
	}
	m.pay(GasCost)
	result, err := m.over.Finish()
	if err != nil {
		return nil, err
	}
	out = &Outcome{Result: result, Abort: f.abort}
	return out, m.effects(out, in, &f.Failure)
}

// try runs the commands.
func (m *machine) try() (*Outcome, error) {
	// As on Sui the commands cannot spend what the transaction may cost.
	coin := m.gasCoin()
	withheld := min(max(m.tx.Gas.Budget, GasCost), coin.Balance)
	coin.Balance -= withheld
	if err := m.run(); err != nil {
		return nil, err
	}
	coin.Balance += withheld
	m.pay(GasCost)
	result, err := m.over.Finish()
	var size *overlay.SizeError
	if errors.As(err, &size) {
		f := failed(move.FailedObjectTooBig)
		f.Size, f.MaxSize = uint64(size.Size), move.MaxSize
		return nil, f
	}
	if err != nil {
		return nil, fmt.Errorf("end of transaction: %w", err)
	}
	out := &Outcome{Result: result, Events: m.events, Values: m.values}
	return out, m.effects(out, &loaded{m.allInputs(), nil}, nil)
}

// pay takes the cost out of the gas coin, as far as it goes without checks.
func (m *machine) pay(cost uint64) {
	coin := m.gasCoin()
	coin.Balance -= min(cost, coin.Balance)
}

// allInputs returns the input objects.
func (m *machine) allInputs() []*input {
	all := make([]*input, len(m.inputs))
	for i, s := range m.inputs {
		all[i] = s.in
	}
	return all
}

// effects says what a finished transaction did, in the words of Sui.
func (m *machine) effects(out *Outcome, in *loaded, f *move.Failure) error {
	e := &move.Effects{Status: move.Status{Failure: f}, Epoch: m.env.Epoch, Gas: move.GasUsed{Computation: GasCost},
		Transaction: m.over.Digest, Dependencies: out.Result.Dependencies, Version: out.Result.Version}
	var err error
	if e.EventsDigest, err = out.Events.Digest(); err != nil {
		return err
	}
	for i := range out.Result.Changes {
		c := &out.Result.Changes[i]
		change, err := objectChange(c)
		if err != nil {
			return err
		}
		if c.ID == m.gasCoin().ID {
			place := uint32(i)
			e.GasObject = &place
		}
		e.Changed = append(e.Changed, change)
	}
	for _, o := range in.inputs {
		if o == nil || o.mutable || o.object.Owner.Kind != move.OwnerShared {
			continue
		}
		digest, err := o.object.Digest()
		if err != nil {
			return err
		}
		e.Unchanged = append(e.Unchanged, move.UnchangedObject{ID: o.object.ID(), Version: o.object.Version, Digest: digest})
	}
	out.Effects = e
	return nil
}

// objectChange puts a change into the words of Sui.
func objectChange(c *overlay.Change) (move.ObjectChange, error) {
	change := move.ObjectChange{ID: c.ID}
	if c.Before != nil {
		digest, err := c.Before.Digest()
		if err != nil {
			return change, err
		}
		change.Input = &move.ObjectInput{Version: c.Before.Version, Digest: digest, Owner: c.Before.Owner}
	}
	if c.Object != nil {
		digest, err := c.Object.Digest()
		if err != nil {
			return change, err
		}
		change.Output = &move.ObjectOutput{Digest: digest, Owner: c.Object.Owner}
		if c.Object.Type.Equal(move.PackageType()) {
			change.Output.Package = c.Object.Version
		}
	}
	switch c.Operation {
	case overlay.Created:
		change.Operation = move.IDCreated
	case overlay.Deleted, overlay.Vanished:
		change.Operation = move.IDDeleted
	}
	return change, nil
}
