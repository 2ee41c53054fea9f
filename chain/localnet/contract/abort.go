// Package contract holds the rules of the Walrus contracts, version 3, as Go
// functions on a transaction: reservations, registrations, certificates,
// attributes, payments, storage nodes, stake and epochs.
//
// Each function does what the Move function named in its comment does: the
// same checks in the same order with the same abort codes, the same new
// objects in the same order, the same events. References are pointers that
// the caller borrowed from the transaction; a value that Move takes by value
// is one that the caller took, and a value that Move returns is held when the
// function returns.
//
// Left out is what no drive needs before nodes can come and go: withdrawing
// stake, moving shards, voting on upgrades and slashing, shared blobs, storage
// pools, deny lists. The committee is fixed: the first one serves all epochs.
package contract

import (
	"math/bits"

	"github.com/walfs/walfs/chain"
)

// code is an abort code of a Move module.
type code struct {
	module string
	number uint64
	name   string
}

// in returns the abort of this code in a function of its module.
func (c code) in(function string) error {
	return &chain.AbortError{Module: c.module, Function: function, Code: c.number, Name: c.name}
}

// The abort codes that the functions of this package use. Source: Walrus
// contracts version 3, and the Sui framework for balance, bcs and vec_map.
var (
	systemWrongVersion  = code{"system", 1, "EWrongVersion"}
	stakingWrongVersion = code{"staking", 1, "EWrongVersion"}

	innerMaxEpochsAhead  = code{"system_state_inner", 0, "EInvalidMaxEpochsAhead"}
	innerStorageExceeded = code{"system_state_inner", 1, "EStorageExceeded"}
	innerEpochsAhead     = code{"system_state_inner", 2, "EInvalidEpochsAhead"}
	innerCommittee       = code{"system_state_inner", 4, "EIncorrectCommittee"}
	innerAccountingEpoch = code{"system_state_inner", 5, "EInvalidAccountingEpoch"}
	innerResourceSize    = code{"system_state_inner", 11, "EInvalidResourceSize"}

	accountingTooFar = code{"storage_accounting", 0, "ETooFarInFuture"}

	blobNotCertified      = code{"blob", 0, "ENotCertified"}
	blobNotDeletable      = code{"blob", 1, "EBlobNotDeletable"}
	blobResourceBounds    = code{"blob", 2, "EResourceBounds"}
	blobResourceSize      = code{"blob", 3, "EResourceSize"}
	blobAlreadyCertified  = code{"blob", 5, "EAlreadyCertified"}
	blobInvalidID         = code{"blob", 6, "EInvalidBlobId"}
	blobDuplicateMetadata = code{"blob", 7, "EDuplicateMetadata"}
	blobMissingMetadata   = code{"blob", 8, "EMissingMetadata"}
	blobPersistence       = code{"blob", 9, "EInvalidBlobPersistenceType"}
	blobInvalidObject     = code{"blob", 10, "EInvalidBlobObject"}

	encodingInvalidType = code{"encoding", 0, "EInvalidEncodingType"}

	blsInvalidBitmap      = code{"bls_aggregate", 0, "EInvalidBitmap"}
	blsSignature          = code{"bls_aggregate", 1, "ESigVerification"}
	blsNotEnoughStake     = code{"bls_aggregate", 2, "ENotEnoughStake"}
	blsIncorrectCommittee = code{"bls_aggregate", 3, "EIncorrectCommittee"}

	messageAppID         = code{"messages", 0, "EIncorrectAppId"}
	messageEpoch         = code{"messages", 1, "EIncorrectEpoch"}
	messageType          = code{"messages", 2, "EInvalidMsgType"}
	messageIntentVersion = code{"messages", 3, "EIncorrectIntentVersion"}
	messagePersistence   = code{"messages", 4, "EInvalidBlobPersistenceType"}
	messageKeyLength     = code{"messages", 6, "EInvalidKeyLength"}

	resourceEpoch      = code{"storage_resource", 0, "EInvalidEpoch"}
	resourceEpochs     = code{"storage_resource", 1, "EIncompatibleEpochs"}
	resourceAmount     = code{"storage_resource", 2, "EIncompatibleAmount"}
	resourceEpochRange = code{"storage_resource", 3, "EInvalidEpochRange"}

	stakingEpochState   = code{"staking_inner", 0, "EWrongEpochState"}
	stakingSyncEpoch    = code{"staking_inner", 1, "EInvalidSyncEpoch"}
	stakingDuplicate    = code{"staking_inner", 2, "EDuplicateSyncDone"}
	stakingNoStake      = code{"staking_inner", 3, "ENoStake"}
	stakingNotInvolved  = code{"staking_inner", 4, "ENotInCommittee"}
	stakingSelected     = code{"staking_inner", 5, "ECommitteeSelected"}
	stakingNextEmpty    = code{"staking_inner", 6, "ENextCommitteeIsEmpty"}
	stakingZeroWeight   = code{"staking_inner", 9, "EZeroNodeWeight"}
	stakingNodeOrder    = code{"staking_inner", 10, "EIncorrectNodeOrder"}
	activeSetZeroSize   = code{"active_set", 0, "EZeroMaxSize"}
	exchangeInvalidRate = code{"pool_exchange_rate", 0, "EInvalidRate"}
	stakedInvalidAmount = code{"staked_wal", 2, "EInvalidAmount"}

	poolAlreadyUpdated = code{"staking_pool", 0, "EPoolAlreadyUpdated"}
	poolAdvance        = code{"staking_pool", 2, "EIncorrectEpochAdvance"}
	poolProof          = code{"staking_pool", 4, "EInvalidProofOfPossession"}
	poolNotActive      = code{"staking_pool", 6, "EPoolIsNotActive"}
	poolZeroStake      = code{"staking_pool", 7, "EZeroStake"}
	poolCommission     = code{"staking_pool", 14, "EIncorrectCommissionRate"}
	poolAddressLength  = code{"staking_pool", 16, "EInvalidNetworkAddressLength"}
	poolNameLength     = code{"staking_pool", 17, "EInvalidNameLength"}

	nodeNetworkKey = code{"storage_node", 0, "EInvalidNetworkPublicKey"}

	balanceNonZero   = code{"balance", 0, "ENonZero"}
	balanceOverflow  = code{"balance", 1, "EOverflow"}
	balanceNotEnough = code{"balance", 2, "ENotEnough"}
	bcsOutOfRange    = code{"bcs", 0, "EOutOfRange"}
	mapNoSuchKey     = code{"vec_map", 1, "EKeyDoesNotExist"}
)

// arithmeticError is the status of a sum or product that does not fit its
// type. Source: Move, StatusCode::ARITHMETIC_ERROR.
const arithmeticError = 4017

func overflow(module, function string) error {
	return code{module, arithmeticError, "ARITHMETIC_ERROR"}.in(function)
}

// add returns a+b or aborts as Move does when the sum does not fit.
func add(module, function string, a, b uint64) (uint64, error) {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return 0, overflow(module, function)
	}
	return sum, nil
}

// mul returns a*b or aborts as Move does when the product does not fit.
func mul(module, function string, a, b uint64) (uint64, error) {
	high, low := bits.Mul64(a, b)
	if high != 0 {
		return 0, overflow(module, function)
	}
	return low, nil
}

// scale returns a*b/c with a product of 128 bits, or aborts when the quotient does not fit.
func scale(module, function string, a, b, c uint64) (uint64, error) {
	high, low := bits.Mul64(a, b)
	if high >= c {
		return 0, overflow(module, function)
	}
	q, _ := bits.Div64(high, low, c)
	return q, nil
}
