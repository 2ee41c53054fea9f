package contract

import (
	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// NewNodeMetadata is what a node says of itself: node_metadata::new.
func NewNodeMetadata(imageURL, projectURL, description string) move.NodeMetadata {
	return move.NodeMetadata{ImageURL: imageURL, ProjectURL: projectURL, Description: description}
}

// SetName names a node: staking::set_name.
func SetName(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, name string) error {
	_, pool, err := poolOf(tx, s, c.Node)
	if err != nil {
		return err
	}
	if len(name) > maxNameLength {
		return poolNameLength.in("set_name")
	}
	pool.Info.Name = name
	return nil
}

// SetNetworkAddress says where a node listens: staking::set_network_address.
func SetNetworkAddress(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, address string) error {
	_, pool, err := poolOf(tx, s, c.Node)
	if err != nil {
		return err
	}
	if len(address) > maxAddressLength {
		return poolAddressLength.in("set_network_address")
	}
	pool.Info.NetworkAddress = address
	return nil
}

// SetNetworkPublicKey changes the key of a node's TLS: staking::set_network_public_key.
func SetNetworkPublicKey(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, key []byte) error {
	_, pool, err := poolOf(tx, s, c.Node)
	if err != nil {
		return err
	}
	if len(key) != networkKeySize {
		return nodeNetworkKey.in("set_network_public_key")
	}
	pool.Info.NetworkPublicKey = key
	return nil
}

// SetNodeMetadata changes what a node says of itself: staking::set_node_metadata.
func SetNodeMetadata(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, m move.NodeMetadata) error {
	_, pool, err := poolOf(tx, s, c.Node)
	if err != nil {
		return err
	}
	old, err := overlay.Field[move.NodeMetadata](tx, pool.Info.Metadata, tx.Types.ExtendedKey(), tx.Types.NodeMetadata())
	if err != nil {
		return err
	}
	*old = m
	return nil
}

// NodeMetadata returns what a node says of itself: staking::node_metadata.
func NodeMetadata(tx *overlay.Tx, s *move.Staking, node move.ID) (*move.NodeMetadata, error) {
	_, pool, err := poolOf(tx, s, node)
	if err != nil {
		return nil, err
	}
	return overlay.Field[move.NodeMetadata](tx, pool.Info.Metadata, tx.Types.ExtendedKey(), tx.Types.NodeMetadata())
}

// SetNextPublicKey changes the key that a node signs with, from the next epoch
// on for which it is chosen: staking::set_next_public_key.
func SetNextPublicKey(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, publicKey, proof []byte) error {
	inner, pool, err := poolOf(tx, s, c.Node)
	if err != nil {
		return err
	}
	if err := checkProof(inner.Epoch, tx.Sender, publicKey, proof, "set_next_public_key"); err != nil {
		return err
	}
	key, err := bls.Uncompress([blsKeySize]byte(publicKey))
	if err != nil {
		return err
	}
	next := key[:]
	pool.Info.NextEpochPublicKey = &next
	return nil
}
