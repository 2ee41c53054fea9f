package seal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/seal"
)

// openerOf opens what Seal has returned.
func openerOf(t *testing.T, ring *seal.Keyring, sealed []byte) *seal.Opener {
	t.Helper()
	h, err := seal.ParseHeader(sealed)
	if err != nil {
		t.Fatal(err)
	}
	o, err := ring.Open(h, int64(len(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestGoldenGaps seals segments with gaps as the vectors have them.
func TestGoldenGaps(t *testing.T) {
	v, ring, salt := readVectors(t)
	suites := map[int]seal.Suite{0: seal.SuitePlain, 1: seal.SuiteAES, 2: seal.SuiteChaCha}
	if len(v.Gapped) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Gapped {
		t.Run(fmt.Sprintf("%v/%d", suites[c.Suite], c.Size), func(t *testing.T) {
			var gaps []seal.Gap
			for _, g := range c.Gaps {
				gaps = append(gaps, seal.Gap{Pos: g[0], Len: g[1]})
			}
			sealed := mustSeal(t, ring, pattern(c.Size), seal.Options{Rand: bytes.NewReader(salt), Suite: suites[c.Suite], Gaps: gaps})
			if got := hex.EncodeToString(sealed[:seal.HeaderSize]); got != c.Header {
				t.Errorf("header\n %s, want\n %s", got, c.Header)
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(sealed)); got != c.SHA256 {
				t.Errorf("sha256 %s, want %s", got, c.SHA256)
			}
		})
	}
}

// TestGapsAreNotRead reads ranges of segments with random gaps: what comes is
// what was sealed, up to the first gap, whatever room there was for the list.
func TestGapsAreNotRead(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	ring := testRing(t)
	for range 300 {
		plain := pattern(1 + rng.IntN(3*seal.ChunkSize))
		most := 1 + rng.IntN(1000)
		var gaps []seal.Gap
		for at := rng.IntN(len(plain)); at < len(plain); at += rng.IntN(1 + len(plain)/4) {
			n := 1 + rng.IntN(min(most, len(plain)-at))
			gaps = append(gaps, seal.Gap{Pos: int64(at), Len: int64(n)})
			at += n
		}
		gone := make([]bool, len(plain))
		for _, g := range gaps {
			for i := range g.Len {
				gone[g.Pos+i] = true
			}
		}
		suite := []seal.Suite{seal.SuitePlain, seal.SuiteAES, seal.SuiteChaCha}[rng.IntN(3)]
		sealed := mustSeal(t, ring, bytes.Clone(plain), seal.Options{Suite: suite, Gaps: gaps})
		o := openerOf(t, ring, sealed)
		told, err := o.Gaps(context.Background(), source(sealed))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range gaps {
			if !slices.ContainsFunc(told, func(w seal.Gap) bool { return w.Pos <= g.Pos && g.Pos+g.Len <= w.Pos+w.Len }) {
				t.Fatalf("gap %+v of %+v is not in %+v", g, gaps, told)
			}
		}
		if err := o.Check(context.Background(), source(sealed)); err != nil {
			t.Fatalf("check: %v", err)
		}
		for range 30 {
			off := rng.IntN(len(plain))
			p := make([]byte, 1+rng.IntN(len(plain)-off))
			n, err := o.ReadAt(context.Background(), source(sealed), p, int64(off))
			if !bytes.Equal(p[:n], plain[off:off+n]) || slices.Contains(gone[off:off+n], true) {
				t.Fatalf("%d bytes at %d are not what was there: gaps %+v", n, off, gaps)
			}
			if n < len(p) && !errors.Is(err, seal.ErrGap) {
				t.Fatalf("%d of %d bytes at %d: %v, want ErrGap", n, len(p), off, err)
			}
		}
	}
}

// TestGapLists refuses lists and places of lists that Seal does not write.
func TestGapLists(t *testing.T) {
	ring := testRing(t)
	good := mustSeal(t, ring, pattern(300), seal.Options{Suite: seal.SuitePlain, Gaps: []seal.Gap{{Pos: 40, Len: 200}}})
	const list = seal.HeaderSize + 40
	for name, change := range map[string]func(b []byte){
		"nothing":           func(b []byte) { b[16], b[24] = 0, 0 },
		"behind the end":    func(b []byte) { b[17] = 1 },
		"far behind":        func(b []byte) { b[23] = 0x80 },
		"too long":          func(b []byte) { b[27] = 1 },
		"reserved":          func(b []byte) { b[28] = 1 },
		"version 1":         func(b []byte) { b[4] = 1 },
		"in no gap":         func(b []byte) { b[list] = 41 },
		"empty gap":         func(b []byte) { b[list+1], b[list+2] = 0x80, 0 },
		"gap past the end":  func(b []byte) { b[list+2] = 0x7f },
		"gap far too large": func(b []byte) { b[24] = 11; copy(b[list+1:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
		"cut":               func(b []byte) { b[24] = 2 },
	} {
		b := bytes.Clone(good)
		change(b)
		h, err := seal.ParseHeader(b)
		if err == nil {
			var o *seal.Opener
			if o, err = ring.Open(h, int64(len(b))); err == nil {
				_, err = o.ReadAt(context.Background(), source(b), make([]byte, 10), 0)
			}
		}
		if !errors.Is(err, seal.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	if _, err := ring.Seal(pattern(10), seal.Options{Gaps: []seal.Gap{{Pos: 5, Len: 6}}}); err == nil {
		t.Error("a gap past the end is sealed")
	}
}
