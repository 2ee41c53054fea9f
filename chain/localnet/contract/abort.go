// Package contract holds the rules of the Walrus contracts, version 3, as Go
// functions on a transaction: reservations, registrations, certificates,
// attributes, shared blobs, storage pools, payments, storage nodes, stake,
// commission, committees, epochs, votes, and beside them the packages of WAL,
// of the exchange and of subsidies.
//
// Each function does what the Move function named in its comment does: the
// same checks in the same order with the same abort codes, the same new
// objects in the same order, the same events. References are pointers that
// the caller borrowed from the transaction; a value that Move takes by value
// is one that the caller took, and a value that Move returns is held when the
// function returns. A Balance is a number, which the caller must not lose.
//
// Types and keys that came with a later version of the package are named after
// the original one here, and on the networks after that version.
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
	systemWrongVersion = code{"system", 1, "EWrongVersion"}

	systemMigration   = code{"system", 0, "EInvalidMigration"}
	systemZeroExtract = code{"system", 2, "EZeroExtractSize"}

	innerMaxEpochsAhead  = code{"system_state_inner", 0, "EInvalidMaxEpochsAhead"}
	innerStorageExceeded = code{"system_state_inner", 1, "EStorageExceeded"}
	innerEpochsAhead     = code{"system_state_inner", 2, "EInvalidEpochsAhead"}
	innerIDEpoch         = code{"system_state_inner", 3, "EInvalidIdEpoch"}
	innerCommittee       = code{"system_state_inner", 4, "EIncorrectCommittee"}
	innerAccountingEpoch = code{"system_state_inner", 5, "EInvalidAccountingEpoch"}
	innerAttestation     = code{"system_state_inner", 6, "EIncorrectAttestation"}
	innerRepeated        = code{"system_state_inner", 7, "ERepeatedAttestation"}
	innerNotMember       = code{"system_state_inner", 8, "ENotCommitteeMember"}
	innerDenySequence    = code{"system_state_inner", 9, "EIncorrectDenyListSequence"}
	innerDenyNode        = code{"system_state_inner", 10, "EIncorrectDenyListNode"}
	innerResourceSize    = code{"system_state_inner", 11, "EInvalidResourceSize"}
	innerStartEpoch      = code{"system_state_inner", 12, "EInvalidStartEpoch"}

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

	storagePoolNotDeletable = code{"storage_pool", 0, "EBlobNotDeletable"}
	storagePoolBounds       = code{"storage_pool", 1, "EResourceBounds"}
	storagePoolCertified    = code{"storage_pool", 2, "EAlreadyCertified"}
	storagePoolBlobID       = code{"storage_pool", 3, "EInvalidBlobId"}
	storagePoolPersistence  = code{"storage_pool", 4, "EInvalidBlobPersistenceType"}
	storagePoolObject       = code{"storage_pool", 5, "EInvalidBlobObject"}
	storagePoolCapacity     = code{"storage_pool", 6, "EInsufficientCapacity"}
	storagePoolNotEmpty     = code{"storage_pool", 7, "EPoolNotEmpty"}
	storagePoolBlobSize     = code{"storage_pool", 8, "EInvalidBlobSize"}
	storagePoolBlobCount    = code{"storage_pool", 9, "EInvalidBlobCount"}
	storagePoolVersion      = code{"storage_pool", 10, "EWrongVersion"}
	storagePoolEnd          = code{"storage_pool", 11, "EIncompatibleEndEpoch"}
	storagePoolPercent      = code{"storage_pool", 14, "EInvalidPercent"}

	resourceEpoch      = code{"storage_resource", 0, "EInvalidEpoch"}
	resourceEpochs     = code{"storage_resource", 1, "EIncompatibleEpochs"}
	resourceAmount     = code{"storage_resource", 2, "EIncompatibleAmount"}
	resourceEpochRange = code{"storage_resource", 3, "EInvalidEpochRange"}

	exchangeFunds = code{"wal_exchange", 0, "EInsufficientFundsInExchange"}
	exchangeInput = code{"wal_exchange", 1, "EInsufficientInputBalance"}
	exchangeAdmin = code{"wal_exchange", 2, "EUnauthorizedAdminCap"}
	exchangeRate  = code{"wal_exchange", 3, "EInvalidExchangeRate"}

	buyersRate    = code{"subsidies", 0, "EInvalidSubsidyRate"}
	buyersAdmin   = code{"subsidies", 1, "EUnauthorizedAdminCap"}
	buyersVersion = code{"subsidies", 2, "EWrongVersion"}

	subsidiesAdmin   = code{"walrus_subsidies", 0, "EUnauthorizedAdminCap"}
	subsidiesVersion = code{"walrus_subsidies", 1, "EWrongVersion"}
	subsidiesRate    = code{"walrus_subsidies_inner", 0, "EInvalidSubsidyRate"}
	subsidiesFunds   = code{"walrus_subsidies_inner", 1, "EInsufficientFundsInPool"}

	balanceNonZero   = code{"balance", 0, "ENonZero"}
	balanceOverflow  = code{"balance", 1, "EOverflow"}
	balanceNotEnough = code{"balance", 2, "ENotEnough"}
	bcsOutOfRange    = code{"bcs", 0, "EOutOfRange"}
	mapNoSuchKey     = code{"vec_map", 1, "EKeyDoesNotExist"}
)

// bareAssertion is the code of an assertion that has none of its own, without
// the line number that Move puts into it. Source: Move, clever errors.
const bareAssertion = 0x8000_0000_ffff_ffff

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
