package index

import (
	"crypto/ed25519"

	"github.com/walfs/walfs/blobstore/walrus"
)

// NumberedBlob says which blob is a segment.
type NumberedBlob struct {
	Number uint64
	Blob   walrus.BlobID
}

// SnapshotRef names a full snapshot of the index.
type SnapshotRef struct {
	Generation uint64 // the newest generation that it contains
	Blob       walrus.BlobID
}

// Anchor is what a drive's anchor on the ledger says.
type Anchor struct {
	Drive, Writer [16]byte
	Generation    uint64        // the newest that is certified, with all before it
	Head          walrus.BlobID // the segment with the number Generation
	// Window lists, in ascending order, every segment up to the last one of
	// Generation that no trailer up to Generation announces.
	Window   []NumberedBlob
	Snapshot *SnapshotRef
	Time     int64 // Unix time in nanoseconds
}

// Attribute is one key and value of the anchor object.
type Attribute struct{ Key, Value string }

// The keys of the anchor object's attributes.
const (
	KeyDrive     = "walfs.drive"
	KeyAnchor    = "walfs.anchor"
	KeySignature = "walfs.signature"
)

// Attributes returns the signed attributes of the anchor object.
func (a Anchor) Attributes(priv ed25519.PrivateKey) ([]Attribute, error) { return nil, errUnfinished }

// ParseAnchor reads and verifies the attributes of an anchor object; others
// among them are ignored. ErrAnchor: they are malformed or not signed with the drive's key.
func ParseAnchor(attributes []Attribute, pub ed25519.PublicKey) (Anchor, error) {
	return Anchor{}, errUnfinished
}
