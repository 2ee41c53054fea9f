package contract

// The abort codes of staking, committees and votes. Source: Walrus contracts
// version 3, and the Sui framework for package.
var (
	stakingWrongVersion = code{"staking", 1, "EWrongVersion"}
	stakingMigration    = code{"staking", 0, "EInvalidMigration"}
	stakingDeprecated   = code{"staking", 2, "EDeprecatedFunction"}

	stakingEpochState   = code{"staking_inner", 0, "EWrongEpochState"}
	stakingSyncEpoch    = code{"staking_inner", 1, "EInvalidSyncEpoch"}
	stakingDuplicate    = code{"staking_inner", 2, "EDuplicateSyncDone"}
	stakingNoStake      = code{"staking_inner", 3, "ENoStake"}
	stakingNotInvolved  = code{"staking_inner", 4, "ENotInCommittee"}
	stakingSelected     = code{"staking_inner", 5, "ECommitteeSelected"}
	stakingNextEmpty    = code{"staking_inner", 6, "ENextCommitteeIsEmpty"}
	stakingPoolNotFound = code{"staking_inner", 8, "EPoolNotFound"}
	stakingZeroWeight   = code{"staking_inner", 9, "EZeroNodeWeight"}
	stakingNodeOrder    = code{"staking_inner", 10, "EIncorrectNodeOrder"}
	stakingLengths      = code{"staking_inner", bareAssertion, ""}

	activeSetZeroSize = code{"active_set", 0, "EZeroMaxSize"}

	committeeAssignment = code{"committee", 0, "EInvalidShardAssignment"}

	queueEmpty = code{"apportionment_queue", 0, "EPopFromEmptyHeap"}

	nodeNetworkKey = code{"storage_node", 0, "EInvalidNetworkPublicKey"}

	poolAlreadyUpdated   = code{"staking_pool", 0, "EPoolAlreadyUpdated"}
	poolCalculation      = code{"staking_pool", 1, "ECalculationError"}
	poolAdvance          = code{"staking_pool", 2, "EIncorrectEpochAdvance"}
	poolProof            = code{"staking_pool", 4, "EInvalidProofOfPossession"}
	poolNotActive        = code{"staking_pool", 6, "EPoolIsNotActive"}
	poolZeroStake        = code{"staking_pool", 7, "EZeroStake"}
	poolNotStaked        = code{"staking_pool", 8, "ENotStaked"}
	poolNotWithdrawing   = code{"staking_pool", 10, "ENotWithdrawing"}
	poolWithdrawEpoch    = code{"staking_pool", 11, "EWithdrawEpochNotReached"}
	poolNotActivated     = code{"staking_pool", 12, "EActivationEpochNotReached"}
	poolWithdrawDirectly = code{"staking_pool", 13, "EWithdrawDirectly"}
	poolCommission       = code{"staking_pool", 14, "EIncorrectCommissionRate"}
	poolAuthorization    = code{"staking_pool", 15, "EAuthorizationFailure"}
	poolAddressLength    = code{"staking_pool", 16, "EInvalidNetworkAddressLength"}
	poolNameLength       = code{"staking_pool", 17, "EInvalidNameLength"}
	poolZeroShares       = code{"staking_pool", 18, "EZeroShares"}

	exchangeInvalidRate = code{"pool_exchange_rate", 0, "EInvalidRate"}

	pendingIncorrectValue = code{"pending_values", 0, "EIncorrectValue"}

	stakedMismatch           = code{"staked_wal", 1, "EMetadataMismatch"}
	stakedInvalidAmount      = code{"staked_wal", 2, "EInvalidAmount"}
	stakedAlreadyWithdrawing = code{"staked_wal", 6, "EAlreadyWithdrawing"}
	stakedThreshold          = code{"staked_wal", 7, "EStakeBelowThreshold"}

	slashingNotAuthorized = code{"slashing", 0, "ENotAuthorized"}
	slashingDuplicate     = code{"slashing", 1, "EDuplicateVote"}
	slashingNoProposal    = code{"slashing", 2, "ENoProposalForNode"}
	slashingWrongEpoch    = code{"slashing", 3, "EWrongEpoch"}
	slashingNotEnough     = code{"slashing", 4, "ENotEnoughVotes"}

	upgradeManager       = code{"upgrade", 0, "EInvalidUpgradeManager"}
	upgradeNotAuthorized = code{"upgrade", 1, "ENotAuthorized"}
	upgradeDuplicate     = code{"upgrade", 2, "EDuplicateVote"}
	upgradeDigest        = code{"upgrade", 3, "EInvalidPackageDigest"}
	upgradeNoProposal    = code{"upgrade", 4, "ENoProposalForDigest"}
	upgradeWrongEpoch    = code{"upgrade", 5, "EWrongEpoch"}
	upgradeNotEnough     = code{"upgrade", 6, "ENotEnoughVotes"}
	upgradeWrongVersion  = code{"upgrade", 7, "EWrongVersion"}

	packageAuthorized    = code{"package", 2, "EAlreadyAuthorized"}
	packageNotAuthorized = code{"package", 3, "ENotAuthorized"}
	packageWrongCap      = code{"package", 4, "EWrongUpgradeCap"}

	initMigration = code{"init", 0, "EInvalidMigration"}
)
