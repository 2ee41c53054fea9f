package index

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

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

// Last returns the number of the last segment that the anchor covers.
func (a Anchor) Last() uint64 {
	last := a.Generation
	for _, w := range a.Window {
		last = max(last, w.Number)
	}
	return last
}

// Attribute is one key and value of the anchor object.
type Attribute struct{ Key, Value string }

// The keys of the anchor object's attributes.
const (
	KeyDrive     = "walfs.drive"
	KeyAnchor    = "walfs.anchor"
	KeySignature = "walfs.signature"
)

// anchorTitle is the first line of the signed text, which keeps the signature
// from standing for anything else.
const anchorTitle = "walfs anchor 1"

// text returns the form that is signed: lines of a word and its value.
func (a Anchor) text() string {
	var b strings.Builder
	b.WriteString(anchorTitle + "\n")
	fmt.Fprintf(&b, "drive %x\n", a.Drive)
	fmt.Fprintf(&b, "writer %x\n", a.Writer)
	fmt.Fprintf(&b, "generation %d\n", a.Generation)
	fmt.Fprintf(&b, "head %s\n", a.Head)
	for _, w := range a.Window {
		fmt.Fprintf(&b, "segment %d %s\n", w.Number, w.Blob)
	}
	if a.Snapshot != nil {
		fmt.Fprintf(&b, "snapshot %d %s\n", a.Snapshot.Generation, a.Snapshot.Blob)
	}
	fmt.Fprintf(&b, "time %d\n", a.Time)
	return b.String()
}

// Attributes returns the signed attributes of the anchor object. ErrAnchor: the window is too long.
func (a Anchor) Attributes(priv ed25519.PrivateKey) ([]Attribute, error) {
	text := a.text()
	if _, err := parseAnchorText(text); err != nil {
		return nil, err
	}
	return []Attribute{
		{KeyDrive, hex.EncodeToString(a.Drive[:])},
		{KeyAnchor, text},
		{KeySignature, base64.RawURLEncoding.EncodeToString(ed25519.Sign(priv, []byte(text)))},
	}, nil
}

// ParseAnchor reads and verifies the attributes of an anchor object; others
// among them are ignored. ErrAnchor: they are malformed or not signed with the drive's key.
func ParseAnchor(attributes []Attribute, pub ed25519.PublicKey) (Anchor, error) {
	values := make(map[string]string)
	for _, at := range attributes {
		values[at.Key] = at.Value
	}
	text := values[KeyAnchor]
	signature, err := base64.RawURLEncoding.Strict().DecodeString(values[KeySignature])
	if err != nil || len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, []byte(text), signature) {
		return Anchor{}, fmt.Errorf("signature: %w", ErrAnchor)
	}
	a, err := parseAnchorText(text)
	if err != nil {
		return Anchor{}, err
	}
	if values[KeyDrive] != hex.EncodeToString(a.Drive[:]) {
		return Anchor{}, fmt.Errorf("drive %q: %w", values[KeyDrive], ErrAnchor)
	}
	return a, nil
}

// maxAnchorText is above the length of the text with a full window.
const maxAnchorText = 8 << 10

// parseAnchorText accepts exactly what text writes.
func parseAnchorText(text string) (Anchor, error) {
	var a Anchor
	if len(text) > maxAnchorText {
		return a, fmt.Errorf("text of %d bytes: %w", len(text), ErrAnchor)
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			a.set(fields[0], fields[1:])
		}
	}
	if a.Generation > math.MaxInt64 || len(a.Window) > MaxWindow || a.text() != text {
		return Anchor{}, fmt.Errorf("text: %w", ErrAnchor)
	}
	for i, w := range a.Window {
		if w.Number == 0 || i > 0 && w.Number <= a.Window[i-1].Number {
			return Anchor{}, fmt.Errorf("window: %w", ErrAnchor)
		}
	}
	return a, nil
}

// set takes over one line. What it cannot read it leaves out: then the text
// made of the anchor differs.
func (a *Anchor) set(word string, values []string) {
	last := values[len(values)-1]
	switch word {
	case "drive":
		setHex(&a.Drive, last)
	case "writer":
		setHex(&a.Writer, last)
	case "generation":
		a.Generation, _ = strconv.ParseUint(last, 10, 64)
	case "head":
		a.Head, _ = walrus.ParseBlobID(last)
	case "segment":
		n, _ := strconv.ParseUint(values[0], 10, 64)
		blob, _ := walrus.ParseBlobID(last)
		a.Window = append(a.Window, NumberedBlob{Number: n, Blob: blob})
	case "snapshot":
		n, _ := strconv.ParseUint(values[0], 10, 64)
		blob, _ := walrus.ParseBlobID(last)
		a.Snapshot = &SnapshotRef{Generation: n, Blob: blob}
	case "time":
		a.Time, _ = strconv.ParseInt(last, 10, 64)
	}
}

func setHex(id *[16]byte, s string) {
	if b, err := hex.DecodeString(s); err == nil && len(b) == len(id) {
		copy(id[:], b)
	}
}
