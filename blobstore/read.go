package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// slivers that one ReadAt fetches at a time.
const readParallel = 4

// How long a read waits before it starts over; doubles up to maxReadBackoff.
const (
	minReadBackoff = 100 * time.Millisecond
	maxReadBackoff = 2 * time.Second
	// readGrace lets the error of a fetch arrive that has had the whole read timeout.
	readGrace = 500 * time.Millisecond
)

// ReadAt reads len(p) bytes of a blob at offset off, like io.ReaderAt: it
// returns fewer only at the end of the blob, with io.EOF. All bytes are checked
// against the blob ID. A blob that cannot be read within the read timeout gives
// ErrUnavailable, together with a *redstuff.TooFewError if too few slivers
// were to be had, and one that is no valid encoding redstuff.ErrInconsistent.
func (c *Client) ReadAt(ctx context.Context, blob walrus.BlobID, p []byte, off int64) (int, error) {
	if n, err, ok := c.readWarm(blob, p, off); ok {
		return n, err
	}
	parent := ctx
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", blob, err)
	}
	defer done()
	c.foreground.Add(1)
	defer c.foreground.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ReadTimeout+readGrace)
	defer cancel()
	n, err := c.readAt(ctx, blob, p, off)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case parent.Err() != nil:
		err = parent.Err()
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUnavailable):
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, context.Canceled):
		err = ErrClosed
	}
	return 0, fmt.Errorf("read %s: %w", blob, err)
}

// readWarm is ReadAt for bytes that are in memory.
func (c *Client) readWarm(blob walrus.BlobID, p []byte, off int64) (n int, err error, ok bool) {
	md, ok := c.metadata.get(blob)
	if !ok {
		return 0, nil, false
	}
	spans, err := c.spans(md, p, off)
	if err != nil && err != io.EOF {
		return 0, nil, false
	}
	for _, s := range spans {
		data, ok := c.slivers.get(sourceID(blob, s.Index))
		if !ok {
			return 0, nil, false
		}
		n += copy(p[n:], data[s.Offset:s.Offset+s.Length])
	}
	return n, err, true
}

func sourceID(blob walrus.BlobID, index int) walrus.SliverID {
	return walrus.SliverID{Blob: blob, Axis: walrus.Primary, Index: uint16(index)}
}

// spans returns where the bytes of a read lie, and io.EOF if there are fewer than asked for.
func (c *Client) spans(md *redstuff.Metadata, p []byte, off int64) ([]redstuff.Span, error) {
	if off < 0 {
		return nil, fmt.Errorf("offset %d: %w", off, redstuff.ErrRange)
	}
	n := min(int64(len(p)), max(md.Size-off, 0))
	var eof error
	if n < int64(len(p)) {
		eof = io.EOF
	}
	if n == 0 {
		return nil, eof
	}
	spans, err := c.codec.Locate(md.Size, off, int(n))
	if err != nil {
		return nil, err
	}
	return spans, eof
}

func (c *Client) readAt(ctx context.Context, blob walrus.BlobID, p []byte, off int64) (int, error) {
	md, err := c.metadataOf(ctx, blob)
	if err != nil {
		return 0, err
	}
	spans, eof := c.spans(md, p, off)
	if eof != nil && eof != io.EOF {
		return 0, eof
	}
	errs := make([]error, len(spans))
	places := make(chan struct{}, readParallel)
	var wg sync.WaitGroup
	n := 0
	for i, s := range spans {
		part := p[n : n+s.Length]
		n += s.Length
		places <- struct{}{}
		fetch := func() {
			defer func() { <-places }()
			data, err := c.sliver(ctx, md, sourceID(blob, s.Index))
			if errs[i] = err; err == nil {
				copy(part, data[s.Offset:])
			}
		}
		if len(spans) == 1 {
			fetch()
			break
		}
		wg.Go(fetch)
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return n, eof
}

// sliver returns a verified source primary sliver, from memory, the disk cache
// or the nodes. Nobody may write to it.
func (c *Client) sliver(ctx context.Context, md *redstuff.Metadata, id walrus.SliverID) ([]byte, error) {
	if data, ok := c.slivers.get(id); ok {
		return data, nil
	}
	data, err := c.cached(ctx, id, func(ctx context.Context) ([]byte, error) {
		return persist(ctx, func() ([]byte, error) { return c.fetch(ctx, md, id) })
	})
	if err != nil {
		return nil, err
	}
	if want := c.sliverSize(md, id.Axis); len(data) != want {
		return nil, fmt.Errorf("sliver %s: cache gave %d bytes, want %d", id, len(data), want)
	}
	c.slivers.put(id, data, len(data))
	return data, nil
}

func (c *Client) sliverSize(md *redstuff.Metadata, axis walrus.Axis) int {
	symbol, err := c.geometry.SymbolSize(md.Size)
	if err != nil {
		return 0
	}
	return c.geometry.SliverSize(axis, symbol)
}

// cached goes through the disk cache, if there is one. Fill has the read timeout for itself.
func (c *Client) cached(ctx context.Context, id walrus.SliverID, fill func(context.Context) ([]byte, error)) ([]byte, error) {
	bounded := func(ctx context.Context) ([]byte, error) {
		ctx, done, err := c.begin(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		ctx, cancel := context.WithTimeout(ctx, c.cfg.ReadTimeout)
		defer cancel()
		return fill(ctx)
	}
	if c.cfg.Cache == nil {
		return bounded(ctx)
	}
	return c.cfg.Cache.Get(ctx, id, bounded)
}

// persist tries again until there is an answer that will not change or ctx
// ends: nodes restart, and come back.
func persist[T any](ctx context.Context, try func() (T, error)) (T, error) {
	wait := minReadBackoff
	var last error
	for {
		got, err := try()
		if err == nil || errors.Is(err, redstuff.ErrInconsistent) || errors.Is(err, ErrNotFound) {
			return got, err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if ctx.Err() != nil || pause(ctx, wait) != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return got, ctx.Err()
			}
			return got, fmt.Errorf("%w: %w", ErrUnavailable, last)
		}
		wait = min(2*wait, maxReadBackoff)
	}
}
