package move

// System is the shared object that calls name; its state hangs below it in a
// field whose key is Version.
type System struct {
	ID           ID
	Version      uint64
	PackageID    ID // the current package
	NewPackageID *ID
}

// BCS is the layout.
func (v *System) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U64(&v.Version)
	c.ID(&v.PackageID)
	Option(c, &v.NewPackageID, (*Codec).ID)
}

// ObjectID returns the ID of the object.
func (v *System) ObjectID() ID { return v.ID }

// SystemInner is system_state_inner::SystemStateInnerV1.
type SystemInner struct {
	Committee       BLSCommittee
	TotalCapacity   uint64 // bytes of encoded size
	UsedCapacity    uint64 // of the current epoch
	StoragePrice    uint64 // FROST per unit and epoch
	WritePrice      uint64 // FROST per unit written
	Accounting      Ring
	LatestEventBlob *EventBlob
	EventBlobWeight VecMap[EventBlob, uint16]
	DenyListSizes   ID // of an extended field
}

// BCS is the layout.
func (v *SystemInner) BCS(c *Codec) {
	v.Committee.BCS(c)
	c.U64(&v.TotalCapacity)
	c.U64(&v.UsedCapacity)
	c.U64(&v.StoragePrice)
	c.U64(&v.WritePrice)
	v.Accounting.BCS(c)
	Option(c, &v.LatestEventBlob, Struct[EventBlob])
	Map(c, &v.EventBlobWeight, Struct[EventBlob], (*Codec).U16)
	c.ID(&v.DenyListSizes)
}

// BLSCommittee is bls_aggregate::BlsCommittee. The order of Members, by node
// ID, is that of the bits in a certificate.
type BLSCommittee struct {
	Members  []BLSMember
	Shards   uint16
	Epoch    uint32
	TotalKey []byte // sum of the keys, 48 bytes compressed
}

// BCS is the layout.
func (v *BLSCommittee) BCS(c *Codec) {
	Vector(c, &v.Members, Struct[BLSMember])
	c.U16(&v.Shards)
	c.U32(&v.Epoch)
	c.Bytes(&v.TotalKey)
}

// BLSMember is one node of a BLSCommittee.
type BLSMember struct {
	PublicKey []byte // 96 bytes, uncompressed
	Weight    uint16 // shards
	Node      ID
}

// BCS is the layout.
func (v *BLSMember) BCS(c *Codec) {
	c.Bytes(&v.PublicKey)
	c.U16(&v.Weight)
	c.ID(&v.Node)
}

// Ring is storage_accounting::FutureAccountingRingBuffer: what is used and
// paid in each epoch ahead. The entry of the epoch i ahead is
// Entries[(Current+i) % Length].
type Ring struct {
	Current uint32
	Length  uint32
	Entries []Accounting
}

// BCS is the layout.
func (v *Ring) BCS(c *Codec) {
	c.U32(&v.Current)
	c.U32(&v.Length)
	Vector(c, &v.Entries, Struct[Accounting])
}

// Accounting is the storage sold and the payments held for one epoch.
type Accounting struct {
	Epoch        uint32
	UsedCapacity uint64 // bytes of encoded size
	Rewards      uint64 // FROST
}

// BCS is the layout.
func (v *Accounting) BCS(c *Codec) {
	c.U32(&v.Epoch)
	c.U64(&v.UsedCapacity)
	c.U64(&v.Rewards)
}

// EventBlob names a blob of events that nodes attest to.
type EventBlob struct {
	Blob       U256
	Checkpoint uint64
}

// BCS is the layout.
func (v *EventBlob) BCS(c *Codec) {
	c.U256(&v.Blob)
	c.U64(&v.Checkpoint)
}

// Treasury is wal::ProtectedTreasury.
type Treasury struct{ ID ID }

// BCS is the layout.
func (v *Treasury) BCS(c *Codec) { c.ID(&v.ID) }

// ObjectID returns the ID of the object.
func (v *Treasury) ObjectID() ID { return v.ID }
