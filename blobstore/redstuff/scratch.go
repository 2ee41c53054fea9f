package redstuff

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// scratch is the working memory of one goroutine. Nothing in it outlives the
// call that took it, and it never shrinks.
type scratch struct {
	heads   [][]byte // headers of shards
	packs   []byte   // packed shards
	wide    [][]byte // headers of the shards of a second encoder
	surplus []byte   // parity nobody wants
	symbols []byte   // symbols that are only hashed
	lines   [][]byte // headers of the symbols of a row or column
	nodes   []node   // leaves and inner nodes
	forest  []node   // nodes of many trees
	forests [][]node
	hasher  hasher
}

func (w *scratch) headers(n int) [][]byte {
	if cap(w.heads) < n {
		w.heads = make([][]byte, n)
	}
	return w.heads[:n]
}

// shards returns n slices of the given length with unspecified contents.
func (w *scratch) shards(n, length int) [][]byte {
	heads := w.headers(n)
	w.packs = grow(w.packs, n*length)
	for i := range heads {
		heads[i] = w.packs[i*length : (i+1)*length : (i+1)*length]
	}
	return heads
}

// line returns n headers for the symbols of one row or column.
func (w *scratch) line(n int) [][]byte {
	if cap(w.lines) < n {
		w.lines = make([][]byte, n)
	}
	return w.lines[:n]
}

// tree returns room for n nodes.
func (w *scratch) tree(n int) []node {
	if cap(w.nodes) < n {
		w.nodes = make([]node, n)
	}
	return w.nodes[:n]
}

// trees returns n slices of as many nodes as there are trees.
func (w *scratch) trees(n, trees int) [][]node {
	if cap(w.forest) < n*trees {
		w.forest = make([]node, n*trees)
	}
	w.forests = w.forests[:0]
	for i := range n {
		w.forests = append(w.forests, w.forest[i*trees:(i+1)*trees])
	}
	return w.forests
}

// grow returns a slice of the given length with unspecified contents, b itself if it can.
func grow(b []byte, length int) []byte {
	if cap(b) < length {
		return make([]byte, length)
	}
	return b[:length]
}

func (c *Codec) scratch() *scratch {
	if w, ok := c.idle.Get().(*scratch); ok {
		return w
	}
	return &scratch{}
}

// shelve keeps w for later, without its references to memory of others.
func (c *Codec) shelve(w *scratch) {
	for _, headers := range [][][]byte{w.heads, w.wide, w.lines} {
		clear(headers[:cap(headers)])
	}
	c.idle.Put(w)
}

// workPerGoroutine is how many bytes to code and hash are worth a goroutine, by measurement.
const workPerGoroutine = 128 << 10

// each runs the tasks 0 to n-1, work bytes in all, on up to GOMAXPROCS
// goroutines, each with a scratch of its own. It returns the first error; tasks
// not begun by then are dropped.
func (c *Codec) each(ctx context.Context, n, work int, task func(w *scratch, i int) error) error {
	var next atomic.Int64
	var once sync.Once
	var failed atomic.Bool
	var first error
	run := func() {
		w := c.scratch()
		defer c.shelve(w)
		for !failed.Load() {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			err := ctx.Err()
			if err == nil {
				err = task(w, i)
			}
			if err != nil {
				once.Do(func() { first = err })
				failed.Store(true)
			}
		}
	}
	var others sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n, 1+work/workPerGoroutine) - 1 {
		others.Go(run)
	}
	run()
	others.Wait()
	return first
}

// maxWaste is how many times larger than asked for a recycled buffer may be.
const maxWaste = 4

// arena returns a buffer of the given length with unspecified contents.
func (c *Codec) arena(length int) []byte {
	if b, ok := c.arenas.Get().(*[]byte); ok {
		if cap(*b) >= length && cap(*b) <= maxWaste*max(length, 1<<16) {
			return (*b)[:length]
		}
		if cap(*b) >= length {
			c.arenas.Put(b)
		}
	}
	return make([]byte, length)
}

func (c *Codec) recycle(b []byte) { c.arenas.Put(&b) }
