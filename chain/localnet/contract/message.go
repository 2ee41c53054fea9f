package contract

import (
	"errors"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/move"
)

// The head of every message that nodes sign. Source: module messages.
const (
	appID         = 3
	intentVersion = 0

	blobCertificate     = 1
	invalidBlobID       = 2
	denyListUpdate      = 4
	denyListBlobDeleted = 5
	protocolVersion     = 6

	blsKeySize       = 48
	blsSignatureSize = 96
)

// message is a signed message as it is read: messages::CertifiedMessage.
type message struct {
	kind, version, app uint8
	epoch              uint32
}

// BCS is the layout.
func (m *message) BCS(c *move.Codec) {
	c.U8(&m.kind)
	c.U8(&m.version)
	c.U8(&m.app)
	c.U32(&m.epoch)
}

// persistence is messages::BlobPersistenceType.
type persistence struct {
	deletable bool
	object    move.ID
}

// certificate is messages::CertifiedBlobMessage.
type certificate struct {
	blob        move.U256
	persistence persistence
}

// parseHeader reads the head of a message and returns the rest: messages::new_certified_message.
func parseHeader(b []byte, epoch uint32) (kind uint8, body []byte, err error) {
	const function = "new_certified_message"
	var m message
	body, err = move.UnmarshalPrefix(b, &m)
	switch {
	case err != nil:
		return 0, nil, bcsOutOfRange.in("peel_u32")
	case m.version != intentVersion:
		return 0, nil, messageIntentVersion.in(function)
	case m.app != appID:
		return 0, nil, messageAppID.in(function)
	case m.epoch != epoch:
		return 0, nil, messageEpoch.in(function)
	}
	return m.kind, body, nil
}

// parseCertificate reads the body of a blob certificate: messages::certify_blob_message.
// Bytes behind it are let through, as the contract does.
func parseCertificate(kind uint8, body []byte) (certificate, error) {
	var c certificate
	if kind != blobCertificate {
		return c, messageType.in("certify_blob_message")
	}
	rest, err := peelBlobID(body, &c.blob)
	if err != nil {
		return c, err
	}
	if len(rest) == 0 {
		return c, bcsOutOfRange.in("peel_u8")
	}
	switch rest[0] {
	case 0:
	case 1:
		c.persistence.deletable = true
		if copy(c.persistence.object[:], rest[1:]) < len(c.persistence.object) {
			return c, bcsOutOfRange.in("peel_address")
		}
	default:
		return c, messagePersistence.in("peel_blob_persistence_type")
	}
	return c, nil
}

// parseBlobID reads the body of a message of one kind that is a blob ID:
// messages::invalid_blob_id_message and deny_list_blob_deleted_message.
func parseBlobID(kind uint8, body []byte, want uint8, function string) (move.U256, error) {
	var blob move.U256
	if kind != want {
		return blob, messageType.in(function)
	}
	_, err := peelBlobID(body, &blob)
	return blob, err
}

// denyList is messages::DenyListUpdateMessage.
type denyList struct {
	node           move.ID
	sequence, size uint64
	root           move.U256
}

// BCS is the layout.
func (d *denyList) BCS(c *move.Codec) {
	c.ID(&d.node)
	c.U64(&d.sequence)
	c.U64(&d.size)
	c.U256(&d.root)
}

// parseDenyList reads the body of a message about a deny list: messages::deny_list_update_message.
func parseDenyList(kind uint8, body []byte) (d denyList, err error) {
	if kind != denyListUpdate {
		return d, messageType.in("deny_list_update_message")
	}
	if _, err := move.UnmarshalPrefix(body, &d); err != nil {
		return d, bcsOutOfRange.in("peel_u64")
	}
	return d, nil
}

// protocol is messages::ProtocolVersionMessage.
type protocol struct {
	start   uint32
	version uint64
}

// BCS is the layout.
func (p *protocol) BCS(c *move.Codec) {
	c.U32(&p.start)
	c.U64(&p.version)
}

// parseProtocol reads the body of a message about the protocol: messages::protocol_version_message.
func parseProtocol(kind uint8, body []byte) (p protocol, err error) {
	if kind != protocolVersion {
		return p, messageType.in("protocol_version_message")
	}
	if _, err := move.UnmarshalPrefix(body, &p); err != nil {
		return p, bcsOutOfRange.in("peel_u64")
	}
	return p, nil
}

func peelBlobID(body []byte, blob *move.U256) ([]byte, error) {
	n := copy(blob[:], body)
	if n < len(blob) {
		return nil, bcsOutOfRange.in("peel_u256")
	}
	return body[n:], nil
}

// checkProof verifies a proof of possession that names the sender of the
// transaction: messages::verify_proof_of_possession.
func checkProof(epoch uint32, sender move.Address, publicKey, proof []byte, function string) error {
	if len(publicKey) != blsKeySize {
		return messageKeyLength.in("new_proof_of_possession_msg")
	}
	if len(proof) != blsSignatureSize {
		return poolProof.in(function)
	}
	key := [blsKeySize]byte(publicKey)
	msg := walrus.ProofOfPossessionMessage(walrus.Epoch(epoch), sender, key)
	err := bls.Verify(key, msg, [blsSignatureSize]byte(proof))
	if errors.Is(err, bls.ErrSignature) || errors.Is(err, bls.ErrPublicKey) {
		return poolProof.in(function)
	}
	return err
}
