package ptb

import (
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

var blobModule = module{inWalrus, "blob", []declared{
	{"object_id(&Blob): ID", func(b *move.Blob) move.ID { return b.ID }},
	{"blob_id(&Blob): u256", func(b *move.Blob) move.U256 { return b.BlobID }},
	{"registered_epoch(&Blob): u32", func(b *move.Blob) uint32 { return b.RegisteredEpoch }},
	{"end_epoch(&Blob): u32", func(b *move.Blob) uint32 { return b.Storage.EndEpoch }},
	{"size(&Blob): u64", func(b *move.Blob) uint64 { return b.Size }},
	{"encoding_type(&Blob): u8", func(b *move.Blob) uint8 { return b.EncodingType }},
	{"is_deletable(&Blob): bool", func(b *move.Blob) bool { return b.Deletable }},
	{"burn(Blob)", contract.BurnBlob},
	{"add_metadata(&mut Blob, Metadata)", contract.AddMetadata},
	{"add_or_replace_metadata(&mut Blob, Metadata): Option<Metadata>", contract.AddOrReplaceMetadata},
	{"take_metadata(&mut Blob): Metadata", contract.TakeMetadata},
	{"insert_or_update_metadata_pair(&mut Blob, String, String)", contract.InsertOrUpdateMetadataPair},
	{"remove_metadata_pair(&mut Blob, &String): String, String", func(tx *overlay.Tx, b *move.Blob, key string) (string, string, error) {
		value, err := contract.RemoveMetadataPair(tx, b, key)
		return key, value, err
	}},
	{"remove_metadata_pair_if_exists(&mut Blob, &String): Option<String>", func(tx *overlay.Tx, b *move.Blob, key string) (*string, error) {
		value, was, err := contract.RemoveMetadataPairIfExists(tx, b, key)
		if !was {
			return nil, err
		}
		return &value, err
	}},
}}

var metadataModule = module{inWalrus, "metadata", []declared{
	{"new(): Metadata", func() *move.Metadata { return new(move.Metadata) }},
	{"insert_or_update(&mut Metadata, String, String)", func(m *move.Metadata, key, value string) {
		m.Pairs.Remove(key)
		m.Pairs.Set(key, value)
	}},
	{"remove_if_exists(&mut Metadata, &String): Option<String>", func(m *move.Metadata, key string) *string {
		if value, was := m.Pairs.Remove(key); was {
			return &value
		}
		return nil
	}},
}}
