// Package control is the socket through which commands talk to a running mount.
//
// The mount calls Listen on its home, Handle for each operation, and Serve. A
// command calls Dial and Call. Both sides are of one user: the socket has mode
// 0600 in a folder of mode 0700, and each side asks the kernel for the user of
// the other (the mount answers its own user and root).
//
// # Where
//
// The socket is control.sock in the home. Where that path is longer than 100
// bytes (a socket's may have 107), the socket is <32 hex>.sock, the first 16
// bytes of SHA-256 of the home's absolute path, in $XDG_RUNTIME_DIR/walfs or else
// /tmp/walfs-<uid>, and the file control.path in the home holds its path and a
// newline. control.lock in the home is locked while a socket is made or removed.
//
// # What
//
// Both sides write JSON, one object a line, in UTF-8, ended by "\n" (0x0a). The
// command asks, the mount answers with any number of events and then one result
// or one error:
//
//	→ {"v":1,"op":"sync","args":{"path":"/a"}}
//	← {"v":1,"event":{"done":1,"total":3}}
//	← {"v":1,"event":{"done":3,"total":3}}
//	← {"v":1,"result":{"certified":3}}
//
//	→ {"v":1,"op":"sing"}
//	← {"v":1,"error":{"message":"the mount does not know \"sing\"","hint":"…","code":1}}
//
// A request has the fields v, the number 1; op, 1 to 64 of a-z 0-9 . _ -; and
// args, an object, which may be missing. Other fields are refused. It is at most
// 1 MiB long, an answer at most 16 MiB, newline included. An answer has v and one
// of event (any value), result (any value) and error: message (text), hint (text,
// may be missing) and code (the exit code for the command). Other fields of an
// answer are ignored, so that some can be added.
//
// After the result or the error the command may ask again on the same connection,
// not before: a second request meanwhile ends the connection. A command that
// closes the connection, or its sending half, withdraws its request, and the
// context of the handler ends. A line that is no request is answered with an
// error, and the connection ends.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// protocolVersion is the "v" of every line.
const protocolVersion = 1

// Limits of one side's patience with the other.
const (
	maxRequest = 1 << 20  // bytes of a line, with its newline
	maxReply   = 16 << 20 // the same, from the mount
	maxDiscard = 16 << 20 // bytes of a line too long that are read before hanging up
	maxConns   = 64       // commands at a time
	// writeWithin is how long a command may take to read a line.
	writeWithin = 30 * time.Second
)

// Errors that callers branch on.
var (
	// ErrInUse is that of Listen when another process serves the home.
	ErrInUse = errors.New("another process serves this drive")
	// ErrNotRunning is that of Dial when nobody serves the home.
	ErrNotRunning = errors.New("no mount is running for this drive")
	// ErrLost reports that the connection ended before the answer.
	ErrLost = errors.New("the mount ended before it answered")
	// ErrPeer reports that the process at the other end is another user's.
	ErrPeer = errors.New("the other end of the socket belongs to another user")
)

// Error is an error with all that a command tells about it. A handler returns
// one to set hint and code; Call returns one for what the handler returned.
type Error struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Code    int    `json:"code"` // exit code of the command; 0 counts as 1
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Handler answers one request. The context ends when the command goes away or
// the server stops. Args is the object of the request, or nil. Emit sends an
// event; it may be called from several goroutines until the handler returns, and
// fails when the command is gone. The result is sent as JSON.
type Handler func(ctx context.Context, args json.RawMessage, emit func(event any) error) (result any, err error)
