// Package pagesum gives every page of an SQLite database a checksum, in its last bytes.
//
// SQLite has checksums in its log, and none in the database file. Here a page gets one when it is
// written to the file, and whatever is read of a page, by SQLite or by Verify, is checked
// first: rows, indexes, the schema and the header. A page that is not what was written is
// SQLITE_CORRUPT to SQLite. Pages in the log have the log's own checksums, which count when a database is opened.
//
// Create makes such a database, Convert makes one of another, and URI opens it with the parameter vfs=VFS.
package pagesum

// #include "vfs.h"
import "C"

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/url"
	"sync"
	"unsafe"

	sqlite3 "github.com/mattn/go-sqlite3"
)

const (
	// VFS is the name under which SQLite knows it.
	VFS = "walfs-pagesum"
	// PageSize is in bytes. Source: SQLite's default.
	PageSize = 4096
	// Reserve is how many bytes at the end of a page are the checksum: CRC32C of the page's number, 8 bytes, and of the rest of it.
	Reserve = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Register makes VFS known to SQLite.
var Register = sync.OnceValue(func() error {
	if code := C.pagesum_register(C.CString(VFS)); code != 0 { // which keeps the name
		return fmt.Errorf("register %s: SQLite's code %d", VFS, code)
	}
	return nil
})

func sum(page []byte, number uint64) uint32 {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], number)
	return crc32.Update(crc32.Checksum(n[:], castagnoli), castagnoli, page[:PageSize-Reserve])
}

func good(page []byte, number uint64) bool {
	return binary.LittleEndian.Uint32(page[PageSize-Reserve:]) == sum(page, number)
}

//export pagesumGood
func pagesumGood(page *C.char, number C.longlong) C.int {
	if good(unsafe.Slice((*byte)(unsafe.Pointer(page)), PageSize), uint64(number)) {
		return 1
	}
	return 0
}

//export pagesumSet
func pagesumSet(page *C.char, number C.longlong) {
	p := unsafe.Slice((*byte)(unsafe.Pointer(page)), PageSize)
	binary.LittleEndian.PutUint32(p[PageSize-Reserve:], sum(p, uint64(number)))
}

// lockPage is a page that SQLite never writes. Source: SQLite, "The Lock-Byte Page".
const lockPage = 0x40000000/PageSize + 1

// Has reports whether any page of a database has its checksum. Of one that was made without them none has, but by
// a chance of one in 2^32 for each.
func Has(r io.ReaderAt, size int64) bool {
	found := false
	eachPage(r, size, func(_ uint64, whole bool) bool {
		found = whole
		return !found
	})
	return found
}

// Verify reads a database that nobody has open and that has no log, and returns the numbers
// of the pages that are not what was written, cannot be read, or are not there.
func Verify(r io.ReaderAt, size int64) (bad []uint64) {
	last := uint64(0)
	eachPage(r, size, func(number uint64, whole bool) bool {
		if last = number; !whole {
			bad = append(bad, number)
		}
		return true
	})
	var count [4]byte
	if _, err := r.ReadAt(count[:], countAt); err == nil && len(bad) == 0 && last < uint64(binary.BigEndian.Uint32(count[:])) {
		bad = append(bad, last+1)
	}
	return bad
}

// countAt is where a database says how many pages it has. Source: SQLite, "The Database Header".
const countAt = 28

// eachPage calls do for each page until it returns false.
func eachPage(r io.ReaderAt, size int64, do func(number uint64, whole bool) bool) {
	const step = 64 * PageSize
	buf := make([]byte, step)
	for off := int64(0); off < size; off += step {
		b := buf[:min(step, size-off)]
		if _, err := r.ReadAt(b, off); err != nil {
			clear(b) // which no page is
		}
		for number := uint64(off/PageSize) + 1; len(b) > 0; number++ {
			page := b[:min(len(b), PageSize)]
			b = b[len(page):]
			if number != lockPage && !do(number, len(page) == PageSize && good(page, number)) {
				return
			}
		}
	}
}

// Create makes an empty database with a log, to be opened with VFS. What is in it if there is one already stays.
func Create(path string) (err error) {
	if err := Register(); err != nil {
		return err
	}
	c, err := (&sqlite3.SQLiteDriver{}).Open(URI(path, "vfs="+VFS))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	conn := c.(*sqlite3.SQLiteConn)
	if err := conn.SetFileControlInt("main", reserveBytes, Reserve); err != nil {
		return err
	}
	_, err = conn.Exec("PRAGMA journal_mode = WAL", nil)
	return err
}

// reserveBytes asks for room at the end of pages. Source: sqlite3.h, SQLITE_FCNTL_RESERVE_BYTES.
const reserveBytes = 38

// URI names a database.
func URI(path, parameters string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: parameters}
	return u.String()
}

// Convert copies a database without checksums, and which nobody has open, into a new file, durably.
func Convert(from, to string) (err error) {
	if err := Register(); err != nil {
		return err
	}
	c, err := (&sqlite3.SQLiteDriver{}).Open(URI(from, "mode=rw"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	conn := c.(*sqlite3.SQLiteConn)
	if err := conn.SetFileControlInt("main", reserveBytes, Reserve); err != nil {
		return err
	}
	_, err = conn.Exec("PRAGMA synchronous = FULL; VACUUM INTO ?", []driver.Value{URI(to, "vfs="+VFS)})
	return err
}
