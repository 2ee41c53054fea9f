package move

// Staking is the shared object of staking; its state hangs below it in a field
// whose key is Version. Its layout is that of System.
type Staking struct{ System }

// Committee says which shards each node holds, in order of node IDs.
type Committee = VecMap[ID, []uint16]

func committee(c *Codec, v *Committee) {
	Map(c, v, (*Codec).ID, func(c *Codec, shards *[]uint16) { Vector(c, shards, (*Codec).U16) })
}

// StakingInner is staking_inner::StakingInnerV1.
type StakingInner struct {
	Shards            uint16
	EpochDuration     uint64 // ms
	FirstEpochStart   uint64 // ms
	Pools             Table  // of StakingPool objects, by node ID
	Epoch             uint32
	ActiveSet         ID // of an extended field
	NextCommittee     *Committee
	Committee         Committee
	PreviousCommittee Committee
	NextParams        *EpochParams
	State             EpochState
	NextPublicKeys    ID // of an extended field
}

// BCS is the layout.
func (v *StakingInner) BCS(c *Codec) {
	c.U16(&v.Shards)
	c.U64(&v.EpochDuration)
	c.U64(&v.FirstEpochStart)
	v.Pools.BCS(c)
	c.U32(&v.Epoch)
	c.ID(&v.ActiveSet)
	Option(c, &v.NextCommittee, committee)
	committee(c, &v.Committee)
	committee(c, &v.PreviousCommittee)
	Option(c, &v.NextParams, Struct[EpochParams])
	v.State.BCS(c)
	c.ID(&v.NextPublicKeys)
}

// EpochParams is what the votes of an epoch fix for the next one. Since
// contract version 3 the prices are not among it and stand at the maximum.
type EpochParams struct {
	TotalCapacity uint64
	StoragePrice  uint64
	WritePrice    uint64
}

// BCS is the layout.
func (v *EpochParams) BCS(c *Codec) {
	c.U64(&v.TotalCapacity)
	c.U64(&v.StoragePrice)
	c.U64(&v.WritePrice)
}

// The variants of EpochState. Source: Walrus, enum EpochState.
const (
	StateSync     uint8 = 0 // EpochChangeSync: nodes fetch their shards
	StateDone     uint8 = 1 // EpochChangeDone: the epoch runs
	StateSelected uint8 = 2 // NextParamsSelected: committee and capacity of the next one are fixed
)

// EpochState is how far an epoch has come.
type EpochState struct {
	Kind   uint8
	Weight uint16 // of StateSync: shards of the nodes that are in sync
	TimeMS uint64 // of the others: when the epoch change was done
}

// BCS is the layout.
func (v *EpochState) BCS(c *Codec) {
	c.Variant(&v.Kind, StateSelected+1)
	if v.Kind == StateSync {
		c.U16(&v.Weight)
		return
	}
	c.U64(&v.TimeMS)
}

// ActiveSet is the nodes with stake, and the value of an extended field.
type ActiveSet struct {
	MaxSize        uint16
	ThresholdStake uint64
	Nodes          []ActiveNode
	TotalStake     uint64
}

// BCS is the layout.
func (v *ActiveSet) BCS(c *Codec) {
	c.U16(&v.MaxSize)
	c.U64(&v.ThresholdStake)
	Vector(c, &v.Nodes, Struct[ActiveNode])
	c.U64(&v.TotalStake)
}

// ActiveNode is a node of the active set.
type ActiveNode struct {
	Node  ID
	Stake uint64
}

// BCS is the layout.
func (v *ActiveNode) BCS(c *Codec) {
	c.ID(&v.Node)
	c.U64(&v.Stake)
}

// PublicKeys are the keys of the next committee, and the value of an extended field.
type PublicKeys struct{ Keys VecMap[ID, []byte] }

// BCS is the layout.
func (v *PublicKeys) BCS(c *Codec) { Map(c, &v.Keys, (*Codec).ID, (*Codec).Bytes) }

// DenyListSizes are the bytes that nodes refuse to store, and the value of an extended field.
type DenyListSizes struct{ Sizes VecMap[ID, uint64] }

// BCS is the layout.
func (v *DenyListSizes) BCS(c *Codec) { Map(c, &v.Sizes, (*Codec).ID, (*Codec).U64) }

// StakedWAL is staked_wal::StakedWal, the receipt for a stake.
type StakedWAL struct {
	ID              ID
	Withdrawing     bool
	WithdrawEpoch   uint32 // when Withdrawing
	Node            ID
	Principal       uint64
	ActivationEpoch uint32
}

// BCS is the layout.
func (v *StakedWAL) BCS(c *Codec) {
	c.ID(&v.ID)
	var state uint8 // Source: Walrus, enum StakedWalState: Staked, Withdrawing
	if v.Withdrawing {
		state = 1
	}
	c.Variant(&state, 2)
	if c.reading {
		v.Withdrawing = state == 1
	}
	if v.Withdrawing {
		c.U32(&v.WithdrawEpoch)
	}
	c.ID(&v.Node)
	c.U64(&v.Principal)
	c.U32(&v.ActivationEpoch)
}

// ObjectID returns the ID of the receipt.
func (v *StakedWAL) ObjectID() ID { return v.ID }

// NodeCap is storage_node::StorageNodeCap: who holds it acts for the node.
type NodeCap struct {
	ID                ID
	Node              ID
	LastEpochSyncDone uint32
	LastAttestation   *Attestation
	DenyListRoot      U256
	DenyListSequence  uint64
	DenyListSize      uint64
}

// BCS is the layout.
func (v *NodeCap) BCS(c *Codec) {
	c.ID(&v.ID)
	c.ID(&v.Node)
	c.U32(&v.LastEpochSyncDone)
	Option(c, &v.LastAttestation, Struct[Attestation])
	c.U256(&v.DenyListRoot)
	c.U64(&v.DenyListSequence)
	c.U64(&v.DenyListSize)
}

// ObjectID returns the ID of the capability.
func (v *NodeCap) ObjectID() ID { return v.ID }

// Attestation is the newest event blob that a node attested to.
type Attestation struct {
	Checkpoint uint64
	Epoch      uint32
}

// BCS is the layout.
func (v *Attestation) BCS(c *Codec) {
	c.U64(&v.Checkpoint)
	c.U32(&v.Epoch)
}
