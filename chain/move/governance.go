package move

// UpgradeManager is upgrade::UpgradeManager, which holds the right to upgrade the package.
type UpgradeManager struct {
	ID        ID
	Cap       UpgradeCap
	Proposals Table // of UpgradeProposal, by package digest
}

// BCS is the layout.
func (v *UpgradeManager) BCS(c *Codec) {
	c.ID(&v.ID)
	v.Cap.BCS(c)
	v.Proposals.BCS(c)
}

// ObjectID returns the ID of the object.
func (v *UpgradeManager) ObjectID() ID { return v.ID }

// EmergencyUpgradeCap is upgrade::EmergencyUpgradeCap, the right to upgrade without votes.
type EmergencyUpgradeCap struct {
	ID      ID
	Manager ID
}

// BCS is the layout.
func (v *EmergencyUpgradeCap) BCS(c *Codec) {
	c.ID(&v.ID)
	c.ID(&v.Manager)
}

// ObjectID returns the ID of the capability.
func (v *EmergencyUpgradeCap) ObjectID() ID { return v.ID }

// UpgradeCap is 0x2::package::UpgradeCap.
type UpgradeCap struct {
	ID      ID
	Package ID
	Version uint64
	Policy  uint8
}

// BCS is the layout.
func (v *UpgradeCap) BCS(c *Codec) {
	c.ID(&v.ID)
	c.ID(&v.Package)
	c.U64(&v.Version)
	c.U8(&v.Policy)
}

// ObjectID returns the ID of the capability.
func (v *UpgradeCap) ObjectID() ID { return v.ID }

// UpgradeProposal is a package that nodes vote for.
type UpgradeProposal struct {
	Epoch   uint32
	Digest  []byte // 32 bytes
	Version uint64
	Weight  uint16
	Voters  IDs
}

// BCS is the layout.
func (v *UpgradeProposal) BCS(c *Codec) {
	c.U32(&v.Epoch)
	c.Bytes(&v.Digest)
	c.U64(&v.Version)
	c.U16(&v.Weight)
	v.Voters.BCS(c)
}

// SlashingManager is slashing::SlashingManager.
type SlashingManager struct {
	ID         ID
	Candidates Table // of SlashingProposal, by node ID
}

// BCS is the layout.
func (v *SlashingManager) BCS(c *Codec) {
	c.ID(&v.ID)
	v.Candidates.BCS(c)
}

// ObjectID returns the ID of the object.
func (v *SlashingManager) ObjectID() ID { return v.ID }

// SlashingProposal is a node whose commission other nodes vote to burn.
type SlashingProposal struct {
	Epoch  uint32
	Node   ID
	Weight uint16
	Voters IDs
}

// BCS is the layout.
func (v *SlashingProposal) BCS(c *Codec) {
	c.U32(&v.Epoch)
	c.ID(&v.Node)
	c.U16(&v.Weight)
	v.Voters.BCS(c)
}

// Exchange is wal_exchange::Exchange, which changes SUI into WAL on test networks.
type Exchange struct {
	ID      ID
	WAL     uint64
	SUI     uint64
	RateWAL uint64
	RateSUI uint64
	Admin   ID
}

// BCS is the layout.
func (v *Exchange) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U64(&v.WAL)
	c.U64(&v.SUI)
	c.U64(&v.RateWAL)
	c.U64(&v.RateSUI)
	c.ID(&v.Admin)
}

// ObjectID returns the ID of the object.
func (v *Exchange) ObjectID() ID { return v.ID }
