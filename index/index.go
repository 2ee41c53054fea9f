// Package index keeps a drive's names, inodes, extents, segments and jobs in SQLite.
package index

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Ino numbers an inode. Numbers are never used twice.
type Ino uint64

// Root is the inode of the drive's root directory.
const Root Ino = 1

// The errors that callers branch on.
var (
	ErrNotExist = errors.New("no such name or inode")
	ErrExist    = errors.New("name exists")
	ErrNotDir   = errors.New("not a directory")
	ErrIsDir    = errors.New("is a directory")
	ErrNotEmpty = errors.New("directory is not empty")
	ErrLoop     = errors.New("directory would contain itself")
	ErrName     = errors.New("invalid name")
	ErrNameLong = errors.New("name is longer than 255 bytes")
	ErrLinks    = errors.New("too many links")
	ErrRange    = errors.New("number out of range")
	ErrNoAttr   = errors.New("no such attribute")
	ErrAttrSize = errors.New("attribute too large")

	ErrNoDrive  = errors.New("index holds no drive")
	ErrNewer    = errors.New("index was written by a newer version")
	ErrCorrupt  = errors.New("index is damaged")
	ErrInFlight = errors.New("too many segments are not certified yet")
	ErrStale    = errors.New("out of date")
	ErrTrailer  = errors.New("malformed trailer")
	ErrAnchor   = errors.New("malformed or forged anchor")
)

// Config is what Open needs besides a context.
type Config struct {
	Path string // of the database file
	Log  *slog.Logger
	Now  func() time.Time
}

// Drive is what the index knows of the drive as a whole.
type Drive struct {
	ID     [16]byte
	Writer [16]byte // of this state folder
	Plain  bool     // segments are not encrypted
}

// DB is an open index. Its methods may be called concurrently; each is one
// transaction. A context that ends while a transaction runs does not stop it.
type DB struct{}

var errUnfinished = errors.New("not there yet")

// Open opens the index, creates it with an empty root directory, or migrates
// it. It returns ErrNewer or ErrCorrupt for a file that it cannot use.
func Open(ctx context.Context, c Config) (*DB, error) { return nil, errUnfinished }

// Close writes the log into the database file and closes it.
func (db *DB) Close() error { return errUnfinished }

// Init writes down which drive the index belongs to, once. ErrExist: it has one.
func (db *DB) Init(ctx context.Context, d Drive) error { return errUnfinished }

// Drive returns what Init wrote, or ErrNoDrive.
func (db *DB) Drive(ctx context.Context) (Drive, error) { return Drive{}, errUnfinished }

// Boot notes which boot of the machine the index is used in and reports
// whether there was another one since the last call. Then what was packed of
// versions that are not complete yet is forgotten.
func (db *DB) Boot(ctx context.Context, bootID string) (rebooted bool, err error) {
	return false, errUnfinished
}
