package rpc

import (
	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/move"
)

// transactionOf returns a transaction as its structure, with its BCS when given.
func transactionOf(t *move.Transaction, bcs []byte, digest move.Digest) *pb.Transaction {
	out := &pb.Transaction{
		Digest: text(digest), Version: proto.Int32(1), Sender: text(t.Sender),
		GasPayment: gasOf(&t.Gas), Expiration: expirationOf(&t.Expiration), Kind: kindOf(t),
	}
	if bcs != nil {
		out.Bcs = named("TransactionData", bcs)
	}
	return out
}

func gasOf(g *move.GasData) *pb.GasPayment {
	out := &pb.GasPayment{Owner: text(g.Owner), Price: proto.Uint64(g.Price), Budget: proto.Uint64(g.Budget)}
	for _, coin := range g.Payment {
		out.Objects = append(out.Objects, referenceOf(coin))
	}
	return out
}

// expirationOf returns when a transaction expires. The protocol of this version knows no ExpirationValidDuring.
func expirationOf(e *move.Expiration) *pb.TransactionExpiration {
	switch e.Kind {
	case move.ExpirationNone:
		return &pb.TransactionExpiration{Kind: pb.TransactionExpiration_NONE.Enum()}
	case move.ExpirationEpoch:
		return &pb.TransactionExpiration{Kind: pb.TransactionExpiration_EPOCH.Enum(), Epoch: proto.Uint64(e.Epoch)}
	}
	return &pb.TransactionExpiration{Kind: pb.TransactionExpiration_TRANSACTION_EXPIRATION_KIND_UNKNOWN.Enum()}
}

func kindOf(t *move.Transaction) *pb.TransactionKind {
	out := new(pb.ProgrammableTransaction)
	for i := range t.Inputs {
		out.Inputs = append(out.Inputs, inputOf(&t.Inputs[i]))
	}
	for i := range t.Commands {
		out.Commands = append(out.Commands, commandOf(&t.Commands[i]))
	}
	return &pb.TransactionKind{
		Kind: pb.TransactionKind_PROGRAMMABLE_TRANSACTION.Enum(),
		Data: &pb.TransactionKind_ProgrammableTransaction{ProgrammableTransaction: out},
	}
}

func inputOf(in *move.Input) *pb.Input {
	switch in.Kind {
	case move.InputPure:
		// An absent value is something else than an empty one.
		return &pb.Input{Kind: pb.Input_PURE.Enum(), Pure: append([]byte{}, in.Pure...)}
	case move.InputOwned, move.InputReceiving:
		kind := pb.Input_IMMUTABLE_OR_OWNED
		if in.Kind == move.InputReceiving {
			kind = pb.Input_RECEIVING
		}
		return &pb.Input{Kind: kind.Enum(), ObjectId: text(in.Object.ID), Version: proto.Uint64(in.Object.Version), Digest: text(in.Object.Digest)}
	case move.InputShared:
		return &pb.Input{Kind: pb.Input_SHARED.Enum(), ObjectId: text(in.Object.ID), Version: proto.Uint64(in.Initial), Mutable: proto.Bool(in.Mutable)}
	}
	return &pb.Input{Kind: pb.Input_INPUT_KIND_UNKNOWN.Enum()}
}

func commandOf(c *move.Command) *pb.Command {
	switch c.Kind {
	case move.CommandMoveCall:
		call := &pb.MoveCall{
			Package: text(c.Call.Package), Module: proto.String(c.Call.Module), Function: proto.String(c.Call.Function),
			Arguments: argumentsOf(c.Call.Arguments),
		}
		for _, t := range c.Call.Types {
			call.TypeArguments = append(call.TypeArguments, t.String())
		}
		return &pb.Command{Command: &pb.Command_MoveCall{MoveCall: call}}
	case move.CommandTransferObjects:
		return &pb.Command{Command: &pb.Command_TransferObjects{TransferObjects: &pb.TransferObjects{
			Objects: argumentsOf(c.Arguments), Address: argumentOf(c.Target),
		}}}
	case move.CommandSplitCoins:
		return &pb.Command{Command: &pb.Command_SplitCoins{SplitCoins: &pb.SplitCoins{
			Coin: argumentOf(c.Target), Amounts: argumentsOf(c.Arguments),
		}}}
	case move.CommandMergeCoins:
		return &pb.Command{Command: &pb.Command_MergeCoins{MergeCoins: &pb.MergeCoins{
			Coin: argumentOf(c.Target), CoinsToMerge: argumentsOf(c.Arguments),
		}}}
	case move.CommandMakeMoveVec:
		vec := &pb.MakeMoveVector{Elements: argumentsOf(c.Arguments)}
		if c.Type != nil {
			vec.ElementType = text(c.Type)
		}
		return &pb.Command{Command: &pb.Command_MakeMoveVector{MakeMoveVector: vec}}
	case move.CommandPublish:
		return &pb.Command{Command: &pb.Command_Publish{Publish: &pb.Publish{Modules: c.Modules, Dependencies: texts(c.Dependencies)}}}
	case move.CommandUpgrade:
		return &pb.Command{Command: &pb.Command_Upgrade{Upgrade: &pb.Upgrade{
			Modules: c.Modules, Dependencies: texts(c.Dependencies), Package: text(c.Package), Ticket: argumentOf(c.Target),
		}}}
	}
	return new(pb.Command)
}

func texts(ids []move.ID) []string {
	var all []string
	for _, id := range ids {
		all = append(all, id.String())
	}
	return all
}

// argumentOf returns an argument. An absent subresult means the whole result, a
// present 0 the first of several.
func argumentOf(a move.Argument) *pb.Argument {
	switch a.Kind {
	case move.ArgumentGasCoin:
		return &pb.Argument{Kind: pb.Argument_GAS.Enum()}
	case move.ArgumentInput:
		return &pb.Argument{Kind: pb.Argument_INPUT.Enum(), Input: proto.Uint32(uint32(a.Index))}
	case move.ArgumentResult:
		return &pb.Argument{Kind: pb.Argument_RESULT.Enum(), Result: proto.Uint32(uint32(a.Index))}
	case move.ArgumentNestedResult:
		return &pb.Argument{Kind: pb.Argument_RESULT.Enum(), Result: proto.Uint32(uint32(a.Index)), Subresult: proto.Uint32(uint32(a.Result))}
	}
	return &pb.Argument{Kind: pb.Argument_ARGUMENT_KIND_UNKNOWN.Enum()}
}

func argumentsOf(all []move.Argument) []*pb.Argument {
	var out []*pb.Argument
	for _, a := range all {
		out = append(out, argumentOf(a))
	}
	return out
}
