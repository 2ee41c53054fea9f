package move_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/walfs/walfs/chain/move"
)

func TestStrictReading(t *testing.T) {
	pairs := func() move.Layout { return &move.Metadata{} }
	storage := func() move.Layout { return &move.Storage{} }
	blob := func() move.Layout { return &move.Blob{} }
	state := func() move.Layout { return &move.EpochState{} }
	tag := func() move.Layout { return &move.TypeTag{} }
	digest := func() move.Layout { return new(move.Digest) }
	cases := []struct {
		name  string
		fresh func() move.Layout
		in    []byte
	}{
		{"empty input", storage, nil},
		{"one byte short", storage, make([]byte, 47)},
		{"one byte too many", storage, make([]byte, 49)},
		{"over the cap", storage, make([]byte, move.MaxSize+1)},
		{"length beyond the input", pairs, []byte{200, 1, 0}},
		{"length of 5 GiB", pairs, []byte{0xff, 0xff, 0xff, 0xff, 0x7f}},
		{"length in a long form", pairs, []byte{0x80, 0x00}},
		{"length that never ends", pairs, bytes.Repeat([]byte{0x80}, 12)},
		{"string that is not UTF-8", pairs, []byte{1, 1, 0xff, 0}},
		{"option neither 0 nor 1", blob, append(make([]byte, 32+4+32+8+1), 2)},
		{"unknown variant", state, append([]byte{3}, make([]byte, 8)...)},
		{"variant in a long form", state, append([]byte{0x81, 0x00}, make([]byte, 8)...)},
		{"unknown type", tag, []byte{11}},
		{"types too deep", tag, append(bytes.Repeat([]byte{6}, 20), 1)},
		{"digest of 31 bytes", digest, append([]byte{31}, make([]byte, 31)...)},
	}
	for _, c := range cases {
		if err := move.Unmarshal(c.in, c.fresh()); !errors.Is(err, move.ErrEncoding) {
			t.Errorf("%s: got %v, want ErrEncoding", c.name, err)
		}
	}
}

func TestNoEncoding(t *testing.T) {
	cases := map[string]move.Layout{
		"unknown variant":     &move.EpochState{Kind: 3},
		"unknown owner":       &move.Owner{Kind: 4},
		"vector without type": &move.TypeTag{Kind: move.KindVector},
		"struct without name": &move.TypeTag{Kind: move.KindStruct},
		"invalid text":        &move.NodeMetadata{Description: "\xff"},
		"object without id":   &move.Object{Contents: []byte{1}},
	}
	for name, v := range cases {
		if b, err := move.Marshal(v); !errors.Is(err, move.ErrEncoding) {
			t.Errorf("%s: got %x, %v, want ErrEncoding", name, b, err)
		}
	}
}

func TestTypeNames(t *testing.T) {
	const two = "0x0000000000000000000000000000000000000000000000000000000000000002"
	good := map[string]string{
		"u64":                        "u64",
		"vector<u8>":                 "vector<u8>",
		"0x2::coin::Coin<0x2::a::B>": two + "::coin::Coin<" + two + "::a::B>",
		"0x2::table::Table<u32,vector<0x2::a::B>>": two + "::table::Table<u32,vector<" + two + "::a::B>>",
		"0x02::m::T<bool,  address>":               two + "::m::T<bool,address>",
	}
	for in, want := range good {
		tag, err := move.ParseTypeTag(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := tag.String(); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
		b, err := move.Marshal(&tag)
		if err != nil {
			t.Fatal(err)
		}
		var back move.TypeTag
		if err := move.Unmarshal(b, &back); err != nil || !back.Equal(tag) {
			t.Errorf("%s: read back %s, %v", in, back, err)
		}
	}
	deep := "u8"
	for range 20 {
		deep = "vector<" + deep + ">"
	}
	for _, in := range []string{"", "u65", "vector<u8", "vector<>", "0x2::a", "0x2::a::B<", "0x2::a::B<>", "0x2::a::B<u8>>",
		"0x2::a::1B", "2::a::B", "0xg::a::B", "0x2::a::B u8", "0x2::::B", deep} {
		if tag, err := move.ParseTypeTag(in); !errors.Is(err, move.ErrType) {
			t.Errorf("%q: got %s, %v, want ErrType", in, tag, err)
		}
	}
	if _, err := move.ParseStructTag("u64"); !errors.Is(err, move.ErrType) {
		t.Errorf("u64 as a struct: got %v, want ErrType", err)
	}
}

func TestDigestText(t *testing.T) {
	for _, d := range []move.Digest{{}, {31: 1}, {0: 0xff, 31: 0xff}, {1: 7}} {
		back, err := move.ParseDigest(d.String())
		if err != nil || back != d {
			t.Errorf("%s: got %v, %v", d, back, err)
		}
	}
	long := move.Digest{0: 0xff}.String()
	for _, in := range []string{"", "0", "1", long + "1", "l" + long[1:], "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"} {
		if d, err := move.ParseDigest(in); !errors.Is(err, move.ErrDigest) {
			t.Errorf("%q: got %v, %v, want ErrDigest", in, d, err)
		}
	}
}

func TestAddressText(t *testing.T) {
	a, err := move.ParseAddress("0x2")
	if err != nil || a != move.Framework {
		t.Errorf("0x2: got %s, %v", a, err)
	}
	for _, in := range []string{"", "0x", "2", "0xzz", "0x" + string(bytes.Repeat([]byte("0"), 65))} {
		if a, err := move.ParseAddress(in); err == nil {
			t.Errorf("%q: got %s, want an error", in, a)
		}
	}
}

func TestVecMapKeepsOrder(t *testing.T) {
	var m move.VecMap[string, int]
	m.Set("a", 1)
	m.Set("b", 2)
	m.Set("a", 3)
	if len(m) != 2 || m[0] != (move.Entry[string, int]{Key: "a", Value: 3}) {
		t.Errorf("after two keys and a replacement: %v", m)
	}
	if v, ok := m.Remove("a"); !ok || v != 3 {
		t.Errorf("remove a: got %d, %v", v, ok)
	}
	if _, ok := m.Remove("a"); ok {
		t.Error("a was removed twice")
	}
	if _, ok := m.Get("a"); ok {
		t.Error("a is still there")
	}
	if v, ok := m.Get("b"); !ok || v != 2 {
		t.Errorf("get b: got %d, %v", v, ok)
	}
}
