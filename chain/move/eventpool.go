package move

// StoragePoolCreated tells that a storage pool was made.
type StoragePoolCreated struct {
	Epoch      uint32
	Pool       ID
	Reserved   uint64 // bytes of encoded size
	StartEpoch uint32
	EndEpoch   uint32
}

// EventName returns the name of the type.
func (*StoragePoolCreated) EventName() string { return "StoragePoolCreated" }

// BCS is the layout.
func (e *StoragePoolCreated) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.ID(&e.Pool)
	c.U64(&e.Reserved)
	c.U32(&e.StartEpoch)
	c.U32(&e.EndEpoch)
}

// StoragePoolExtended tells that a storage pool lives until before NewEndEpoch.
type StoragePoolExtended struct {
	Epoch       uint32
	Pool        ID
	NewEndEpoch uint32
}

// EventName returns the name of the type.
func (*StoragePoolExtended) EventName() string { return "StoragePoolExtended" }

// BCS is the layout.
func (e *StoragePoolExtended) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.ID(&e.Pool)
	c.U32(&e.NewEndEpoch)
}

// PooledBlobRegistered tells that a blob was registered in a storage pool.
type PooledBlobRegistered struct {
	Epoch        uint32
	Blob         U256
	Size         uint64 // unencoded
	EncodingType uint8
	Deletable    bool
	Object       ID
	Pool         ID
}

// EventName returns the name of the type.
func (*PooledBlobRegistered) EventName() string { return "PooledBlobRegistered" }

// BCS is the layout.
func (e *PooledBlobRegistered) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Blob)
	c.U64(&e.Size)
	c.U8(&e.EncodingType)
	c.Bool(&e.Deletable)
	c.ID(&e.Object)
	c.ID(&e.Pool)
}

// PooledBlobCertified tells that a blob of a storage pool is available.
type PooledBlobCertified struct {
	Epoch     uint32
	Blob      U256
	Deletable bool
	Object    ID
	Pool      ID
}

// EventName returns the name of the type.
func (*PooledBlobCertified) EventName() string { return "PooledBlobCertified" }

// BCS is the layout.
func (e *PooledBlobCertified) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Blob)
	c.Bool(&e.Deletable)
	c.ID(&e.Object)
	c.ID(&e.Pool)
}

// PooledBlobDeleted tells that a blob was deleted from a storage pool.
type PooledBlobDeleted struct {
	Epoch        uint32
	Blob         U256
	Object       ID
	WasCertified bool
	Pool         ID
}

// EventName returns the name of the type.
func (*PooledBlobDeleted) EventName() string { return "PooledBlobDeleted" }

// BCS is the layout.
func (e *PooledBlobDeleted) BCS(c *Codec) {
	c.U32(&e.Epoch)
	c.U256(&e.Blob)
	c.ID(&e.Object)
	c.Bool(&e.WasCertified)
	c.ID(&e.Pool)
}
