package rpc

import (
	"strings"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func sampleExecuted() *pb.ExecutedTransaction {
	return &pb.ExecutedTransaction{
		Digest:      proto.String("d"),
		Checkpoint:  proto.Uint64(7),
		Transaction: &pb.Transaction{Digest: proto.String("d"), Sender: proto.String("0x1"), Version: proto.Int32(1)},
		Effects: &pb.TransactionEffects{
			Status: &pb.ExecutionStatus{Success: proto.Bool(true)}, Epoch: proto.Uint64(3),
			ChangedObjects: []*pb.ChangedObject{
				{ObjectId: proto.String("0x2"), ObjectType: proto.String("t")}, {ObjectId: proto.String("0x3"), ObjectType: proto.String("u")},
			},
		},
	}
}

func TestMask(t *testing.T) {
	whole := sampleExecuted()
	tests := map[string]struct {
		paths []string
		want  *pb.ExecutedTransaction
	}{
		"none":             {[]string{}, &pb.ExecutedTransaction{}},
		"wildcard":         {[]string{"*"}, whole},
		"scalars":          {[]string{"digest", "checkpoint"}, &pb.ExecutedTransaction{Digest: whole.Digest, Checkpoint: whole.Checkpoint}},
		"nested":           {[]string{"transaction.sender"}, &pb.ExecutedTransaction{Transaction: &pb.Transaction{Sender: whole.Transaction.Sender}}},
		"two of one":       {[]string{"transaction.sender", "transaction.digest"}, &pb.ExecutedTransaction{Transaction: &pb.Transaction{Sender: whole.Transaction.Sender, Digest: whole.Digest}}},
		"part, then all":   {[]string{"effects.status", "effects"}, &pb.ExecutedTransaction{Effects: whole.Effects}},
		"all, then part":   {[]string{"effects", "effects.status"}, &pb.ExecutedTransaction{Effects: whole.Effects}},
		"through a list":   {[]string{"effects.changed_objects.object_id"}, &pb.ExecutedTransaction{Effects: &pb.TransactionEffects{ChangedObjects: []*pb.ChangedObject{{ObjectId: proto.String("0x2")}, {ObjectId: proto.String("0x3")}}}}},
		"absent field":     {[]string{"timestamp", "digest"}, &pb.ExecutedTransaction{Digest: whole.Digest}},
		"wildcard wins":    {[]string{"digest", "*"}, whole},
		"through a oneof":  {[]string{"transaction.kind.programmable_transaction.inputs", "digest"}, &pb.ExecutedTransaction{Digest: whole.Digest, Transaction: &pb.Transaction{}}},
		"deep absent part": {[]string{"effects.gas_used.storage_cost"}, &pb.ExecutedTransaction{Effects: &pb.TransactionEffects{}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := readMask(&fieldmaskpb.FieldMask{Paths: test.paths}, new(pb.ExecutedTransaction), transactionDefault)
			if err != nil {
				t.Fatal(err)
			}
			if got := prune(m, sampleExecuted()); !proto.Equal(got, test.want) {
				t.Errorf("kept %v, want %v", got, test.want)
			}
		})
	}
}

func TestMaskDefault(t *testing.T) {
	m, err := readMask(nil, new(pb.ExecutedTransaction), executeDefault)
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.ExecutedTransaction{Checkpoint: proto.Uint64(7), Effects: &pb.TransactionEffects{Status: &pb.ExecutionStatus{Success: proto.Bool(true)}}}
	if got := prune(m, sampleExecuted()); !proto.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

func TestMaskRefuses(t *testing.T) {
	for _, path := range []string{"", "nothing", "digest.more", "effects.nothing", "effects.status.", ".digest", "effects,digest",
		"transaction.kind.programmable_transaction.inputs.pure.x", strings.Repeat("effects.", 500) + "status"} {
		_, err := readMask(&fieldmaskpb.FieldMask{Paths: []string{path}}, new(pb.ExecutedTransaction), transactionDefault)
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("path %.40q: %v, want InvalidArgument", path, err)
		}
	}
}
