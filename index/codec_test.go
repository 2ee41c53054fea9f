package index_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is a trailer with every kind of row, and numbers at the edges.
func sample() *index.Trailer {
	return &index.Trailer{
		Drive: [16]byte{0xd1, 15: 0xd2}, Generation: 300, Previous: 298, Time: 1_700_000_000_123_456_789, NextIno: 1 << 40,
		Segments: []index.TrailerSegment{
			{Number: 7, Blob: walrus.BlobID{1, 31: 2}, Object: walrus.ObjectID{3, 31: 4}, Size: 8_310_144, EndEpoch: 26},
			{Number: 299, Blob: walrus.BlobID{5}, Size: 64, EndEpoch: math.MaxUint32},
		},
		Inodes: []index.InodeRow{
			{Ino: 1, Mode: 0o041777, Version: 1, Atime: -1, Mtime: 0, Ctime: math.MaxInt64, Btime: math.MinInt64},
			{Ino: 2, Mode: fileMode, UID: math.MaxUint32, GID: 5, Version: 9, Size: 12, Atime: 5, Mtime: -6, Ctime: 7, Btime: 8,
				Xattrs: []index.Xattr{{Name: "user.a", Value: []byte{}}, {Name: "user.b", Value: []byte("value")}}},
			{Ino: 9, Mode: symlinkMode, Version: 1, Size: 3, Target: []byte("a\xffb")},
			{Ino: 1 << 40, Mode: 0o020600, Rdev: 0x105, Version: 1},
		},
		Contents: []index.ContentRow{
			{Ino: 2, Version: 9, Size: 12, Mtime: -6, Base: 4, Ops: []index.Op{{Off: 0, Len: 8, Segment: 300, Pos: 65536}, {Off: 8, Len: 4}}},
			{Ino: 1 << 41, Version: 1, Size: 1 << 50, Base: math.MaxInt64},
		},
		Names: []index.NameRow{
			{Parent: 1, Name: []byte("a"), Ino: 2},
			{Parent: 1, Name: []byte("b\xff\n")},
			{Parent: 4, Name: []byte("a"), Ino: 9},
		},
	}
}

// golden compares with a file in testdata, or writes it.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return must(os.ReadFile(path))
}

// TestTrailerGolden: the rows are as they were, and what was encoded once is still read.
func TestTrailerGolden(t *testing.T) {
	encoded := must(index.MarshalTrailer(sample()))
	rows := must(must(zstd.NewReader(nil)).DecodeAll(encoded, nil))
	if want := golden(t, "trailer.rows", rows); !bytes.Equal(rows, want) {
		t.Errorf("rows:\n got %x\nwant %x", rows, want)
	}
	got := must(index.UnmarshalTrailer(golden(t, "trailer.zst", encoded)))
	if want := sample(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// frame makes an encoded trailer of rows.
func frame(rows []byte) []byte {
	return must(zstd.NewWriter(nil)).EncodeAll(rows, nil)
}

// TestTrailerMalformed cuts and changes good rows.
func TestTrailerMalformed(t *testing.T) {
	rows := must(os.ReadFile(filepath.Join("testdata", "trailer.rows")))
	if _, err := index.UnmarshalTrailer(frame(rows)); err != nil {
		t.Fatal(err)
	}
	for n := range rows {
		if _, err := index.UnmarshalTrailer(frame(rows[:n])); !errors.Is(err, index.ErrTrailer) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for what, b := range map[string][]byte{
		"empty":             {},
		"no frame":          rows,
		"more":              frame(append(bytes.Clone(rows), 0)),
		"magic":             frame(append([]byte("X"), rows[1:]...)),
		"version":           frame(append([]byte("WTRL\x02"), rows[5:]...)),
		"long form of zero": frame(bytes.Replace(rows, []byte{0xac, 0x02, 0xaa, 0x02}, []byte{0xac, 0x02, 0xaa, 0x82, 0x00}, 1)),
	} {
		if _, err := index.UnmarshalTrailer(b); !errors.Is(err, index.ErrTrailer) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, change := range map[string]func(*index.Trailer){
		"segments out of order": func(t *index.Trailer) { t.Segments[0].Number = 299 },
		"inodes out of order":   func(t *index.Trailer) { t.Inodes[1].Ino = 1 },
		"contents twice":        func(t *index.Trailer) { t.Contents[1].Ino = 2 },
		"names out of order":    func(t *index.Trailer) { t.Names[1].Name = []byte("a") },
		"xattrs out of order":   func(t *index.Trailer) { t.Inodes[1].Xattrs[1].Name = "user.A" },
		"negative size":         func(t *index.Trailer) { t.Inodes[1].Size = -1 },
		"negative offset":       func(t *index.Trailer) { t.Contents[0].Ops[0].Off = -1 },
		"inode too large":       func(t *index.Trailer) { t.Names[0].Ino = 1 << 63 },
	} {
		bad := sample()
		change(bad)
		if _, err := index.UnmarshalTrailer(must(index.MarshalTrailer(bad))); !errors.Is(err, index.ErrTrailer) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTrailerBomb: a small frame may not grow without bound, and a trailer
// that compresses that well is read nevertheless.
func TestTrailerBomb(t *testing.T) {
	if _, err := index.UnmarshalTrailer(frame(make([]byte, 64<<20))); !errors.Is(err, index.ErrTrailer) {
		t.Errorf("bomb: %v", err)
	}
	long := &index.Trailer{Generation: 1}
	for i := range 500 {
		long.Inodes = append(long.Inodes, index.InodeRow{Ino: index.Ino(i + 1), Mode: fileMode,
			Xattrs: []index.Xattr{{Name: "user.same", Value: make([]byte, index.MaxXattrValue)}}})
	}
	encoded := must(index.MarshalTrailer(long))
	got, err := index.UnmarshalTrailer(encoded)
	if err != nil || len(got.Inodes) != 500 {
		t.Errorf("%d bytes: %v", len(encoded), err)
	}
}

func FuzzTrailer(f *testing.F) {
	f.Add(must(index.MarshalTrailer(sample())))
	f.Add(must(index.MarshalTrailer(&index.Trailer{})))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := index.UnmarshalTrailer(b)
		if err != nil {
			return
		}
		again, err := index.UnmarshalTrailer(must(index.MarshalTrailer(got)))
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%v: got %+v, then %+v", err, got, again)
		}
	})
}

// FuzzRows leaves the compression out, which a fuzzer does not get through.
func FuzzRows(f *testing.F) {
	f.Add(must(os.ReadFile(filepath.Join("testdata", "trailer.rows"))))
	f.Fuzz(func(t *testing.T, rows []byte) {
		got, err := index.UnmarshalRows(rows)
		if err != nil {
			return
		}
		if again := index.MarshalRows(got); !bytes.Equal(again, rows) {
			t.Errorf("got %x, want %x", again, rows)
		}
	})
}

// replayReport replays trailers that are carried by one segment each.
func replayReport(t testing.TB, trailers ...*index.Trailer) (*index.DB, index.ReplayReport) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "replayed")
	r := must(index.NewReplay(ctx, path, index.Drive{ID: [16]byte{1}}))
	for _, tr := range trailers {
		if err := r.Apply(ctx, tr, []index.SegmentRow{segment(tr.Generation)}); err != nil {
			t.Fatal(err)
		}
	}
	report, err := r.Close(ctx, index.AnchorState{})
	if err != nil {
		t.Fatal(err)
	}
	return openPath(t, path), report
}

var sampleFooter = index.Footer{Drive: [16]byte{0xd1, 15: 0xd2}, Number: 302, Generation: 300, Part: 2, Parts: 4,
	PartSize: 1000, Size: 3500, Sum: 0x01020304, Writer: [8]byte{0xe1, 7: 0xe2}}

// footerGolden is sampleFooter, laid out by hand.
const footerGolden = "57465354" + "01" + "000000" + "2e01000000000000" + "2c01000000000000" + "0200" + "0400" +
	"e8030000" + "04030201" + "ac0d0000" + "d10000000000000000000000000000d2" + "e1000000000000e2"

func TestFooter(t *testing.T) {
	b := must(sampleFooter.Marshal())
	if got := hex.EncodeToString(b[:]); got != footerGolden {
		t.Errorf("got %s, want %s", got, footerGolden)
	}
	if got, err := index.ParseFooter(append(make([]byte, 100), b[:]...)); err != nil || got != sampleFooter {
		t.Errorf("got %+v, %v", got, err)
	}
	if index.TrailerSum([]byte("123456789")) != 0xe3069283 { // source: RFC 3720, CRC32C check value
		t.Error("the sum is not CRC32C")
	}
	if _, err := index.ParseFooter(b[1:]); !errors.Is(err, index.ErrTrailer) {
		t.Errorf("63 bytes: %v", err)
	}
	for i, c := range b {
		changed := b
		changed[i] = c ^ 0x80
		got, err := index.ParseFooter(changed[:])
		fixed := i < 8
		if fixed && !errors.Is(err, index.ErrTrailer) || err == nil && got == sampleFooter {
			t.Errorf("byte %d changed: %+v, %v", i, got, err)
		}
	}
	for _, bad := range []func(*index.Footer){
		func(f *index.Footer) { f.Number = 301 },
		func(f *index.Footer) { f.Part = 4 },
		func(f *index.Footer) { f.Parts = 65 },
		func(f *index.Footer) { f.PartSize = 3501 },
		func(f *index.Footer) { f.Size = index.MaxTrailer + 1 },
		func(f *index.Footer) { f.Generation, f.Number = 0, 2 },
		func(f *index.Footer) { f.Generation, f.Number = math.MaxUint64, 1 },
		func(f *index.Footer) { f.Part, f.Parts, f.Number = 0, 1, 300 },
	} {
		f := sampleFooter
		bad(&f)
		if _, err := f.Marshal(); !errors.Is(err, index.ErrTrailer) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func FuzzFooter(f *testing.F) {
	b := must(sampleFooter.Marshal())
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := index.ParseFooter(b)
		if err != nil {
			return
		}
		if again := must(got.Marshal()); !bytes.Equal(again[:], b[len(b)-index.FooterSize:]) {
			t.Errorf("got %x, want %x", again, b)
		}
	})
}

func sampleAnchor() index.Anchor {
	return index.Anchor{
		Drive: [16]byte{0xd1, 15: 0xd2}, Writer: [16]byte{7}, Generation: 3, Head: walrus.BlobID{3},
		Window:   []index.NumberedBlob{{Number: 2, Blob: walrus.BlobID{2}}, {Number: 3, Blob: walrus.BlobID{3}}},
		Snapshot: &index.SnapshotRef{Generation: 1, Blob: walrus.BlobID{9}}, Time: -5,
	}
}

func TestAnchor(t *testing.T) {
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	pub := priv.Public().(ed25519.PublicKey)
	attributes := must(sampleAnchor().Attributes(priv))
	var text strings.Builder
	for _, a := range attributes {
		text.WriteString(a.Key + "=" + a.Value + "\n")
	}
	if want := golden(t, "anchor.txt", []byte(text.String())); text.String() != string(want) {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
	got, err := index.ParseAnchor(append(attributes, index.Attribute{Key: "other", Value: "x"}), pub)
	if err != nil || !reflect.DeepEqual(got, sampleAnchor()) {
		t.Errorf("got %+v, %v", got, err)
	}
	full := sampleAnchor()
	full.Snapshot, full.Window = nil, nil
	for i := range index.MaxWindow {
		full.Window = append(full.Window, index.NumberedBlob{Number: math.MaxInt64 - 100 + uint64(i), Blob: walrus.BlobID{0xff, byte(i)}})
	}
	if got, err = index.ParseAnchor(must(full.Attributes(priv)), pub); err != nil || len(got.Window) != index.MaxWindow {
		t.Errorf("full window: %v", err)
	}
	full.Window = append(full.Window, index.NumberedBlob{Number: math.MaxInt64})
	if _, err := full.Attributes(priv); !errors.Is(err, index.ErrAnchor) {
		t.Errorf("window of 65: %v", err)
	}
}

// TestAnchorForged changes each attribute, and signs texts that say nothing clear.
func TestAnchorForged(t *testing.T) {
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	pub := priv.Public().(ed25519.PublicKey)
	good := must(sampleAnchor().Attributes(priv))
	refused := func(what string, attributes []index.Attribute, pub ed25519.PublicKey) {
		t.Helper()
		if _, err := index.ParseAnchor(attributes, pub); !errors.Is(err, index.ErrAnchor) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range good {
		changed := append([]index.Attribute(nil), good...)
		changed[i].Value = changed[i].Value[:len(changed[i].Value)-2] + "00"
		refused(good[i].Key+" changed", changed, pub)
		refused(good[i].Key+" missing", append(changed[:i:i], good[i+1:]...), pub)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	refused("other key", good, other.Public().(ed25519.PublicKey))
	refused("no key", good, nil)
	signed := func(text string) []index.Attribute {
		return index.Sign(good[0].Value, text, priv)
	}
	text := good[1].Value
	if _, err := index.ParseAnchor(signed(text), pub); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"other title":    "walfs anchor 2" + text[14:],
		"more":           text + "more 1\n",
		"second time":    text + "time -5\n",
		"spaces":         strings.Replace(text, "generation 3", "generation  3", 1),
		"leading zero":   strings.Replace(text, "generation 3", "generation 03", 1),
		"too large":      strings.Replace(text, "generation 3", "generation 9223372036854775808", 1),
		"window order":   strings.Replace(text, "segment 2", "segment 3", 1),
		"window zero":    strings.Replace(text, "segment 2", "segment 0", 1),
		"window broken":  strings.Replace(text, "segment 2 ", "segment 2", 1),
		"drive differs":  strings.Replace(text, "drive d1", "drive d0", 1),
		"nothing":        "",
		"endless window": text + strings.Repeat("segment 9 x\n", 1000),
	} {
		refused(what, signed(text), pub)
	}
}

func FuzzAnchor(f *testing.F) {
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	pub := priv.Public().(ed25519.PublicKey)
	good := must(sampleAnchor().Attributes(priv))
	f.Add(good[1].Value)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := index.ParseAnchor(index.Sign(good[0].Value, text, priv), pub)
		if err != nil {
			return
		}
		if again := must(a.Attributes(priv)); again[1].Value != text {
			t.Errorf("got %q, want %q", again[1].Value, text)
		}
	})
}

// TestMovedTrailer: readers that would leave moved content out refuse it.
func TestMovedTrailer(t *testing.T) {
	for _, full := range []int64{0, 300} {
		moved := index.Trailer{Drive: [16]byte{1}, Generation: 7, Previous: 6, Full: full, Moved: true,
			Contents: []index.ContentRow{{Ino: 2, Version: 3, Size: 9, Base: 9, Ops: []index.Op{{Len: 4, Segment: 7}}}}}
		rows := index.MarshalRows(&moved)
		if rows[4] != 3 {
			t.Errorf("version %d, want 3", rows[4])
		}
		got := must(index.UnmarshalRows(rows))
		if !got.Moved || got.Full != full || !reflect.DeepEqual(got.Contents, moved.Contents) {
			t.Errorf("read %+v, wrote %+v", got, moved)
		}
	}
}
