package sui

import (
	"errors"
	"fmt"
	"strings"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/chain"
)

// The errors of a client, besides those of package chain.
var (
	// ErrOtherChain reports a full node of another chain than the drive is on. Nothing is signed for it.
	ErrOtherChain = errors.New("full node is of another chain")
	// ErrExecution reports a transaction that failed for a reason that is no abort of a contract.
	ErrExecution = errors.New("transaction failed")
	// ErrLocked reports an object that another transaction of the same key has
	// locked. It is free again when the other one is through, or at the end of Sui's epoch.
	ErrLocked = errors.New("object is locked by another transaction")
	// ErrForgotten reports a transaction that was executed so long ago that the
	// full node does not tell any more what it did.
	ErrForgotten = errors.New("transaction was executed, but the full node has forgotten it")
	// ErrAway reports a full node that does not answer, or is too busy to.
	ErrAway = errors.New("full node does not answer")
	// ErrBehind reports a full node that has not heard yet of what this client did. It will.
	ErrBehind = errors.New("full node is behind")
	// ErrUnknown reports something that the profile of a network does not name.
	ErrUnknown = errors.New("not known on this network")
	// ErrNoGas reports that the owner's SUI do not cover the gas. It matches chain.ErrNoFunds.
	ErrNoGas = fmt.Errorf("not enough SUI for gas: %w", chain.ErrNoFunds)
)

// FundsError reports what a transaction takes and the owner does not have. It
// matches chain.ErrNoFunds, and ErrNoGas when SUI are missing.
type FundsError struct {
	SUI        bool // else WAL
	Need, Have uint64
}

func (e *FundsError) Error() string {
	if e.SUI {
		return fmt.Sprintf("%d MIST are to be paid or reserved for gas, the wallet has %d: %s", e.Need, e.Have, ErrNoGas)
	}
	return fmt.Sprintf("%d FROST are to be paid, the wallet has %d: %s", e.Need, e.Have, chain.ErrNoFunds)
}

// Unwrap returns the error that callers branch on.
func (e *FundsError) Unwrap() error {
	if e.SUI {
		return ErrNoGas
	}
	return chain.ErrNoFunds
}

// failure turns the status of a failed transaction into an error.
func failure(e *pb.ExecutionError) error {
	if abort := e.GetAbort(); abort != nil {
		return abortError(abort)
	}
	text := strings.TrimSpace(strings.ToLower(e.GetKind().String()) + " " + e.GetDescription())
	if e != nil && e.Command != nil {
		text = fmt.Sprintf("command %d: %s", e.GetCommand(), text)
	}
	switch e.GetKind() {
	case pb.ExecutionError_INSUFFICIENT_COIN_BALANCE:
		return fmt.Errorf("%s: %w", text, chain.ErrNoFunds)
	case pb.ExecutionError_INSUFFICIENT_GAS:
		return fmt.Errorf("%s: %w", text, ErrNoGas)
	case pb.ExecutionError_INPUT_OBJECT_DELETED:
		return fmt.Errorf("%s: %w", text, chain.ErrNotExist)
	}
	return fmt.Errorf("%s: %w", text, ErrExecution)
}

// abortError turns the abort of a Move function into the error of package chain.
func abortError(a *pb.MoveAbort) error {
	at := a.GetLocation()
	e := &chain.AbortError{Module: at.GetModule(), Function: at.GetFunctionName(), Code: a.GetAbortCode(),
		Name: a.GetCleverError().GetConstantName()}
	if code := a.GetCleverError().GetErrorCode(); a.GetCleverError() != nil && a.GetCleverError().ErrorCode != nil {
		e.Code = code
	}
	if e.Name == "" {
		e.Name = abortName(e.Module, e.Code)
	}
	if e.Module == "balance" && e.Name == "ENotEnough" {
		return fmt.Errorf("coins do not cover the price: %w: %w", chain.ErrNoFunds, e)
	}
	return e
}

// isOutdated tells whether a call went to a package that has been superseded.
func isOutdated(err error) bool {
	var abort *chain.AbortError
	return errors.As(err, &abort) && (abort.Module == "system" || abort.Module == "staking") && abort.Name == "EWrongVersion"
}

// abortName returns the contract's name of an abort code, or a number.
func abortName(module string, code uint64) string {
	if name, ok := abortNames[module][code]; ok {
		return name
	}
	return fmt.Sprintf("code %d", code)
}

// abortNames are the abort codes that people meet, by module. Source: Walrus
// contracts version 3, and the Sui framework for balance and vec_map.
var abortNames = map[string]map[uint64]string{
	"system":  {1: "EWrongVersion"},
	"staking": {1: "EWrongVersion"},
	"system_state_inner": {0: "EInvalidMaxEpochsAhead", 1: "EStorageExceeded", 2: "EInvalidEpochsAhead",
		3: "EInvalidIdEpoch", 4: "EIncorrectCommittee", 5: "EInvalidAccountingEpoch", 11: "EInvalidResourceSize"},
	"blob": {0: "ENotCertified", 1: "EBlobNotDeletable", 2: "EResourceBounds", 3: "EResourceSize",
		5: "EAlreadyCertified", 6: "EInvalidBlobId", 7: "EDuplicateMetadata", 8: "EMissingMetadata",
		9: "EInvalidBlobPersistenceType", 10: "EInvalidBlobObject"},
	"encoding":      {0: "EInvalidEncodingType"},
	"bls_aggregate": {0: "EInvalidBitmap", 1: "ESigVerification", 2: "ENotEnoughStake", 3: "EIncorrectCommittee"},
	"messages": {0: "EIncorrectAppId", 1: "EIncorrectEpoch", 2: "EInvalidMsgType", 3: "EIncorrectIntentVersion",
		4: "EInvalidBlobPersistenceType", 6: "EInvalidKeyLength"},
	"storage_resource": {0: "EInvalidEpoch", 1: "EIncompatibleEpochs", 2: "EIncompatibleAmount", 3: "EInvalidEpochRange"},
	"staking_inner": {0: "EWrongEpochState", 1: "EInvalidSyncEpoch", 2: "EDuplicateSyncDone", 3: "ENoStake",
		4: "ENotInCommittee", 5: "ECommitteeSelected"},
	"staked_wal": {1: "EMetadataMismatch", 2: "EInvalidAmount", 6: "EAlreadyWithdrawing", 7: "EStakeBelowThreshold"},
	"staking_pool": {0: "EPoolAlreadyUpdated", 2: "EIncorrectEpochAdvance", 4: "EInvalidProofOfPossession",
		6: "EPoolIsNotActive", 7: "EZeroStake", 8: "ENotStaked", 10: "ENotWithdrawing", 11: "EWithdrawEpochNotReached",
		12: "EActivationEpochNotReached", 13: "EWithdrawDirectly", 15: "EAuthorizationFailure", 18: "EZeroShares"},
	"slashing": {0: "ENotAuthorized", 1: "EDuplicateVote", 2: "ENoProposalForNode", 3: "EWrongEpoch", 4: "ENotEnoughVotes"},
	"upgrade": {0: "EInvalidUpgradeManager", 1: "ENotAuthorized", 2: "EDuplicateVote", 3: "EInvalidPackageDigest",
		4: "ENoProposalForDigest", 5: "EWrongEpoch", 6: "ENotEnoughVotes", 7: "EWrongVersion"},
	"balance": {0: "ENonZero", 1: "EOverflow", 2: "ENotEnough"},
	"vec_map": {1: "EKeyDoesNotExist"},
}
