package move_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/walfs/walfs/chain/move"
)

// inputVector is an input as the reference implementation shows it.
type inputVector struct {
	Pure   *struct{ Bytes string }
	Object struct {
		SharedObject *struct {
			ObjectID             string          `json:"objectId"`
			InitialSharedVersion json.RawMessage `json:"initialSharedVersion"`
			Mutable              bool
		}
		ImmOrOwnedObject *struct {
			ObjectID string `json:"objectId"`
			Version  json.RawMessage
			Digest   string
		}
	}
}

// number reads one that may stand as a text.
func number(t *testing.T, raw json.RawMessage) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(string(bytes.Trim(raw, `"`)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// input returns the input that a vector shows.
func (v *inputVector) input(t *testing.T) (in move.Input) {
	t.Helper()
	switch owned, shared := v.Object.ImmOrOwnedObject, v.Object.SharedObject; {
	case v.Pure != nil:
		raw, err := base64.StdEncoding.DecodeString(v.Pure.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return move.Input{Kind: move.InputPure, Pure: raw}
	case owned != nil:
		digest, err := move.ParseDigest(owned.Digest)
		if err != nil {
			t.Fatal(err)
		}
		return move.Input{Kind: move.InputOwned, Object: move.ObjectRef{ID: address(t, owned.ObjectID), Version: number(t, owned.Version), Digest: digest}}
	case shared != nil:
		return move.Input{Kind: move.InputShared, Object: move.ObjectRef{ID: address(t, shared.ObjectID)},
			Initial: number(t, shared.InitialSharedVersion), Mutable: shared.Mutable}
	}
	t.Fatalf("input %+v", v)
	return in
}

// argumentVector is an argument as the reference implementation shows it.
type argumentVector struct {
	GasCoin      bool
	Input        *uint16
	Result       *uint16
	NestedResult []uint16
}

func (v *argumentVector) argument() move.Argument {
	switch {
	case v.GasCoin:
		return move.Argument{Kind: move.ArgumentGasCoin}
	case v.Input != nil:
		return move.Argument{Kind: move.ArgumentInput, Index: *v.Input}
	case v.Result != nil:
		return move.Argument{Kind: move.ArgumentResult, Index: *v.Result}
	}
	return move.Argument{Kind: move.ArgumentNestedResult, Index: v.NestedResult[0], Result: v.NestedResult[1]}
}

func arguments(all []argumentVector) (out []move.Argument) {
	for i := range all {
		out = append(out, all[i].argument())
	}
	return out
}

// commandVector is a command as the reference implementation shows it.
type commandVector struct {
	MoveCall *struct {
		Package, Module, Function string
		TypeArguments             []string
		Arguments                 []argumentVector
	}
	TransferObjects *struct {
		Objects []argumentVector
		Address argumentVector
	}
	SplitCoins *struct {
		Coin    argumentVector
		Amounts []argumentVector
	}
	MergeCoins *struct {
		Destination argumentVector
		Sources     []argumentVector
	}
	MakeMoveVec *struct {
		Type     *string
		Elements []argumentVector
	}
}

// command returns the command that a vector shows.
func (v *commandVector) command(t *testing.T) (c move.Command) {
	t.Helper()
	tag := func(name string) move.TypeTag {
		t.Helper()
		tag, err := move.ParseTypeTag(name)
		if err != nil {
			t.Fatal(err)
		}
		return tag
	}
	switch {
	case v.MoveCall != nil:
		c.Kind = move.CommandMoveCall
		c.Call = move.Call{Package: address(t, v.MoveCall.Package), Module: v.MoveCall.Module, Function: v.MoveCall.Function, Arguments: arguments(v.MoveCall.Arguments)}
		for _, name := range v.MoveCall.TypeArguments {
			c.Call.Types = append(c.Call.Types, tag(name))
		}
	case v.TransferObjects != nil:
		c.Kind, c.Target, c.Arguments = move.CommandTransferObjects, v.TransferObjects.Address.argument(), arguments(v.TransferObjects.Objects)
	case v.SplitCoins != nil:
		c.Kind, c.Target, c.Arguments = move.CommandSplitCoins, v.SplitCoins.Coin.argument(), arguments(v.SplitCoins.Amounts)
	case v.MergeCoins != nil:
		c.Kind, c.Target, c.Arguments = move.CommandMergeCoins, v.MergeCoins.Destination.argument(), arguments(v.MergeCoins.Sources)
	case v.MakeMoveVec != nil:
		c.Kind, c.Arguments = move.CommandMakeMoveVec, arguments(v.MakeMoveVec.Elements)
		if v.MakeMoveVec.Type != nil {
			elem := tag(*v.MakeMoveVec.Type)
			c.Type = &elem
		}
	default:
		t.Fatalf("command %+v", v)
	}
	return c
}

// TestTransactionStructure puts each transaction together from the parts that
// the reference implementation shows, and compares its bytes.
func TestTransactionStructure(t *testing.T) {
	v := loadVectors(t)
	for _, c := range v.Transactions {
		raw := rawTransaction(t, c.Name, v)
		var read move.Transaction
		if err := move.Unmarshal(raw, &read); err != nil {
			t.Fatal(err)
		}
		made := move.Transaction{Sender: read.Sender, Gas: read.Gas}
		if c.Expiration.Epoch != nil {
			made.Expiration = move.Expiration{Kind: move.ExpirationEpoch, Epoch: number(t, c.Expiration.Epoch)}
		}
		for i := range c.Inputs {
			made.Inputs = append(made.Inputs, c.Inputs[i].input(t))
		}
		for i := range c.Commands {
			made.Commands = append(made.Commands, c.Commands[i].command(t))
		}
		if got, err := move.Marshal(&made); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %v\n got %x\nwant %x", c.Name, err, got, raw)
		}
	}
}
