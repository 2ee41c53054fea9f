package index

import "errors"

// The errors of names and attributes that callers branch on.
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
	ErrRange    = errors.New("value out of range")
	ErrNoAttr   = errors.New("no such attribute")
	ErrAttrSize = errors.New("attribute too large")
	ErrAttrRoom = errors.New("too many attributes")
	ErrStoring  = errors.New("content is not certified yet")
)

// The errors of the index as a whole and of commits.
var (
	ErrNoDrive  = errors.New("index holds no drive")
	ErrNewer    = errors.New("index was written by a newer version")
	ErrCorrupt  = errors.New("index is damaged")
	ErrFull     = errors.New("no room for the index")
	ErrClosed   = errors.New("index is closed")
	ErrInFlight = errors.New("too many segments are not certified yet")
	ErrStale    = errors.New("out of date")
	ErrTrailer  = errors.New("malformed trailer")
	ErrAnchor   = errors.New("malformed or forged anchor")
	// ErrUnsynced reports a change that is made, and that a power cut may take back: the disk failed.
	ErrUnsynced = errors.New("not on the disk")
	// ErrCollected reports a reference to a segment that is being deleted, or is gone.
	ErrCollected = errors.New("segment is collected")
)
