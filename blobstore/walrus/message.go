package walrus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMessage reports bytes that are not the signed message they should be.
var ErrMessage = errors.New("malformed message")

// Every signed message starts with its type, a version, the application and an epoch.
// Source: Walrus, intents of messages between nodes and contracts.
const (
	intentProofOfPossession = 0
	intentConfirmation      = 1
	intentInvalidBlob       = 2
	intentSyncShard         = 3

	intentVersion = 0
	intentApp     = 3

	headerSize = 3 + 4
)

// Persistence tells how long a blob is meant to stay: until its end epoch, or
// until the owner of its blob object deletes it.
type Persistence struct {
	Deletable bool
	Object    ObjectID // the blob object; zero for a permanent blob
}

// The variants of a Persistence inside a message.
const (
	permanent = 0
	deletable = 1
)

func header(intent byte, epoch Epoch) []byte {
	b := make([]byte, headerSize, 96)
	b[0], b[1], b[2] = intent, intentVersion, intentApp
	binary.LittleEndian.PutUint32(b[3:], uint32(epoch))
	return b
}

// ConfirmationMessage returns what a node signs to confirm that it holds its
// slivers of a blob: 40 bytes for a permanent blob, 72 for a deletable one.
func ConfirmationMessage(epoch Epoch, blob BlobID, p Persistence) []byte {
	b := append(header(intentConfirmation, epoch), blob[:]...)
	if !p.Deletable {
		return append(b, permanent)
	}
	return append(append(b, deletable), p.Object[:]...)
}

// ParseConfirmation is the inverse of ConfirmationMessage. It returns
// ErrMessage for any other bytes.
func ParseConfirmation(msg []byte) (Epoch, BlobID, Persistence, error) {
	var blob BlobID
	var p Persistence
	epoch, err := parseHeader(msg)
	if err != nil {
		return 0, blob, p, err
	}
	body := msg[headerSize:]
	if msg[0] != intentConfirmation || len(body) <= len(blob) {
		return 0, blob, p, fmt.Errorf("confirmation: %w", ErrMessage)
	}
	rest := body[copy(blob[:], body):]
	switch {
	case rest[0] == permanent && len(rest) == 1:
	case rest[0] == deletable && len(rest) == 1+len(p.Object):
		p.Deletable = true
		copy(p.Object[:], rest[1:])
	default:
		return 0, blob, p, fmt.Errorf("confirmation: %w", ErrMessage)
	}
	return epoch, blob, p, nil
}

// parseHeader returns the epoch of a message of any type.
func parseHeader(msg []byte) (Epoch, error) {
	if len(msg) < headerSize || msg[1] != intentVersion || msg[2] != intentApp {
		return 0, fmt.Errorf("header: %w", ErrMessage)
	}
	return Epoch(binary.LittleEndian.Uint32(msg[3:])), nil
}

// InvalidBlobMessage returns the 39 bytes that a node signs to attest that a
// blob ID does not name a valid encoding.
func InvalidBlobMessage(epoch Epoch, blob BlobID) []byte {
	return append(header(intentInvalidBlob, epoch), blob[:]...)
}

// ProofOfPossessionMessage returns the 87 bytes that a node signs to show that
// it holds the secret of its public key. Address is the account that registers it.
func ProofOfPossessionMessage(epoch Epoch, address [32]byte, key [48]byte) []byte {
	return append(append(header(intentProofOfPossession, epoch), address[:]...), key[:]...)
}

// SyncShard asks a node for the slivers of a shard, which has come to another one.
type SyncShard struct {
	Shard uint16
	Axis  Axis
	Start BlobID // the first one wanted
	Count uint64 // slivers, at most
	Epoch Epoch
}

// syncShardSize is the length of the body: variant, shard, axis, blob, count, epoch.
const syncShardSize = 1 + 2 + 1 + 32 + 8 + 4

// SyncShardMessage returns the 55 bytes that a node signs to ask for a shard that is its own.
func SyncShardMessage(r SyncShard) []byte {
	b := append(header(intentSyncShard, r.Epoch), 0) // the only variant
	b = binary.LittleEndian.AppendUint16(b, r.Shard)
	b = append(append(b, byte(r.Axis)), r.Start[:]...)
	b = binary.LittleEndian.AppendUint64(b, r.Count)
	return binary.LittleEndian.AppendUint32(b, uint32(r.Epoch))
}

// ParseSyncShard is the inverse of SyncShardMessage. It returns ErrMessage for
// any other bytes.
func ParseSyncShard(msg []byte) (r SyncShard, err error) {
	epoch, err := parseHeader(msg)
	if err != nil {
		return r, err
	}
	body := msg[headerSize:]
	if msg[0] != intentSyncShard || len(body) != syncShardSize || body[0] != 0 || body[3] > byte(Secondary) {
		return r, fmt.Errorf("request for a shard: %w", ErrMessage)
	}
	r.Shard, r.Axis = binary.LittleEndian.Uint16(body[1:]), Axis(body[3])
	rest := body[4:]
	rest = rest[copy(r.Start[:], rest):]
	r.Count, r.Epoch = binary.LittleEndian.Uint64(rest), Epoch(binary.LittleEndian.Uint32(rest[8:]))
	if r.Epoch != epoch {
		return r, fmt.Errorf("request for a shard of epoch %d in a message of epoch %d: %w", r.Epoch, epoch, ErrMessage)
	}
	return r, nil
}
