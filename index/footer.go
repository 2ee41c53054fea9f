package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// FooterSize is the length in bytes of a footer.
const FooterSize = 64

const (
	footerMagic   = "WFST"
	footerVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Footer is the end of a segment's plaintext. It says which part of which
// encoded trailer stands before it.
type Footer struct {
	Drive       [16]byte
	Number      uint64 // of the segment
	Generation  uint64 // number of the first segment of the trailer
	Part, Parts int
	PartSize    int    // bytes of this part
	Size        int    // bytes of the whole encoded trailer
	Sum         uint32 // CRC32C of the whole encoded trailer, see TrailerSum
	// Writer is the start of the ID of the machine that made the segment; zero: not told.
	Writer [8]byte
}

// TrailerSum returns the CRC32C that footers hold of an encoded trailer.
func TrailerSum(encoded []byte) uint32 { return crc32.Checksum(encoded, castagnoli) }

// check returns ErrTrailer for numbers that cannot go together.
func (f *Footer) check() error {
	if f.Part < 0 || f.Part >= f.Parts || f.Parts > MaxWindow ||
		f.Generation == 0 || f.Number != f.Generation+uint64(f.Part) || f.Number < f.Generation ||
		f.PartSize < 0 || f.PartSize > f.Size || f.Size > MaxTrailer || f.Parts == 1 && f.PartSize != f.Size {
		return fmt.Errorf("footer of segment %d: %w", f.Number, ErrTrailer)
	}
	return nil
}

// Marshal returns the 64 bytes of the footer, or ErrTrailer for numbers that
// cannot go together.
func (f Footer) Marshal() (b [FooterSize]byte, err error) {
	if err := f.check(); err != nil {
		return b, err
	}
	copy(b[:], footerMagic)
	b[4] = footerVersion
	binary.LittleEndian.PutUint64(b[8:], f.Number)
	binary.LittleEndian.PutUint64(b[16:], f.Generation)
	binary.LittleEndian.PutUint16(b[24:], uint16(f.Part))
	binary.LittleEndian.PutUint16(b[26:], uint16(f.Parts))
	binary.LittleEndian.PutUint32(b[28:], uint32(f.PartSize))
	binary.LittleEndian.PutUint32(b[32:], f.Sum)
	binary.LittleEndian.PutUint32(b[36:], uint32(f.Size))
	copy(b[40:], f.Drive[:])
	copy(b[56:], f.Writer[:])
	return b, nil
}

// ParseFooter reads the last FooterSize bytes of b, or returns ErrTrailer.
func ParseFooter(b []byte) (Footer, error) {
	var f Footer
	if len(b) < FooterSize {
		return f, fmt.Errorf("footer in %d bytes: %w", len(b), ErrTrailer)
	}
	b = b[len(b)-FooterSize:]
	f.Number = binary.LittleEndian.Uint64(b[8:])
	f.Generation = binary.LittleEndian.Uint64(b[16:])
	f.Part = int(binary.LittleEndian.Uint16(b[24:]))
	f.Parts = int(binary.LittleEndian.Uint16(b[26:]))
	f.PartSize = int(binary.LittleEndian.Uint32(b[28:]))
	f.Sum = binary.LittleEndian.Uint32(b[32:])
	f.Size = int(binary.LittleEndian.Uint32(b[36:]))
	copy(f.Drive[:], b[40:])
	copy(f.Writer[:], b[56:])
	again, err := f.Marshal()
	if err != nil {
		return Footer{}, err
	}
	if string(again[:]) != string(b) {
		return Footer{}, fmt.Errorf("footer: %w", ErrTrailer)
	}
	return f, nil
}
