package contract

import (
	"slices"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// weightOf returns a node's shards in the committee that signs, 0 outside of
// it: bls_aggregate::get_member_weight.
func weightOf(c *move.BLSCommittee, node move.ID) uint16 {
	i := slices.IndexFunc(c.Members, func(m move.BLSMember) bool { return m.Node == node })
	if i < 0 {
		return 0
	}
	return c.Members[i].Weight
}

// ofMember returns the state of System for a call of a committee's node.
func ofMember(tx *overlay.Tx, sys *move.System, c *move.NodeCap, function string) (*move.SystemInner, error) {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return nil, err
	}
	if weightOf(&inner.Committee, c.Node) == 0 {
		return nil, innerNotMember.in(function)
	}
	return inner, nil
}

// RegisterDenyListUpdate announces a node's new deny list, for the others to
// confirm: system::register_deny_list_update.
func RegisterDenyListUpdate(tx *overlay.Tx, sys *move.System, c *move.NodeCap, root move.U256, sequence uint64) error {
	const function = "register_deny_list_update"
	inner, err := ofMember(tx, sys, c, function)
	if err != nil {
		return err
	}
	if sequence <= c.DenyListSequence {
		return innerDenySequence.in(function)
	}
	return tx.Emit(&move.RegisterDenyListUpdate{Epoch: inner.Committee.Epoch, Root: root, Sequence: sequence, Node: c.Node})
}

// UpdateDenyList takes the deny list that a quorum confirmed; what it holds
// counts no longer for the node's rewards: system::update_deny_list.
func UpdateDenyList(tx *overlay.Tx, sys *move.System, c *move.NodeCap, signature, bitmap, msg []byte) error {
	const function = "update_deny_list"
	inner, err := ofMember(tx, sys, c, function)
	if err != nil {
		return err
	}
	kind, body, err := verifySigned(&inner.Committee, signature, bitmap, msg, isQuorum)
	if err != nil {
		return err
	}
	update, err := parseDenyList(kind, body)
	if err != nil {
		return err
	}
	if update.node != c.Node {
		return innerDenyNode.in(function)
	}
	if update.sequence <= c.DenyListSequence {
		return innerDenySequence.in(function)
	}
	c.DenyListRoot, c.DenyListSequence, c.DenyListSize = update.root, update.sequence, update.size
	denied, err := overlay.Field[move.DenyListSizes](tx, inner.DenyListSizes, tx.Types.ExtendedKey(), tx.Types.DenyListSizes())
	if err != nil {
		return err
	}
	denied.Sizes.Set(update.node, update.size)
	return tx.Emit(&move.DenyListUpdate{Epoch: inner.Committee.Epoch, Root: update.root, Sequence: update.sequence, Node: c.Node})
}

// DeleteDenyListedBlob tells that at least one honest node denies a blob: system::delete_deny_listed_blob.
func DeleteDenyListedBlob(tx *overlay.Tx, sys *move.System, signature, bitmap, msg []byte) error {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	kind, body, err := verifySigned(&inner.Committee, signature, bitmap, msg, includesHonest)
	if err != nil {
		return err
	}
	blob, err := parseBlobID(kind, body, denyListBlobDeleted, "deny_list_blob_deleted_message")
	if err != nil {
		return err
	}
	return tx.Emit(&move.DenyListBlobDeleted{Epoch: inner.Committee.Epoch, Blob: blob})
}

// UpdateProtocolVersion tells which protocol a quorum speaks from an epoch on: system::update_protocol_version.
func UpdateProtocolVersion(tx *overlay.Tx, sys *move.System, c *move.NodeCap, signature, bitmap, msg []byte) error {
	const function = "update_protocol_version"
	inner, err := ofMember(tx, sys, c, function)
	if err != nil {
		return err
	}
	kind, body, err := verifySigned(&inner.Committee, signature, bitmap, msg, isQuorum)
	if err != nil {
		return err
	}
	p, err := parseProtocol(kind, body)
	if err != nil {
		return err
	}
	if p.start < inner.Committee.Epoch {
		return innerStartEpoch.in(function)
	}
	return tx.Emit(&move.ProtocolVersionUpdated{Epoch: inner.Committee.Epoch, StartEpoch: p.start, Version: p.version})
}
