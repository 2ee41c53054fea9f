// Package seal encrypts segments so that any range can be read and checked by
// itself, and keeps the keys that do it in files locked with age.
//
// # Segments
//
// Keyring.Seal turns the plaintext of a segment into the bytes of a blob;
// Keyring.Open gives an Opener that reads any range of the plaintext through a
// Source of sealed bytes. The sealed form, integers little-endian:
//
//	off len field
//	  0   4 magic "WFS1"
//	  4   1 version: 1, or 2 with gaps
//	  5   1 suite: 0 plain, 1 AES-256-GCM, 2 XChaCha20-Poly1305
//	  6   2 zero
//	  8   4 number of the drive key
//	 12   4 chunk size, 65536
//	 16   8 version 2: position of the list of gaps in the plaintext, else zero
//	 24   4 version 2: its length in bytes, else zero
//	 28   4 zero
//	 32  32 salt
//	 64  .. chunks: each 65536 plaintext bytes, the last 1 to 65536, and a tag of
//	        16 bytes; an empty plaintext has one empty chunk
//
// The key of a segment is HKDF-SHA256(content key, salt, "walfs segment v1"),
// and the content key is HKDF-SHA256(drive key, no salt, "content"). The nonce
// of a chunk is zero but for its last five bytes: the number of the chunk, 32
// bits big-endian, and 1 in the last chunk, else 0 (the STREAM construction).
// The header is the additional data of every chunk. So a changed bit, a chunk
// out of place or of another segment, a cut and a changed header are all
// caught. A salt is random and belongs to one segment: what was sealed is never
// sealed again under the same salt.
//
// A gap is a range of the plaintext whose content was lost before it was stored.
// No Opener gives it away. The list of them stands in one of them: for each, in
// ascending order, the bytes between the end of the one before and it, and its
// length, as unsigned varints. A length of 0 says that there is no list: all
// below its position counts as a gap.
//
// A plain segment has suite 0, no tags, and zero in the places of key number
// and salt. Nothing in it is checked here: the blob ID does that.
//
// # Key files
//
// A KeyFile holds the drive keys. WriteKeyFile encrypts it with age to
// recipients: an identity file beside it, a passphrase, or both in two files,
// since age does not mix a passphrase with other recipients. Anything else
// that is secret goes through WriteSecret and ReadSecret in the same way.
package seal

import (
	"errors"
	"fmt"

	"golang.org/x/sys/cpu"
)

// Sizes of the sealed form, in bytes.
const (
	HeaderSize = 64
	ChunkSize  = 65536 // of plaintext
	Overhead   = 16    // the tag of each chunk: that of GCM and of Poly1305
)

// maxChunks is how many chunks a segment may have: their number has 32 bits.
const maxChunks = 1 << 32

// Errors that callers branch on.
var (
	// ErrCorrupt reports sealed bytes, or a file, that are not what was
	// written; a wrong drive key under the right number looks the same.
	ErrCorrupt = errors.New("sealed data is corrupt")
	// ErrVersion reports a header of a version that this program does not know.
	ErrVersion = errors.New("sealed by a newer version")
	// ErrUnknownKey reports a segment whose drive key is not in the keyring.
	ErrUnknownKey = errors.New("drive key is not known")
	// ErrWrongKey reports that no identity given opens a file.
	ErrWrongKey = errors.New("wrong key or passphrase")
	// ErrPermissions reports a file with secrets that others can read.
	ErrPermissions = errors.New("file is open to other users")
	// ErrKeyConflict reports two different drive keys of one number.
	ErrKeyConflict = errors.New("another drive key has this number")
)

// Suite is a way to seal chunks. Its values are not those of the header.
type Suite uint8

// The suites.
const (
	SuiteBest   Suite = 0 // the faster of the two ciphers on this CPU
	SuiteAES    Suite = 1 // AES-256-GCM
	SuiteChaCha Suite = 2 // XChaCha20-Poly1305
	SuitePlain  Suite = 3 // no encryption
)

// String returns the name of the suite.
func (s Suite) String() string {
	switch s {
	case SuiteBest:
		return "best"
	case SuiteAES:
		return "AES-256-GCM"
	case SuiteChaCha:
		return "XChaCha20-Poly1305"
	case SuitePlain:
		return "plain"
	}
	return fmt.Sprintf("suite %d", uint8(s))
}

// choose replaces SuiteBest by the cipher that this CPU does faster.
func (s Suite) choose() Suite {
	if s != SuiteBest {
		return s
	}
	if hasAES() {
		return SuiteAES
	}
	return SuiteChaCha
}

// hasAES reports whether the CPU has what AES-GCM needs to be fast and to run
// in constant time: AES and carry-less multiplication.
func hasAES() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41 && cpu.X86.HasSSSE3 ||
		cpu.ARM64.HasAES && cpu.ARM64.HasPMULL ||
		cpu.S390X.HasAESGCM
}
