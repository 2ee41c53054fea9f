package seal

import (
	"encoding/binary"
	"fmt"
)

// Header is the first HeaderSize bytes of a sealed segment.
type Header [HeaderSize]byte

// Offsets in the header; the package comment has the table.
const (
	offVersion = 4
	offSuite   = 5
	offZero1   = 6
	offNumber  = 8
	offChunk   = 12
	offGaps    = 16 // in version 2, else zero
	offGapsLen = 24
	offZero2   = 28
	offSalt    = 32
)

const (
	magic       = "WFS1"
	version     = 1
	versionGaps = 2 // of a segment that has gaps
)

// newHeader returns the header of a segment of suite s, which is not SuiteBest.
func newHeader(s Suite, number uint32, salt [32]byte) Header {
	var h Header
	copy(h[:], magic)
	h[offVersion] = version
	binary.LittleEndian.PutUint32(h[offChunk:], ChunkSize)
	if s == SuitePlain {
		return h
	}
	h[offSuite] = byte(s)
	binary.LittleEndian.PutUint32(h[offNumber:], number)
	copy(h[offSalt:], salt[:])
	return h
}

// ParseHeader reads the header at the start of b. It returns ErrVersion for a
// version to come and ErrCorrupt for anything that Seal does not write.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) < HeaderSize {
		return h, fmt.Errorf("segment header: %d bytes, want %d: %w", len(b), HeaderSize, ErrCorrupt)
	}
	copy(h[:], b)
	if err := h.check(); err != nil {
		return Header{}, fmt.Errorf("segment header: %w", err)
	}
	return h, nil
}

// check reports whether h is one that newHeader makes.
func (h Header) check() error {
	if string(h[:offVersion]) != magic {
		return fmt.Errorf("magic is %q: %w", h[:offVersion], ErrCorrupt)
	}
	if h[offVersion] > versionGaps {
		return fmt.Errorf("version %d: %w", h[offVersion], ErrVersion)
	}
	if h[offVersion] < version {
		return fmt.Errorf("version %d: %w", h[offVersion], ErrCorrupt)
	}
	if h[offSuite] > byte(SuiteChaCha) {
		return fmt.Errorf("suite %d: %w", h[offSuite], ErrCorrupt)
	}
	if n := binary.LittleEndian.Uint32(h[offChunk:]); n != ChunkSize {
		return fmt.Errorf("chunk size %d: %w", n, ErrCorrupt)
	}
	want := newHeader(h.Suite(), h.KeyNumber(), h.salt())
	if h.Gapped() {
		pos, n := h.gapList()
		if pos < 0 || n > maxGapList || pos == 0 && n == 0 {
			return fmt.Errorf("list of %d bytes of gaps at %d: %w", n, pos, ErrCorrupt)
		}
		want.setGapList(pos, n)
	}
	if h != want {
		return fmt.Errorf("reserved bytes are not zero: %w", ErrCorrupt)
	}
	return nil
}

// Suite returns the suite that h names, which is never SuiteBest.
func (h Header) Suite() Suite {
	if h[offSuite] == 0 {
		return SuitePlain
	}
	return Suite(h[offSuite])
}

// KeyNumber returns the number of the drive key; 0 in a plain segment.
func (h Header) KeyNumber() uint32 { return binary.LittleEndian.Uint32(h[offNumber:]) }

func (h Header) salt() [32]byte { return [32]byte(h[offSalt:]) }

// overhead returns the bytes that each chunk has on top of its plaintext.
func (h Header) overhead() int64 {
	if h.Suite() == SuitePlain {
		return 0
	}
	return Overhead
}

// SealedSize returns the length in bytes of the segment of h that holds plain
// bytes of plaintext.
func (h Header) SealedSize(plain int64) int64 { return sealedSize(plain, h.overhead()) }

// PlainSize returns the length of the plaintext in a segment of h that is
// sealed bytes long. It returns ErrCorrupt for a length that no plaintext gives.
func (h Header) PlainSize(sealed int64) (int64, error) { return plainSize(sealed, h.overhead()) }

// SealedSize returns the length in bytes of an encrypted segment that holds
// plain bytes of plaintext, plain >= 0. A plain segment is HeaderSize + plain long.
func SealedSize(plain int64) int64 { return sealedSize(plain, Overhead) }

// PlainSize returns the length of the plaintext in an encrypted segment that is
// sealed bytes long. It returns ErrCorrupt for a length that no plaintext gives.
func PlainSize(sealed int64) (int64, error) { return plainSize(sealed, Overhead) }

func sealedSize(plain, overhead int64) int64 {
	return HeaderSize + plain + chunksOf(plain)*overhead
}

func plainSize(sealed, overhead int64) (int64, error) {
	if sealed > HeaderSize+maxChunks*(ChunkSize+overhead) {
		return 0, fmt.Errorf("segment of %d bytes: %w", sealed, ErrCorrupt)
	}
	body := sealed - HeaderSize
	chunks := max(1, (body+ChunkSize+overhead-1)/(ChunkSize+overhead))
	plain := body - chunks*overhead
	if plain < 0 || chunksOf(plain) != chunks {
		return 0, fmt.Errorf("segment of %d bytes: %w", sealed, ErrCorrupt)
	}
	return plain, nil
}

// chunksOf returns the number of chunks that hold plain bytes.
func chunksOf(plain int64) int64 {
	return max(1, (plain+ChunkSize-1)/ChunkSize)
}
