package localnet

import (
	"fmt"

	"github.com/walfs/walfs/chain/move"
)

// draft is a transaction that the ledger builds for its own accounts.
type draft struct {
	Partial
	walrus  move.ID // the package to call
	objects map[move.ID]move.Argument
	err     error // the first value that could not be encoded
}

func newDraft(sender, walrus move.Address) *draft {
	return &draft{Partial: Partial{Sender: sender, SelectGas: true}, walrus: walrus, objects: make(map[move.ID]move.Argument)}
}

var gasCoin = move.Argument{Kind: move.ArgumentGasCoin}

// nested is one of several results of a command.
func nested(a move.Argument, number uint16) move.Argument {
	return move.Argument{Kind: move.ArgumentNestedResult, Index: a.Index, Result: number}
}

// object names an object, of which the ledger knows the rest.
func (d *draft) object(id move.ID) move.Argument {
	a, ok := d.objects[id]
	if !ok {
		a = d.input(PartialInput{Input: move.Input{Object: move.ObjectRef{ID: id}}, Lookup: true})
		d.objects[id] = a
	}
	return a
}

// encoding is a Layout made of its method.
type encoding func(c *move.Codec)

// BCS is the layout.
func (e encoding) BCS(c *move.Codec) { e(c) }

// pure gives a plain value.
func (d *draft) pure(e encoding) move.Argument {
	bcs, err := move.Marshal(e)
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("argument %d: %w", len(d.Inputs), err)
	}
	return d.input(PartialInput{Input: move.Input{Kind: move.InputPure, Pure: bcs}})
}

func (d *draft) u8(v uint8) move.Argument        { return d.pure(func(c *move.Codec) { c.U8(&v) }) }
func (d *draft) u256(v move.U256) move.Argument  { return d.pure(func(c *move.Codec) { c.U256(&v) }) }
func (d *draft) flag(v bool) move.Argument       { return d.pure(func(c *move.Codec) { c.Bool(&v) }) }
func (d *draft) u16(v uint16) move.Argument      { return d.pure(func(c *move.Codec) { c.U16(&v) }) }
func (d *draft) u32(v uint32) move.Argument      { return d.pure(func(c *move.Codec) { c.U32(&v) }) }
func (d *draft) u64(v uint64) move.Argument      { return d.pure(func(c *move.Codec) { c.U64(&v) }) }
func (d *draft) bytes(v []byte) move.Argument    { return d.pure(func(c *move.Codec) { c.Bytes(&v) }) }
func (d *draft) text(v string) move.Argument     { return d.pure(func(c *move.Codec) { c.String(&v) }) }
func (d *draft) id(v move.Address) move.Argument { return d.pure(func(c *move.Codec) { c.ID(&v) }) }

func (d *draft) input(in PartialInput) move.Argument {
	d.Inputs = append(d.Inputs, in)
	return move.Argument{Kind: move.ArgumentInput, Index: uint16(len(d.Inputs) - 1)}
}

// add appends a command and returns its result.
func (d *draft) add(c move.Command) move.Argument {
	d.Commands = append(d.Commands, c)
	return move.Argument{Kind: move.ArgumentResult, Index: uint16(len(d.Commands) - 1)}
}

// call calls a function of the Walrus package.
func (d *draft) call(module, function string, arguments ...move.Argument) move.Argument {
	return d.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: d.walrus, Module: module, Function: function, Arguments: arguments}})
}

// transfer gives objects to an address.
func (d *draft) transfer(to move.Address, objects ...move.Argument) {
	d.add(move.Command{Kind: move.CommandTransferObjects, Arguments: objects, Target: d.id(to)})
}

// split takes amounts out of a coin.
func (d *draft) split(coin move.Argument, amounts ...uint64) move.Argument {
	c := move.Command{Kind: move.CommandSplitCoins, Target: coin}
	for _, amount := range amounts {
		c.Arguments = append(c.Arguments, d.u64(amount))
	}
	return d.add(c)
}
