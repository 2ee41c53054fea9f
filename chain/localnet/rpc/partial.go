package rpc

import (
	"fmt"
	"math"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
)

// Limits of a transaction. Source: Sui, protocol configuration.
const (
	maxInputs   = 2048
	maxCommands = 1024
	maxPayment  = 256
)

// partialOf reads a transaction that was sent as its structure, with what its
// sender left open.
func partialOf(t *pb.Transaction) (*localnet.Partial, error) {
	ptb := t.GetKind().GetProgrammableTransaction()
	if ptb == nil {
		return nil, invalid("transaction.kind", "only a programmable transaction can be sent")
	}
	if len(ptb.Inputs) > maxInputs || len(ptb.Commands) > maxCommands {
		return nil, invalid("transaction.kind", "%d inputs and %d commands, at most %d and %d", len(ptb.Inputs), len(ptb.Commands), maxInputs, maxCommands)
	}
	p := new(localnet.Partial)
	var err error
	if t.Sender != nil {
		if p.Sender, err = parseID("transaction.sender", t.Sender); err != nil {
			return nil, err
		}
	}
	if err := readGas(t.GasPayment, &p.Gas); err != nil {
		return nil, err
	}
	if err := readExpiration(t.Expiration, &p.Expiration); err != nil {
		return nil, err
	}
	for i, in := range ptb.Inputs {
		input, err := readInput(fmt.Sprintf("transaction.kind.inputs[%d]", i), in)
		if err != nil {
			return nil, err
		}
		p.Inputs = append(p.Inputs, input)
	}
	for i, c := range ptb.Commands {
		command, err := readCommand(fmt.Sprintf("transaction.kind.commands[%d]", i), c)
		if err != nil {
			return nil, err
		}
		p.Commands = append(p.Commands, command)
	}
	return p, nil
}

func readGas(g *pb.GasPayment, out *move.GasData) (err error) {
	if g == nil {
		return nil
	}
	if len(g.Objects) > maxPayment {
		return invalid("transaction.gas_payment.objects", "%d coins, at most %d", len(g.Objects), maxPayment)
	}
	if g.Owner != nil {
		if out.Owner, err = parseID("transaction.gas_payment.owner", g.Owner); err != nil {
			return err
		}
	}
	out.Price, out.Budget = g.GetPrice(), g.GetBudget()
	for i, o := range g.Objects {
		field := fmt.Sprintf("transaction.gas_payment.objects[%d]", i)
		var ref move.ObjectRef
		if ref.ID, err = parseID(field+".object_id", o.ObjectId); err != nil {
			return err
		}
		if ref.Digest, err = parseDigest(field+".digest", o.Digest); err != nil {
			return err
		}
		ref.Version = o.GetVersion()
		out.Payment = append(out.Payment, ref)
	}
	return nil
}

func readExpiration(e *pb.TransactionExpiration, out *move.Expiration) error {
	switch e.GetKind() {
	case pb.TransactionExpiration_TRANSACTION_EXPIRATION_KIND_UNKNOWN, pb.TransactionExpiration_NONE:
		out.Kind = move.ExpirationNone
	case pb.TransactionExpiration_EPOCH:
		out.Kind, out.Epoch = move.ExpirationEpoch, e.GetEpoch()
	default:
		return invalid("transaction.expiration", "kind %d is not supported", e.GetKind())
	}
	return nil
}

// readInput reads an input, which may be no more than the ID of an object.
func readInput(field string, in *pb.Input) (out localnet.PartialInput, err error) {
	switch {
	case in.Literal != nil:
		return out, invalid(field+".literal", "not supported: send the BCS of the value")
	case in.Pure != nil && in.ObjectId != nil:
		return out, invalid(field, "both a value and an object")
	case in.GetKind() == pb.Input_PURE || in.Pure != nil:
		out.Kind, out.Pure = move.InputPure, in.Pure
		return out, nil
	}
	if out.Object.ID, err = parseID(field+".object_id", in.ObjectId); err != nil {
		return out, err
	}
	if in.Digest != nil {
		if out.Object.Digest, err = parseDigest(field+".digest", in.Digest); err != nil {
			return out, err
		}
	}
	out.Lookup = true
	switch in.GetKind() {
	case pb.Input_INPUT_KIND_UNKNOWN:
		out.Kind, out.Object.Version = move.InputOwned, in.GetVersion()
	case pb.Input_IMMUTABLE_OR_OWNED, pb.Input_RECEIVING:
		out.Kind, out.Object.Version = move.InputOwned, in.GetVersion()
		if in.GetKind() == pb.Input_RECEIVING {
			out.Kind = move.InputReceiving
		}
		out.Lookup = in.Version == nil || in.Digest == nil
	case pb.Input_SHARED:
		out.Kind, out.Initial, out.Mutable = move.InputShared, in.GetVersion(), in.GetMutable()
		out.Lookup = in.Version == nil || in.Mutable == nil
	default:
		return out, invalid(field+".kind", "kind %d is not supported", in.GetKind())
	}
	return out, nil
}

func readArgument(field string, a *pb.Argument) (out move.Argument, err error) {
	index := func(name string, v *uint32) (uint16, error) {
		switch {
		case v == nil:
			return 0, missing(field + "." + name)
		case *v > math.MaxUint16:
			return 0, invalid(field+"."+name, "%d is above %d", *v, math.MaxUint16)
		}
		return uint16(*v), nil
	}
	switch a.GetKind() {
	case pb.Argument_GAS:
		out.Kind = move.ArgumentGasCoin
	case pb.Argument_INPUT:
		out.Kind = move.ArgumentInput
		out.Index, err = index("input", a.Input)
	case pb.Argument_RESULT:
		out.Kind = move.ArgumentResult
		if out.Index, err = index("result", a.Result); err == nil && a.Subresult != nil {
			out.Kind = move.ArgumentNestedResult
			out.Result, err = index("subresult", a.Subresult)
		}
	default:
		err = invalid(field+".kind", "missing or unknown")
	}
	return out, err
}

func readArguments(field string, all []*pb.Argument) ([]move.Argument, error) {
	var out []move.Argument
	for i, a := range all {
		argument, err := readArgument(fmt.Sprintf("%s[%d]", field, i), a)
		if err != nil {
			return nil, err
		}
		out = append(out, argument)
	}
	return out, nil
}
