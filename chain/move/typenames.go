package move

// The types of what nodes vote on and of what wraps blob objects.

// SharedBlob returns the type of a blob object that anybody may fund.
func (p *Packages) SharedBlob() StructTag { return p.Type("shared_blob", "SharedBlob") }

// StoragePool returns the type of storage that many blobs share.
func (p *Packages) StoragePool() StructTag { return p.Type("storage_pool", "StoragePool") }

// StoragePoolInner returns the type of its state.
func (p *Packages) StoragePoolInner() StructTag { return p.Type("storage_pool", "StoragePoolInnerV1") }

// PooledBlob returns the type of a blob object inside a StoragePool.
func (p *Packages) PooledBlob() StructTag { return p.Type("storage_pool", "PooledBlob") }

// SlashingManager returns the type of the object that holds the proposals to slash.
func (p *Packages) SlashingManager() StructTag { return p.Type("slashing", "SlashingManager") }

// SlashingProposal returns the type of an entry in its table.
func (p *Packages) SlashingProposal() TypeTag { return p.Type("slashing", "SlashingProposal").Tag() }

// UpgradeManager returns the type of the object that holds the right to upgrade.
func (p *Packages) UpgradeManager() StructTag { return p.Type("upgrade", "UpgradeManager") }

// UpgradeProposal returns the type of an entry in its table.
func (p *Packages) UpgradeProposal() TypeTag { return p.Type("upgrade", "UpgradeProposal").Tag() }

// EmergencyUpgradeCap returns the type of the right to upgrade without votes.
func (p *Packages) EmergencyUpgradeCap() StructTag { return p.Type("upgrade", "EmergencyUpgradeCap") }

// PackageDigestKey is the key of a proposal to upgrade to the package with this digest.
func (p *Packages) PackageDigestKey(digest []byte) FieldKey {
	var c Codec
	c.Bytes(&digest)
	return FieldKey{p.Type("upgrade", "PackageDigest").Tag(), c.buf}
}

// BlockedCommissionKey is the key under which a pool's ExtraFields tell how
// much of its commission cannot be collected yet.
func (p *Packages) BlockedCommissionKey() FieldKey {
	return EmptyKey(p.Type("staking_pool", "NewEpochCommissionBlockedForCollection"))
}

// MigrationEpochKey is the key under which Staking tells from which epoch on
// it can be migrated. Source: Walrus, module staking, MIGRATION_EPOCH_KEY.
func MigrationEpochKey() FieldKey { return BytesKey([]byte("migration_epoch")) }

// UpgradeCapType returns the type of the right to upgrade a package.
func UpgradeCapType() StructTag { return FrameworkType("package", "UpgradeCap") }

func structIn(p Address, module, name string) StructTag {
	return StructTag{Address: p, Module: module, Name: name}
}

// ExchangeType returns the type of the object that changes SUI into WAL.
func (p *Packages) ExchangeType() StructTag { return structIn(p.Exchange, "wal_exchange", "Exchange") }

// ExchangeAdminCap returns the type of the right to set its rate.
func (p *Packages) ExchangeAdminCap() StructTag {
	return structIn(p.Exchange, "wal_exchange", "AdminCap")
}

// BuyerSubsidies returns the type of the object that pays a part of what buyers pay.
func (p *Packages) BuyerSubsidies() StructTag {
	return structIn(p.BuyersPackage, "subsidies", "Subsidies")
}

// BuyerSubsidiesAdminCap returns the type of the right to set its rates.
func (p *Packages) BuyerSubsidiesAdminCap() StructTag {
	return structIn(p.BuyersPackage, "subsidies", "AdminCap")
}

// WalrusSubsidies returns the type of the object that adds to what nodes earn.
func (p *Packages) WalrusSubsidies() StructTag {
	return structIn(p.Subsidies, "walrus_subsidies", "WalrusSubsidies")
}

// WalrusSubsidiesInner returns the type of its state.
func (p *Packages) WalrusSubsidiesInner() StructTag {
	return structIn(p.Subsidies, "walrus_subsidies_inner", "WalrusSubsidiesInnerV1")
}

// WalrusSubsidiesAdminCap returns the type of the right to set its rates.
func (p *Packages) WalrusSubsidiesAdminCap() StructTag {
	return structIn(p.Subsidies, "walrus_subsidies", "AdminCap")
}

// SubsidiesKey is the key of the state of WalrusSubsidies.
func (p *Packages) SubsidiesKey() FieldKey {
	return EmptyKey(structIn(p.Subsidies, "walrus_subsidies", "SubsidiesInnerKey"))
}
