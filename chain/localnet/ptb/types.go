package ptb

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/move"
)

// datatype is a type that the ledger knows, and the Go type of its values.
type datatype struct {
	address   move.Address
	module    string
	name      string
	params    []TypeParam
	abilities abilities
	goType    reflect.Type // nil: no value of it ever stands alone
	enum      bool
}

// The packages that datatypes and functions come from.
const (
	inStd       = "std"
	inFramework = "sui"
	inWalrus    = "walrus"
	inWAL       = "wal"
	inExchange  = "wal_exchange"
	inSubsidies = "walrus_subsidies"
	inBuyers    = "subsidies"
)

// declaration is a line of the table of types.
type declaration struct {
	pkg, path string // module::Name<type parameters>; phantom ones are marked
	abilities string
	goType    reflect.Type
}

func goType[T any]() reflect.Type { return reflect.TypeFor[T]() }

// declarations is the table of types. Sources: Sui framework; Walrus contracts version 3.
var declarations = []declaration{
	{inStd, "option::Option<T>", "copy drop store", nil},
	{inStd, "string::String", "copy drop store", goType[string]()},
	{inFramework, "object::ID", "copy drop store", goType[move.ID]()},
	{inFramework, "tx_context::TxContext", "drop", nil},
	{inFramework, "sui::SUI", "drop", nil},
	{inFramework, "balance::Balance<phantom T>", "store", goType[uint64]()},
	{inFramework, "coin::Coin<phantom T>", "key store", goType[move.Coin]()},
	{inFramework, "coin::TreasuryCap<phantom T>", "key store", goType[move.TreasuryCap]()},
	{inFramework, "clock::Clock", "key", goType[move.Clock]()},
	{inFramework, "vec_map::VecMap<K: copy, V>", "copy drop store", nil},
	{inWAL, "wal::WAL", "drop", nil},
	{inWAL, "wal::ProtectedTreasury", "key", goType[move.Treasury]()},
	{inWAL, "wal::TreasuryCapKey", "copy drop store", nil},
	{inWalrus, "system::System", "key", goType[move.System]()},
	{inWalrus, "staking::Staking", "key", goType[move.Staking]()},
	{inWalrus, "storage_resource::Storage", "key store", goType[move.Storage]()},
	{inWalrus, "blob::Blob", "key store", goType[move.Blob]()},
	{inWalrus, "metadata::Metadata", "drop store", goType[move.Metadata]()},
	{inWalrus, "staked_wal::StakedWal", "key store", goType[move.StakedWAL]()},
	{inWalrus, "extended_field::Key", "copy drop store", nil},
	{inWalrus, "staking_pool::StakingPool", "key store", goType[move.StakingPool]()},
	{inWalrus, "storage_node::StorageNodeCap", "key store", goType[move.NodeCap]()},
	{inWalrus, "node_metadata::NodeMetadata", "copy drop store", goType[move.NodeMetadata]()},
	{inWalrus, "auth::Authenticated", "drop", goType[contract.Authenticated]()},
	{inWalrus, "auth::Authorized", "copy drop store", goType[move.Authorized]()},
	{inWalrus, "slashing::SlashingManager", "key", goType[move.SlashingManager]()},
	{inWalrus, "upgrade::UpgradeManager", "key", goType[move.UpgradeManager]()},
	{inWalrus, "upgrade::EmergencyUpgradeCap", "key store", goType[move.EmergencyUpgradeCap]()},
	{inWalrus, "upgrade::PackageDigest", "copy drop store", goType[packageDigest]()},
	{inWalrus, "staking_pool::NewEpochCommissionBlockedForCollection", "copy drop store", nil},
	{inWalrus, "shared_blob::SharedBlob", "key store", goType[move.SharedBlob]()},
	{inWalrus, "storage_pool::StoragePool", "key store", goType[move.StoragePool]()},
	{inWalrus, "storage_pool::PooledBlob", "key store", goType[move.PooledBlob]()},
	{inExchange, "wal_exchange::Exchange", "key store", goType[move.Exchange]()},
	{inExchange, "wal_exchange::AdminCap", "key store", goType[move.ExchangeAdminCap]()},
	{inSubsidies, "walrus_subsidies::WalrusSubsidies", "key", goType[move.WalrusSubsidies]()},
	{inSubsidies, "walrus_subsidies::AdminCap", "key store", goType[move.SubsidiesAdminCap]()},
	{inBuyers, "subsidies::Subsidies", "key store", goType[move.BuyerSubsidies]()},
	{inBuyers, "subsidies::AdminCap", "key store", goType[move.SubsidiesAdminCap]()},
	{inFramework, "package::UpgradeCap", "key store", goType[move.UpgradeCap]()},
	{inFramework, "package::UpgradeTicket", "", goType[contract.UpgradeTicket]()},
	{inFramework, "package::UpgradeReceipt", "", goType[contract.UpgradeReceipt]()},
}

// packageDigest is a key of the table of proposals.
type packageDigest struct{ digest []byte }

// BCS is the layout.
func (v *packageDigest) BCS(c *move.Codec) { c.Bytes(&v.digest) }

// makeTypes resolves the table for a network. A type goes by its name, and by
// module::Name; where two have one name, the first of them goes by it.
func makeTypes(p *move.Packages) (map[string]*datatype, error) {
	addresses := packageAddresses(p)
	types := make(map[string]*datatype, len(declarations))
	for _, d := range declarations {
		module, rest, ok := strings.Cut(d.path, "::")
		name, params, _ := strings.Cut(rest, "<")
		t := &datatype{address: addresses[d.pkg], module: module, name: name, goType: d.goType}
		var err error
		if t.abilities, err = parseAbilities(d.abilities); err != nil || !ok {
			return nil, fmt.Errorf("type %s: %w", d.path, err)
		}
		for _, param := range split(strings.TrimSuffix(params, ">")) {
			_, phantom := strings.CutPrefix(param, "phantom ")
			_, constraint, _ := strings.Cut(param, ":")
			a, err := parseAbilities(constraint)
			if err != nil {
				return nil, fmt.Errorf("type %s: %w", d.path, err)
			}
			t.params = append(t.params, TypeParam{Constraints: a.list(), Phantom: phantom})
		}
		if types[name] == nil {
			types[name] = t
		}
		types[module+"::"+name] = t
	}
	return types, nil
}

// packageAddresses says where the packages are; one that the network lacks is at zero.
func packageAddresses(p *move.Packages) map[string]move.Address {
	return map[string]move.Address{inStd: move.SmallAddress(1), inFramework: move.Framework, inWalrus: p.Walrus, inWAL: p.WAL, inExchange: p.Exchange,
		inSubsidies: p.Subsidies, inBuyers: p.BuyersPackage}
}
