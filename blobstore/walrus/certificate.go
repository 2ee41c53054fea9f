package walrus

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/walfs/walfs/blobstore/bls"
)

// The errors of confirmations and certificates, besides ErrSignature and ErrMessage.
var (
	ErrBitmap = errors.New("signers do not fit the committee")
	ErrQuorum = errors.New("too few shards signed")
	ErrEpoch  = errors.New("message is of another epoch")
)

// Confirmation is one node's signature over a message of ConfirmationMessage.
type Confirmation struct {
	Member    int // index in the committee
	Message   []byte
	Signature [96]byte
}

// Verify checks that the member belongs to the committee, that the message is
// of the committee's epoch and that the signature is the member's.
// The caller compares Message with the one it asked for.
func (c *Confirmation) Verify(committee *Committee) error {
	if c.Member < 0 || c.Member >= len(committee.Members) {
		return fmt.Errorf("confirmation of member %d of %d: %w", c.Member, len(committee.Members), ErrBitmap)
	}
	if err := checkEpoch(c.Message, committee); err != nil {
		return fmt.Errorf("confirmation: %w", err)
	}
	if err := bls.Verify(committee.Members[c.Member].PublicKey, c.Message, c.Signature); err != nil {
		return fmt.Errorf("confirmation of member %d: %w: %w", c.Member, ErrSignature, err)
	}
	return nil
}

// Certificate is the aggregate of many confirmations of the same message.
type Certificate struct {
	Signature [96]byte
	Bitmap    []byte // bit i&7 of byte i>>3 is member i
	Message   []byte
}

// Signers returns the indices of the members that signed, in ascending order.
func (c *Certificate) Signers() []int {
	var signers []int
	for i, b := range c.Bitmap {
		for bit := range 8 {
			if b>>bit&1 == 1 {
				signers = append(signers, i*8+bit)
			}
		}
	}
	return signers
}

// Verify checks what the ledger checks: the bitmap is no longer than the
// committee needs and names members only (ErrBitmap), the members hold a
// quorum of shards (ErrQuorum), the message is of the committee's epoch
// (ErrEpoch), and the signature is theirs (ErrSignature).
func (c *Certificate) Verify(committee *Committee) error {
	members := len(committee.Members)
	if len(c.Bitmap) > (members+7)/8 {
		return fmt.Errorf("certificate: bitmap of %d bytes for %d members: %w", len(c.Bitmap), members, ErrBitmap)
	}
	weight := 0
	var keys [][48]byte
	for _, i := range c.Signers() {
		if i >= members {
			return fmt.Errorf("certificate: bit %d for %d members: %w", i, members, ErrBitmap)
		}
		weight += committee.Weight(i)
		keys = append(keys, committee.Members[i].PublicKey)
	}
	if g := committee.Geometry(); len(keys) == 0 || !g.IsQuorum(weight) {
		return fmt.Errorf("certificate: %d of %d shards: %w", weight, g.Quorum(), ErrQuorum)
	}
	if err := checkEpoch(c.Message, committee); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if err := bls.VerifyAggregate(keys, c.Message, c.Signature); err != nil {
		return fmt.Errorf("certificate: %w: %w", ErrSignature, err)
	}
	return nil
}

func checkEpoch(msg []byte, committee *Committee) error {
	epoch, err := parseHeader(msg)
	if err != nil {
		return err
	}
	if epoch != committee.Epoch {
		return fmt.Errorf("epoch %d, committee of %d: %w", epoch, committee.Epoch, ErrEpoch)
	}
	return nil
}

// Aggregate makes a certificate of confirmations of one message by members
// that hold a quorum of shards. A member that occurs twice counts once. The
// signatures are added without being verified: verify each confirmation on
// arrival, or the certificate afterwards.
func Aggregate(committee *Committee, confirmations []Confirmation) (*Certificate, error) {
	members := len(committee.Members)
	cert := &Certificate{Bitmap: make([]byte, (members+7)/8)}
	var signatures [][96]byte
	weight := 0
	for i := range confirmations {
		c := &confirmations[i]
		if c.Member < 0 || c.Member >= members {
			return nil, fmt.Errorf("aggregate: member %d of %d: %w", c.Member, members, ErrBitmap)
		}
		if !bytes.Equal(c.Message, confirmations[0].Message) {
			return nil, fmt.Errorf("aggregate: member %d signed something else: %w", c.Member, ErrMessage)
		}
		mask := byte(1) << (c.Member & 7)
		if cert.Bitmap[c.Member>>3]&mask != 0 {
			continue
		}
		cert.Bitmap[c.Member>>3] |= mask
		weight += committee.Weight(c.Member)
		signatures = append(signatures, c.Signature)
	}
	if g := committee.Geometry(); len(signatures) == 0 || !g.IsQuorum(weight) {
		return nil, fmt.Errorf("aggregate: %d of %d shards: %w", weight, g.Quorum(), ErrQuorum)
	}
	sum, err := bls.AggregateSignatures(signatures)
	if err != nil {
		return nil, fmt.Errorf("aggregate: %w: %w", ErrSignature, err)
	}
	cert.Signature = sum
	cert.Message = slices.Clone(confirmations[0].Message)
	return cert, nil
}
