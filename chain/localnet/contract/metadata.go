package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

func hasMetadata(tx *overlay.Tx, b *move.Blob) (bool, error) {
	return tx.HasField(b.ID, move.MetadataKey())
}

func metadata(tx *overlay.Tx, b *move.Blob) (*move.Metadata, error) {
	return overlay.Field[move.Metadata](tx, b.ID, move.MetadataKey(), tx.Types.Metadata().Tag())
}

// removeMetadata drops the attributes if there are any: dynamic_field::remove_if_exists.
func removeMetadata(tx *overlay.Tx, b *move.Blob) error {
	there, err := hasMetadata(tx, b)
	if err != nil || !there {
		return err
	}
	_, err = overlay.RemoveField[move.Metadata](tx, b.ID, move.MetadataKey(), tx.Types.Metadata().Tag())
	return err
}

// AddMetadata gives attributes to a blob object that has none: blob::add_metadata.
func AddMetadata(tx *overlay.Tx, b *move.Blob, m move.Metadata) error {
	there, err := hasMetadata(tx, b)
	if err != nil {
		return err
	}
	if there {
		return blobDuplicateMetadata.in("add_metadata")
	}
	return tx.AddField(b.ID, move.MetadataKey(), tx.Types.Metadata().Tag(), &m)
}

// AddOrReplaceMetadata gives attributes to a blob object and returns those
// that it had, or nil: blob::add_or_replace_metadata.
func AddOrReplaceMetadata(tx *overlay.Tx, b *move.Blob, m move.Metadata) (*move.Metadata, error) {
	there, err := hasMetadata(tx, b)
	if err != nil {
		return nil, err
	}
	var old *move.Metadata
	if there {
		if old, err = TakeMetadata(tx, b); err != nil {
			return nil, err
		}
	}
	return old, AddMetadata(tx, b, m)
}

// TakeMetadata removes the attributes of a blob object and returns them: blob::take_metadata.
func TakeMetadata(tx *overlay.Tx, b *move.Blob) (*move.Metadata, error) {
	there, err := hasMetadata(tx, b)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, blobMissingMetadata.in("take_metadata")
	}
	return overlay.RemoveField[move.Metadata](tx, b.ID, move.MetadataKey(), tx.Types.Metadata().Tag())
}

// InsertOrUpdateMetadataPair sets one attribute. A key that was there moves to
// the end: blob::insert_or_update_metadata_pair.
func InsertOrUpdateMetadataPair(tx *overlay.Tx, b *move.Blob, key, value string) error {
	there, err := hasMetadata(tx, b)
	if err != nil {
		return err
	}
	if !there {
		if err := AddMetadata(tx, b, move.Metadata{}); err != nil {
			return err
		}
	}
	m, err := metadata(tx, b)
	if err != nil {
		return err
	}
	m.Pairs.Remove(key)
	m.Pairs.Set(key, value)
	return nil
}

// RemoveMetadataPair removes one attribute, which must be there, and returns
// its value: blob::remove_metadata_pair.
func RemoveMetadataPair(tx *overlay.Tx, b *move.Blob, key string) (string, error) {
	there, err := hasMetadata(tx, b)
	if err != nil {
		return "", err
	}
	if !there {
		return "", blobMissingMetadata.in("metadata")
	}
	m, err := metadata(tx, b)
	if err != nil {
		return "", err
	}
	value, ok := m.Pairs.Remove(key)
	if !ok {
		return "", mapNoSuchKey.in("get_idx")
	}
	return value, nil
}

// RemoveMetadataPairIfExists removes one attribute and returns its value, if
// it is there: blob::remove_metadata_pair_if_exists.
func RemoveMetadataPairIfExists(tx *overlay.Tx, b *move.Blob, key string) (value string, was bool, err error) {
	there, err := hasMetadata(tx, b)
	if err != nil || !there {
		return "", false, err
	}
	m, err := metadata(tx, b)
	if err != nil {
		return "", false, err
	}
	value, was = m.Pairs.Remove(key)
	return value, was, nil
}
