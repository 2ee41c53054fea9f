package move

import "encoding/binary"

// Prefixes of derived IDs. Source: Sui, HashingIntentScope.
const (
	scopeChildObject   = 0xf0
	scopeRegularObject = 0xf1
)

// CreatedID returns the ID of the n-th object that a transaction creates, n
// from 0, objects that are wrapped or deleted again included.
func CreatedID(tx Digest, n uint64) ID {
	return ID(hash([]byte{scopeRegularObject}, tx[:], binary.LittleEndian.AppendUint64(nil, n)))
}

// FieldID returns the ID of the field object under key of parent.
func FieldID(parent ID, key FieldKey) (ID, error) {
	t, err := Marshal(&key.Type)
	if err != nil {
		return ID{}, err
	}
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(key.BCS)))
	return ID(hash([]byte{scopeChildObject}, parent[:], length, key.BCS, t)), nil
}

// BlobID returns the ID of a blob, as the contract derives it from what a
// registration says. Root is the Merkle root of the metadata.
func BlobID(root U256, encodingType uint8, size uint64) U256 {
	var c Codec
	c.U8(&encodingType)
	c.U64(&size)
	c.U256(&root)
	return U256(hash(c.buf))
}
