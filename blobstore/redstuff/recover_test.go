package redstuff_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// symbols makes the recovery symbols for a target from some slivers of the other axis.
func symbols(t *testing.T, c *redstuff.Codec, e *redstuff.Encoded, target walrus.SliverID, sources []int) []redstuff.Symbol {
	t.Helper()
	axis := walrus.Secondary - target.Axis
	var all []redstuff.Symbol
	for _, i := range sources {
		id := walrus.SliverID{Axis: axis, Index: uint16(i)}
		s, err := c.RecoverySymbol(e.Metadata(), id, e.Slot(axis, i).Data(), int(target.Index))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.VerifySymbol(e.Metadata(), target, s); err != nil {
			t.Fatalf("%s %d from %d: %v", target.Axis, target.Index, i, err)
		}
		all = append(all, s)
	}
	return all
}

func TestRecover(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, x := range []struct{ shards, size, every int }{{4, 3, 1}, {7, 1000, 1}, {10, 0, 1}, {10, 40000, 1}, {13, 12345, 3}, {31, 70000, 10}, {100, 100000, 33}} {
		c := codecFor(t, x.shards)
		e := encode(t, c, noise(x.size))
		for _, axis := range axes {
			for i := 0; i < x.shards; i += x.every {
				target := walrus.SliverID{Axis: axis, Index: uint16(i)}
				sources := rng.Perm(x.shards)[:need(c, walrus.Secondary-axis)]
				got, err := c.Recover(e.Metadata(), target, symbols(t, c, e, target, sources))
				if err != nil {
					t.Errorf("n=%d %s %d: %v", x.shards, axis, i, err)
				} else if !bytes.Equal(got, e.Slot(axis, i).Data()) {
					t.Errorf("n=%d %s %d from %v: wrong bytes", x.shards, axis, i, sources)
				}
			}
		}
	}
}

func TestRecoverTooFew(t *testing.T) {
	c := codecFor(t, 10)
	e := encode(t, c, noise(500))
	target := walrus.SliverID{Axis: walrus.Primary, Index: 8}
	got := symbols(t, c, e, target, []int{9, 2, 4, 0, 6, 5, 1})
	got[3] = got[2]                   // twice the same
	got[4].Data = []byte{1}           // wrong length
	got[5].Source = 10                // no such sliver
	got = append(got, got[0], got[6]) // again
	_, err := c.Recover(e.Metadata(), target, got)
	var few *redstuff.TooFewError
	if !errors.As(err, &few) || few.Have != 4 || few.Need != 7 {
		t.Errorf("got %v, want 4 of 7", err)
	}
	_, err = c.Recover(e.Metadata(), walrus.SliverID{Index: 10}, got)
	wantErr(t, "index", err, redstuff.ErrRange)
	_, err = c.Recover(e.Metadata(), walrus.SliverID{Axis: 7}, got)
	wantErr(t, "axis", err, redstuff.ErrRange)
}

func TestVerifySymbol(t *testing.T) {
	c := codecFor(t, 10)
	e := encode(t, c, noise(500))
	md := e.Metadata()
	for _, axis := range axes {
		target := walrus.SliverID{Axis: axis, Index: 8}
		good := symbols(t, c, e, target, []int{9})[0]
		clone := func() redstuff.Symbol {
			return redstuff.Symbol{Source: good.Source, Data: bytes.Clone(good.Data), Proof: append(redstuff.Proof(nil), good.Proof...)}
		}
		tests := map[string]func(s *redstuff.Symbol, target *walrus.SliverID){
			"data":         func(s *redstuff.Symbol, _ *walrus.SliverID) { s.Data[0] ^= 1 },
			"short data":   func(s *redstuff.Symbol, _ *walrus.SliverID) { s.Data = s.Data[2:] },
			"proof":        func(s *redstuff.Symbol, _ *walrus.SliverID) { s.Proof[1][0] ^= 1 },
			"short proof":  func(s *redstuff.Symbol, _ *walrus.SliverID) { s.Proof = s.Proof[1:] },
			"long proof":   func(s *redstuff.Symbol, _ *walrus.SliverID) { s.Proof = append(s.Proof, [32]byte{}) },
			"source":       func(s *redstuff.Symbol, _ *walrus.SliverID) { s.Source = 3 },
			"no source":    func(s *redstuff.Symbol, _ *walrus.SliverID) { s.Source = 10 },
			"negative":     func(s *redstuff.Symbol, _ *walrus.SliverID) { s.Source = -1 },
			"target":       func(_ *redstuff.Symbol, target *walrus.SliverID) { target.Index = 7 },
			"no target":    func(_ *redstuff.Symbol, target *walrus.SliverID) { target.Index = 10 },
			"axis":         func(_ *redstuff.Symbol, target *walrus.SliverID) { target.Axis = walrus.Secondary - axis },
			"unknown axis": func(_ *redstuff.Symbol, target *walrus.SliverID) { target.Axis = 2 },
		}
		for name, spoil := range tests {
			s, id := clone(), target
			spoil(&s, &id)
			wantErr(t, fmt.Sprint(axis, " ", name), c.VerifySymbol(md, id, s), redstuff.ErrSymbol)
		}
	}
}

func TestRecoverySymbolRefuses(t *testing.T) {
	c := codecFor(t, 10)
	e := encode(t, c, noise(500))
	id := walrus.SliverID{Index: 2}
	_, err := c.RecoverySymbol(e.Metadata(), id, e.Primary(3), 1)
	wantErr(t, "wrong sliver", err, redstuff.ErrSliver)
	_, err = c.RecoverySymbol(e.Metadata(), id, e.Primary(2)[1:], 1)
	wantErr(t, "short sliver", err, redstuff.ErrSliver)
	for _, target := range []int{-1, 10} {
		_, err = c.RecoverySymbol(e.Metadata(), id, e.Primary(2), target)
		wantErr(t, "target", err, redstuff.ErrRange)
	}
}

// TestRecoverInconsistent recovers a row of which the columns tell another
// story than its hash.
func TestRecoverInconsistent(t *testing.T) {
	c := codecFor(t, 7)
	g := c.Geometry()
	foreign := newOracle(g, bytes.Repeat([]byte("foreign"), 43)[:300])
	bad, md := fraud(g, noise(300), func(m [][][]uint16) {
		for i := range m { // a column of another blob, in all its n symbols
			m[i][6] = elements(foreign.matrix[i][6])
		}
	})
	target := walrus.SliverID{Axis: walrus.Primary, Index: 1}
	var got []redstuff.Symbol
	for _, j := range []int{6, 0, 1, 2, 3} {
		id := walrus.SliverID{Axis: walrus.Secondary, Index: uint16(j)}
		s, err := c.RecoverySymbol(md, id, bad.sliver(g, walrus.Secondary, j), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.VerifySymbol(md, target, s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	_, err := c.Recover(md, target, got)
	wantErr(t, "recover", err, redstuff.ErrInconsistent)
}

func TestProofBinary(t *testing.T) {
	for _, want := range []redstuff.Proof{{}, {{1}}, {{}, {2}}, {{1}, {2}, {}, {4}}} {
		b, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		got, rest, err := redstuff.ParseProof(append(b, "rest"...))
		if err != nil || string(rest) != "rest" || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, %q, %v, want %v", got, rest, err, want)
		}
		for i := range b {
			if _, _, err := redstuff.ParseProof(b[:i]); !errors.Is(err, redstuff.ErrSymbol) {
				t.Errorf("%d of %d bytes: got %v", i, len(b), err)
			}
		}
	}
	for name, b := range map[string][]byte{"variant": {1, 2}, "long length": {0x80, 0x00}, "too many": bytes.Repeat([]byte{17, 0}, 20)} {
		_, _, err := redstuff.ParseProof(b)
		wantErr(t, name, err, redstuff.ErrSymbol)
	}
	// Source: the recovery symbols list of the node protocol's vectors.
	b, err := redstuff.Proof{[32]byte(bytes.Repeat([]byte{0x11}, 32)), {}}.MarshalBinary()
	if err != nil || fmt.Sprintf("%x", b) != "0201"+fmt.Sprintf("%x", bytes.Repeat([]byte{0x11}, 32))+"00" {
		t.Errorf("got %x, %v", b, err)
	}
}

// Symbols cut together are those cut one by one, and a recovered slot is the one that Encode made.
func TestRecoverSlot(t *testing.T) {
	for _, x := range []struct{ shards, size int }{{4, 3}, {10, 40000}, {13, 12345}, {100, 300000}} {
		c := codecFor(t, x.shards)
		e := encode(t, c, noise(x.size))
		for _, axis := range axes {
			targets := []int{x.shards - 1, 0, x.shards / 2, 0}
			cut := make([][]redstuff.Symbol, len(targets))
			crossing := walrus.Secondary - axis
			for i := range need(c, crossing) {
				source := x.shards - 1 - i
				id := walrus.SliverID{Axis: crossing, Index: uint16(source)}
				all, err := c.RecoverySymbols(e.Metadata(), id, e.Slot(crossing, source).Data(), targets)
				if err != nil {
					t.Fatal(err)
				}
				for j, target := range targets {
					if alone := symbols(t, c, e, walrus.SliverID{Axis: axis, Index: uint16(target)}, []int{source})[0]; fmt.Sprint(alone) != fmt.Sprint(all[j]) {
						t.Errorf("n=%d %s %d from %d: symbol differs from the one cut alone", x.shards, axis, target, source)
					}
					cut[j] = append(cut[j], all[j])
				}
			}
			for j, target := range targets {
				got, err := c.RecoverSlot(e.Metadata(), walrus.SliverID{Axis: axis, Index: uint16(target)}, cut[j])
				if err != nil {
					t.Fatal(err)
				}
				want := e.Slot(axis, target)
				if got.Axis() != axis || got.Index() != target || !bytes.Equal(got.Data(), want.Data()) || got.Root() != want.Root() || got.CRC() != want.CRC() {
					t.Errorf("n=%d %s %d: slot differs from the encoder's", x.shards, axis, target)
				}
			}
		}
	}
}
