package index

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// SyncFull is the synchronous mode of a barrier in this build.
const SyncFull = syncFull

// OpenMigrating opens an index with migrations of a test's own.
func OpenMigrating(c Config, migrations []string) (*DB, error) { return open(c, migrations) }

// LimitPages makes the index run out of room at a number of pages.
func (db *DB) LimitPages(n int) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.writer.script(fmt.Sprintf("PRAGMA max_page_count = %d", n))
}

// Kill closes an index without noting that it was closed.
func (db *DB) Kill() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.closeConns()
}

// Hold returns a function that holds the writer until it is called, so that
// callers of barriers gather.
func (db *DB) Hold() (release func()) {
	db.mu.Lock()
	return db.mu.Unlock
}

// Waiting returns how many callers wait for the next barrier.
func (db *DB) Waiting() int {
	db.barrierMu.Lock()
	defer db.barrierMu.Unlock()
	return len(db.barrier)
}

// UnmarshalRows and MarshalRows leave the compression out.
var (
	UnmarshalRows = unmarshalRows
	MarshalRows   = marshalRows
)

// Sign makes the attributes of an anchor with any text.
func Sign(drive, text string, priv ed25519.PrivateKey) []Attribute {
	return []Attribute{
		{KeyDrive, drive},
		{KeyAnchor, text},
		{KeySignature, base64.RawURLEncoding.EncodeToString(ed25519.Sign(priv, []byte(text)))},
	}
}

// FullOfRows makes a full snapshot of any rows: of the head, then of frames
// that are a kind and rows each.
func FullOfRows(h FullHead, frames ...[]byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	f := fullWriter{zstd: w, out: append([]byte(fullMagic), fullVersion)}
	f.head(h)
	for _, rows := range frames {
		f.frame(rows[0], rows[1:])
	}
	return f.out
}

// SegmentFrame, InodeFrame and NameFrame are frames for FullOfRows.
func SegmentFrame(list ...FullSegment) []byte {
	e := encoder{b: []byte{fullSegments}}
	e.fullSegments(list)
	return e.b
}

func InodeFrame(inodes []InodeRow, contents []ContentRow) []byte {
	e := encoder{b: []byte{fullInodes}}
	e.inodes(inodes)
	e.contents(contents)
	return e.b
}

func NameFrame(list ...NameRow) []byte {
	e := encoder{b: []byte{fullNames}}
	e.names(list)
	return e.b
}

// HeadFrame is the rows of the first frame.
func HeadFrame(h FullHead) []byte {
	e := encoder{b: []byte{fullHead}}
	e.fullHead(h)
	return e.b
}

// CheckpointAt sets after how many pages the log is copied into the file.
func (db *DB) CheckpointAt(pages int) { db.checkpointAt = pages }

// Failed does what a commit does that failed.
func (db *DB) Failed() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.failed()
}

// AgainFrame decodes the rows of a frame and encodes them again.
func AgainFrame(rows []byte) ([]byte, error) {
	f, err := decodeFrame(rows)
	if err != nil {
		return nil, err
	}
	e := encoder{b: []byte{f.kind}}
	switch f.kind {
	case fullHead:
		e.fullHead(f.head)
	case fullSegments:
		e.fullSegments(f.segments)
	case fullInodes:
		e.inodes(f.inodes)
		e.contents(f.contents)
	case fullNames:
		e.names(f.names)
	}
	return e.b, nil
}

// DecodeFrame decodes the rows of a frame of a full snapshot.
func DecodeFrame(rows []byte) error {
	_, err := decodeFrame(rows)
	return err
}
