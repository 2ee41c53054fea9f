package localnet

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// Simulate says what a transaction would do, and leaves no trace. With checks
// it is refused as Execute refuses it, but for the signature; without them it needs
// neither enough gas nor the sender's ownership of what it names. In both a
// transaction without gas coins is run with a coin that does not exist.
func (n *Net) Simulate(ctx context.Context, tx *move.Transaction, checks bool) (*Executed, error) {
	bcs, err := move.Marshal(tx)
	if err != nil {
		return nil, refuse(RefusedMalformed, "transaction: %v", err)
	}
	if len(bcs) > ptb.MaxTransactionSize {
		return nil, refuse(RefusedMalformed, "transaction of %d bytes, at most %d", len(bcs), ptb.MaxTransactionSize)
	}
	s := &submitted{tx: tx, digest: move.TransactionDigest(bcs), bcs: bcs}
	if err := n.verifyAhead(ctx, tx); err != nil {
		return nil, err
	}
	var e *Executed
	err = n.view(ctx, func(sqlTx *sql.Tx) error {
		env, err := n.env(ctx, sqlTx)
		if err != nil {
			return err
		}
		run := tx
		if len(tx.Gas.Payment) == 0 {
			if run, env.Source, err = pretendGas(tx, s.digest, env.Source); err != nil {
				return err
			}
		}
		out, err := env.Execute(run, s.digest, ptb.Options{Unchecked: !checks, Values: true})
		if err != nil {
			return err
		}
		e = s.executed(out, env.TimeMS)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	return e, nil
}

// pretendedMist is what the pretended gas coin holds: a thousand million SUI.
const pretendedMist = 1_000_000_000_000_000_000

// pretendGas gives a transaction a gas coin that does not exist.
func pretendGas(tx *move.Transaction, digest move.Digest, source overlay.Source) (*move.Transaction, overlay.Source, error) {
	const number = 1 << 63 // of no object that a transaction creates
	coin := move.Coin{ID: move.CreatedID(digest, number), Balance: pretendedMist}
	contents, err := move.Marshal(&coin)
	if err != nil {
		return nil, nil, err
	}
	o := &move.Object{Type: move.CoinType(move.SUI), HasPublicTransfer: true, Version: 1, Contents: contents, Owner: move.AddressOwner(tx.Sender)}
	run := *tx
	ref := move.ObjectRef{ID: coin.ID, Version: o.Version}
	if ref.Digest, err = o.Digest(); err != nil {
		return nil, nil, err
	}
	run.Gas.Payment = []move.ObjectRef{ref}
	return &run, func(id move.ID) (*move.Object, error) {
		if id == coin.ID {
			return o, nil
		}
		return source(id)
	}, nil
}

// resolvedBudget is the gas budget in MIST of a transaction that leaves it to
// the ledger: what it costs, and as much again, as Sui's nodes add.
const resolvedBudget = 2 * ptb.GasCost

// Resolve completes a transaction as a full node does: inputs, gas and what else is missing.
func (n *Net) Resolve(ctx context.Context, p *Partial) (full *move.Transaction, err error) {
	err = n.view(ctx, func(tx *sql.Tx) error {
		env, err := n.env(ctx, tx)
		if err != nil {
			return err
		}
		full, err = n.resolve(ctx, tx, env, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("resolve: %w", err)
	}
	return full, nil
}

// resolve is Resolve on one state of the ledger.
func (n *Net) resolve(ctx context.Context, sqlTx *sql.Tx, env *ptb.Env, p *Partial) (*move.Transaction, error) {
	tx := &move.Transaction{Commands: p.Commands, Sender: p.Sender, Gas: p.Gas, Expiration: p.Expiration}
	if tx.Gas.Owner.IsZero() {
		tx.Gas.Owner = p.Sender
	}
	if tx.Gas.Price == 0 {
		tx.Gas.Price = ptb.GasPrice
	}
	for i := range p.Inputs {
		in := p.Inputs[i].Input
		if p.Inputs[i].Lookup {
			var err error
			mutable := n.table.Mutates(env.Versions, p.Commands, uint16(i))
			if in, err = resolveInput(env.Source, in.Object, mutable); err != nil {
				return nil, err
			}
		}
		tx.Inputs = append(tx.Inputs, in)
	}
	if p.SelectGas && len(tx.Gas.Payment) == 0 {
		if err := n.selectGas(ctx, sqlTx, tx); err != nil {
			return nil, err
		}
	}
	if tx.Gas.Budget == 0 {
		tx.Gas.Budget = resolvedBudget
	}
	return tx, nil
}

// resolveInput says everything about an object that a transaction names by its ID.
func resolveInput(source overlay.Source, named move.ObjectRef, mutable bool) (move.Input, error) {
	o, err := source(named.ID)
	if err != nil {
		return move.Input{}, err
	}
	if o == nil {
		return move.Input{}, &RefusedError{Kind: RefusedMissing, Object: &named,
			Text: fmt.Sprintf("could not find the referenced object %s", named.ID)}
	}
	if o.Owner.Kind == move.OwnerShared {
		return move.Input{Kind: move.InputShared, Object: move.ObjectRef{ID: named.ID}, Initial: o.Owner.InitialVersion, Mutable: mutable}, nil
	}
	have := move.ObjectRef{ID: named.ID, Version: o.Version}
	if have.Digest, err = o.Digest(); err != nil {
		return move.Input{}, err
	}
	if named.Version != 0 && named.Version != have.Version || named.Digest != (move.Digest{}) && named.Digest != have.Digest {
		return move.Input{}, &RefusedError{Kind: RefusedStale, Object: &named, Have: &have,
			Text: fmt.Sprintf("object %s version %d is not available for consumption, current version: %d", named.ID, named.Version, have.Version)}
	}
	return move.Input{Kind: move.InputOwned, Object: have}, nil
}

// gasChoice is a coin that may pay.
type gasChoice struct {
	ref     move.ObjectRef
	balance uint64
}

// selectGas chooses the largest coins of the sender that the transaction does
// not use otherwise, as many as the budget takes; all, when commands use the gas coin.
func (n *Net) selectGas(ctx context.Context, sqlTx *sql.Tx, tx *move.Transaction) error {
	coins, total, err := n.gasCoins(ctx, sqlTx, tx)
	if err != nil {
		return err
	}
	if tx.Gas.Budget == 0 {
		tx.Gas.Budget = max(ptb.GasCost, min(resolvedBudget, total))
	}
	var sum uint64
	for _, coin := range coins {
		if sum >= tx.Gas.Budget && !usesGasCoin(tx.Commands) || len(tx.Gas.Payment) == ptb.MaxGasCoins {
			break
		}
		tx.Gas.Payment = append(tx.Gas.Payment, coin.ref)
		sum += coin.balance
	}
	if sum < tx.Gas.Budget {
		return refuse(RefusedGas, "unable to select gas coins: balance %d of %s is lower than the needed amount %d", sum, tx.Gas.Owner, tx.Gas.Budget)
	}
	return nil
}

// gasCoins lists the coins of SUI that are no inputs, largest first, and their sum.
func (n *Net) gasCoins(ctx context.Context, sqlTx *sql.Tx, tx *move.Transaction) (coins []gasChoice, total uint64, err error) {
	used := make(map[move.ID]bool)
	for i := range tx.Inputs {
		used[tx.Inputs[i].Object.ID] = true
	}
	all, _, err := n.ownedCoins(ctx, sqlTx, tx.Gas.Owner, move.CoinType(move.SUI))
	if err != nil {
		return nil, 0, err
	}
	for _, coin := range all {
		if used[coin.ID] {
			continue
		}
		o, err := n.store.object(ctx, sqlTx, coin.ID)
		if err != nil {
			return nil, 0, err
		}
		digest, err := o.Digest()
		if err != nil {
			return nil, 0, err
		}
		coins = append(coins, gasChoice{move.ObjectRef{ID: coin.ID, Version: o.Version, Digest: digest}, coin.Balance})
		total += coin.Balance
	}
	slices.SortFunc(coins, func(a, b gasChoice) int {
		return cmp.Or(cmp.Compare(b.balance, a.balance), bytes.Compare(a.ref.ID[:], b.ref.ID[:]))
	})
	return coins, total, nil
}

// usesGasCoin reports whether a command takes money out of the gas coin.
func usesGasCoin(commands []move.Command) bool {
	isGas := func(a move.Argument) bool { return a.Kind == move.ArgumentGasCoin }
	return slices.ContainsFunc(commands, func(c move.Command) bool {
		return c.Kind != move.CommandMoveCall && isGas(c.Target) && c.Kind != move.CommandMakeMoveVec && c.Kind != move.CommandTransferObjects ||
			slices.ContainsFunc(c.Arguments, isGas) || slices.ContainsFunc(c.Call.Arguments, isGas)
	})
}
