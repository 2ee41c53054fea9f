package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Client is a command's side of the socket.
type Client struct {
	conn *net.UnixConn

	// mu makes calls wait for one another.
	mu sync.Mutex
	r  *bufio.Reader
}

// Dial connects to the mount that serves the drive at home. It returns
// ErrNotRunning when there is none, and ErrPeer when the process behind the
// socket is neither this user's nor root's.
func Dial(ctx context.Context, home string) (*Client, error) {
	home, err := canonical(home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	path, err := findPath(home)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	conn, err := connect(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	uid, err := peerUID(conn)
	if me := os.Geteuid(); err == nil && uid != me && uid != 0 && me != 0 {
		err = ErrPeer
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), conn.Close())
	}
	return &Client{conn: conn, r: bufio.NewReader(conn)}, nil
}

// Call asks for op with args, which marshal to an object or are nil, gives each
// event to onEvent, which may be nil, and puts the result into result, as
// json.Unmarshal does, unless it is nil. The error of the handler comes back as
// an *Error; ErrLost reports an answer that never came. When ctx ends the request
// is withdrawn, and the client is of no more use. Calls on one Client wait for
// one another.
func (c *Client) Call(ctx context.Context, op string, args any, onEvent func(json.RawMessage), result any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, err := encodeRequest(op, args)
	if err != nil {
		return fmt.Errorf("call %s: %w", op, err)
	}
	defer context.AfterFunc(ctx, func() { _ = c.conn.Close() })() // which withdraws
	if _, err := c.conn.Write(line); err != nil && !gone(err) {
		return callError(ctx, op, err)
	} // an end that is gone may have said why
	for {
		r, err := c.receive()
		switch {
		case err != nil:
			return callError(ctx, op, err)
		case r.Error != nil:
			return r.Error
		case r.Event != nil:
			if onEvent != nil {
				onEvent(r.Event)
			}
			continue
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(r.Result, result); err != nil {
			return fmt.Errorf("call %s: result: %w", op, err)
		}
		return nil
	}
}

func (c *Client) receive() (reply, error) {
	line, err := readLine(c.r, maxReply)
	if err != nil {
		return reply{}, err
	}
	return decodeReply(line)
}

// callError says why a call has no answer.
func callError(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("call %s: %w", op, ctx.Err())
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	if gone(err) {
		err = ErrLost
	}
	return fmt.Errorf("call %s: %w", op, err)
}

// gone reports whether err is what a connection gives whose other end is closed.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// Close closes the connection. A call that is under way returns ErrLost.
func (c *Client) Close() error {
	err := c.conn.Close()
	if errors.Is(err, net.ErrClosed) { // by a call that was withdrawn
		return nil
	}
	return err
}
