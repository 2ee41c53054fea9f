package contract

import (
	"fmt"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain/move"
)

// newBLSCommittee is bls_aggregate::new_bls_committee.
func newBLSCommittee(epoch uint32, members []move.BLSMember) (move.BLSCommittee, error) {
	c := move.BLSCommittee{Members: members, Epoch: epoch}
	var keys [][blsKeySize]byte
	for _, m := range members {
		if m.Weight == 0 {
			return c, blsIncorrectCommittee.in("new_bls_committee")
		}
		c.Shards += m.Weight
		key, err := compress(m.PublicKey)
		if err != nil {
			return c, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		c.TotalKey = identityKey()
		return c, nil
	}
	total, err := bls.AggregatePublicKeys(keys)
	if err != nil {
		return c, fmt.Errorf("committee of epoch %d: %w", epoch, err)
	}
	c.TotalKey = total[:]
	return c, nil
}

// identityKey is the sum of no keys: the point at infinity, compressed.
// Source: BLS12-381, serialisation of the ZCash project.
func identityKey() []byte {
	k := make([]byte, blsKeySize)
	k[0] = 0xc0
	return k
}

func compress(key []byte) ([blsKeySize]byte, error) {
	const uncompressedSize = 2 * blsKeySize
	if len(key) != uncompressedSize {
		return [blsKeySize]byte{}, fmt.Errorf("public key of %d bytes: %w", len(key), bls.ErrPublicKey)
	}
	return bls.Compress([uncompressedSize]byte(key))
}

// isQuorum is bls_aggregate::is_quorum.
func isQuorum(weight uint64, shards uint16) bool { return 3*weight >= 2*uint64(shards)+1 }

// includesHonest is bls_aggregate::includes_one_correct_node.
func includesHonest(weight uint64, shards uint16) bool { return 3*weight >= uint64(shards)+1 }

// verifySigned checks bitmap, weight and signature of a message, and reads its
// head: bls_aggregate::verify_quorum_in_epoch and verify_one_correct_node_in_epoch,
// which differ in enough.
func verifySigned(c *move.BLSCommittee, signature, bitmap, msg []byte,
	enough func(weight uint64, shards uint16) bool) (kind uint8, body []byte, err error) {
	const function = "verify_certificate_and_weight"
	weight, keys, err := signers(c, bitmap)
	if err != nil {
		return 0, nil, err
	}
	if !enough(weight, c.Shards) {
		return 0, nil, blsNotEnoughStake.in(function)
	}
	if len(signature) != blsSignatureSize {
		return 0, nil, blsSignature.in(function)
	}
	if verifyKeys(keys, msg, signature) != nil {
		return 0, nil, blsSignature.in(function)
	}
	return parseHeader(msg, c.Epoch)
}
