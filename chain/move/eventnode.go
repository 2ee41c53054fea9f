package move

// ContractUpgraded tells that System and Staking follow another package from now on.
type ContractUpgraded struct {
	Epoch   uint32
	Package ID
	Version uint64
}

// EventName returns the name of the type.
func (*ContractUpgraded) EventName() string { return "ContractUpgraded" }

// BCS is the layout.
func (e *ContractUpgraded) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.ID(&e.Package)
	c.U64(&e.Version)
}

// ContractUpgradeProposed tells that nodes vote on an upgrade.
type ContractUpgradeProposed struct {
	Epoch  uint32
	Digest []byte // of the package, 32 bytes
}

// EventName returns the name of the type.
func (*ContractUpgradeProposed) EventName() string { return "ContractUpgradeProposed" }

// BCS is the layout.
func (e *ContractUpgradeProposed) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.Bytes(&e.Digest)
}

// ContractUpgradeQuorumReached tells that a quorum voted for an upgrade.
type ContractUpgradeQuorumReached struct {
	Epoch  uint32
	Digest []byte // of the package, 32 bytes
}

// EventName returns the name of the type.
func (*ContractUpgradeQuorumReached) EventName() string { return "ContractUpgradeQuorumReached" }

// BCS is the layout.
func (e *ContractUpgradeQuorumReached) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.Bytes(&e.Digest)
}

// RegisterDenyListUpdate tells that a node wants its new deny list confirmed.
type RegisterDenyListUpdate struct {
	Epoch    uint32
	Root     U256
	Sequence uint64
	Node     ID
}

// EventName returns the name of the type.
func (*RegisterDenyListUpdate) EventName() string { return "RegisterDenyListUpdate" }

// BCS is the layout.
func (e *RegisterDenyListUpdate) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Root)
	c.U64(&e.Sequence)
	c.ID(&e.Node)
}

// DenyListUpdate tells that a quorum confirmed a node's deny list.
type DenyListUpdate struct {
	Epoch    uint32
	Root     U256
	Sequence uint64
	Node     ID
}

// EventName returns the name of the type.
func (*DenyListUpdate) EventName() string { return "DenyListUpdate" }

// BCS is the layout.
func (e *DenyListUpdate) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Root)
	c.U64(&e.Sequence)
	c.ID(&e.Node)
}

// DenyListBlobDeleted tells that at least one honest node denies a blob.
type DenyListBlobDeleted struct {
	Epoch uint32
	Blob  U256
}

// EventName returns the name of the type.
func (*DenyListBlobDeleted) EventName() string { return "DenyListBlobDeleted" }

// BCS is the layout.
func (e *DenyListBlobDeleted) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Blob)
}

// ProtocolVersionUpdated tells which protocol nodes speak from StartEpoch on.
type ProtocolVersionUpdated struct {
	Epoch      uint32
	StartEpoch uint32
	Version    uint64
}

// EventName returns the name of the type.
func (*ProtocolVersionUpdated) EventName() string { return "ProtocolVersionUpdated" }

// BCS is the layout.
func (e *ProtocolVersionUpdated) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U32(&e.StartEpoch)
	c.U64(&e.Version)
}
