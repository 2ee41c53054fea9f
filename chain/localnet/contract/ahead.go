package contract

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain/move"
)

// Signed is a message with what should prove that a committee signed it.
type Signed struct{ Signature, Bitmap, Message []byte }

// signedBy names a signature over a message by some keys.
type signedBy [sha256.Size]byte

// maxKnown is how many good signatures are remembered: those of some large
// transactions, in less than half a MiB.
const maxKnown = 4096

// known is the signatures that were found good lately. What is good stays
// good, so it does not matter who asks, nor for which transaction: clients have
// one simulated before they send it, and nodes bring the same certificates.
var known = memory{place: make(map[signedBy]int)}

// memory is a bounded set of signatures, the oldest of which goes first.
type memory struct {
	mu    sync.Mutex
	place map[signedBy]int // in ring
	ring  []signedBy
	next  int // of ring to be replaced, once it is full
}

// add remembers a signature that is good.
func (m *memory) add(name signedBy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.place[name]; ok {
		return
	}
	if len(m.ring) < maxKnown {
		m.place[name] = len(m.ring)
		m.ring = append(m.ring, name)
		return
	}
	delete(m.place, m.ring[m.next])
	m.ring[m.next], m.place[name] = name, m.next
	m.next = (m.next + 1) % maxKnown
}

// has reports whether a signature was found good lately.
func (m *memory) has(name signedBy) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.place[name]
	return ok
}

// nameSigned names a signature. The keys are those of the committee's members, uncompressed.
func nameSigned(keys [][]byte, msg, signature []byte) (name signedBy) {
	h := sha256.New()
	for _, part := range append([][]byte{msg, signature}, keys...) {
		sum := sha256.Sum256(part) // of one length, so that no two lists look the same
		_, _ = h.Write(sum[:])     // never fails, by its documentation
	}
	return signedBy(h.Sum(nil))
}

// VerifyAhead checks signatures of a committee, several at a time, so that the
// functions of this package need not do so one after another. Those that are
// wrong are left to them. It is safe for concurrent use.
func VerifyAhead(c *move.BLSCommittee, signed []Signed) {
	sums := make(map[string]*quorum) // most certificates are by the same nodes
	for i := range signed {
		if bitmap := string(signed[i].Bitmap); sums[bitmap] == nil {
			sums[bitmap] = newQuorum(c, signed[i].Bitmap)
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(signed), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(signed)); i = next.Add(1) - 1 {
				sums[string(signed[i].Bitmap)].verify(&signed[i])
			}
		})
	}
	wg.Wait()
}

// quorum is the members that a bitmap names.
type quorum struct {
	keys [][]byte
	sum  [blsKeySize]byte
	ok   bool // it names some, and their keys are keys
}

func newQuorum(c *move.BLSCommittee, bitmap []byte) *quorum {
	q := new(quorum)
	_, keys, err := signers(c, bitmap)
	if err != nil || len(keys) == 0 {
		return q
	}
	compressed := make([][blsKeySize]byte, len(keys))
	for i, key := range keys {
		if compressed[i], err = compress(key); err != nil {
			return q
		}
	}
	q.keys = keys
	q.sum, err = bls.AggregatePublicKeys(compressed)
	q.ok = err == nil
	return q
}

// verify remembers a signature if it is good.
func (q *quorum) verify(s *Signed) {
	if !q.ok || len(s.Signature) != blsSignatureSize {
		return
	}
	name := nameSigned(q.keys, s.Message, s.Signature)
	if !known.has(name) && bls.Verify(q.sum, s.Message, [blsSignatureSize]byte(s.Signature)) == nil {
		known.add(name)
	}
}

// signers returns the weight and the keys of the members that a bitmap names.
func signers(c *move.BLSCommittee, bitmap []byte) (weight uint64, keys [][]byte, err error) {
	const function = "verify_certificate_and_weight"
	if len(bitmap) > (len(c.Members)+7)/8 {
		return 0, nil, blsInvalidBitmap.in(function)
	}
	for i := range 8 * len(bitmap) {
		if bitmap[i/8]>>(i%8)&1 == 0 {
			continue
		}
		if i >= len(c.Members) {
			return 0, nil, blsInvalidBitmap.in(function)
		}
		weight += uint64(c.Members[i].Weight)
		keys = append(keys, c.Members[i].PublicKey)
	}
	return weight, keys, nil
}

// verifyKeys checks a signature against the sum of uncompressed keys, unless it is known to be good.
func verifyKeys(keys [][]byte, msg, signature []byte) error {
	name := nameSigned(keys, msg, signature)
	if known.has(name) {
		return nil
	}
	compressed := make([][blsKeySize]byte, len(keys))
	for i, key := range keys {
		var err error
		if compressed[i], err = compress(key); err != nil {
			return err
		}
	}
	if err := bls.VerifyAggregate(compressed, msg, [blsSignatureSize]byte(signature)); err != nil {
		return err
	}
	known.add(name)
	return nil
}
