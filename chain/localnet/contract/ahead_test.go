package contract

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// jury is a committee of four nodes with one shard each, and their keys.
func jury(t *testing.T) (*move.BLSCommittee, []*bls.SecretKey) {
	t.Helper()
	c := &move.BLSCommittee{Shards: 4, Epoch: 7}
	var keys []*bls.SecretKey
	for i := range byte(4) {
		key, err := bls.SecretKeyFromBytes([32]byte{31: i + 1, 30: 9})
		if err != nil {
			t.Fatal(err)
		}
		public, err := bls.Uncompress(key.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		c.Members = append(c.Members, move.BLSMember{PublicKey: public[:], Weight: 1})
	}
	return c, keys
}

// verdict makes three of four sign a message of the epoch.
func verdict(t *testing.T, keys []*bls.SecretKey, body string) Signed {
	t.Helper()
	msg := append([]byte{1, 0, 3, 7, 0, 0, 0}, body...)
	sum, err := bls.AggregateSignatures([][96]byte{keys[0].Sign(msg), keys[1].Sign(msg), keys[3].Sign(msg)})
	if err != nil {
		t.Fatal(err)
	}
	return Signed{Signature: sum[:], Bitmap: []byte{0b1011}, Message: msg}
}

// accepts asks the rules about a signature.
func accepts(c *move.BLSCommittee, s Signed) error {
	_, _, err := verifySigned(c, s.Signature, s.Bitmap, s.Message, isQuorum)
	return err
}

func TestVerifyAhead(t *testing.T) {
	c, keys := jury(t)
	one, two := verdict(t, keys, "one"), verdict(t, keys, "two")
	swapped := Signed{Signature: two.Signature, Bitmap: one.Bitmap, Message: one.Message}
	others := Signed{Signature: one.Signature, Bitmap: []byte{0b0111}, Message: one.Message}
	weak := Signed{Signature: one.Signature, Bitmap: []byte{0b0011}, Message: one.Message}
	VerifyAhead(c, []Signed{one, swapped, others, weak, two, {}, {Bitmap: []byte{0xff}}})
	for _, s := range []Signed{one, two} {
		if !known.has(nameSigned(signersOf(t, c, s.Bitmap), s.Message, s.Signature)) {
			t.Errorf("a good signature over %q is not remembered", s.Message)
		}
		if err := accepts(c, s); err != nil {
			t.Errorf("a good signature over %q: %v", s.Message, err)
		}
	}
	for name, s := range map[string]Signed{"of another message": swapped, "of other nodes": others} {
		if known.has(nameSigned(signersOf(t, c, s.Bitmap), s.Message, s.Signature)) {
			t.Errorf("a signature %s is remembered", name)
		}
		var abort *chain.AbortError
		if err := accepts(c, s); !errors.As(err, &abort) || abort.Name != "ESigVerification" {
			t.Errorf("a signature %s: got %v", name, err)
		}
	}
	var abort *chain.AbortError
	if err := accepts(c, weak); !errors.As(err, &abort) || abort.Name != "ENotEnoughStake" {
		t.Errorf("a signature without a quorum: got %v", err)
	}
	c.Epoch++ // what is remembered is the signature, not that it is good for anything
	if err := accepts(c, one); !errors.As(err, &abort) || abort.Name != "EIncorrectEpoch" {
		t.Errorf("a signature of the epoch before: got %v", err)
	}
}

func signersOf(t *testing.T, c *move.BLSCommittee, bitmap []byte) [][]byte {
	t.Helper()
	_, keys, err := signers(c, bitmap)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestVerifiedOnce checks that a signature which the rules found good is not verified again.
func TestVerifiedOnce(t *testing.T) {
	c, keys := jury(t)
	s := verdict(t, keys, "once")
	name := nameSigned(signersOf(t, c, s.Bitmap), s.Message, s.Signature)
	if known.has(name) {
		t.Fatal("known before anybody asked")
	}
	if err := accepts(c, s); err != nil {
		t.Fatal(err)
	}
	if !known.has(name) {
		t.Error("not known after it was verified")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := memory{place: make(map[signedBy]int)}
	number := func(i int) (name signedBy) {
		binary.BigEndian.PutUint32(name[:], uint32(i))
		return name
	}
	const all = 3*maxKnown + 5
	for i := range all {
		m.add(number(i))
		m.add(number(i)) // takes no second place
	}
	if len(m.place) != maxKnown || len(m.ring) != maxKnown {
		t.Errorf("remembers %d and %d, at most %d", len(m.place), len(m.ring), maxKnown)
	}
	if m.has(number(all - maxKnown - 1)) {
		t.Error("the oldest stays")
	}
	for i := all - maxKnown; i < all; i++ {
		if !m.has(number(i)) {
			t.Fatalf("%d of %d is forgotten", i, all)
		}
	}
}
