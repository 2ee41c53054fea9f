package move

// Storage is a reservation: so many bytes from StartEpoch until before EndEpoch.
type Storage struct {
	ID         ID
	StartEpoch uint32
	EndEpoch   uint32 // exclusive
	Size       uint64 // bytes of encoded size
}

// BCS is the layout.
func (v *Storage) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U32(&v.StartEpoch)
	c.U32(&v.EndEpoch)
	c.U64(&v.Size)
}

// ObjectID returns the ID of the reservation.
func (v *Storage) ObjectID() ID { return v.ID }

// Blob is a blob object: the registration of a blob and, from certification on, its availability.
type Blob struct {
	ID              ID
	RegisteredEpoch uint32
	BlobID          U256
	Size            uint64 // unencoded
	EncodingType    uint8
	CertifiedEpoch  *uint32
	Storage         Storage
	Deletable       bool
}

// BCS is the layout.
func (v *Blob) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U32(&v.RegisteredEpoch)
	c.U256(&v.BlobID)
	c.U64(&v.Size)
	c.U8(&v.EncodingType)
	Option(c, &v.CertifiedEpoch, (*Codec).U32)
	v.Storage.BCS(c)
	c.Bool(&v.Deletable)
}

// ObjectID returns the ID of the blob object.
func (v *Blob) ObjectID() ID { return v.ID }

// Metadata is the attributes of a blob object, in its field MetadataKey.
type Metadata struct {
	Pairs VecMap[string, string]
}

// BCS is the layout.
func (v *Metadata) BCS(c *Codec) { Map(c, &v.Pairs, (*Codec).String, (*Codec).String) }

// SharedBlob is a blob object that anybody may fund and extend.
type SharedBlob struct {
	ID    ID
	Blob  Blob
	Funds uint64
}

// BCS is the layout.
func (v *SharedBlob) BCS(c *Codec) {
	c.ID(&v.ID)
	v.Blob.BCS(c)
	c.U64(&v.Funds)
}

// ObjectID returns the ID of the object.
func (v *SharedBlob) ObjectID() ID { return v.ID }

// StoragePool is storage that many blobs share; its state hangs below it in a field keyed by Version.
type StoragePool struct {
	ID      ID
	Version uint64
}

// BCS is the layout.
func (v *StoragePool) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U64(&v.Version)
}

// ObjectID returns the ID of the object.
func (v *StoragePool) ObjectID() ID { return v.ID }

// StoragePoolInner is storage_pool::StoragePoolInnerV1.
type StoragePoolInner struct {
	Storage   Storage
	UsedBytes uint64
	BlobCount uint64
	Blobs     Table
}

// BCS is the layout.
func (v *StoragePoolInner) BCS(c *Codec) {
	v.Storage.BCS(c)
	c.U64(&v.UsedBytes)
	c.U64(&v.BlobCount)
	v.Blobs.BCS(c)
}

// PooledBlob is a blob object inside a StoragePool.
type PooledBlob struct {
	ID              ID
	RegisteredEpoch uint32
	BlobID          U256
	Size            uint64
	EncodingType    uint8
	CertifiedEpoch  *uint32
	Pool            ID
	Deletable       bool
}

// BCS is the layout.
func (v *PooledBlob) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U32(&v.RegisteredEpoch)
	c.U256(&v.BlobID)
	c.U64(&v.Size)
	c.U8(&v.EncodingType)
	Option(c, &v.CertifiedEpoch, (*Codec).U32)
	c.ID(&v.Pool)
	c.Bool(&v.Deletable)
}

// ObjectID returns the ID of the object.
func (v *PooledBlob) ObjectID() ID { return v.ID }
