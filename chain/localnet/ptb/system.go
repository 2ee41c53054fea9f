package ptb

import (
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

var systemModule = module{inWalrus, "system", []declared{
	{"reserve_space(&mut System, u64, u32, &mut Coin<WAL>, ctx): Storage", contract.ReserveSpace},
	{"reserve_space_for_epochs(&mut System, u64, u32, u32, &mut Coin<WAL>, ctx): Storage", contract.ReserveSpaceForEpochs},
	{"register_blob(&mut System, Storage, u256, u256, u64, u8, bool, &mut Coin<WAL>, ctx): Blob", contract.RegisterBlob},
	{"certify_blob(&System, &mut Blob, vector<u8>, vector<u8>, vector<u8>)", contract.CertifyBlob},
	{"invalidate_blob_id(&System, vector<u8>, vector<u8>, vector<u8>): u256", contract.InvalidateBlobID},
	{"delete_blob(&System, Blob): Storage", contract.DeleteBlob},
	{"extend_blob(&mut System, &mut Blob, u32, &mut Coin<WAL>)", contract.ExtendBlob},
	{"extend_blob_with_resource(&System, &mut Blob, Storage)", contract.ExtendBlobWithResource},
	{"add_subsidy(&mut System, Coin<WAL>, u32)", contract.AddSubsidy},
	{"add_per_epoch_subsidies(&mut System, vector<Balance<WAL>>)", contract.AddPerEpochSubsidies},
	{"epoch(&System): u32", inSystem(func(s *move.SystemInner) uint32 { return s.Committee.Epoch })},
	{"n_shards(&System): u16", inSystem(func(s *move.SystemInner) uint16 { return s.Committee.Shards })},
	{"total_capacity_size(&System): u64", inSystem(func(s *move.SystemInner) uint64 { return s.TotalCapacity })},
	{"used_capacity_size(&System): u64", inSystem(func(s *move.SystemInner) uint64 { return s.UsedCapacity })},
	{"version(&System): u64", func(s *move.System) uint64 { return s.Version }},
}}

// inSystem makes a function of one that reads the inner state.
func inSystem[T any](get func(*move.SystemInner) T) func(*overlay.Tx, *move.System) (T, error) {
	return func(tx *overlay.Tx, s *move.System) (value T, err error) {
		inner, err := contract.SystemInner(tx, s)
		if err != nil {
			return value, err
		}
		return get(inner), nil
	}
}

var storageModule = module{inWalrus, "storage_resource", []declared{
	{"start_epoch(&Storage): u32", func(s *move.Storage) uint32 { return s.StartEpoch }},
	{"end_epoch(&Storage): u32", func(s *move.Storage) uint32 { return s.EndEpoch }},
	{"size(&Storage): u64", func(s *move.Storage) uint64 { return s.Size }},
	{"split_by_epoch(&mut Storage, u32, ctx): Storage", contract.SplitByEpoch},
	{"split_by_size(&mut Storage, u64, ctx): Storage", contract.SplitBySize},
	{"fuse_periods(&mut Storage, Storage)", contract.FusePeriods},
	{"fuse_amount(&mut Storage, Storage)", contract.FuseAmount},
	{"fuse(&mut Storage, Storage)", contract.Fuse},
	{"destroy(Storage)", contract.DestroyStorage},
}}
