package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Server is the mount's side of the socket.
type Server struct {
	home     string
	path     string
	recorded bool // path stands in control.path
	listener *net.UnixListener
	file     os.FileInfo // of the socket, to remove no other one

	// mu guards the fields below.
	mu       sync.Mutex
	handlers map[string]Handler
	closed   bool
	stop     context.CancelFunc // ends Serve; nil before it
	stopped  chan struct{}      // closed when Serve returned; nil before it
}

// Listen makes the socket of the drive at home, a folder of mode 0700 that is
// there. A socket that a dead process left is replaced; where one is alive, Listen
// returns ErrInUse. Commands can connect from now on; Serve answers them.
func Listen(home string) (*Server, error) {
	home, err := canonical(home)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s := &Server{home: home, handlers: make(map[string]Handler)}
	if s.path, s.recorded, err = choosePath(home); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := locked(home, s.bind); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return s, nil
}

// bind makes the socket under a temporary name, closes it to others, and moves
// it into place over a stale one. The caller holds the lock of the home.
func (s *Server) bind() (err error) {
	// The server before may have chosen another place.
	if old, err := findPath(s.home); err == nil && alive(old) || alive(s.path) {
		return ErrInUse
	}
	tmp := s.path + newSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"}); err != nil {
		return err
	}
	s.listener.SetUnlinkOnClose(false) // Close removes the name that it has then
	defer func() {
		if err != nil {
			err = errors.Join(err, s.listener.Close())
		}
	}()
	if err := os.Chmod(tmp, 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return err
	}
	if s.file, err = os.Lstat(s.path); err != nil {
		return err
	}
	return record(s.home, s.path, s.recorded)
}

// Handle makes h answer requests for op. It panics for a name that no request
// can have, or one that is taken: both are mistakes in the program.
func (s *Server) Handle(op string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.handlers[op]; taken || !validOp(op) {
		panic(fmt.Sprintf("control: cannot handle %q", op))
	}
	s.handlers[op] = h
}

func (s *Server) handler(op string) Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handlers[op]
}

// Serve answers commands until ctx ends or Close is called, and returns nil
// then. It is called once. Handlers that run at the end have their contexts
// cancelled and their answers sent before Serve returns.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.stop, s.stopped = cancel, make(chan struct{})
	s.mu.Unlock()
	defer close(s.stopped)
	defer context.AfterFunc(ctx, func() { _ = s.listener.Close() })() // wakes Accept
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel() // before the wait
	return s.accept(ctx, &conns)
}

func (s *Server) accept(ctx context.Context, conns *sync.WaitGroup) error {
	slots := make(chan struct{}, maxConns)
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // too late to be answered
			}
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
			pause(ctx, 100*time.Millisecond) // others give some back
			continue
		case errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return fmt.Errorf("control socket: %w", err)
		}
		select {
		case slots <- struct{}{}:
			conns.Go(func() {
				defer func() { <-slots }()
				s.talk(ctx, conn)
			})
		default:
			refuse(conn, &Error{Message: "too many commands talk to the mount", Hint: "try again later", Code: 1})
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Close ends Serve, waits for it, and removes the socket unless another server
// has put its own there. It must not be called by a handler.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	stop, stopped := s.stop, s.stopped
	s.mu.Unlock()
	if stop != nil {
		stop()
		<-stopped
	}
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) { // Serve did it
		err = nil
	}
	if err = errors.Join(err, locked(s.home, s.unlink)); err != nil {
		return fmt.Errorf("close control socket: %w", err)
	}
	return nil
}

func (s *Server) unlink() error {
	now, err := os.Lstat(s.path)
	if err != nil || !os.SameFile(now, s.file) {
		return nil // it is gone, or another's
	}
	if err := os.Remove(s.path); err != nil {
		return err
	}
	return record(s.home, "", false)
}
