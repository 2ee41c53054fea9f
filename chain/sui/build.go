package sui

import (
	"errors"
	"fmt"
	"math"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// Limits of one transaction. Source: Sui protocol configuration.
const (
	maxCommands  = 1024
	maxArguments = 512
	maxInputs    = 2048
	maxPure      = 16 << 10
	maxTxBytes   = 128 << 10
	maxGasCoins  = 256
)

// builder puts a programmable transaction together. The first error stays in err.
type builder struct {
	inputs   []move.Input
	commands []move.Command
	objects  map[move.ID]uint16 // position among inputs
	pures    map[string]uint16  // by kind and bytes
	err      error
}

func newBuilder() *builder {
	return &builder{objects: map[move.ID]uint16{}, pures: map[string]uint16{}}
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

func (b *builder) add(in move.Input) uint16 {
	if len(b.inputs) >= maxInputs {
		b.fail("more than %d inputs: %w", maxInputs, chain.ErrBatch)
		return 0
	}
	b.inputs = append(b.inputs, in)
	return uint16(len(b.inputs) - 1)
}

func input(i uint16) move.Argument { return move.Argument{Kind: move.ArgumentInput, Index: i} }

var gasCoin = move.Argument{Kind: move.ArgumentGasCoin}

// nested is one of several results of a command.
func nested(result move.Argument, i int) move.Argument {
	return move.Argument{Kind: move.ArgumentNestedResult, Index: result.Index, Result: uint16(i)}
}

// shared names a shared object. One that any call changes is mutable in all.
func (b *builder) shared(s shared, mutable bool) move.Argument {
	i, ok := b.objects[s.id]
	if !ok {
		i = b.add(move.Input{Kind: move.InputShared, Object: move.ObjectRef{ID: s.id}, Initial: s.initial})
		b.objects[s.id] = i
	}
	if b.err == nil {
		b.inputs[i].Mutable = b.inputs[i].Mutable || mutable
	}
	return input(i)
}

// owned names an exact version of an object of the sender.
func (b *builder) owned(ref move.ObjectRef) move.Argument {
	i, ok := b.objects[ref.ID]
	if !ok {
		i = b.add(move.Input{Kind: move.InputOwned, Object: ref})
		b.objects[ref.ID] = i
	} else if b.err == nil && b.inputs[i].Object != ref {
		b.fail("object %s at versions %d and %d: %w", ref.ID, b.inputs[i].Object.Version, ref.Version, chain.ErrStaleVersion)
	}
	return input(i)
}

// pure is a plain value, once for each kind and value.
func (b *builder) pure(kind string, v move.Layout) move.Argument {
	raw, err := move.Marshal(v)
	if err != nil {
		b.fail("argument: %w", err)
	}
	if len(raw) > maxPure {
		b.fail("argument of %d bytes, at most %d: %w", len(raw), maxPure, chain.ErrBatch)
	}
	key := kind + "\x00" + string(raw)
	i, ok := b.pures[key]
	if !ok {
		i = b.add(move.Input{Kind: move.InputPure, Pure: raw})
		b.pures[key] = i
	}
	return input(i)
}

// layout makes a Layout of a function.
type layout func(c *move.Codec)

// BCS is the layout.
func (l layout) BCS(c *move.Codec) { l(c) }

func (b *builder) u8(n uint8) move.Argument {
	return b.pure("u8", layout(func(c *move.Codec) { c.U8(&n) }))
}

func (b *builder) u32(n uint32) move.Argument {
	return b.pure("u32", layout(func(c *move.Codec) { c.U32(&n) }))
}

func (b *builder) u64(n uint64) move.Argument {
	return b.pure("u64", layout(func(c *move.Codec) { c.U64(&n) }))
}

func (b *builder) u256(n [32]byte) move.Argument {
	return b.pure("u256", layout(func(c *move.Codec) { c.Fixed(n[:]) }))
}

func (b *builder) flag(v bool) move.Argument {
	return b.pure("bool", layout(func(c *move.Codec) { c.Bool(&v) }))
}

func (b *builder) bytes(v []byte) move.Argument {
	return b.pure("vector<u8>", layout(func(c *move.Codec) { c.Bytes(&v) }))
}

func (b *builder) text(s string) move.Argument {
	return b.pure("string", layout(func(c *move.Codec) { c.String(&s) }))
}

func (b *builder) address(a move.Address) move.Argument {
	return b.pure("address", layout(func(c *move.Codec) { c.ID(&a) }))
}

func (b *builder) id(a move.ID) move.Argument {
	return b.pure("ID", layout(func(c *move.Codec) { c.ID(&a) }))
}

func (b *builder) command(c move.Command) move.Argument {
	if len(b.commands) >= maxCommands || len(b.commands) > math.MaxUint16 {
		b.fail("more than %d commands: %w", maxCommands, chain.ErrBatch)
	}
	if n := max(len(c.Arguments), len(c.Call.Arguments)); n > maxArguments {
		b.fail("command with %d arguments, at most %d: %w", n, maxArguments, chain.ErrBatch)
	}
	b.commands = append(b.commands, c)
	return move.Argument{Kind: move.ArgumentResult, Index: uint16(len(b.commands) - 1)}
}

// call calls a Move function.
func (b *builder) call(pkg move.ID, module, function string, types []move.TypeTag, args ...move.Argument) move.Argument {
	return b.command(move.Command{Kind: move.CommandMoveCall,
		Call: move.Call{Package: pkg, Module: module, Function: function, Types: types, Arguments: args}})
}

// transfer gives objects to an address.
func (b *builder) transfer(to move.Argument, objects ...move.Argument) {
	for len(objects) > 0 {
		n := min(len(objects), maxArguments)
		b.command(move.Command{Kind: move.CommandTransferObjects, Arguments: objects[:n:n], Target: to})
		objects = objects[n:]
	}
}

// split takes amounts out of a coin.
func (b *builder) split(coin move.Argument, amounts ...move.Argument) move.Argument {
	return b.command(move.Command{Kind: move.CommandSplitCoins, Target: coin, Arguments: amounts})
}

// merge puts coins into the first one.
func (b *builder) merge(into move.Argument, coins ...move.Argument) {
	for len(coins) > 0 {
		n := min(len(coins), maxArguments)
		b.command(move.Command{Kind: move.CommandMergeCoins, Target: into, Arguments: coins[:n:n]})
		coins = coins[n:]
	}
}

// finish returns the transaction and its bytes.
func (b *builder) finish(sender move.Address, gas []move.ObjectRef, price, budget uint64) (*move.Transaction, []byte, error) {
	if b.err != nil {
		return nil, nil, b.err
	}
	tx := &move.Transaction{Inputs: b.inputs, Commands: b.commands, Sender: sender,
		Gas: move.GasData{Payment: gas, Owner: sender, Price: price, Budget: budget}}
	raw, err := move.Marshal(tx)
	if err != nil {
		return nil, nil, errors.Join(errors.New("encode transaction"), err)
	}
	if len(raw) > maxTxBytes {
		return nil, nil, fmt.Errorf("transaction of %d bytes, at most %d: %w", len(raw), maxTxBytes, chain.ErrBatch)
	}
	return tx, raw, nil
}
