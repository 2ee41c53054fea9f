package move

// Packages are the original packages of one network: types are named after
// them, also after an upgrade. Calls go to the current package, which is
// another one and stands in the System object.
type Packages struct {
	Walrus Address
	WAL    Address
	// Packages that a network may have beside these; zero where it has none.
	Exchange      Address // wal_exchange
	Subsidies     Address // walrus_subsidies
	BuyersPackage Address // subsidies, the older ones
}

// Type returns a struct type of the Walrus package.
func (p *Packages) Type(module, name string, params ...TypeTag) StructTag {
	return StructTag{Address: p.Walrus, Module: module, Name: name, Params: params}
}

// WALType returns the type of the currency.
func (p *Packages) WALType() StructTag {
	return StructTag{Address: p.WAL, Module: "wal", Name: "WAL"}
}

// WALCoin returns Coin<WAL>.
func (p *Packages) WALCoin() StructTag { return CoinType(p.WALType()) }

// Treasury returns the type of the object that holds WAL's TreasuryCap.
func (p *Packages) Treasury() StructTag {
	return StructTag{Address: p.WAL, Module: "wal", Name: "ProtectedTreasury"}
}

// TreasuryKey is the key under which the TreasuryCap hangs.
func (p *Packages) TreasuryKey() FieldKey {
	return EmptyKey(StructTag{Address: p.WAL, Module: "wal", Name: "TreasuryCapKey"})
}

// System returns the type of the shared object of storage.
func (p *Packages) System() StructTag { return p.Type("system", "System") }

// SystemInner returns the type of its state.
func (p *Packages) SystemInner() StructTag { return p.Type("system_state_inner", "SystemStateInnerV1") }

// Staking returns the type of the shared object of staking.
func (p *Packages) Staking() StructTag { return p.Type("staking", "Staking") }

// StakingInner returns the type of its state.
func (p *Packages) StakingInner() StructTag { return p.Type("staking_inner", "StakingInnerV1") }

// StakingPool returns the type of a storage node with its stake.
func (p *Packages) StakingPool() StructTag { return p.Type("staking_pool", "StakingPool") }

// StakedWAL returns the type of the receipt for a stake.
func (p *Packages) StakedWAL() StructTag { return p.Type("staked_wal", "StakedWal") }

// NodeCap returns the type of a storage node's capability.
func (p *Packages) NodeCap() StructTag { return p.Type("storage_node", "StorageNodeCap") }

// Storage returns the type of a reservation.
func (p *Packages) Storage() StructTag { return p.Type("storage_resource", "Storage") }

// Blob returns the type of a blob object.
func (p *Packages) Blob() StructTag { return p.Type("blob", "Blob") }

// Metadata returns the type of a blob object's attributes.
func (p *Packages) Metadata() StructTag { return p.Type("metadata", "Metadata") }

// ExtendedKey is the key of the value of an extended field.
func (p *Packages) ExtendedKey() FieldKey { return EmptyKey(p.Type("extended_field", "Key")) }

// Event returns the type of an event.
func (p *Packages) Event(name string) StructTag { return p.Type("events", name) }

// MetadataField returns the type of the field that holds a blob object's attributes.
func (p *Packages) MetadataField() StructTag {
	return FieldType(MetadataKey().Type, p.Metadata().Tag())
}

// HasStore reports whether a type has the ability store beside key, so that
// its owner can transfer it without the module that defines it.
func (p *Packages) HasStore(t StructTag) bool {
	switch t.Address {
	case Framework:
		return t.Module == "coin" || t.Module == "package"
	case p.Exchange, p.BuyersPackage: // the objects of these modules all have it
		return t.Address != Address{}
	case p.Subsidies:
		return t.Address != Address{} && t.Name == "AdminCap"
	case p.Walrus:
		switch t.Module {
		case "blob", "shared_blob", "storage_resource", "storage_pool", "staking_pool", "staked_wal", "storage_node":
			return true
		case "upgrade":
			return t.Name == "EmergencyUpgradeCap"
		}
	}
	return false
}

// The values of extended fields have types of their own.

// DenyListSizes returns the type of the sizes of deny lists: VecMap<ID, u64>.
func (p *Packages) DenyListSizes() TypeTag {
	return FrameworkType("vec_map", "VecMap", idTag(), TypeTag{Kind: KindU64}).Tag()
}

// PublicKeys returns the type of the keys of the next committee: VecMap<ID, Element<UncompressedG1>>.
func (p *Packages) PublicKeys() TypeTag {
	element := FrameworkType("group_ops", "Element", FrameworkType("bls12381", "UncompressedG1").Tag())
	return FrameworkType("vec_map", "VecMap", idTag(), element.Tag()).Tag()
}

// ActiveSet returns the type of the set of nodes with stake.
func (p *Packages) ActiveSet() TypeTag { return p.Type("active_set", "ActiveSet").Tag() }

// NodeMetadata returns the type of what a node says of itself.
func (p *Packages) NodeMetadata() TypeTag { return p.Type("node_metadata", "NodeMetadata").Tag() }

// ExchangeRate returns the type of an entry in a pool's table of rates.
func (p *Packages) ExchangeRate() TypeTag {
	return p.Type("pool_exchange_rate", "PoolExchangeRate").Tag()
}

func idTag() TypeTag { return FrameworkType("object", "ID").Tag() }
