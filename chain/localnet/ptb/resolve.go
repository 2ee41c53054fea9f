package ptb

import (
	"slices"

	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/move"
)

// Mutates reports whether a command needs an input as mutable: takes it, or borrows it to change it.
func (t *Table) Mutates(versions Versions, commands []move.Command, input uint16) bool {
	named := func(a move.Argument) bool { return a.Kind == move.ArgumentInput && a.Index == input }
	return slices.ContainsFunc(commands, func(c move.Command) bool {
		if c.Kind == move.CommandMoveCall {
			return t.callMutates(versions, &c.Call, named)
		}
		coins := c.Kind == move.CommandSplitCoins || c.Kind == move.CommandMergeCoins
		return coins && named(c.Target) || slices.ContainsFunc(c.Arguments, named)
	})
}

// callMutates reports whether a call passes an argument by value or as &mut.
func (t *Table) callMutates(versions Versions, c *move.Call, named func(move.Argument) bool) bool {
	n := t.native(versions, c.Package, c.Module, c.Function)
	if n == nil {
		return false
	}
	for i, a := range c.Arguments {
		if named(a) && i < n.Arity() && n.Params[i].Ref != ByRef {
			return true
		}
	}
	return false
}

// Length returns how many bytes at the head of b are a value of a type.
func (t *Table) Length(tag move.TypeTag, b []byte) (int, error) {
	f, err := t.form(tag)
	if err != nil {
		return 0, err
	}
	rest, err := f.decodePrefix(b)
	return len(b) - len(rest), err
}

// Signed lists what a transaction brings that a committee should have signed:
// the plain values of the last three arguments of functions of module system that end in
// signature, bitmap and message.
func (t *Table) Signed(versions Versions, tx *move.Transaction) (all []contract.Signed) {
	for i := range tx.Commands {
		c := &tx.Commands[i].Call
		n := t.native(versions, c.Package, c.Module, c.Function)
		if n == nil || !n.endsInCertificate() || len(c.Arguments) != n.Arity() {
			continue
		}
		var parts [3][]byte
		ok := true
		for k, a := range c.Arguments[len(c.Arguments)-len(parts):] {
			if ok = a.Kind == move.ArgumentInput && int(a.Index) < len(tx.Inputs); !ok {
				break
			}
			v, err := bytesForm.decode(tx.Inputs[a.Index].Pure)
			if ok = err == nil; !ok {
				break
			}
			parts[k] = *v.(*[]byte)
		}
		if ok {
			all = append(all, contract.Signed{Signature: parts[0], Bitmap: parts[1], Message: parts[2]})
		}
	}
	return all
}

// bytesForm is vector<u8>.
var bytesForm = &form{goType: goType[[]byte](), elem: &form{goType: goType[uint8]()}}

// endsInCertificate reports whether the last three arguments are bytes, in module system.
func (n *native) endsInCertificate() bool {
	last := n.Arity()
	if n.pkg != inWalrus || n.Module != "system" || last < 3 {
		return false
	}
	for _, p := range n.Params[last-3 : last] {
		if p.Type.Kind != move.KindVector || p.Type.Params[0].Kind != move.KindU8 {
			return false
		}
	}
	return true
}
