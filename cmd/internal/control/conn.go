package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// talker is the mount's end of one connection.
type talker struct {
	s    *Server
	conn *net.UnixConn

	// busy is set from the arrival of a request to just before its answer.
	busy atomic.Bool
	// mu makes lines whole and guards over.
	mu   sync.Mutex
	over bool // the answer was sent; events come too late
}

// errStopping is for commands whose handlers were cancelled.
var errStopping = errors.New("the mount is ending and did not finish this")

// arrival is one line, or why there is none.
type arrival struct {
	line []byte
	err  error
}

// talk answers requests on conn until it ends or ctx does.
func (s *Server) talk(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	uid, err := peerUID(conn)
	if err != nil || uid != os.Geteuid() && uid != 0 {
		refuse(conn, &Error{Message: "the drive is mounted by another user", Code: 1})
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	// The deadline wakes the reader and leaves the writer alone, so that an
	// answer still goes out when the server stops.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	t := &talker{s: s, conn: conn}
	arrivals := make(chan arrival)
	var reader sync.WaitGroup
	reader.Go(func() { t.listen(ctx, cancel, arrivals) })
	defer reader.Wait()
	defer cancel()
	for {
		select {
		case a := <-arrivals:
			if !t.answer(ctx, a) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// listen passes lines on as they come. It cancels when the command goes away, or
// speaks before it was answered.
func (t *talker) listen(ctx context.Context, cancel context.CancelFunc, arrivals chan<- arrival) {
	defer cancel()
	r := bufio.NewReader(t.conn)
	for {
		line, err := readLine(r, maxRequest)
		if err != nil && !errors.Is(err, errTooLong) || !t.busy.CompareAndSwap(false, true) {
			return
		}
		select {
		case arrivals <- arrival{line, err}:
		case <-ctx.Done():
			return
		}
	}
}

// answer handles one request and reports whether the connection goes on.
func (t *talker) answer(ctx context.Context, a arrival) bool {
	if a.err != nil {
		t.finish(reply{Error: badRequest(fmt.Sprintf("longer than %d bytes", maxRequest))})
		return false
	}
	q, bad := decodeRequest(a.line)
	if bad != nil {
		t.finish(reply{Error: bad})
		return false
	}
	h := t.s.handler(q.Op)
	if h == nil {
		return t.finish(reply{Error: &Error{
			Message: fmt.Sprintf("the mount does not know %q", q.Op), Hint: hintVersions, Code: 1,
		}}) == nil
	}
	t.begin()
	result, err := h(ctx, q.Args, func(event any) error { return t.emit(ctx, event) })
	if err != nil && errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errStopping // or the command is gone, and nobody reads it
	}
	if err != nil {
		return t.finish(reply{Error: wireError(err)}) == nil
	}
	b, err := json.Marshal(result)
	if err != nil {
		return t.finish(reply{Error: wireError(fmt.Errorf("result of %s: %w", q.Op, err))}) == nil
	}
	err = t.finish(reply{Result: b})
	if errors.Is(err, errTooLong) {
		err = t.finish(reply{Error: wireError(fmt.Errorf("result of %s: %w", q.Op, err))})
	}
	return err == nil
}

func (t *talker) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = false
}

// emit sends an event.
func (t *talker) emit(ctx context.Context, event any) error {
	b, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return errors.New("event after the answer")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return send(t.conn, reply{Event: b})
}

// finish sends the answer. From here on the next request may come.
func (t *talker) finish(r reply) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.busy.Store(false)
	return send(t.conn, r)
}

// send writes one line. A command that does not read loses its connection.
func send(conn *net.UnixConn, r reply) error {
	r.V = protocolVersion
	line, err := encodeLine(r, maxReply)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	_, err = conn.Write(line)
	return err
}

// refuse tells a command that it will not be heard, and hangs up. The line fits
// into the empty buffer of the socket, so this does not wait.
func refuse(conn *net.UnixConn, e *Error) {
	_ = send(conn, reply{Error: e}) // it may be gone
	_ = conn.Close()
}
