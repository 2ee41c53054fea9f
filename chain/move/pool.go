package move

// PendingValues are amounts that take effect in an epoch.
type PendingValues = VecMap[uint32, uint64]

func pending(c *Codec, v *PendingValues) { Map(c, v, (*Codec).U32, (*Codec).U64) }

// The variants of a pool's state. Source: Walrus, enum PoolState.
const (
	PoolActive      uint8 = 0
	PoolWithdrawing uint8 = 1
	PoolWithdrawn   uint8 = 2
)

// StakingPool is staking_pool::StakingPool. Its ID is the node's ID.
type StakingPool struct {
	ID                    ID
	State                 uint8
	WithdrawingEpoch      uint32 // when State is PoolWithdrawing
	Votes                 VotingParams
	Info                  NodeInfo
	ActivationEpoch       uint32
	LatestEpoch           uint32
	WALBalance            uint64
	Shares                uint64
	PendingSharesWithdraw PendingValues
	PreActiveWithdrawals  PendingValues
	PendingCommissionRate PendingValues
	CommissionRate        uint16 // basis points
	ExchangeRates         Table  // of ExchangeRate, by epoch
	PendingStake          PendingValues
	RewardsPool           uint64
	Commission            uint64
	CommissionReceiver    Authorized
	GovernanceAuthorized  Authorized
	ExtraFields           Table
}

// BCS is the layout.
func (v *StakingPool) BCS(c *Codec) {
	c.ID(&v.ID)
	c.Variant(&v.State, PoolWithdrawn+1)
	if v.State == PoolWithdrawing {
		c.U32(&v.WithdrawingEpoch)
	}
	v.Votes.BCS(c)
	v.Info.BCS(c)
	c.U32(&v.ActivationEpoch)
	c.U32(&v.LatestEpoch)
	c.U64(&v.WALBalance)
	c.U64(&v.Shares)
	pending(c, &v.PendingSharesWithdraw)
	pending(c, &v.PreActiveWithdrawals)
	pending(c, &v.PendingCommissionRate)
	c.U16(&v.CommissionRate)
	v.ExchangeRates.BCS(c)
	pending(c, &v.PendingStake)
	c.U64(&v.RewardsPool)
	c.U64(&v.Commission)
	v.CommissionReceiver.BCS(c)
	v.GovernanceAuthorized.BCS(c)
	v.ExtraFields.BCS(c)
}

// ObjectID returns the node's ID.
func (v *StakingPool) ObjectID() ID { return v.ID }

// VotingParams are a node's votes.
type VotingParams struct {
	StoragePrice uint64
	WritePrice   uint64
	NodeCapacity uint64
}

// BCS is the layout.
func (v *VotingParams) BCS(c *Codec) {
	c.U64(&v.StoragePrice)
	c.U64(&v.WritePrice)
	c.U64(&v.NodeCapacity)
}

// NodeInfo is storage_node::StorageNodeInfo.
type NodeInfo struct {
	Name               string
	Node               ID
	NetworkAddress     string  // host:port
	PublicKey          []byte  // 96 bytes, uncompressed
	NextEpochPublicKey *[]byte // 96 bytes, uncompressed
	NetworkPublicKey   []byte  // 33 bytes, P-256 compressed
	Metadata           ID      // of an extended field
}

// BCS is the layout.
func (v *NodeInfo) BCS(c *Codec) {
	c.String(&v.Name)
	c.ID(&v.Node)
	c.String(&v.NetworkAddress)
	c.Bytes(&v.PublicKey)
	Option(c, &v.NextEpochPublicKey, (*Codec).Bytes)
	c.Bytes(&v.NetworkPublicKey)
	c.ID(&v.Metadata)
}

// NodeMetadata is what a node says of itself, and the value of an extended field.
type NodeMetadata struct {
	ImageURL    string
	ProjectURL  string
	Description string
	Extra       VecMap[string, string]
}

// BCS is the layout.
func (v *NodeMetadata) BCS(c *Codec) {
	c.String(&v.ImageURL)
	c.String(&v.ProjectURL)
	c.String(&v.Description)
	Map(c, &v.Extra, (*Codec).String, (*Codec).String)
}

// Authorized is who may collect or vote: an account, or whoever holds an object.
type Authorized struct {
	Object  bool // Address is that of an object
	Address Address
}

// BCS is the layout.
func (v *Authorized) BCS(c *Codec) {
	var kind uint8 // Source: Walrus, enum Authorized: Address, ObjectID
	if v.Object {
		kind = 1
	}
	c.Variant(&kind, 2)
	if c.reading {
		v.Object = kind == 1
	}
	c.ID(&v.Address)
}

// ExchangeRate is what a share of a pool is worth: WAL per Shares, or one to one when Flat.
type ExchangeRate struct {
	Flat   bool
	WAL    U128
	Shares U128
}

// BCS is the layout.
func (v *ExchangeRate) BCS(c *Codec) {
	var kind uint8 = 1 // Source: Walrus, enum PoolExchangeRate: Flat, Variable
	if v.Flat {
		kind = 0
	}
	c.Variant(&kind, 2)
	if c.reading {
		v.Flat = kind == 0
	}
	if !v.Flat {
		c.U128(&v.WAL)
		c.U128(&v.Shares)
	}
}
