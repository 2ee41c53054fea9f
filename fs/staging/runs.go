package staging

import (
	"encoding/binary"
	"fmt"
)

// What a barrier writes down as held is a list of lengths in blocks, as
// unsigned varints: not held, held, not held, held, and so on. What follows
// the last one is not held.

// span is a run of blocks, from..to-1.
type span struct{ from, to int64 }

func encodeRuns(spans []span) []byte {
	var b []byte
	at := int64(0)
	for _, s := range spans {
		b = binary.AppendUvarint(b, uint64(s.from-at))
		b = binary.AppendUvarint(b, uint64(s.to-s.from))
		at = s.to
	}
	return b
}

// decodeRuns is the opposite of encodeRuns; blocks from limit on are left out.
func decodeRuns(b []byte, limit int64) ([]span, error) {
	var spans []span
	for at := int64(0); len(b) > 0; {
		var lengths [2]int64
		for i := range lengths {
			v, n := binary.Uvarint(b)
			if n <= 0 || v > lastBlock {
				return nil, fmt.Errorf("held blocks: %w", ErrCorrupt)
			}
			lengths[i], b = int64(v), b[n:]
		}
		from := at + lengths[0]
		at = from + lengths[1]
		if at > lastBlock {
			return nil, fmt.Errorf("held blocks: %w", ErrCorrupt)
		}
		if from < min(at, limit) {
			spans = append(spans, span{from, min(at, limit)})
		}
	}
	return spans, nil
}
