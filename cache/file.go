package cache

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Layout of a file; the package comment has the table.
const (
	fileMagic   = "WSLC"
	fileVersion = 1
	fileHeader  = 16
)

// blockSize is what a file's length is rounded up to when it is counted, the
// block of common file systems.
const blockSize = 4096

// tempPrefix starts the names of files that are being written.
const tempPrefix = "tmp-"

// castagnoli is the table of CRC32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errBadFile reports a file that is not what store wrote.
var errBadFile = errors.New("cache file is damaged")

// cost returns what a file with length bytes in all counts.
func cost(length int64) int64 { return (length + blockSize - 1) / blockSize * blockSize }

// dirOf and nameOf give the folder and the name of the file of id.
func dirOf(id walrus.SliverID) string { return hex.EncodeToString(id.Blob[:1]) }

func nameOf(id walrus.SliverID) string {
	return fmt.Sprintf("%x-%d-%d", id.Blob[:], id.Axis, id.Index)
}

func pathOf(id walrus.SliverID) string { return dirOf(id) + "/" + nameOf(id) }

// parseName reads what nameOf returned and accepts nothing else.
func parseName(name string) (id walrus.SliverID, ok bool) {
	parts := strings.Split(name, "-")
	if len(parts) != 3 || hex.DecodedLen(len(parts[0])) != len(id.Blob) {
		return id, false
	}
	if _, err := hex.Decode(id.Blob[:], []byte(parts[0])); err != nil {
		return id, false
	}
	axis, err := strconv.ParseUint(parts[1], 10, 8)
	if err != nil || axis > uint64(metadataAxis) {
		return id, false
	}
	index, err := strconv.ParseUint(parts[2], 10, 16)
	if err != nil {
		return id, false
	}
	id.Axis, id.Index = walrus.Axis(axis), uint16(index)
	return id, nameOf(id) == name
}

// writeFile fills a new file at path with data behind its header.
func writeFile(root *os.Root, path string, data []byte) (err error) {
	if len(data) > math.MaxUint32 {
		return fmt.Errorf("sliver of %d bytes is too long", len(data))
	}
	f, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var h [fileHeader]byte
	copy(h[:], fileMagic)
	binary.LittleEndian.PutUint32(h[4:], fileVersion)
	binary.LittleEndian.PutUint32(h[8:], uint32(len(data)))
	binary.LittleEndian.PutUint32(h[12:], crc32.Checksum(data, castagnoli))
	if _, err := f.Write(h[:]); err != nil {
		return err
	}
	_, err = f.Write(data)
	return err
}

// readFile returns the data of the file at path after checking it. It returns
// errBadFile for anything that writeFile does not leave.
func readFile(root *os.Root, path string) (data []byte, err error) {
	f, err := root.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var h [fileHeader]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		return nil, fmt.Errorf("%w: header: %w", errBadFile, err)
	}
	length := int64(binary.LittleEndian.Uint32(h[8:]))
	if string(h[:4]) != fileMagic || binary.LittleEndian.Uint32(h[4:]) != fileVersion || st.Size() != fileHeader+length {
		return nil, errBadFile
	}
	data = make([]byte, length)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%w: %w", errBadFile, err)
	}
	if crc32.Checksum(data, castagnoli) != binary.LittleEndian.Uint32(h[12:]) {
		return nil, errBadFile
	}
	return data, nil
}
