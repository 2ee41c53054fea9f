package walrus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// certificateVersion is the first byte of a certificate at rest. The signature
// follows, then bitmap and message, each after its length as a big-endian uint16.
const certificateVersion = 1

// ErrCertificate reports bytes that are not a certificate at rest.
var ErrCertificate = errors.New("malformed certificate")

// MarshalBinary returns the form in which a certificate rests in a journal.
// The ledger takes the three fields as they are.
func (c *Certificate) MarshalBinary() ([]byte, error) {
	if len(c.Bitmap) > 0xffff || len(c.Message) > 0xffff {
		return nil, fmt.Errorf("marshal certificate: bitmap of %d, message of %d bytes", len(c.Bitmap), len(c.Message))
	}
	b := append([]byte{certificateVersion}, c.Signature[:]...)
	for _, field := range [][]byte{c.Bitmap, c.Message} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
		b = append(b, field...)
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary wrote and keeps nothing of b. It
// returns ErrCertificate for other bytes and then leaves c alone.
func (c *Certificate) UnmarshalBinary(b []byte) error {
	if len(b) < 1+len(c.Signature) || b[0] != certificateVersion {
		return ErrCertificate
	}
	var read Certificate
	rest := b[1:]
	rest = rest[copy(read.Signature[:], rest):]
	for _, field := range []*[]byte{&read.Bitmap, &read.Message} {
		if len(rest) < 2 {
			return ErrCertificate
		}
		size := int(binary.BigEndian.Uint16(rest))
		rest = rest[2:]
		if len(rest) < size {
			return ErrCertificate
		}
		*field = slices.Clone(rest[:size])
		rest = rest[size:]
	}
	if len(rest) != 0 {
		return ErrCertificate
	}
	*c = read
	return nil
}
