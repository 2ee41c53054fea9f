package node

import (
	"bytes"
	"encoding/binary"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

var update = flag.Bool("update", false, "write the golden file anew")

// The file of one blob, byte for byte. testdata/blob.golden was made by this
// package; the checks below read it with nothing but the format's description.
func TestGoldenFile(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(42, 3000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	got := contents(t, n.path(s.Blob()))
	golden := filepath.Join("testdata", "blob.golden")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := contents(t, golden); !bytes.Equal(got, want) {
		t.Errorf("file differs from %s", golden)
	}

	le := binary.LittleEndian
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	slots, metadata := int(le.Uint32(got[60:])), int(le.Uint32(got[64:]))
	symbol := 108 // ceil(3000 / (4*7)), made even
	for what, pair := range map[string][2]any{
		"magic":       {string(got[:8]), "WALNODE1"},
		"version":     {le.Uint32(got[8:]), uint32(1)},
		"shards":      {le.Uint32(got[12:]), uint32(10)},
		"blob":        {walrus.BlobID(got[16:48]), s.Blob()},
		"size":        {le.Uint64(got[48:]), uint64(3000)},
		"symbol size": {le.Uint32(got[56:]), uint32(symbol)},
		"slots":       {slots, 6},
		"metadata":    {metadata, 10 + 1 + 66*10},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
	sum := crc32.Update(crc32.Checksum(got[:72], castagnoli), castagnoli, got[80:80+4*slots])
	if le.Uint32(got[72:]) != sum || le.Uint32(got[76:]) != 0 {
		t.Error("checksum of the head differs")
	}
	if raw := got[80+4*slots:][:metadata]; crc32.Checksum(raw, castagnoli) != le.Uint32(got[68:]) {
		t.Error("checksum of the metadata differs")
	}
	at := 4096
	for i := range slots {
		entry := got[80+4*i:]
		axis, length := walrus.Axis(entry[2]), 7*symbol
		if axis == walrus.Secondary {
			length = 4 * symbol
		}
		want := s.Slot(axis, int(le.Uint16(entry)))
		if !bytes.Equal(got[at:at+length], want.Data()) {
			t.Errorf("slot %d is not %s sliver %d", i, axis, want.Index())
		}
		if string(got[at+length:][:4]) != "SLOT" || le.Uint32(got[at+length+4:]) != want.CRC() {
			t.Errorf("tail of slot %d differs", i)
		}
		at = (at + length + 8 + 63) / 64 * 64
	}
	if at != len(got) {
		t.Errorf("file has %d bytes, want %d", len(got), at)
	}
}

func FuzzParseHead(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "blob.golden"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden[:104])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseHead(b)
		if err != nil {
			// With a right checksum the other checks come into play.
			length, e := parseCounts(b)
			if e != nil || length > len(b) {
				return
			}
			b = bytes.Clone(b)
			binary.LittleEndian.PutUint32(b[72:], headChecksum(b[:length]))
			if l, err = parseHead(b); err != nil {
				return
			}
		}
		again, err := parseHead(l.head())
		if err != nil || again.end != l.end || len(again.table) != len(l.table) {
			t.Errorf("head of what was parsed: %v", err)
		}
		for i, key := range l.table {
			if j := l.find(key); l.table[j] != key {
				t.Errorf("slot %d is found at %d", i, j)
			}
		}
	})
}
