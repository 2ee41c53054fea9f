package staging

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoadMap loads any block map beside a data file. What it makes of the map
// lies within the file, and comes out the same when it is written and loaded again.
func FuzzLoadMap(f *testing.F) {
	dir := f.TempDir()
	d, err := Open(Config{Dir: dir, NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = d.Close() })
	text, err := os.ReadFile(filepath.Join("testdata", "map.hex"))
	if err != nil {
		f.Fatal(err)
	}
	golden, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden, uint32(100_000), true)
	f.Add(golden[:mapHeader], uint32(0), false)
	f.Add(append(bytes.Clone(golden), bytes.Repeat([]byte{0x5a}, 100)...), uint32(300_000), true)
	f.Fuzz(func(t *testing.T, b []byte, size uint32, mend bool) {
		size %= 1 << 24
		if mend && len(b) >= mapHeader { // with a right header the rest comes into play
			b = bytes.Clone(b)
			copy(b, mapMagic)
			binary.LittleEndian.PutUint32(b[4:], mapVersion)
			binary.LittleEndian.PutUint64(b[8:], 1)
			b[23] &= 0x7f
			binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
		}
		for path, content := range map[string][]byte{d.dataPath(1): nil, d.mapPath(1): b} {
			must(t, os.MkdirAll(filepath.Dir(path), 0o700))
			must(t, os.WriteFile(path, content, 0o600))
		}
		must(t, os.Truncate(d.dataPath(1), int64(size)))
		first := loadHeld(t, d)
		if first == nil {
			return
		}
		for _, r := range first {
			if r.Len <= 0 || r.Off < 0 || r.Off+r.Len > int64(size) {
				t.Fatalf("%+v of a file of %d bytes", r, size)
			}
		}
		again := loadHeld(t, d)
		if len(again) != len(first) {
			t.Fatalf("holds %+v, then %+v", first, again)
		}
		for i := range first {
			if again[i] != first[i] {
				t.Errorf("holds %+v, then %+v", first[i], again[i])
			}
		}
	})
}

// loadHeld loads inode 1, writes its map anew and returns what is held; nil if it is refused.
func loadHeld(t *testing.T, d *Dir) []Range {
	t.Helper()
	f := &File{d: d, ino: 1}
	defer f.closeFiles()
	if err := f.load(); err != nil {
		return nil
	}
	held := append([]Range{}, f.Held(0, f.size)...)
	if f.blockMap != nil {
		must(t, f.createMap())
	}
	return held
}
