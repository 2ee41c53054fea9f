package main

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
)

// maxRecent is how many warnings and errors are remembered.
const maxRecent = 200

// recent remembers the last warnings and errors of a log. Its methods may be called concurrently.
type recent struct {
	mu    sync.Mutex // guards the field below
	lines [][]byte
}

// text returns what is remembered, the oldest first, one line each.
func (r *recent) text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Join(r.lines, nil)
}

// Write takes one line.
func (r *recent) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) >= maxRecent {
		r.lines = append(r.lines[:0], r.lines[1:]...)
	}
	r.lines = append(r.lines, bytes.Clone(line))
	return len(line), nil
}

// remembering returns a log that goes on to another one, and whose warnings and errors r remembers.
func (r *recent) remembering(log *slog.Logger) *slog.Logger {
	own := slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelWarn})
	return slog.New(both{log.Handler(), own})
}

// both hands what is logged to two handlers.
type both struct{ a, b slog.Handler }

// Enabled reports whether one of them wants the level.
func (h both) Enabled(ctx context.Context, level slog.Level) bool {
	return h.a.Enabled(ctx, level) || h.b.Enabled(ctx, level)
}

// Handle hands a record to those that want it; the error is that of the first.
func (h both) Handle(ctx context.Context, r slog.Record) error {
	if h.b.Enabled(ctx, r.Level) {
		_ = h.b.Handle(ctx, r.Clone()) // it is in memory
	}
	if !h.a.Enabled(ctx, r.Level) {
		return nil
	}
	return h.a.Handle(ctx, r)
}

// WithAttrs returns handlers that add attributes.
func (h both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{h.a.WithAttrs(attrs), h.b.WithAttrs(attrs)}
}

// WithGroup returns handlers that put what follows into a group.
func (h both) WithGroup(name string) slog.Handler {
	return both{h.a.WithGroup(name), h.b.WithGroup(name)}
}
