package rpc

import (
	"encoding/base64"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
)

// effectsVersion is that of the effects that move.Effects lays out.
const effectsVersion = 2

func effectsOf(e *localnet.Executed) (*pb.TransactionEffects, error) {
	f := e.Effects
	bcs, err := move.Marshal(f)
	if err != nil {
		return nil, err
	}
	digest, err := f.Digest()
	if err != nil {
		return nil, err
	}
	out := &pb.TransactionEffects{
		Bcs: named("TransactionEffects", bcs), Digest: text(digest), Version: proto.Int32(effectsVersion),
		Status: executionOf(e), Epoch: proto.Uint64(f.Epoch), TransactionDigest: text(f.Transaction),
		GasUsed: &pb.GasCostSummary{
			ComputationCost: proto.Uint64(f.Gas.Computation), StorageCost: proto.Uint64(f.Gas.Storage),
			StorageRebate: proto.Uint64(f.Gas.Rebate), NonRefundableStorageFee: proto.Uint64(f.Gas.NonRefundable),
		},
		LamportVersion: proto.Uint64(f.Version),
	}
	for i := range f.Changed {
		change := changeOf(&f.Changed[i], f.Version)
		if i < len(e.Changes) {
			change.ObjectType = text(e.Changes[i].Type)
		}
		out.ChangedObjects = append(out.ChangedObjects, change)
	}
	if f.GasObject != nil && int(*f.GasObject) < len(out.ChangedObjects) {
		out.GasObject = proto.CloneOf(out.ChangedObjects[*f.GasObject])
	}
	if f.EventsDigest != nil {
		out.EventsDigest = text(f.EventsDigest)
	}
	if f.AuxDataDigest != nil {
		out.AuxiliaryDataDigest = text(f.AuxDataDigest)
	}
	for _, d := range f.Dependencies {
		out.Dependencies = append(out.Dependencies, d.String())
	}
	for _, u := range f.Unchanged {
		out.UnchangedConsensusObjects = append(out.UnchangedConsensusObjects, &pb.UnchangedConsensusObject{
			Kind: pb.UnchangedConsensusObject_READ_ONLY_ROOT.Enum(), ObjectId: text(u.ID), Version: proto.Uint64(u.Version), Digest: text(u.Digest),
		})
	}
	return out, nil
}

// changeOf returns the change of an object by a transaction that writes version.
func changeOf(c *move.ObjectChange, version uint64) *pb.ChangedObject {
	out := &pb.ChangedObject{
		ObjectId: text(c.ID), InputState: pb.ChangedObject_INPUT_OBJECT_STATE_DOES_NOT_EXIST.Enum(),
		OutputState: pb.ChangedObject_OUTPUT_OBJECT_STATE_DOES_NOT_EXIST.Enum(),
	}
	if c.Input != nil {
		out.InputState = pb.ChangedObject_INPUT_OBJECT_STATE_EXISTS.Enum()
		out.InputVersion, out.InputDigest, out.InputOwner = proto.Uint64(c.Input.Version), text(c.Input.Digest), ownerOf(c.Input.Owner)
	}
	if c.Output != nil {
		out.OutputState = pb.ChangedObject_OUTPUT_OBJECT_STATE_OBJECT_WRITE.Enum()
		if c.Output.Package != 0 {
			version = c.Output.Package
			out.OutputState = pb.ChangedObject_OUTPUT_OBJECT_STATE_PACKAGE_WRITE.Enum()
		}
		out.OutputVersion, out.OutputDigest, out.OutputOwner = proto.Uint64(version), text(c.Output.Digest), ownerOf(c.Output.Owner)
	}
	switch c.Operation {
	case move.IDNone:
		out.IdOperation = pb.ChangedObject_NONE.Enum()
	case move.IDCreated:
		out.IdOperation = pb.ChangedObject_CREATED.Enum()
	case move.IDDeleted:
		out.IdOperation = pb.ChangedObject_DELETED.Enum()
	}
	return out
}

// failureKinds are the kinds of failures in the numbers of the protocol.
var failureKinds = map[move.FailureKind]pb.ExecutionError_ExecutionErrorKind{
	move.FailedInsufficientGas:  pb.ExecutionError_INSUFFICIENT_GAS,
	move.FailedInvalidGasObject: pb.ExecutionError_INVALID_GAS_OBJECT,
	move.FailedInvariant:        pb.ExecutionError_INVARIANT_VIOLATION,
	move.FailedNotSupported:     pb.ExecutionError_FEATURE_NOT_YET_SUPPORTED,
	move.FailedObjectTooBig:     pb.ExecutionError_OBJECT_TOO_BIG,
	move.FailedCoinBalance:      pb.ExecutionError_INSUFFICIENT_COIN_BALANCE,
	move.FailedCoinOverflow:     pb.ExecutionError_COIN_BALANCE_OVERFLOW,
	move.FailedPrimitive:        pb.ExecutionError_MOVE_PRIMITIVE_RUNTIME_ERROR,
	move.FailedAbort:            pb.ExecutionError_MOVE_ABORT,
	move.FailedFunctionNotFound: pb.ExecutionError_FUNCTION_NOT_FOUND,
	move.FailedArity:            pb.ExecutionError_ARITY_MISMATCH,
	move.FailedTypeArity:        pb.ExecutionError_TYPE_ARITY_MISMATCH,
	move.FailedNonEntry:         pb.ExecutionError_NON_ENTRY_FUNCTION_INVOKED,
	move.FailedArgument:         pb.ExecutionError_COMMAND_ARGUMENT_ERROR,
	move.FailedTypeArgument:     pb.ExecutionError_TYPE_ARGUMENT_ERROR,
	move.FailedUnusedValue:      pb.ExecutionError_UNUSED_VALUE_WITHOUT_DROP,
	move.FailedModule:           pb.ExecutionError_VM_VERIFICATION_OR_DESERIALIZATION_ERROR,
	move.FailedUpgrade:          pb.ExecutionError_PACKAGE_UPGRADE_ERROR,
	move.FailedInvalidTransfer:  pb.ExecutionError_INVALID_TRANSFER_OBJECT,
	move.FailedSharedNotAllowed: pb.ExecutionError_CONSENSUS_OBJECT_OPERATION_NOT_ALLOWED,
}

// executionOf says whether a transaction did what it should, and if not, why, in the parts that a program needs.
func executionOf(e *localnet.Executed) *pb.ExecutionStatus {
	f := e.Effects.Status.Failure
	if f == nil {
		return &pb.ExecutionStatus{Success: proto.Bool(true)}
	}
	failure := &pb.ExecutionError{Description: proto.String(f.String()), Kind: failureKinds[f.Kind].Enum(), Command: f.Command}
	switch f.Kind {
	case move.FailedAbort, move.FailedPrimitive:
		if f.Location != nil {
			failure.ErrorDetails = &pb.ExecutionError_Abort{Abort: abortOf(e, f)}
		}
	case move.FailedArgument:
		failure.ErrorDetails = &pb.ExecutionError_CommandArgumentError{CommandArgumentError: argumentErrorOf(f)}
	case move.FailedUpgrade:
		failure.ErrorDetails = &pb.ExecutionError_PackageUpgradeError{PackageUpgradeError: upgradeErrorOf(&f.Upgrade)}
	case move.FailedTypeArgument:
		failure.ErrorDetails = &pb.ExecutionError_TypeArgumentError{TypeArgumentError: &pb.TypeArgumentError{
			TypeArgument: proto.Uint32(uint32(f.Index)), Kind: pb.TypeArgumentError_TypeArgumentErrorKind(f.TypeArgument + 1).Enum(),
		}}
	case move.FailedUnusedValue:
		failure.ErrorDetails = &pb.ExecutionError_IndexError{IndexError: &pb.IndexError{
			Index: proto.Uint32(uint32(f.Index)), Subresult: proto.Uint32(uint32(f.Secondary)),
		}}
	case move.FailedObjectTooBig:
		failure.ErrorDetails = &pb.ExecutionError_SizeError{SizeError: &pb.SizeError{Size: proto.Uint64(f.Size), MaxSize: proto.Uint64(f.MaxSize)}}
	}
	return &pb.ExecutionStatus{Success: proto.Bool(false), Error: failure}
}

// abortOf says which contract refused, and the contract's name of the code. The
// numbers of function and instruction are absent: there is no bytecode to count
// in, and a 0 would be shown to people as a place.
func abortOf(e *localnet.Executed, f *move.Failure) *pb.MoveAbort {
	out := &pb.MoveAbort{AbortCode: proto.Uint64(f.Code), Location: &pb.MoveLocation{
		Package: text(f.Location.Package), Module: proto.String(f.Location.Module), FunctionName: f.Location.FunctionName,
	}}
	if e.Abort != nil && e.Abort.Name != "" {
		out.CleverError = &pb.CleverError{ErrorCode: proto.Uint64(f.Code), ConstantName: proto.String(e.Abort.Name)}
	}
	return out
}

// upgradeErrorOf says why a package was not upgraded.
func upgradeErrorOf(e *move.UpgradeError) *pb.PackageUpgradeError {
	out := &pb.PackageUpgradeError{Kind: pb.PackageUpgradeError_PackageUpgradeErrorKind(e.Kind + 1).Enum()}
	switch e.Kind {
	case move.UpgradeNoPackage:
		out.PackageId = text(e.Package)
	case move.UpgradeDigest:
		out.Digest = proto.String(base64.StdEncoding.EncodeToString(e.Digest))
	case move.UpgradeOtherPackage:
		out.PackageId, out.TicketId = text(e.Package), text(e.Ticket)
	}
	return out
}

// argumentErrors are the kinds of errors of arguments in the numbers of the protocol. Those that it has no number for are 0.
var argumentErrors = map[uint8]pb.CommandArgumentError_CommandArgumentErrorKind{
	move.ArgumentTypeMismatch:     pb.CommandArgumentError_TYPE_MISMATCH,
	move.ArgumentInvalidBCS:       pb.CommandArgumentError_INVALID_BCS_BYTES,
	move.ArgumentPureUsage:        pb.CommandArgumentError_INVALID_USAGE_OF_PURE_ARGUMENT,
	move.ArgumentOutOfBounds:      pb.CommandArgumentError_INDEX_OUT_OF_BOUNDS,
	move.ArgumentSecondaryBounds:  pb.CommandArgumentError_SECONDARY_INDEX_OUT_OF_BOUNDS,
	move.ArgumentResultArity:      pb.CommandArgumentError_INVALID_RESULT_ARITY,
	move.ArgumentGasUsage:         pb.CommandArgumentError_INVALID_GAS_COIN_USAGE,
	move.ArgumentValueUsage:       pb.CommandArgumentError_INVALID_VALUE_USAGE,
	move.ArgumentObjectByValue:    pb.CommandArgumentError_INVALID_OBJECT_BY_VALUE,
	move.ArgumentObjectByMutRef:   pb.CommandArgumentError_INVALID_OBJECT_BY_MUT_REF,
	move.ArgumentSharedNotAllowed: pb.CommandArgumentError_CONSENSUS_OBJECT_OPERATION_NOT_ALLOWED,
}

func argumentErrorOf(f *move.Failure) *pb.CommandArgumentError {
	out := &pb.CommandArgumentError{Argument: proto.Uint32(uint32(f.Index)), Kind: argumentErrors[f.Argument.Kind].Enum()}
	switch f.Argument.Kind {
	case move.ArgumentOutOfBounds, move.ArgumentResultArity:
		out.IndexError = &pb.IndexError{Index: proto.Uint32(uint32(f.Argument.Index))}
	case move.ArgumentSecondaryBounds:
		out.IndexError = &pb.IndexError{Index: proto.Uint32(uint32(f.Argument.Index)), Subresult: proto.Uint32(uint32(f.Argument.Secondary))}
	}
	return out
}
