package rpc

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/move"
)

// vectors are transactions that the official client made, by name.
func vectors(t testing.TB) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile("../../move/testdata/sui.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Transactions []struct {
			Name      string
			BCSBase64 string `json:"bcs_base64"`
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, tx := range v.Transactions {
		if all[tx.Name], err = base64.StdEncoding.DecodeString(tx.BCSBase64); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) == 0 {
		t.Fatal("no vectors")
	}
	return all
}

// A transaction that goes out as its structure comes back from that as the same bytes.
func TestTransactionThereAndBack(t *testing.T) {
	for name, raw := range vectors(t) {
		t.Run(name, func(t *testing.T) {
			var tx move.Transaction
			if err := move.Unmarshal(raw, &tx); err != nil {
				t.Fatal(err)
			}
			wire, err := proto.Marshal(transactionOf(&tx, raw, move.TransactionDigest(raw)))
			if err != nil {
				t.Fatal(err)
			}
			var sent pb.Transaction
			if err := proto.Unmarshal(wire, &sent); err != nil {
				t.Fatal(err)
			}
			got, err := marshalComplete(&sent)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, raw) {
				t.Errorf("got %x\nwant %x", got, raw)
			}
		})
	}
}

// An absent subresult is the whole result, a present 0 the first of several.
func TestArgumentPresence(t *testing.T) {
	whole := argumentOf(move.Argument{Kind: move.ArgumentResult, Index: 4})
	first := argumentOf(move.Argument{Kind: move.ArgumentNestedResult, Index: 4})
	if whole.Subresult != nil || first.Subresult == nil || *first.Subresult != 0 {
		t.Errorf("result %v, nested result %v", whole, first)
	}
	for _, want := range []move.Argument{
		{Kind: move.ArgumentGasCoin}, {Kind: move.ArgumentInput, Index: 65535}, {Kind: move.ArgumentResult, Index: 2},
		{Kind: move.ArgumentNestedResult, Index: 2}, {Kind: move.ArgumentNestedResult, Index: 2, Result: 3},
	} {
		if got, err := readArgument("a", argumentOf(want)); err != nil || got != want {
			t.Errorf("read %v, %v, want %v", got, err, want)
		}
	}
}

// What the official client sends to be resolved: objects by their ID alone.
func TestPartialInputs(t *testing.T) {
	id := move.SmallAddress(9)
	digest := move.Digest{31: 7}
	tests := map[string]struct {
		in     *pb.Input
		kind   uint8
		lookup bool
	}{
		"ID":            {&pb.Input{ObjectId: proto.String("0x9")}, move.InputOwned, true},
		"long ID":       {&pb.Input{ObjectId: proto.String(id.String())}, move.InputOwned, true},
		"owned":         {&pb.Input{Kind: pb.Input_IMMUTABLE_OR_OWNED.Enum(), ObjectId: text(id), Version: proto.Uint64(3), Digest: text(digest)}, move.InputOwned, false},
		"owned, stale?": {&pb.Input{Kind: pb.Input_IMMUTABLE_OR_OWNED.Enum(), ObjectId: text(id), Version: proto.Uint64(3)}, move.InputOwned, true},
		"shared":        {&pb.Input{Kind: pb.Input_SHARED.Enum(), ObjectId: text(id), Version: proto.Uint64(1), Mutable: proto.Bool(false)}, move.InputShared, false},
		"shared, open":  {&pb.Input{Kind: pb.Input_SHARED.Enum(), ObjectId: text(id), Version: proto.Uint64(1)}, move.InputShared, true},
	}
	for name, test := range tests {
		got, err := readInput("i", test.in)
		if err != nil || got.Kind != test.kind || got.Lookup != test.lookup || got.Object.ID != id {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := readInput("i", &pb.Input{Kind: pb.Input_PURE.Enum(), Pure: []byte{}}); err != nil || got.Kind != move.InputPure || got.Lookup {
		t.Errorf("empty value: %+v, %v", got, err)
	}
}

func TestPartialRefuses(t *testing.T) {
	programmable := func(p *pb.ProgrammableTransaction) *pb.Transaction {
		return &pb.Transaction{Kind: &pb.TransactionKind{Data: &pb.TransactionKind_ProgrammableTransaction{ProgrammableTransaction: p}}}
	}
	command := func(c *pb.Command) *pb.Transaction {
		return programmable(&pb.ProgrammableTransaction{Commands: []*pb.Command{c}})
	}
	input := func(i *pb.Input) *pb.Transaction {
		return programmable(&pb.ProgrammableTransaction{Inputs: []*pb.Input{i}})
	}
	tests := map[string]*pb.Transaction{
		"nothing":            {},
		"other kind":         {Kind: &pb.TransactionKind{Data: &pb.TransactionKind_Genesis{Genesis: new(pb.GenesisTransaction)}}},
		"empty input":        input(new(pb.Input)),
		"value and object":   input(&pb.Input{Pure: []byte{1}, ObjectId: proto.String("0x1")}),
		"bad ID":             input(&pb.Input{ObjectId: proto.String("9")}),
		"bad digest":         input(&pb.Input{ObjectId: proto.String("0x9"), Digest: proto.String("0")}),
		"unknown kind":       input(&pb.Input{Kind: pb.Input_InputKind(77).Enum(), ObjectId: proto.String("0x9")}),
		"empty command":      command(new(pb.Command)),
		"publish on nothing": command(&pb.Command{Command: &pb.Command_Publish{Publish: &pb.Publish{Dependencies: []string{"me"}}}}),
		"upgrade of nothing": command(&pb.Command{Command: &pb.Command_Upgrade{Upgrade: new(pb.Upgrade)}}),
		"nil upgrade":        command(&pb.Command{Command: &pb.Command_Upgrade{}}),
		"call of nothing":    command(&pb.Command{Command: &pb.Command_MoveCall{MoveCall: new(pb.MoveCall)}}),
		"nil call":           command(&pb.Command{Command: &pb.Command_MoveCall{}}),
		"argument too large": command(&pb.Command{Command: &pb.Command_SplitCoins{SplitCoins: &pb.SplitCoins{Coin: &pb.Argument{Kind: pb.Argument_INPUT.Enum(), Input: proto.Uint32(65536)}}}}),
		"argument of no kind": command(&pb.Command{Command: &pb.Command_SplitCoins{SplitCoins: &pb.SplitCoins{
			Coin: &pb.Argument{Kind: pb.Argument_GAS.Enum()}, Amounts: []*pb.Argument{{}}}}}),
		"bad type":   command(&pb.Command{Command: &pb.Command_MakeMoveVector{MakeMoveVector: &pb.MakeMoveVector{ElementType: proto.String("u7")}}}),
		"bad sender": {Kind: programmable(new(pb.ProgrammableTransaction)).Kind, Sender: proto.String("me")},
	}
	for name, tx := range tests {
		if _, err := partialOf(tx); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", name, err)
		}
	}
}
