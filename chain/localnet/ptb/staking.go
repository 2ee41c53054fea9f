package ptb

import (
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

var stakingModule = module{inWalrus, "staking", []declared{
	{"register_candidate(&mut Staking, String, String, NodeMetadata, vector<u8>, vector<u8>, vector<u8>, u16, u64, u64, u64, ctx): StorageNodeCap",
		registerCandidate},
	{"stake_with_pool(&mut Staking, Coin<WAL>, ID, ctx): StakedWal", contract.StakeWithPool},
	{"request_withdraw_stake(&mut Staking, &mut StakedWal)", contract.RequestWithdrawStake},
	{"withdraw_stake(&mut Staking, StakedWal, ctx): Coin<WAL>", contract.WithdrawStake},
	{"can_withdraw_staked_wal_early(&Staking, &StakedWal): bool", contract.CanWithdrawEarly},
	{"calculate_rewards(&Staking, ID, u64, u32, u32): u64", contract.CalculateRewards},
	{"try_join_active_set(&mut Staking, &StorageNodeCap)", contract.TryJoinActiveSet},
	{"set_storage_price_vote(&mut Staking, &StorageNodeCap, u64)", contract.SetStoragePriceVote},
	{"set_write_price_vote(&mut Staking, &StorageNodeCap, u64)", contract.SetWritePriceVote},
	{"set_node_capacity_vote(&mut Staking, &StorageNodeCap, u64)", contract.SetNodeCapacityVote},
	{"update_prices(&mut Staking, &mut System)", contract.UpdatePrices},
	{"set_next_commission(&mut Staking, &StorageNodeCap, u16)", contract.SetNextCommission},
	{"collect_commission(&mut Staking, ID, Authenticated, ctx): Coin<WAL>", contract.CollectCommission},
	{"set_commission_receiver(&mut Staking, ID, Authenticated, Authorized)", contract.SetCommissionReceiver},
	{"set_governance_authorized(&mut Staking, ID, Authenticated, Authorized)", contract.SetGovernanceAuthorized},
	{"add_commission_to_pools(&mut Staking, vector<ID>, vector<Balance<WAL>>)", contract.AddCommissionToPools},
	{"set_name(&mut Staking, &StorageNodeCap, String)", contract.SetName},
	{"set_network_address(&mut Staking, &StorageNodeCap, String)", contract.SetNetworkAddress},
	{"set_network_public_key(&mut Staking, &StorageNodeCap, vector<u8>)", contract.SetNetworkPublicKey},
	{"node_metadata(&Staking, ID): NodeMetadata", contract.NodeMetadata},
	{"set_node_metadata(&mut Staking, &StorageNodeCap, NodeMetadata)", contract.SetNodeMetadata},
	{"set_next_public_key(&mut Staking, &StorageNodeCap, vector<u8>, vector<u8>, ctx)", contract.SetNextPublicKey},
	{"set_migration_epoch(&mut Staking)", contract.SetMigrationEpoch},
	{"voting_end(&mut Staking, &Clock)", contract.VotingEnd},
	{"initiate_epoch_change(&mut Staking, &mut System, &Clock)", func(*move.Staking, *move.System, *move.Clock) error {
		return contract.InitiateEpochChangeWithoutBurn()
	}},
	{"initiate_epoch_change_v2(&mut Staking, &mut System, &mut ProtectedTreasury, &Clock, ctx)", contract.InitiateEpochChange},
	{"epoch_sync_done(&mut Staking, &mut StorageNodeCap, u32, &Clock)", contract.EpochSyncDone},
	{"epoch(&Staking): u32", func(tx *overlay.Tx, s *move.Staking) (uint32, error) {
		inner, err := contract.StakingInner(tx, s)
		if err != nil {
			return 0, err
		}
		return inner.Epoch, nil
	}},
}}

func registerCandidate(tx *overlay.Tx, s *move.Staking, name, address string, metadata move.NodeMetadata,
	publicKey, networkKey, proof []byte, commission uint16, storagePrice, writePrice, capacity uint64) (*move.NodeCap, error) {
	return contract.RegisterCandidate(tx, s, contract.Candidate{
		Name: name, NetworkAddress: address, Metadata: metadata, PublicKey: publicKey, NetworkKey: networkKey, Proof: proof,
		CommissionRate: commission,
		Votes:          move.VotingParams{StoragePrice: storagePrice, WritePrice: writePrice, NodeCapacity: capacity},
	})
}

var stakedModule = module{inWalrus, "staked_wal", []declared{
	{"node_id(&StakedWal): ID", func(s *move.StakedWAL) move.ID { return s.Node }},
	{"value(&StakedWal): u64", func(s *move.StakedWAL) uint64 { return s.Principal }},
	{"split(&mut StakedWal, u64, ctx): StakedWal", contract.SplitStaked},
	{"join(&mut StakedWal, StakedWal)", contract.JoinStaked},
	{"activation_epoch(&StakedWal): u32", func(s *move.StakedWAL) uint32 { return s.ActivationEpoch }},
}}

var nodeMetadataModule = module{inWalrus, "node_metadata", []declared{
	{"new(String, String, String): NodeMetadata", contract.NewNodeMetadata},
}}
