package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// version returns that of the package which a transaction calls, in whose
// words module system and staking say VERSION.
func version(tx *overlay.Tx) uint64 {
	if tx.PackageVersion != 0 {
		return tx.PackageVersion
	}
	return Version
}

// SetMigrationEpoch notes that Staking can be migrated from the next epoch on: staking::set_migration_epoch.
func SetMigrationEpoch(tx *overlay.Tx, s *move.Staking) error {
	if s.Version >= version(tx) {
		return stakingMigration.in("set_migration_epoch")
	}
	there, err := tx.HasField(s.ID, move.MigrationEpochKey())
	if err != nil || there {
		return err
	}
	inner, err := overlay.Field[move.StakingInner](tx, s.ID, move.U64Key(s.Version), tx.Types.StakingInner().Tag())
	if err != nil {
		return err
	}
	epoch := move.U32(inner.Epoch + 1)
	return tx.AddField(s.ID, move.MigrationEpochKey(), move.TypeTag{Kind: move.KindU32}, &epoch)
}

// Migrate moves System and Staking to the version of the package that is
// called; calls into the packages before it abort from then on: init::migrate.
func Migrate(tx *overlay.Tx, s *move.Staking, sys *move.System) error {
	const function = "migrate"
	if err := migrate[move.StakingInner](tx, &s.System, tx.Types.StakingInner().Tag(), stakingMigration); err != nil {
		return err
	}
	if err := migrate[move.SystemInner](tx, sys, tx.Types.SystemInner().Tag(), systemMigration); err != nil {
		return err
	}
	if s.PackageID != sys.PackageID || s.Version != sys.Version {
		return initMigration.in(function)
	}
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	return tx.Emit(&move.ContractUpgraded{Epoch: inner.Epoch, Package: s.PackageID, Version: s.Version})
}

// migrate is staking::migrate and system::migrate.
func migrate[T any, P layoutOf[T]](tx *overlay.Tx, outer *move.System, innerType move.TypeTag, refused code) error {
	const function = "migrate"
	if outer.Version >= version(tx) {
		return refused.in(function)
	}
	inner, err := overlay.RemoveField[T, P](tx, outer.ID, move.U64Key(outer.Version), innerType)
	if err != nil {
		return err
	}
	outer.Version = version(tx)
	if err := tx.AddField(outer.ID, move.U64Key(outer.Version), innerType, inner); err != nil {
		return err
	}
	if outer.NewPackageID == nil {
		return refused.in(function)
	}
	outer.PackageID, outer.NewPackageID = *outer.NewPackageID, nil
	return nil
}
