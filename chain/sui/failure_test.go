package sui

import (
	"errors"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/chain"
)

func ptr[T any](v T) *T { return &v }

func abort(module, function string, code uint64, clever *pb.CleverError) *pb.ExecutionError {
	return &pb.ExecutionError{Kind: pb.ExecutionError_MOVE_ABORT.Enum(), Command: ptr(uint64(3)),
		ErrorDetails: &pb.ExecutionError_Abort{Abort: &pb.MoveAbort{AbortCode: &code, CleverError: clever,
			Location: &pb.MoveLocation{Package: ptr("0x2"), Module: &module, FunctionName: &function}}}}
}

func TestFailures(t *testing.T) {
	const clever = 0x8000_0000_0000_0005 // Move puts more than the code into such a number
	aborts := []struct {
		name string
		in   *pb.ExecutionError
		want chain.AbortError
	}{
		{"named by the node", abort("blob", "certify", clever, &pb.CleverError{ErrorCode: ptr(uint64(5)), ConstantName: ptr("EAlreadyCertified")}),
			chain.AbortError{Module: "blob", Function: "certify", Code: 5, Name: "EAlreadyCertified"}},
		{"named by us", abort("blob", "certify", 2, nil), chain.AbortError{Module: "blob", Function: "certify", Code: 2, Name: "EResourceBounds"}},
		{"unknown", abort("elsewhere", "f", 77, nil), chain.AbortError{Module: "elsewhere", Function: "f", Code: 77, Name: "code 77"}},
	}
	for _, c := range aborts {
		var got *chain.AbortError
		if err := failure(c.in); !errors.As(err, &got) || *got != c.want || errors.Is(err, chain.ErrNoFunds) {
			t.Errorf("%s: got %v, want %v", c.name, err, &c.want)
		}
	}
	kinds := []struct {
		name string
		in   *pb.ExecutionError
		want error
	}{
		{"coin too small in a call", abort("balance", "split", 2, nil), chain.ErrNoFunds},
		{"coin too small in a command", &pb.ExecutionError{Kind: pb.ExecutionError_INSUFFICIENT_COIN_BALANCE.Enum()}, chain.ErrNoFunds},
		{"gas", &pb.ExecutionError{Kind: pb.ExecutionError_INSUFFICIENT_GAS.Enum()}, ErrNoGas},
		{"input gone", &pb.ExecutionError{Kind: pb.ExecutionError_INPUT_OBJECT_DELETED.Enum()}, chain.ErrNotExist},
		{"anything else", &pb.ExecutionError{Kind: pb.ExecutionError_ARITY_MISMATCH.Enum(), Description: ptr("arity")}, ErrExecution},
		{"nothing at all", nil, ErrExecution},
		{"certificate of another epoch", abort("messages", "new", 1, nil), chain.ErrStaleEpoch},
	}
	for _, c := range kinds {
		if err := failure(c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if !isOutdated(failure(abort("system", "inner", 1, nil))) || isOutdated(failure(abort("blob", "x", 1, nil))) {
		t.Error("only a superseded package is outdated")
	}
}
