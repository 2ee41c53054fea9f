package move

// BuyerSubsidies is subsidies::Subsidies, which pays a part of what buyers of
// storage pay; WalrusSubsidies took its place.
type BuyerSubsidies struct {
	ID         ID
	BuyerRate  uint16 // basis points
	SystemRate uint16 // basis points
	Pool       uint64
	PackageID  ID
	Version    uint64
}

// BCS is the layout.
func (v *BuyerSubsidies) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U16(&v.BuyerRate)
	c.U16(&v.SystemRate)
	c.U64(&v.Pool)
	c.ID(&v.PackageID)
	c.U64(&v.Version)
}

// ObjectID returns the ID of the object.
func (v *BuyerSubsidies) ObjectID() ID { return v.ID }

// SubsidiesAdminCap is subsidies::AdminCap and walrus_subsidies::AdminCap: who holds it sets the rates.
type SubsidiesAdminCap struct {
	ID        ID
	Subsidies ID
}

// BCS is the layout.
func (v *SubsidiesAdminCap) BCS(c *Codec) {
	c.ID(&v.ID)
	c.ID(&v.Subsidies)
}

// ObjectID returns the ID of the capability.
func (v *SubsidiesAdminCap) ObjectID() ID { return v.ID }

// ExchangeAdminCap is wal_exchange::AdminCap: who holds it sets the rate.
type ExchangeAdminCap struct{ ID ID }

// BCS is the layout.
func (v *ExchangeAdminCap) BCS(c *Codec) { c.ID(&v.ID) }

// ObjectID returns the ID of the capability.
func (v *ExchangeAdminCap) ObjectID() ID { return v.ID }

// WalrusSubsidies is walrus_subsidies::WalrusSubsidies, which adds to what
// nodes earn; its state hangs below it.
type WalrusSubsidies struct {
	ID        ID
	Version   uint64
	PackageID ID
}

// BCS is the layout.
func (v *WalrusSubsidies) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U64(&v.Version)
	c.ID(&v.PackageID)
}

// ObjectID returns the ID of the object.
func (v *WalrusSubsidies) ObjectID() ID { return v.ID }

// WalrusSubsidiesInner is walrus_subsidies_inner::WalrusSubsidiesInnerV1.
type WalrusSubsidiesInner struct {
	SystemRate    uint32 // basis points
	Pool          uint64
	BaseSubsidy   uint64 // FROST for a node and epoch
	ShardSubsidy  uint64 // FROST for a shard and epoch
	LatestEpoch   uint32
	Subsidised    EpochBalances
	LastProcessed uint64 // ms
	ExtraFields   Table
}

// BCS is the layout.
func (v *WalrusSubsidiesInner) BCS(c *Codec) {
	c.U32(&v.SystemRate)
	c.U64(&v.Pool)
	c.U64(&v.BaseSubsidy)
	c.U64(&v.ShardSubsidy)
	c.U32(&v.LatestEpoch)
	v.Subsidised.BCS(c)
	c.U64(&v.LastProcessed)
	v.ExtraFields.BCS(c)
}

// EpochBalances is epoch_balance::EpochBalanceRingBuffer, a ring like Ring.
type EpochBalances struct {
	Current uint32
	Entries []EpochBalance
}

// BCS is the layout.
func (v *EpochBalances) BCS(c *Codec) {
	c.U32(&v.Current)
	Vector(c, &v.Entries, Struct[EpochBalance])
}

// EpochBalance is the rewards of an epoch that had their subsidy.
type EpochBalance struct {
	Epoch   uint32
	Balance uint64
}

// BCS is the layout.
func (v *EpochBalance) BCS(c *Codec) {
	c.U32(&v.Epoch)
	c.U64(&v.Balance)
}
