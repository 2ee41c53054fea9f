package index

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// SyncFull is the synchronous mode of a barrier in this build.
const SyncFull = syncFull

// Migrations turn version 1 into the newest.
var Migrations = migrations

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
	db.logSync.mu.Lock()
	defer db.logSync.mu.Unlock()
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.closeConns()
}

// HoldWriter returns a function that holds the writer until it is called, so that
// callers of barriers gather.
func (db *DB) HoldWriter() (release func()) {
	db.mu.Lock()
	return db.mu.Unlock
}

// Unhurried, before the first change, has nothing committed only because it was answered a while
// ago: on a busy machine the while is over before a test has done what it does meanwhile.
func (db *DB) Unhurried() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.leaving = true
}

// Waiting returns how many callers wait for the next barrier.
func (db *DB) Waiting() int {
	db.barriers.mu.Lock()
	defer db.barriers.mu.Unlock()
	return len(db.barriers.waiting)
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

// Gathered returns how many callers wait for the next NORMAL transaction.
func (db *DB) Gathered() int {
	db.ordinary.mu.Lock()
	defer db.ordinary.mu.Unlock()
	return len(db.ordinary.waiting)
}

// Commits returns how many transactions were committed.
func (db *DB) Commits() uint64 {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.commits
}

// Soon returns how many files wait to be queued.
func (db *DB) Soon() int { return int(db.soon.waiting.Load()) }

// SoonFailed reports whether there was no room for what waits to be queued.
func (db *DB) SoonFailed() bool {
	db.soon.mu.Lock()
	defer db.soon.mu.Unlock()
	return db.soon.failed
}

// SetLinks makes the row of an inode say that it has so many links.
func (db *DB) SetLinks(ino Ino, links uint32) error {
	return db.update(func(tx *txn) error { return tx.run(`UPDATE inodes SET nlink = ? WHERE ino = ?`, links, ino) })
}

// Break makes all commits fail; nil: they do not any more.
func (db *DB) Break(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.broken = err
}

// Barriers returns how many barriers there were.
func (db *DB) Barriers() (n int64) {
	err := db.view(func(c *conn) (err error) {
		n, err = c.int(sqlMeta, metaBarrier)
		return err
	})
	if err != nil {
		panic(err)
	}
	return n
}

// FailSyncs has syncs of the log by barriers come to what fail returns; nil: to what they come to.
func (db *DB) FailSyncs(fail func() error) {
	db.logSync.mu.Lock()
	defer db.logSync.mu.Unlock()
	db.logSync.fail = fail
}

// AttrNamesLook is how many attributes are looked at when an index is opened.
const AttrNamesLook = attrNamesLook
