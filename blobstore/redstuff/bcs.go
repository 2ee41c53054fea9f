package redstuff

import "encoding/binary"

// maxLength is the largest length of a sequence. Source: BCS.
const maxLength = 1<<31 - 1

func appendLength(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }

// readLength reads a ULEB128 length in its shortest form.
func readLength(b []byte) (n int, rest []byte, ok bool) {
	v, size := binary.Uvarint(b)
	if size <= 0 || v > maxLength || size > 1 && b[size-1] == 0 {
		return 0, nil, false
	}
	return int(v), b[size:], true
}

func appendNode(b []byte, h node) []byte {
	if h == (node{}) {
		return append(b, nodeEmpty)
	}
	return append(append(b, nodeDigest), h[:]...)
}

func readNode(b []byte) (h node, rest []byte, ok bool) {
	switch {
	case len(b) > 0 && b[0] == nodeEmpty:
		return h, b[1:], true
	case len(b) > len(h) && b[0] == nodeDigest:
		copy(h[:], b[1:])
		return h, b[1+len(h):], true
	}
	return h, nil, false
}
