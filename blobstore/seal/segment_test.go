package seal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/walfs/walfs/blobstore/seal"
)

// pattern returns the plaintext of the vectors.
func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7 % 251)
	}
	return b
}

func testRing(t testing.TB) *seal.Keyring {
	t.Helper()
	key, err := seal.NewKey(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	return seal.NewKeyring(1, key)
}

func mustSeal(t testing.TB, k *seal.Keyring, plain []byte, o seal.Options) []byte {
	t.Helper()
	sealed, err := k.Seal(plain, o)
	if err != nil {
		t.Fatalf("Seal of %d bytes: %v", len(plain), err)
	}
	return sealed
}

// source reads from sealed and fails for ranges outside of it, as a blob does.
func source(sealed []byte) seal.Source {
	return func(_ context.Context, p []byte, off int64) (int, error) {
		return bytes.NewReader(sealed).ReadAt(p, off)
	}
}

// openAll reads the whole plaintext of sealed.
func openAll(k *seal.Keyring, sealed []byte) ([]byte, error) {
	h, err := seal.ParseHeader(sealed)
	if err != nil {
		return nil, err
	}
	o, err := k.Open(h, int64(len(sealed)))
	if err != nil {
		return nil, err
	}
	p := make([]byte, o.PlainSize()+1)
	n, err := o.ReadAt(context.Background(), source(sealed), p, 0)
	if !errors.Is(err, io.EOF) {
		return p[:n], fmt.Errorf("read of %d bytes: %w", len(p), err)
	}
	return p[:n], nil
}

type vectors struct {
	DriveKey  string            `json:"drive_key"`
	KeyNumber uint32            `json:"key_number"`
	Salt      string            `json:"salt"`
	Derived   map[string]string `json:"derived"`
	Cases     []struct {
		Suite      int    `json:"suite"`
		Size       int    `json:"size"`
		SealedSize int    `json:"sealed_size"`
		SHA256     string `json:"sha256"`
		Sealed     string `json:"sealed"`
	} `json:"cases"`
	Gapped []struct {
		Suite  int        `json:"suite"`
		Size   int        `json:"size"`
		Gaps   [][2]int64 `json:"gaps"`
		Header string     `json:"header"`
		SHA256 string     `json:"sha256"`
	} `json:"gapped"`
}

func readVectors(t *testing.T) (v vectors, ring *seal.Keyring, salt []byte) {
	t.Helper()
	b, err := os.ReadFile("testdata/segments.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v, seal.NewKeyring(v.KeyNumber, seal.Key(unhex(t, v.DriveKey))), unhex(t, v.Salt)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	v, ring, salt := readVectors(t)
	suites := map[int]seal.Suite{0: seal.SuitePlain, 1: seal.SuiteAES, 2: seal.SuiteChaCha}
	for _, c := range v.Cases {
		t.Run(fmt.Sprintf("%v/%d", suites[c.Suite], c.Size), func(t *testing.T) {
			plain := pattern(c.Size)
			sealed := mustSeal(t, ring, plain, seal.Options{Rand: bytes.NewReader(salt), Suite: suites[c.Suite]})
			if len(sealed) != c.SealedSize {
				t.Errorf("sealed size %d, want %d", len(sealed), c.SealedSize)
			}
			if c.Sealed != "" && hex.EncodeToString(sealed) != c.Sealed {
				t.Errorf("sealed\n %x, want\n %s", sealed, c.Sealed)
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(sealed)); got != c.SHA256 {
				t.Errorf("sha256 %s, want %s", got, c.SHA256)
			}
			got, err := openAll(ring, sealed)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("opened %d bytes, %v, want the %d that were sealed", len(got), err, len(plain))
			}
		})
	}
	for label, want := range v.Derived {
		if key := ring.Derive(label); hex.EncodeToString(key[:]) != want {
			t.Errorf("Derive(%q) = %x, want %s", label, key[:], want)
		}
	}
}

func TestSizes(t *testing.T) {
	const c = seal.ChunkSize
	ring := testRing(t)
	for _, plain := range []int{0, 1, 100, c - 1, c, c + 1, 2*c - 1, 2 * c, 2*c + 1, 17*c + 5} {
		for _, suite := range []seal.Suite{seal.SuiteBest, seal.SuiteAES, seal.SuiteChaCha, seal.SuitePlain} {
			sealed := mustSeal(t, ring, make([]byte, plain), seal.Options{Suite: suite})
			h, err := seal.ParseHeader(sealed)
			if err != nil {
				t.Fatal(err)
			}
			if suite != seal.SuiteBest && h.Suite() != suite {
				t.Errorf("header says %v, want %v", h.Suite(), suite)
			}
			if got := h.SealedSize(int64(plain)); got != int64(len(sealed)) {
				t.Errorf("%v: SealedSize(%d) = %d, want %d", suite, plain, got, len(sealed))
			}
			if got, err := h.PlainSize(int64(len(sealed))); err != nil || got != int64(plain) {
				t.Errorf("%v: PlainSize(%d) = %d, %v, want %d", suite, len(sealed), got, err, plain)
			}
			if suite == seal.SuitePlain {
				continue
			}
			if got := seal.SealedSize(int64(plain)); got != int64(len(sealed)) {
				t.Errorf("SealedSize(%d) = %d, want %d", plain, got, len(sealed))
			}
			if got, err := seal.PlainSize(int64(len(sealed))); err != nil || got != int64(plain) {
				t.Errorf("PlainSize(%d) = %d, %v, want %d", len(sealed), got, err, plain)
			}
		}
	}
}

func TestImpossibleSizes(t *testing.T) {
	const c, h, tag = seal.ChunkSize, seal.HeaderSize, seal.Overhead
	for _, size := range []int64{-1 << 62, -1, 0, h - 1, h, h + tag - 1,
		h + c + tag + 1, h + c + tag + tag, h + 2*(c+tag) + tag, 1 << 62, 1<<63 - 1} {
		if got, err := seal.PlainSize(size); !errors.Is(err, seal.ErrCorrupt) {
			t.Errorf("PlainSize(%d) = %d, %v, want ErrCorrupt", size, got, err)
		}
	}
}

func TestReadAtAnyRange(t *testing.T) {
	const c = seal.ChunkSize
	ring := testRing(t)
	plain := make([]byte, 18*c+77) // more chunks than one batch
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range plain {
		plain[i] = byte(rng.Uint32())
	}
	type span struct{ off, length int64 }
	size := int64(len(plain))
	spans := []span{{0, 0}, {0, 1}, {0, c}, {1, c}, {c - 1, 2}, {c, c}, {c, 1}, {0, size}, {1, size - 1},
		{size - 1, 1}, {size, 0}, {size - 5, 5}, {15 * c, 3 * c}, {100, 17 * c}}
	for range 100 {
		off := rng.Int64N(size)
		spans = append(spans, span{off, rng.Int64N(min(size-off, 3*c))})
	}
	for _, suite := range []seal.Suite{seal.SuiteAES, seal.SuiteChaCha, seal.SuitePlain} {
		sealed := mustSeal(t, ring, plain, seal.Options{Suite: suite})
		h, _ := seal.ParseHeader(sealed)
		o, err := ring.Open(h, int64(len(sealed)))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range spans {
			p := make([]byte, s.length)
			n, err := o.ReadAt(t.Context(), source(sealed), p, s.off)
			if err != nil || int64(n) != s.length || !bytes.Equal(p, plain[s.off:s.off+s.length]) {
				t.Fatalf("%v: ReadAt(%d at %d) = %d, %v", suite, s.length, s.off, n, err)
			}
		}
	}
}

func TestReadAtEnd(t *testing.T) {
	ring := testRing(t)
	for _, suite := range []seal.Suite{seal.SuiteAES, seal.SuitePlain} {
		for _, size := range []int{0, 1, seal.ChunkSize, seal.ChunkSize + 9} {
			sealed := mustSeal(t, ring, pattern(size), seal.Options{Suite: suite})
			h, _ := seal.ParseHeader(sealed)
			o, err := ring.Open(h, int64(len(sealed)))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct{ off, length, want int }{
				{0, size + 1, size}, {size, 1, 0}, {size + 100, 10, 0}, {size / 2, size + 1, size - size/2},
			} {
				p := make([]byte, c.length)
				n, err := o.ReadAt(t.Context(), source(sealed), p, int64(c.off))
				if n != c.want || err != io.EOF {
					t.Errorf("%v of %d: ReadAt(%d at %d) = %d, %v, want %d, EOF", suite, size, c.length, c.off, n, err, c.want)
				}
			}
			if _, err := o.ReadAt(t.Context(), source(sealed), make([]byte, 1), -1); err == nil || err == io.EOF {
				t.Errorf("negative offset: %v, want an error that is not EOF", err)
			}
		}
	}
}

// TestDamage changes sealed segments in every way that a liar could and expects
// ErrCorrupt, never plaintext.
func TestDamage(t *testing.T) {
	const c, h, step = seal.ChunkSize, seal.HeaderSize, seal.ChunkSize + seal.Overhead
	plain := pattern(3*c + 1000)
	edit := func(f func(b []byte) []byte) func([]byte, []byte) []byte {
		return func(b, _ []byte) []byte { return f(b) }
	}
	flip := func(off int) func([]byte, []byte) []byte {
		return edit(func(b []byte) []byte { b[(off+len(b))%len(b)] ^= 1; return b })
	}
	cases := map[string]func(b, other []byte) []byte{
		"flip in first chunk":    flip(h),
		"flip in second chunk":   flip(h + step + 5),
		"flip in a tag":          flip(h + step - 1),
		"flip in last byte":      flip(-1),
		"cut by a byte":          edit(func(b []byte) []byte { return b[:len(b)-1] }),
		"cut at a chunk":         edit(func(b []byte) []byte { return b[:h+2*step] }),
		"cut to the header":      edit(func(b []byte) []byte { return b[:h] }),
		"one byte more":          edit(func(b []byte) []byte { return append(b, 0) }),
		"last chunk twice":       edit(func(b []byte) []byte { return append(b, b[h+3*step:]...) }),
		"zero chunk more":        edit(func(b []byte) []byte { return append(b, make([]byte, step)...) }),
		"second chunk gone":      edit(func(b []byte) []byte { return append(b[:h+step], b[h+2*step:]...) }),
		"another salt":           flip(32),
		"another suite":          edit(func(b []byte) []byte { b[5] ^= 3; return b }),
		"reserved bytes":         flip(6),
		"more reserved bytes":    flip(20),
		"another chunk size":     flip(12),
		"another magic":          flip(0),
		"version 0":              edit(func(b []byte) []byte { b[4] = 0; return b }),
		"suite to come":          edit(func(b []byte) []byte { b[5] = 3; return b }),
		"chunk of another":       func(b, o []byte) []byte { copy(b[h+step:h+2*step], o[h+step:]); return b },
		"header of another":      func(b, o []byte) []byte { copy(b, o[:h]); return b },
		"all but header zero":    edit(func(b []byte) []byte { clear(b[h:]); return b }),
		"plain header on sealed": edit(func(b []byte) []byte { b[5] = 0; return b }),
		"chunks swapped": edit(func(b []byte) []byte {
			first := bytes.Clone(b[h : h+step])
			copy(b[h:], b[h+step:h+2*step])
			copy(b[h+step:], first)
			return b
		}),
	}
	ring := testRing(t)
	for _, suite := range []seal.Suite{seal.SuiteAES, seal.SuiteChaCha} {
		sealed := mustSeal(t, ring, plain, seal.Options{Suite: suite})
		other := mustSeal(t, ring, plain, seal.Options{Suite: suite})
		for name, damage := range cases {
			t.Run(fmt.Sprintf("%v/%s", suite, name), func(t *testing.T) {
				got, err := openAll(ring, damage(bytes.Clone(sealed), other))
				if !errors.Is(err, seal.ErrCorrupt) {
					t.Errorf("opened %d bytes, %v, want ErrCorrupt", len(got), err)
				}
				if !bytes.HasPrefix(plain, got) {
					t.Error("bytes before the damage are wrong")
				}
			})
		}
	}
}

// TestCutIsNotTheEnd reads only past the end of a segment that was cut between
// two chunks: the answer must not be io.EOF.
func TestCutIsNotTheEnd(t *testing.T) {
	ring := testRing(t)
	sealed := mustSeal(t, ring, pattern(3*seal.ChunkSize), seal.Options{})
	cut := sealed[:seal.HeaderSize+2*(seal.ChunkSize+seal.Overhead)]
	h, _ := seal.ParseHeader(cut)
	o, err := ring.Open(h, int64(len(cut)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(t.Context(), source(cut), make([]byte, 10), o.PlainSize()); !errors.Is(err, seal.ErrCorrupt) {
		t.Errorf("read past the end of a cut segment: %v, want ErrCorrupt", err)
	}
}

func TestWrongKey(t *testing.T) {
	ring := testRing(t)
	sealed := mustSeal(t, ring, pattern(100), seal.Options{})
	if _, err := openAll(seal.NewKeyring(1, seal.Key{9}), sealed); !errors.Is(err, seal.ErrCorrupt) {
		t.Errorf("another key of the same number: %v, want ErrCorrupt", err)
	}
	if _, err := openAll(seal.NewKeyring(2, seal.Key{9}), sealed); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("keyring without the number: %v, want ErrUnknownKey", err)
	}
	if _, err := openAll(nil, sealed); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("no keyring: %v, want ErrUnknownKey", err)
	}
	if _, err := (*seal.Keyring)(nil).Seal(nil, seal.Options{}); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("sealing without a keyring: %v, want ErrUnknownKey", err)
	}
	binary.LittleEndian.PutUint32(sealed[8:], 2) // a keyring with both keys must not be led to the other
	if err := ring.Add(2, seal.Key{9}); err != nil {
		t.Fatal(err)
	}
	if _, err := openAll(ring, sealed); !errors.Is(err, seal.ErrCorrupt) {
		t.Errorf("number of another key: %v, want ErrCorrupt", err)
	}
}

func TestVersionToCome(t *testing.T) {
	sealed := mustSeal(t, testRing(t), nil, seal.Options{})
	sealed[4] = 3
	if _, err := seal.ParseHeader(sealed); !errors.Is(err, seal.ErrVersion) {
		t.Errorf("ParseHeader: %v, want ErrVersion", err)
	}
}

func TestPlainNeedsNoKey(t *testing.T) {
	sealed := mustSeal(t, nil, []byte("for everybody"), seal.Options{Suite: seal.SuitePlain})
	if got, err := openAll(nil, sealed); err != nil || string(got) != "for everybody" {
		t.Errorf("opened %q, %v", got, err)
	}
	if !bytes.Equal(sealed[seal.HeaderSize:], []byte("for everybody")) {
		t.Errorf("body of a plain segment is %q", sealed[seal.HeaderSize:])
	}
}

func TestSegmentKeyOpensOne(t *testing.T) {
	ring := testRing(t)
	one := mustSeal(t, ring, []byte("shared"), seal.Options{})
	two := mustSeal(t, ring, []byte("not shared"), seal.Options{})
	h1, _ := seal.ParseHeader(one)
	h2, _ := seal.ParseHeader(two)
	key, err := ring.SegmentKey(h1)
	if err != nil {
		t.Fatal(err)
	}
	o, err := seal.OpenSegment(key, h1, int64(len(one)))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 6)
	if _, err := o.ReadAt(t.Context(), source(one), p, 0); err != nil || string(p) != "shared" {
		t.Errorf("own segment: %q, %v", p, err)
	}
	o, err = seal.OpenSegment(key, h2, int64(len(two)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(t.Context(), source(two), p, 0); !errors.Is(err, seal.ErrCorrupt) {
		t.Errorf("other segment: %v, want ErrCorrupt", err)
	}
}

func TestSaltIsFresh(t *testing.T) {
	ring := testRing(t)
	a, b := mustSeal(t, ring, pattern(9), seal.Options{}), mustSeal(t, ring, pattern(9), seal.Options{})
	if bytes.Equal(a[32:64], b[32:64]) || bytes.Equal(a[64:], b[64:]) {
		t.Error("two segments have the same salt or the same bytes")
	}
	if _, err := ring.Seal(nil, seal.Options{Rand: bytes.NewReader(make([]byte, 31))}); err == nil {
		t.Error("a source of 31 bytes gave a salt")
	}
	if _, err := ring.Seal(nil, seal.Options{Suite: 9}); err == nil {
		t.Error("suite 9 sealed")
	}
}

// TestSourceErrors passes errors of the source on and does not call them damage.
func TestSourceErrors(t *testing.T) {
	ring := testRing(t)
	plain := pattern(40 * seal.ChunkSize)
	sealed := mustSeal(t, ring, plain, seal.Options{})
	h, _ := seal.ParseHeader(sealed)
	o, err := ring.Open(h, int64(len(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no node answers")
	calls := 0
	src := func(ctx context.Context, p []byte, off int64) (int, error) {
		if calls++; calls == 2 {
			return 7, broken
		}
		return source(sealed)(ctx, p, off)
	}
	p := make([]byte, len(plain))
	n, err := o.ReadAt(t.Context(), src, p, 0)
	if !errors.Is(err, broken) || errors.Is(err, seal.ErrCorrupt) {
		t.Errorf("got %v, want the error of the source", err)
	}
	if n == 0 || !bytes.Equal(p[:n], plain[:n]) {
		t.Errorf("%d bytes before the error, or they are wrong", n)
	}
}

func TestConcurrentReads(t *testing.T) {
	ring := testRing(t)
	plain := pattern(5*seal.ChunkSize + 3)
	sealed := mustSeal(t, ring, plain, seal.Options{})
	h, _ := seal.ParseHeader(sealed)
	o, err := ring.Open(h, int64(len(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(g)))
			for range 50 {
				off := rng.IntN(len(plain))
				p := make([]byte, rng.IntN(2*seal.ChunkSize))
				n, err := o.ReadAt(context.Background(), source(sealed), p, int64(off))
				if (err != nil && err != io.EOF) || !bytes.Equal(p[:n], plain[off:off+n]) {
					t.Errorf("ReadAt(%d at %d) = %d, %v", len(p), off, n, err)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzOpen opens arbitrary bytes as a segment. The seeds are whole segments, so
// the fuzzer starts from valid headers.
func FuzzOpen(f *testing.F) {
	ring := testRing(f)
	for _, suite := range []seal.Suite{seal.SuiteAES, seal.SuiteChaCha, seal.SuitePlain} {
		for _, size := range []int{0, 5, seal.ChunkSize + 1} {
			f.Add(mustSeal(f, ring, pattern(size), seal.Options{Suite: suite}), int64(0), uint16(10))
		}
	}
	f.Add(mustSeal(f, ring, pattern(300), seal.Options{Suite: seal.SuitePlain, Gaps: []seal.Gap{{Pos: 3, Len: 100}, {Pos: 200, Len: 1}}}), int64(0), uint16(300))
	f.Fuzz(func(t *testing.T, sealed []byte, off int64, length uint16) {
		h, err := seal.ParseHeader(sealed)
		if err != nil {
			if !errors.Is(err, seal.ErrCorrupt) && !errors.Is(err, seal.ErrVersion) {
				t.Fatalf("ParseHeader: %v", err)
			}
			return
		}
		o, err := ring.Open(h, int64(len(sealed)))
		if err != nil {
			return
		}
		if got := h.SealedSize(o.PlainSize()); got != int64(len(sealed)) {
			t.Fatalf("plain size %d gives %d sealed bytes, not %d", o.PlainSize(), got, len(sealed))
		}
		p := make([]byte, length)
		n, err := o.ReadAt(t.Context(), source(sealed), p, off)
		if n < len(p) && err == nil || n > len(p) {
			t.Fatalf("ReadAt(%d at %d) = %d, %v", len(p), off, n, err)
		}
		if err == nil && n > 0 && off+int64(n) > o.PlainSize() {
			t.Fatalf("read past the plain size %d", o.PlainSize())
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	ring := testRing(b)
	plain := pattern(8 << 20)
	for _, suite := range []seal.Suite{seal.SuiteAES, seal.SuiteChaCha} {
		b.Run(suite.String(), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				mustSeal(b, ring, plain, seal.Options{Suite: suite})
			}
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	ring := testRing(b)
	for _, suite := range []seal.Suite{seal.SuiteAES, seal.SuiteChaCha, seal.SuitePlain} {
		sealed := mustSeal(b, ring, pattern(8<<20), seal.Options{Suite: suite})
		h, _ := seal.ParseHeader(sealed)
		o, err := ring.Open(h, int64(len(sealed)))
		if err != nil {
			b.Fatal(err)
		}
		for _, size := range []int{4 << 10, 128 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%v/%dKiB", suite, size>>10), func(b *testing.B) {
				p := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for off := int64(0); b.Loop(); off = (off + int64(size)) % (7 << 20) {
					if _, err := o.ReadAt(b.Context(), source(sealed), p, off); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
