package ptb

import (
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

var sharedBlobModule = module{inWalrus, "shared_blob", []declared{
	{"new(Blob, ctx)", func(tx *overlay.Tx, b *move.Blob) error {
		_, err := contract.NewSharedBlob(tx, b)
		return err
	}},
	{"new_funded(Blob, Coin<WAL>, ctx)", func(tx *overlay.Tx, b *move.Blob, funds *move.Coin) error {
		_, err := contract.NewFundedSharedBlob(tx, b, funds)
		return err
	}},
	{"fund(&mut SharedBlob, Coin<WAL>)", contract.FundSharedBlob},
	{"extend(&mut SharedBlob, &mut System, u32, ctx)", contract.ExtendSharedBlob},
}}

var storagePoolModule = module{inWalrus, "storage_pool", []declared{
	{"destroy(StoragePool): Storage", contract.DestroyStoragePool},
}}

// systemPoolModule is the functions of module system on storage pools.
var systemPoolModule = module{inWalrus, "system", []declared{
	{"create_storage_pool(&mut System, u64, u32, &mut Coin<WAL>, ctx): StoragePool", contract.CreateStoragePool},
	{"create_storage_pool_with_storage(&System, Storage, ctx): StoragePool", contract.CreateStoragePoolWithStorage},
	{"extend_storage_pool(&mut System, &mut StoragePool, u32, &mut Coin<WAL>)", contract.ExtendStoragePool},
	{"increase_storage_pool_capacity(&mut System, &mut StoragePool, u64, &mut Coin<WAL>)", contract.IncreaseStoragePoolCapacity},
	{"increase_storage_pool_capacity_with_storage(&System, &mut StoragePool, Storage)", contract.IncreaseStoragePoolCapacityWithStorage},
	{"decrease_storage_pool_capacity_by_size(&System, &mut StoragePool, u64, ctx): Storage", contract.DecreaseStoragePoolCapacityBySize},
	{"decrease_storage_pool_unused_capacity_by_percent(&System, &mut StoragePool, u8, ctx): Storage",
		contract.DecreaseStoragePoolUnusedCapacityByPercent},
	{"register_pooled_blob(&mut System, &mut StoragePool, u256, u256, u64, u8, bool, &mut Coin<WAL>, ctx)", contract.RegisterPooledBlob},
	{"certify_pooled_blob(&System, &mut StoragePool, u256, vector<u8>, vector<u8>, vector<u8>)", contract.CertifyPooledBlob},
	{"delete_pooled_blob(&System, &mut StoragePool, u256)", contract.DeletePooledBlob},
	{"burn_expired_pooled_blob(&System, &mut StoragePool, u256)", contract.BurnExpiredPooledBlob},
}}

// systemNodeModule is the functions of module system that nodes call.
var systemNodeModule = module{inWalrus, "system", []declared{
	{"register_deny_list_update(&mut System, &StorageNodeCap, u256, u64)", contract.RegisterDenyListUpdate},
	{"update_deny_list(&mut System, &mut StorageNodeCap, vector<u8>, vector<u8>, vector<u8>)", contract.UpdateDenyList},
	{"delete_deny_listed_blob(&System, vector<u8>, vector<u8>, vector<u8>)", contract.DeleteDenyListedBlob},
	{"update_protocol_version(&mut System, &StorageNodeCap, vector<u8>, vector<u8>, vector<u8>)", contract.UpdateProtocolVersion},
	{"certify_event_blob(&mut System, &mut StorageNodeCap, u256, u256, u64, u8, u64, u32, ctx)",
		func(tx *overlay.Tx, s *move.System, c *move.NodeCap, blob, root move.U256, size uint64, encodingType uint8, checkpoint uint64, epoch uint32) error {
			return contract.CertifyEventBlob(tx, s, c, contract.EventBlob{Blob: blob, Root: root, Size: size, EncodingType: encodingType,
				Checkpoint: checkpoint, Epoch: epoch})
		}},
}}

var exchangeModule = module{inExchange, "wal_exchange", []declared{
	{"new(ctx): AdminCap", func(tx *overlay.Tx) (*move.ExchangeAdminCap, error) {
		_, admin, err := contract.CreateExchange(tx)
		return admin, err
	}},
	{"new_funded(&mut Coin<WAL>, u64, ctx): AdminCap", func(tx *overlay.Tx, wal *move.Coin, amount uint64) (*move.ExchangeAdminCap, error) {
		x, admin, err := contract.CreateExchange(tx)
		if err != nil {
			return nil, err
		}
		return admin, contract.AddWAL(x, wal, amount)
	}},
	{"exchange_all_for_wal(&mut Exchange, Coin<SUI>, ctx): Coin<WAL>", contract.ExchangeAllForWAL},
	{"exchange_for_wal(&mut Exchange, &mut Coin<SUI>, u64, ctx): Coin<WAL>", contract.ExchangeForWAL},
	{"exchange_all_for_sui(&mut Exchange, Coin<WAL>, ctx): Coin<SUI>", contract.ExchangeAllForSUI},
	{"exchange_for_sui(&mut Exchange, &mut Coin<WAL>, u64, ctx): Coin<SUI>", contract.ExchangeForSUI},
	{"add_wal(&mut Exchange, &mut Coin<WAL>, u64)", contract.AddWAL},
	{"add_sui(&mut Exchange, &mut Coin<SUI>, u64)", contract.AddSUI},
	{"add_all_wal(&mut Exchange, Coin<WAL>)", contract.AddAllWAL},
	{"add_all_sui(&mut Exchange, Coin<SUI>)", contract.AddAllSUI},
	{"set_exchange_rate(&mut Exchange, u64, u64, &AdminCap)", contract.SetExchangeRate},
	{"withdraw_wal(&mut Exchange, u64, &AdminCap, ctx): Coin<WAL>", contract.WithdrawWAL},
	{"withdraw_sui(&mut Exchange, u64, &AdminCap, ctx): Coin<SUI>", contract.WithdrawSUI},
}}
