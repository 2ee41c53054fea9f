// Package control is the socket through which commands talk to a running mount.
package control

import (
	"context"
	"encoding/json"
	"errors"
)

// Errors that callers branch on.
var (
	ErrInUse      = errors.New("another process serves this drive")
	ErrNotRunning = errors.New("no mount is running for this drive")
)

// Error is an error reply: what the handler of the other side returned.
type Error struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Code    int    `json:"code"`
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Handler answers one request.
type Handler func(ctx context.Context, args json.RawMessage, emit func(event any) error) (result any, err error)

// Server is the mount's side.
type Server struct{}

// Listen takes the socket of the drive at home.
func Listen(home string) (*Server, error) { return &Server{}, nil }

// Handle makes h answer op.
func (s *Server) Handle(op string, h Handler) {}

// Serve answers until ctx ends or Close is called.
func (s *Server) Serve(ctx context.Context) error { return nil }

// Close ends Serve and removes the socket.
func (s *Server) Close() error { return nil }

// Client is the command's side.
type Client struct{}

// Dial connects to the mount of the drive at home.
func Dial(ctx context.Context, home string) (*Client, error) { return nil, ErrNotRunning }

// Call sends one request and waits for its result.
func (c *Client) Call(ctx context.Context, op string, args any, onEvent func(json.RawMessage), result any) error {
	return ErrNotRunning
}

// Close closes the connection.
func (c *Client) Close() error { return nil }
