// Package walrus holds the nouns of Walrus: blobs, slivers, shards, committees,
// confirmations, certificates and receipts. It does no I/O.
//
// A blob is encoded into n sliver pairs, one for each shard. Pair i is primary
// sliver i together with secondary sliver n-1-i. Which shard stores pair i
// follows from the blob ID, see Geometry.Shard. A committee says which node
// holds which shards in an epoch.
package walrus

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// BlobID names a blob: BLAKE2b-256 over encoding type, unencoded size and
// Merkle root of its metadata. Its text form is base64url without padding.
type BlobID [32]byte

// String returns the 43 characters of the text form.
func (b BlobID) String() string { return base64.RawURLEncoding.EncodeToString(b[:]) }

// IsZero reports whether b is unset.
func (b BlobID) IsZero() bool { return b == BlobID{} }

// ParseBlobID reads the text form. It accepts nothing but the canonical 43 characters.
func ParseBlobID(s string) (BlobID, error) {
	var b BlobID
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return b, fmt.Errorf("parse blob id %q: %w", s, err)
	}
	// The decoder skips line breaks, so its result alone does not prove the form.
	if len(s) != blobIDText || len(raw) != len(b) {
		return b, fmt.Errorf("parse blob id %q: %d characters, want %d", s, len(s), blobIDText)
	}
	copy(b[:], raw)
	return b, nil
}

// blobIDText is the number of characters of a blob ID's text form.
const blobIDText = 43

// ObjectID names an object on the ledger. Its text form is 0x and 64 hex digits.
type ObjectID [32]byte

// String returns the long text form.
func (o ObjectID) String() string { return "0x" + hex.EncodeToString(o[:]) }

// IsZero reports whether o is unset.
func (o ObjectID) IsZero() bool { return o == ObjectID{} }

// ParseObjectID reads the text form, with up to 64 hex digits after 0x.
func ParseObjectID(s string) (ObjectID, error) {
	var o ObjectID
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits) == 0 || len(digits) > 64 {
		return o, fmt.Errorf("parse object id %q: want 0x and up to 64 hex digits", s)
	}
	raw, err := hex.DecodeString(strings.Repeat("0", 64-len(digits)) + digits)
	if err != nil {
		return o, fmt.Errorf("parse object id %q: %w", s, err)
	}
	copy(o[:], raw)
	return o, nil
}

// NodeID names a storage node: the ID of its staking pool object.
type NodeID [32]byte

// String returns the long text form.
func (n NodeID) String() string { return ObjectID(n).String() }

// Epoch numbers the periods for which a committee serves and storage is paid.
type Epoch uint32

// EncodingRS2 is the encoding type of RedStuff with Reed-Solomon codes.
// Source: Walrus, enum EncodingType.
const EncodingRS2 = 1

// Axis tells the two kinds of slivers apart.
type Axis uint8

// The axes, with the values that BCS bodies use.
const (
	Primary   Axis = 0 // a row of the matrix, n-f symbols
	Secondary Axis = 1 // a column, n-2f symbols
)

// String returns "primary" or "secondary", as paths spell it, and "metadata"
// for what is no sliver but kept among them.
func (a Axis) String() string {
	switch a {
	case Primary:
		return "primary"
	case Secondary:
		return "secondary"
	}
	return "metadata"
}

// SliverID names one sliver of one blob. Index is the sliver's own index, not
// that of its pair.
type SliverID struct {
	Blob  BlobID
	Axis  Axis
	Index uint16
}

// String returns blob/axis/index.
func (s SliverID) String() string { return fmt.Sprintf("%s/%s/%d", s.Blob, s.Axis, s.Index) }

// Stage is how far a Put has come.
type Stage uint8

// The four stages of a Put, in order; the zero Stage means that nothing is known.
const (
	Encoded    Stage = 1 // the blob ID is known
	Registered Stage = 2 // the ledger holds a paid blob object
	Stored     Stage = 3 // nodes worth a quorum of shards have signed
	Certified  Stage = 4 // the ledger accepted the certificate
)

// String returns the stage's name in lower case.
func (s Stage) String() string {
	switch s {
	case Encoded:
		return "encoded"
	case Registered:
		return "registered"
	case Stored:
		return "stored"
	case Certified:
		return "certified"
	}
	return "unknown"
}

// Receipt says what is known of a blob that is being Put. It is what a
// checkpoint writes down and what a resumed Put starts from.
type Receipt struct {
	Stage      Stage
	Blob       BlobID
	Root       [32]byte // Merkle root of the metadata
	Size       int64    // of the unencoded blob, in bytes
	RegisterTx [32]byte // chosen before the registration was sent; zero: never sent
	CertifyTx  [32]byte // chosen before the certificate was sent; zero: never sent
	Object     ObjectID // from Registered on
	EndEpoch   Epoch    // exclusive; from Registered on
	Cert       *Certificate
	// AnchorVersion is the version of the drive's anchor object after the
	// certifying transaction, or 0 when that transaction did not move it.
	AnchorVersion uint64
}

// ErrSignature reports a signature that does not verify.
var ErrSignature = errors.New("signature does not verify")
