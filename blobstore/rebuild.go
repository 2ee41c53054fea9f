package blobstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// flights are the decodings that run, one for each blob. All reads that need
// a sliver of it wait for the same one.
type flights struct {
	mu     sync.Mutex // guards byBlob, and waiters and landed of every flight
	byBlob map[walrus.BlobID]*flight
}

type flight struct {
	waiters int
	landed  bool               // decoded; it stays until its rows are kept
	cancel  context.CancelFunc // when nobody waits any more for it to land
	done    chan struct{}
	rows    *rows // valid after done
	err     error
}

// rows cuts a decoded blob into source primary slivers.
type rows struct {
	blob []byte
	size int
}

// row returns a copy of sliver i, so that keeping one does not keep the blob.
func (r *rows) row(i int) []byte {
	row := make([]byte, r.size)
	if start := i * r.size; start < len(r.blob) {
		copy(row, r.blob[start:])
	}
	return row
}

// rebuilt computes a source primary sliver from other slivers. As that yields
// all source slivers of the blob, all go into the cache; nobody waits for that.
func (c *Client) rebuilt(ctx context.Context, md *redstuff.Metadata, id walrus.SliverID) ([]byte, error) {
	f := c.join(ctx, md, id.Blob)
	defer c.decoding.leave(id.Blob, f)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.rows.row(int(id.Index)), nil
}

// join joins the flight of a blob, or starts it.
func (c *Client) join(ctx context.Context, md *redstuff.Metadata, blob walrus.BlobID) *flight {
	fs := &c.decoding
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.byBlob[blob]; f != nil {
		f.waiters++
		return f
	}
	ctx, cancel := c.detach(ctx)
	f := &flight{waiters: 1, cancel: cancel, done: make(chan struct{})}
	if fs.byBlob == nil {
		fs.byBlob = map[walrus.BlobID]*flight{}
	}
	fs.byBlob[blob] = f
	c.calls.Go(func() { c.fly(ctx, md, blob, f) })
	return f
}

// fly decodes a blob for those who wait, and then keeps its rows. Who comes
// before that is done gets them from memory.
func (c *Client) fly(ctx context.Context, md *redstuff.Metadata, blob walrus.BlobID, f *flight) {
	defer f.cancel()
	if f.err = c.startDecoding(ctx); f.err == nil {
		defer c.endDecoding()
		f.rows, f.err = c.decode(ctx, md, blob)
	}
	c.decoding.land(blob, f)
	close(f.done)
	if f.err == nil {
		c.keepRows(blob, f.rows)
		c.decoding.end(blob, f)
	}
}

// startDecoding waits until one more blob may be in memory. A flight that only
// keeps its rows gives way if the disk is slow.
func (c *Client) startDecoding(ctx context.Context) error {
	for {
		select {
		case c.decodings <- struct{}{}:
			return nil
		default:
		}
		select {
		case c.decodings <- struct{}{}:
			return nil
		case c.crowded <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Client) endDecoding() { <-c.decodings }

// land notes that f is decoded, or ends it, so that who comes now tries again.
func (fs *flights) land(blob walrus.BlobID, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.err != nil {
		fs.remove(blob, f)
		return
	}
	f.landed = true
	fs.byBlob[blob] = f // again, if all gave up just before
}

// landed returns the flight of a decoded blob whose rows are being kept, or nil.
func (fs *flights) landed(blob walrus.BlobID) *flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.byBlob[blob]; f != nil && f.landed {
		return f
	}
	return nil
}

// leave ends one wait. The last one ends a flight that has not landed.
func (fs *flights) leave(blob walrus.BlobID, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.waiters--; f.waiters == 0 && !f.landed {
		f.cancel()
		fs.remove(blob, f)
	}
}

func (fs *flights) end(blob walrus.BlobID, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.remove(blob, f)
}

// remove is end for who holds mu.
func (fs *flights) remove(blob walrus.BlobID, f *flight) {
	if fs.byBlob[blob] == f {
		delete(fs.byBlob, blob)
	}
}

// decode gathers enough slivers of one axis and decodes the blob.
func (c *Client) decode(ctx context.Context, md *redstuff.Metadata, blob walrus.BlobID) (*rows, error) {
	began := time.Now()
	data, err := c.decodeFrom(ctx, md, blob, func(ctx context.Context, peer *peer, id walrus.SliverID) ([]byte, error) {
		return c.ask(ctx, peer, md, id)
	})
	if err != nil {
		return nil, err
	}
	c.cfg.Log.Warn("blob was decoded from other slivers", "op", "read", "blob", blob, "took", time.Since(began))
	return &rows{blob: data, size: c.sliverSize(md, walrus.Primary)}, nil
}

// askSliver gets a verified sliver from a node.
type askSliver func(context.Context, *peer, walrus.SliverID) ([]byte, error)

// decodeFrom gathers enough slivers of one axis and decodes the blob.
func (c *Client) decodeFrom(ctx context.Context, md *redstuff.Metadata, blob walrus.BlobID, ask askSliver) ([]byte, error) {
	axis := walrus.Primary
	slivers, err := c.gather(ctx, md, blob, axis, ask)
	if errors.Is(err, redstuff.ErrTooFew) {
		var other error
		axis = walrus.Secondary
		if slivers, other = c.gather(ctx, md, blob, axis, ask); other == nil {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	return c.codec.Decode(ctx, md, axis, slivers, redstuff.DecodeOptions{Verified: true})
}

// keepPatience is how long a decoded blob waits for the disk while others want
// to be decoded.
const keepPatience = 2 * time.Second

// keepRows keeps all rows of a decoded blob. That ends with the client, not with
// those who wait for a row; when it takes long and others wait for their
// turn to decode, what is left goes into memory.
func (c *Client) keepRows(blob walrus.BlobID, r *rows) {
	ctx, giveWay := context.WithCancel(context.Background())
	defer giveWay()
	stop := c.onClose(giveWay)
	defer stop()
	c.calls.Go(func() {
		if pause(ctx, keepPatience) != nil {
			return
		}
		select {
		case <-c.crowded:
			giveWay()
		case <-ctx.Done():
		}
	})
	for i := range c.geometry.SourcePrimary() {
		c.keep(ctx, sourceID(blob, i), func() []byte { return r.row(i) })
	}
}

// keep puts a verified sliver into the disk cache, or into memory if that has no
// room, or ctx ends.
func (c *Client) keep(ctx context.Context, id walrus.SliverID, data func() []byte) {
	if cache := c.cfg.Cache; cache != nil {
		if cache.Has(id) {
			return
		}
		if ctx.Err() == nil && cache.Put(ctx, id, data()) == nil && cache.Has(id) {
			return
		}
	}
	row := data()
	c.slivers.put(id, row, len(row))
}

// maxFetches is how many slivers are on their way at a time for one decoding.
const maxFetches = 16

// gathering is one search for something from enough slivers of one axis: the
// slivers themselves, or symbols of them.
type gathering[T any] struct {
	c        *Client
	ask      func(context.Context, *peer, walrus.SliverID) (T, error) // must verify
	parallel int                                                      // slivers on their way at a time
	hasty    bool                                                     // gives up when all that it still waits for is late
	have     map[int]T                                                // by index
	need     int
	open     []candidate // not asked yet
	running  map[int]*request
	late     int // of those running
	answers  chan gathered[T]
}

type candidate struct {
	id   walrus.SliverID
	peer *peer
}

type request struct {
	peer  *peer
	began time.Time
	late  bool
}

type gathered[T any] struct {
	index int
	data  T
	err   error
}

// gather gets as many verified slivers of one axis as a decoding needs, from
// memory and cache and then from nodes in the order of their standing. A node
// that is late does not count any more: others are asked beside it. It returns
// a *redstuff.TooFewError when all were asked.
func (c *Client) gather(ctx context.Context, md *redstuff.Metadata, blob walrus.BlobID, axis walrus.Axis, ask askSliver) (map[int][]byte, error) {
	g := gathering[[]byte]{c: c, ask: ask, parallel: maxFetches, have: map[int][]byte{}, need: c.geometry.SourceSecondary()}
	if axis == walrus.Primary {
		g.need = c.geometry.SourcePrimary()
		c.local(ctx, md, blob, g.have)
	}
	return g.run(ctx, c.committee(ctx), blob, axis)
}

// run asks the holders of slivers that it does not have, except for those that skip names.
func (g *gathering[T]) run(ctx context.Context, committee *walrus.Committee, blob walrus.BlobID, axis walrus.Axis, skip ...*peer) (map[int]T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range g.c.geometry.Shards {
		id := walrus.SliverID{Blob: blob, Axis: axis, Index: uint16(i)}
		peer := g.c.holder(committee, id)
		if _, have := g.have[i]; peer != nil && !have && !slices.Contains(skip, peer) {
			g.open = append(g.open, candidate{id, peer})
		}
	}
	g.running = map[int]*request{}
	g.answers = make(chan gathered[T], len(g.open))
	hedge := g.c.pace.hedge()
	watch := time.NewTicker(hedge / 4)
	defer watch.Stop()
	for len(g.have) < g.need {
		for len(g.open) > 0 && len(g.running)-g.late < min(g.need-len(g.have), g.parallel) {
			g.launch(ctx)
		}
		if len(g.running) == 0 {
			return nil, &redstuff.TooFewError{Have: len(g.have), Need: g.need}
		}
		select {
		case a := <-g.answers:
			g.take(a)
		case now := <-watch.C:
			g.hurry(now, hedge)
			if g.hasty && len(g.open) == 0 && g.late == len(g.running) {
				return nil, &redstuff.TooFewError{Have: len(g.have), Need: g.need}
			}
		case <-ctx.Done():
			return nil, &redstuff.TooFewError{Have: len(g.have), Need: g.need}
		}
	}
	return g.have, nil
}

// localTimeout bounds the wait for a cached sliver: another read may be
// fetching the very sliver, and wait for this decoding.
const localTimeout = time.Second

var errNotCached = errors.New("not in the cache")

// local takes the source slivers that are here already.
func (c *Client) local(ctx context.Context, md *redstuff.Metadata, blob walrus.BlobID, have map[int][]byte) {
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	for i := range c.geometry.SourcePrimary() {
		id := sourceID(blob, i)
		data, ok := c.slivers.get(id)
		if cache := c.cfg.Cache; !ok && cache != nil && cache.Has(id) {
			var err error
			data, err = cache.Get(ctx, id, func(context.Context) ([]byte, error) { return nil, errNotCached })
			ok = err == nil && len(data) == c.sliverSize(md, walrus.Primary)
		}
		if ok {
			have[i] = data
		}
	}
}

// launch asks for the open sliver whose holder stands best.
func (g *gathering[T]) launch(ctx context.Context) {
	now := time.Now()
	best, rank := 0, avoided+1
	for i := range g.open {
		if s := g.open[i].peer.standing(now); s < rank {
			best, rank = i, s
		}
		if rank == good {
			break
		}
	}
	next := g.open[best]
	g.open = slices.Delete(g.open, best, best+1)
	index := int(next.id.Index)
	g.running[index] = &request{peer: next.peer, began: now}
	g.c.calls.Go(func() {
		data, err := g.ask(ctx, next.peer, next.id)
		g.answers <- gathered[T]{index, data, err}
	})
}

func (g *gathering[T]) take(a gathered[T]) {
	if g.running[a.index].late {
		g.late--
	}
	delete(g.running, a.index)
	if a.err == nil {
		g.have[a.index] = a.data
	}
}

// hurry looks for requests that take longer than they should.
func (g *gathering[T]) hurry(now time.Time, hedge time.Duration) {
	for _, r := range g.running {
		if !r.late && now.Sub(r.began) > hedge {
			r.late = true
			g.late++
			r.peer.failed(now)
		}
	}
}
