package move

// Event is an event of the Walrus package; its type is in module events.
type Event interface {
	Layout
	// EventName returns the struct's name in module events.
	EventName() string
}

// BlobRegistered tells that a blob object was made.
type BlobRegistered struct {
	Epoch        uint32
	Blob         U256
	Size         uint64
	EncodingType uint8
	EndEpoch     uint32
	Deletable    bool
	Object       ID
}

// EventName returns the name of the type.
func (*BlobRegistered) EventName() string { return "BlobRegistered" }

// BCS is the layout.
func (e *BlobRegistered) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Blob)
	c.U64(&e.Size)
	c.U8(&e.EncodingType)
	c.U32(&e.EndEpoch)
	c.Bool(&e.Deletable)
	c.ID(&e.Object)
}

// BlobCertified tells that a blob is available, or for longer than before.
type BlobCertified struct {
	Epoch       uint32 // of the first certification
	Blob        U256
	EndEpoch    uint32
	Deletable   bool
	Object      ID
	IsExtension bool
}

// EventName returns the name of the type.
func (*BlobCertified) EventName() string { return "BlobCertified" }

// BCS is the layout.
func (e *BlobCertified) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Blob)
	c.U32(&e.EndEpoch)
	c.Bool(&e.Deletable)
	c.ID(&e.Object)
	c.Bool(&e.IsExtension)
}

// BlobDeleted tells that a blob object was deleted before its end.
type BlobDeleted struct {
	Epoch        uint32
	Blob         U256
	EndEpoch     uint32
	Object       ID
	WasCertified bool
}

// EventName returns the name of the type.
func (*BlobDeleted) EventName() string { return "BlobDeleted" }

// BCS is the layout.
func (e *BlobDeleted) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Blob)
	c.U32(&e.EndEpoch)
	c.ID(&e.Object)
	c.Bool(&e.WasCertified)
}

// InvalidBlobID tells that a blob ID names no valid encoding.
type InvalidBlobID struct {
	Epoch uint32
	Blob  U256
}

// EventName returns the name of the type.
func (*InvalidBlobID) EventName() string { return "InvalidBlobID" }

// BCS is the layout.
func (e *InvalidBlobID) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Blob)
}

// EpochChangeStart tells that Epoch began and its committee takes over.
type EpochChangeStart struct{ Epoch uint32 }

// EventName returns the name of the type.
func (*EpochChangeStart) EventName() string { return "EpochChangeStart" }

// BCS is the layout.
func (e *EpochChangeStart) BCS(c *Codec) { c.U32(&e.Epoch) }

// EpochChangeDone tells that a quorum holds its shards of Epoch.
type EpochChangeDone struct{ Epoch uint32 }

// EventName returns the name of the type.
func (*EpochChangeDone) EventName() string { return "EpochChangeDone" }

// BCS is the layout.
func (e *EpochChangeDone) BCS(c *Codec) { c.U32(&e.Epoch) }

// ShardsReceived tells that one node holds its shards of Epoch.
type ShardsReceived struct {
	Epoch  uint32
	Shards []uint16
}

// EventName returns the name of the type.
func (*ShardsReceived) EventName() string { return "ShardsReceived" }

// BCS is the layout.
func (e *ShardsReceived) BCS(c *Codec) {
	c.U32(&e.Epoch)
	Vector(c, &e.Shards, (*Codec).U16)
}

// EpochParametersSelected tells that committee and capacity of NextEpoch are fixed.
type EpochParametersSelected struct{ NextEpoch uint32 }

// EventName returns the name of the type.
func (*EpochParametersSelected) EventName() string { return "EpochParametersSelected" }

// BCS is the layout.
func (e *EpochParametersSelected) BCS(c *Codec) { c.U32(&e.NextEpoch) }

// PricesUpdated tells the prices from now on.
type PricesUpdated struct {
	Epoch        uint32
	StoragePrice uint64
	WritePrice   uint64
}

// EventName returns the name of the type.
func (*PricesUpdated) EventName() string { return "PricesUpdated" }

// BCS is the layout.
func (e *PricesUpdated) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U64(&e.StoragePrice)
	c.U64(&e.WritePrice)
}
