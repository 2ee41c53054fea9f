package ptb

import (
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// nodeSubsidiesModule is the package that adds to what nodes earn.
var nodeSubsidiesModule = module{inSubsidies, "walrus_subsidies", []declared{
	{"new(&System, &Staking, u32, u64, u64, ctx): walrus_subsidies::AdminCap",
		func(tx *overlay.Tx, sys *move.System, s *move.Staking, rate uint32, perNode, perShard uint64) (*move.SubsidiesAdminCap, error) {
			return contract.CreateWalrusSubsidies(tx, sys, s, tx.Types.Subsidies, rate, perNode, perShard)
		}},
	{"add_coin(&mut WalrusSubsidies, Coin<WAL>)", contract.AddSubsidiesCoin},
	{"add_balance(&mut WalrusSubsidies, Balance<WAL>)", contract.AddSubsidiesBalance},
	{"set_system_subsidy_rate(&mut WalrusSubsidies, &walrus_subsidies::AdminCap, u32)", contract.SetUsageSubsidyRate},
	{"set_base_subsidy(&mut WalrusSubsidies, &walrus_subsidies::AdminCap, u64)", contract.SetBaseSubsidy},
	{"set_per_shard_subsidy(&mut WalrusSubsidies, &walrus_subsidies::AdminCap, u64)", contract.SetPerShardSubsidy},
	{"process_subsidies(&mut WalrusSubsidies, &mut Staking, &mut System, &Clock)", contract.ProcessSubsidies},
}}

// buyerSubsidiesModule is the older package, which pays a part of what buyers pay.
var buyerSubsidiesModule = module{inBuyers, "subsidies", []declared{
	{"new(ID, ctx): subsidies::AdminCap", contract.CreateEmptyBuyerSubsidies},
	{"new_with_initial_rates_and_funds(ID, u16, u16, Coin<WAL>, ctx): subsidies::AdminCap", contract.CreateBuyerSubsidies},
	{"add_funds(&mut Subsidies, Coin<WAL>)", contract.AddBuyerFunds},
	{"set_buyer_subsidy_rate(&mut Subsidies, &subsidies::AdminCap, u16)", contract.SetBuyerSubsidyRate},
	{"set_system_subsidy_rate(&mut Subsidies, &subsidies::AdminCap, u16)", contract.SetSystemSubsidyRate},
	{"withdraw_balance(&mut Subsidies, &subsidies::AdminCap): Balance<WAL>", contract.WithdrawBuyerFunds},
	{"extend_blob(&mut Subsidies, &mut System, &mut Blob, u32, &mut Coin<WAL>, ctx)", contract.SubsidisedExtendBlob},
	{"reserve_space(&mut Subsidies, &mut System, u64, u32, &mut Coin<WAL>, ctx): Storage", contract.SubsidisedReserveSpace},
	{"register_blob(&mut Subsidies, &mut System, Storage, u256, u256, u64, u8, bool, &mut Coin<WAL>, ctx): Blob",
		contract.SubsidisedRegisterBlob},
}}

// walModule is the currency.
var walModule = module{inWAL, "wal", []declared{
	{"burn(&mut ProtectedTreasury, Coin<WAL>)", contract.BurnWAL},
	{"total_supply(&ProtectedTreasury): u64", contract.TotalSupply},
}}
