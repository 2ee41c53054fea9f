package cache

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

func FuzzReadFile(f *testing.F) {
	dir := f.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = root.Close() })
	if err := writeFile(root, "seed", []byte("sliver")); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(filepath.Join(dir, "seed"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, true)
	f.Add(seed[:fileHeader], false)
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum && len(b) >= fileHeader { // with a right checksum the other checks come into play
			b = bytes.Clone(b)
			binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[fileHeader:], castagnoli))
		}
		if err := root.WriteFile("file", b, 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := readFile(root, "file")
		if err != nil {
			return
		}
		_ = root.Remove("again")
		if err := writeFile(root, "again", data); err != nil {
			t.Fatal(err)
		}
		if again, err := root.ReadFile("again"); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x comes back as %x, %v", b, again, err)
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add(nameOf(walrus.SliverID{Blob: walrus.BlobID{1, 2, 3}, Axis: 1, Index: 65535}))
	f.Add("00-1-1")
	f.Fuzz(func(t *testing.T, name string) {
		if id, ok := parseName(name); ok && nameOf(id) != name {
			t.Errorf("%q comes back as %q", name, nameOf(id))
		}
	})
}

// FuzzParseOrder gives each file its right checksum, so that the other checks come into play.
func FuzzParseOrder(f *testing.F) {
	head := append([]byte(orderMagic), orderVersion, 0, 0, 0)
	entry := append(bytes.Repeat([]byte{7}, 32), 1, 1, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0)
	f.Add(head)
	f.Add(append(bytes.Clone(head), entry...))
	f.Fuzz(func(t *testing.T, b []byte) {
		order, ok := parseOrder(binary.LittleEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, castagnoli)))
		if ok && len(order)*orderEntry > len(b)-orderHeader {
			t.Errorf("%d slivers in %d bytes", len(order), len(b))
		}
	})
}
