package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

func (w *world) sliverReads() (n uint64) {
	for _, s := range w.net.Nodes() {
		n += s.SliverReads
	}
	return n
}

// heldBy returns the offset of a source primary sliver that one of the given nodes holds.
func (w *world) heldBy(r walrus.Receipt, nodes ...int) int64 {
	w.t.Helper()
	state, err := w.ledger.State(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	g := w.client.Geometry()
	symbol, err := g.SymbolSize(r.Size)
	if err != nil {
		w.t.Fatal(err)
	}
	for index := range g.SourcePrimary() {
		holder := state.Committee.Members[state.Committee.Holder(r.Blob, index)].Name
		if slices.ContainsFunc(nodes, func(i int) bool { return w.node(i) == holder }) {
			return int64(index * g.SliverSize(walrus.Primary, symbol))
		}
	}
	w.t.Fatalf("nodes %v hold no source sliver", nodes)
	return 0
}

// holders returns the nodes that hold source primary slivers of a blob, in their order.
func (w *world) holders(r walrus.Receipt) (nodes []int) {
	w.t.Helper()
	state, err := w.ledger.State(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	names := w.net.Nodes()
	for index := range w.client.Geometry().SourcePrimary() {
		holder := state.Committee.Members[state.Committee.Holder(r.Blob, index)].Name
		i := slices.IndexFunc(names, func(n embedded.NodeStatus) bool { return n.Name == holder })
		if !slices.Contains(nodes, i) {
			nodes = append(nodes, i)
		}
	}
	return nodes
}

// Random ranges, and what io.ReaderAt says about the end.
func TestReadAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	w.withCache(1 << 30)
	blob := randomBlob(1, 300_001)
	id := w.put(blob).Blob
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		off, n := r.IntN(len(blob)+10), r.IntN(120_000)
		p := make([]byte, n)
		got, err := w.client.ReadAt(t.Context(), id, p, int64(off))
		want := blob[min(off, len(blob)):min(off+n, len(blob))]
		if got != len(want) || !bytes.Equal(p[:got], want) {
			t.Fatalf("%d bytes at %d: %d read, or they differ", n, off, got)
		}
		if end := io.EOF; got < n && err != end || got == n && err != nil {
			t.Fatalf("%d bytes at %d: %d, %v", n, off, got, err)
		}
	}
	if _, err := w.client.ReadAt(t.Context(), id, make([]byte, 1), -1); !errors.Is(err, redstuff.ErrRange) {
		t.Errorf("negative offset: %v", err)
	}
	before := time.Now()
	if _, err := w.client.ReadAt(t.Context(), walrus.BlobID{1}, make([]byte, 1), 0); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("unknown blob: %v", err)
	}
	if took := time.Since(before); took > w.config.ReadTimeout/2 {
		t.Errorf("unknown blob took %v", took)
	}
}

// Plain reads touch the source slivers only, each once, and none that is cached.
func TestReadsAreCheap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const source = 34
		w := newWorld(t, 0, 0)
		w.withCache(1 << 30)
		blob := randomBlob(1, 700_000)
		r := w.put(blob)
		w.reads(r, blob)
		first := w.sliverReads()
		if first != source {
			t.Errorf("%d slivers read, want the %d source slivers", first, source)
		}
		w.reads(r, blob)
		w.reconnect() // an empty memory
		w.reads(r, blob)
		if n := w.sliverReads(); n != first {
			t.Errorf("%d more slivers read though all are cached", n-first)
		}
		var wg sync.WaitGroup
		second := randomBlob(2, 700_000)
		r = w.put(second)
		for range 8 {
			wg.Go(func() { w.reads(r, second) })
		}
		wg.Wait()
		if n := w.sliverReads() - first; n != source {
			t.Errorf("eight readers read %d slivers, want %d: they share", n, source)
		}
	})
}

// With six of ten nodes down every byte is there; with seven it is an error,
// in time; and when nodes come back it is there again, with the same client.
func TestReadWithNodesDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, 0)
		cache := w.withCache(1 << 30)
		blob := randomBlob(1, 500_000)
		r := w.put(blob)
		fresh := func() {
			synctest.Wait() // the rows of what was decoded are in the cache by now
			if err := cache.Clear(); err != nil {
				t.Fatal(err)
			}
			w.reconnect()
		}
		for _, down := range []int{1, 3, 6} {
			for i := range down {
				if err := w.net.Stop(w.node(i)); err != nil {
					t.Fatal(err)
				}
			}
			fresh()
			before := w.sliverReads()
			w.reads(r, blob)
			if n := w.sliverReads() - before; n > 4*34 {
				t.Errorf("%d slivers read with %d nodes down: decoded again and again", n, down)
			}
		}
		if err := w.net.Stop(w.node(7)); err != nil {
			t.Fatal(err)
		}
		w.config.ReadTimeout = 3 * time.Second
		fresh()
		p := bytes.Repeat([]byte{0xee}, 4096)
		off := w.heldBy(r, 0, 1, 2, 3, 4, 5, 7)
		began := time.Now()
		n, err := w.client.ReadAt(t.Context(), r.Blob, p, off)
		took := time.Since(began)
		var few *redstuff.TooFewError
		if n != 0 || !errors.Is(err, blobstore.ErrUnavailable) || !errors.As(err, &few) || few.Have != 30 || few.Need != 34 {
			t.Errorf("read with 7 nodes down: %d, %v, want 30 of 34", n, err)
		}
		if took < w.config.ReadTimeout || took > w.config.ReadTimeout+time.Second {
			t.Errorf("the error took %v", took)
		}
		if !bytes.Equal(p, bytes.Repeat([]byte{0xee}, 4096)) {
			t.Error("buffer was written to")
		}
		w.config.ReadTimeout = time.Minute
		fresh()
		back := make(chan error, 1)
		w.ledger.set(nil, nil)
		go func() { back <- w.net.Start(context.WithoutCancel(t.Context()), w.node(7)) }()
		w.reads(r, blob) // waits for the node
		if err := <-back; err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if err := w.net.Start(t.Context(), w.node(i)); err != nil {
				t.Fatal(err)
			}
		}
		// Nodes that are back are used again, by the client that saw them down.
		deadline := time.Now().Add(time.Minute)
		before, used := w.net.Nodes(), 0
		for i := uint64(0); used < len(before); i++ {
			time.Sleep(time.Second)
			if err := cache.Clear(); err != nil {
				t.Fatal(err)
			}
			blob := randomBlob(100+i, 100_000)
			w.reads(w.put(blob), blob)
			used = 0
			for j, n := range w.net.Nodes() {
				if n.SliverReads > before[j].SliverReads {
					used++
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("only %d nodes are used again", used)
			}
		}
	})
}

// Nodes that lie are found out, named, and not believed, up to a third of them
// and beyond.
func TestReadWithLyingNodes(t *testing.T) {
	t.Parallel()
	faults := map[string]embedded.Fault{"corrupt": embedded.Corrupt, "another sliver": embedded.WrongSliver,
		"another blob's metadata": embedded.WrongMetadata, "all lies": embedded.Corrupt | embedded.WrongMetadata}
	w := newWorld(t, 0, 0)
	seed := uint64(0)
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			liars := []int{0, 2, 3, 5, 8, 9}
			w.reconnect()
			meet := func(blob []byte) []blobstore.Problem {
				w.inject(0, liars...)
				r := w.put(blob)
				w.everywhere(r.Blob) // those that are honest are just enough
				w.inject(fault, liars...)
				w.reads(r, blob)
				return w.client.Problems()
			}
			seed += 2
			problems := meet(randomBlob(seed, 400_000))
			// Other blobs meet the liars in another order: of some one asks honest nodes alone.
			for i := uint64(1); i <= 20 && (i == 1 || len(problems) == 0); i++ {
				problems = meet(randomBlob(seed+1+1000*i, 400_000))
			}
			if len(problems) == 0 {
				t.Fatal("nobody was found out")
			}
			for _, p := range problems {
				liar := false
				for _, i := range liars {
					liar = liar || w.node(i) == p.Node
				}
				if !liar || p.Wrong == 0 {
					t.Errorf("%+v: not a liar", p)
				}
			}
		})
	}
}

// All nodes lie: an error and nothing else.
func TestReadWhenAllLie(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 10)
		w.config.ReadTimeout = 3 * time.Second
		w.reconnect()
		blob := randomBlob(1, 50_000)
		r := w.put(blob)
		w.inject(embedded.Corrupt, 0, 1, 2, 3)
		p := make([]byte, 1000)
		if n, err := w.client.ReadAt(t.Context(), r.Blob, p, 0); n != 0 || !errors.Is(err, blobstore.ErrUnavailable) {
			t.Errorf("read: %d, %v", n, err)
		}
		if !bytes.Equal(p, make([]byte, 1000)) {
			t.Error("wrong bytes came through")
		}
		w.inject(0, 0, 1, 2, 3)
		w.reads(r, blob)
	})
}

// A node that is slow costs a read one hedge, and the next reads nothing.
func TestSlowNodes(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]embedded.Fault{"slow": embedded.Slow, "hanging": embedded.Hang} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 0, 0)
				blob := randomBlob(1, 400_000)
				r := w.put(blob)
				holders := w.holders(r)
				w.inject(fault, holders[0], holders[1], holders[2])
				began := time.Now()
				w.reads(r, blob)
				// One hedge finds out about the first, one more about the others.
				if took := time.Since(began); took < 300*time.Millisecond || took >= embedded.SlowDelay {
					t.Errorf("a whole blob took %v", took)
				}
			})
		})
	}
}

// When all nodes have become slow alike, and that is known, few reads ask others beside them.
func TestAllNodesSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, 0)
		sizes := make([]int, 31)
		for i := range sizes {
			sizes[i] = 100_000
		}
		all := w.some(1, sizes...)
		var asked atomic.Int64
		const slow = 4 * time.Second // longer than maxHedge
		w.config.Dial = func(m walrus.Member) (*node.Client, error) {
			c, err := w.net.Dial(m)
			wait := func(ctx context.Context) error {
				select {
				case <-time.After(slow):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return node.NewClient(node.Calls{
				Metadata: func(ctx context.Context, id walrus.BlobID) (*redstuff.Metadata, error) {
					if err := wait(ctx); err != nil {
						return nil, err
					}
					return c.Metadata(ctx, id)
				},
				Sliver: func(ctx context.Context, id walrus.SliverID) ([]byte, error) {
					asked.Add(1)
					if err := wait(ctx); err != nil {
						return nil, err
					}
					return c.Sliver(ctx, id)
				},
			}), err
		}
		w.reconnect()
		w.reads(all[0].Receipt, all[0].blob)
		time.Sleep(time.Minute) // whoever was late is in good standing again
		asked.Store(0)
		for _, s := range all[1:] {
			p := make([]byte, 1000)
			if n, err := w.client.ReadAt(t.Context(), s.Blob, p, 0); err != nil || !bytes.Equal(p[:n], s.blob[:n]) {
				t.Fatalf("%d bytes read, %v", n, err)
			}
		}
		if n, rows := asked.Load(), int64(len(all)-1); n > rows+rows/3 {
			t.Errorf("%d slivers asked for to read %d", n, rows)
		}
	})
}

// Files of the nodes are damaged on disk, with and without a checksum that is
// made to fit, for a third of the shards. Every byte is read, or made again.
func TestDamagedNodeFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 0)
	seed := uint64(0)
	for _, fix := range []bool{false, true} {
		for _, how := range []string{"flipped", "truncated", "swapped"} {
			t.Run(fmt.Sprintf("%s, checksum fixed %t", how, fix), func(t *testing.T) {
				w.reconnect()
				seed++
				blob := randomBlob(seed, 400_000)
				r := w.put(blob)
				w.everywhere(r.Blob)
				for i := range 3 {
					damageNode(t, w, i, r.Blob, how, fix)
				}
				w.reads(r, blob)
				h, err := w.client.Check(t.Context(), r.Blob)
				if err != nil || !h.Recoverable || h.Primary >= 100 {
					t.Errorf("check: %+v, %v", h, err)
				}
				bad := 0
				for _, n := range w.net.Nodes() {
					for _, slot := range n.BadSlots {
						if slot.ID.Blob == r.Blob {
							bad++
						}
					}
				}
				// What the node cannot see the client must, and the other way round.
				hidden := fix && how != "truncated"
				if found := len(w.client.Problems()); hidden != (found == 3) || hidden != (bad == 0) {
					t.Errorf("%d nodes with problems, %d bad slots", found, bad)
				}
			})
		}
	}
}

// damageNode damages every slot of one file, reading the format as it is described.
func damageNode(t *testing.T, w *world, i int, blob walrus.BlobID, how string, fix bool) {
	t.Helper()
	path := filepath.Join(w.net.Nodes()[i].Dir, "blobs", fmt.Sprintf("%02x", blob[0]), fmt.Sprintf("%x", blob[:]))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := parseBlobFile(data)
	switch how {
	case "truncated":
		data = data[:file.slots[0].offset+file.slots[0].length/2]
	case "flipped":
		for _, s := range file.slots {
			data[s.offset+s.length/3] ^= 1
		}
	case "swapped":
		for j := 0; j+1 < len(file.slots); j += 2 {
			a, b := file.slots[j], file.slots[j+1]
			if a.length != b.length {
				continue
			}
			first := bytes.Clone(data[a.offset : a.offset+a.length])
			copy(data[a.offset:], data[b.offset:b.offset+b.length])
			copy(data[b.offset:], first)
		}
	}
	if fix && how != "truncated" {
		for _, s := range file.slots {
			s.fix(data)
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A blob whose slivers are all what the metadata says, and which is still no
// encoding of anything, is refused whatever is asked.
func TestInconsistentBlob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	blob := randomBlob(1, 40_000)
	r := w.put(blob)
	// Read the blob through a client that is told of an inconsistent one: the
	// decoding is checked against the hashes of all source slivers.
	md, slivers := inconsistent(t, w.net.Codec(), blob)
	id := md.BlobID()
	dial := func(m walrus.Member) (*node.Client, error) {
		return node.NewClient(node.Calls{
			Metadata: func(context.Context, walrus.BlobID) (*redstuff.Metadata, error) { return md, nil },
			Sliver: func(_ context.Context, s walrus.SliverID) ([]byte, error) {
				if s.Axis == walrus.Primary && s.Index == 0 {
					return nil, node.ErrNotFound
				}
				return bytes.Clone(slivers[s.Axis][s.Index]), nil
			},
		}), nil
	}
	client, err := blobstore.New(blobstore.Config{Ledger: w.ledger, Dial: dial, ReadTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if n, err := client.ReadAt(t.Context(), id, make([]byte, 10), 0); n != 0 || !errors.Is(err, redstuff.ErrInconsistent) {
		t.Errorf("read: %d, %v, want ErrInconsistent", n, err)
	}
	w.reads(r, blob)
}

// The drive reads on while the ledger is away.
func TestReadWithoutLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	blob := randomBlob(1, 40_000)
	r := w.put(blob)
	w.ledger.Ledger = gone{w.ledger.Ledger}
	w.reads(r, blob)
}

// gone is a ledger that does not answer.
type gone struct{ chain.Ledger }

func (gone) State(context.Context) (*chain.State, error) { return nil, errors.New("away") }
