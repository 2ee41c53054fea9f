package blobstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// Traffic counts what healing took and gave.
type Traffic struct {
	Blobs   int   // of which something was rebuilt
	Slivers int   // rebuilt
	Decoded int   // blobs that were decoded whole, as that took fewer bytes than symbols
	Rebuilt int64 // bytes of slivers rebuilt
	Read    int64 // bytes that other nodes gave for it: slivers, symbols with their proofs, metadata
}

func (t *Traffic) add(o Traffic) {
	t.Blobs += o.Blobs
	t.Slivers += o.Slivers
	t.Decoded += o.Decoded
	t.Rebuilt += o.Rebuilt
	t.Read += o.Read
}

// mending rebuilds what one node lacks of one blob.
type mending struct {
	c       *Client
	node    *node.Node
	gap     node.Gap
	md      *redstuff.Metadata
	members *walrus.Committee
	self    *peer
	read    atomic.Int64
	decoded bool
}

// Mend fills a node with what it lacks of a certified blob, from other nodes.
// Every sliver is verified against the blob ID before it is stored; what is
// good on the node is not written again. It returns node.ErrNotRegistered for a
// blob that the node need not hold, redstuff.ErrInconsistent for one that is no
// valid encoding, and a *redstuff.TooFewError if too few nodes have it now.
func (c *Client) Mend(ctx context.Context, n *node.Node, blob walrus.BlobID) (t Traffic, err error) {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return t, fmt.Errorf("mend %s: %w", blob, err)
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, mendTimeouts*c.cfg.ReadTimeout)
	defer cancel()
	m := mending{c: c, node: n, members: c.committee(ctx)}
	err = m.run(ctx, blob, &t)
	t.Read = m.read.Load()
	if err != nil {
		return t, fmt.Errorf("mend %s: %w", blob, err)
	}
	return t, nil
}

// mendTimeouts is how many read timeouts mending a blob may take: nodes that
// hang must not keep a healer for ever.
const mendTimeouts = 2

func (m *mending) run(ctx context.Context, blob walrus.BlobID, t *Traffic) (err error) {
	if m.gap, err = m.node.Gap(ctx, blob, node.Marks); err != nil || m.gap.None() {
		return err
	}
	for i := range m.members.Members {
		if m.members.Members[i].PublicKey == m.node.PublicKey() {
			m.self = m.c.peers.of(&m.members.Members[i])
		}
	}
	if m.md = m.gap.Metadata; m.md == nil {
		if m.md, err = m.c.fetchMetadata(ctx, blob); err != nil {
			return fmt.Errorf("metadata: %w", err)
		}
		raw, err := m.md.MarshalBinary()
		if err != nil {
			return err
		}
		m.read.Add(int64(len(raw)))
	}
	slots, release, err := m.rebuild(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := m.node.Store(ctx, node.Handover{Blob: blob, Metadata: m.md, Slots: slots}); err != nil {
		return err
	}
	t.Blobs, t.Slivers = 1, len(slots)
	if m.decoded {
		t.Decoded = 1
	}
	for _, s := range slots {
		t.Rebuilt += int64(len(s.Data()))
	}
	left, err := m.node.Gap(ctx, blob, node.Marks)
	if err == nil && !left.None() {
		return fmt.Errorf("%d slots are still missing", len(left.Missing))
	}
	return err
}

// rebuild makes the missing slots in the way that takes fewer bytes from other
// nodes, or in the other if that one fails. The slots end with release.
func (m *mending) rebuild(ctx context.Context) (slots []redstuff.Slot, release func(), err error) {
	release = func() {}
	if len(m.gap.Missing) == 0 {
		return nil, release, nil
	}
	bySymbols, byDecoding, err := m.costs()
	if err != nil {
		return nil, release, err
	}
	if bySymbols <= byDecoding {
		slots, err = m.recover(ctx)
		if err == nil || errors.Is(err, redstuff.ErrInconsistent) || ctx.Err() != nil {
			return slots, release, err
		}
		m.c.cfg.Log.Warn("too few symbols; the blob is decoded", "op", "heal", "blob", m.gap.Blob, "err", err)
	}
	m.decoded = true
	return m.decode(ctx)
}

// indices returns those of the slivers of an axis in a list.
func indices(ids []walrus.SliverID, axis walrus.Axis) (list []int) {
	for _, id := range ids {
		if id.Axis == axis {
			list = append(list, int(id.Index))
		}
	}
	return list
}

// costs returns how many bytes other nodes have to give. Rebuilt secondary
// slivers give symbols for the primary ones, and so do the node's own good ones.
func (m *mending) costs() (bySymbols, byDecoding int64, err error) {
	g := m.c.geometry
	size, err := g.SymbolSize(m.md.Size)
	if err != nil {
		return 0, 0, err
	}
	count := func(ids []walrus.SliverID, axis walrus.Axis) int { return len(indices(ids, axis)) }
	secondary := count(m.gap.Missing, walrus.Secondary)
	primary := count(m.gap.Missing, walrus.Primary)
	symbols := secondary*max(g.SourcePrimary()-count(m.gap.Good, walrus.Primary), 0) +
		primary*max(g.SourceSecondary()-count(m.gap.Good, walrus.Secondary)-secondary, 0)
	bySymbols = int64(symbols) * int64(size+m.c.codec.ProofSize())
	byDecoding = int64(g.SourcePrimary()) * int64(g.SliverSize(walrus.Primary, size))
	return bySymbols, byDecoding, nil
}

// recover rebuilds the missing slivers from symbols: the secondary ones first,
// which then help with the primary ones.
func (m *mending) recover(ctx context.Context) ([]redstuff.Slot, error) {
	slots, err := m.recoverAxis(ctx, walrus.Secondary, nil)
	if err != nil {
		return nil, err
	}
	primary, err := m.recoverAxis(ctx, walrus.Primary, slots)
	return append(slots, primary...), err
}

// recoverAxis rebuilds the missing slivers of an axis. Rebuilt is slivers of the other one.
func (m *mending) recoverAxis(ctx context.Context, axis walrus.Axis, rebuilt []redstuff.Slot) ([]redstuff.Slot, error) {
	targets := indices(m.gap.Missing, axis)
	if len(targets) == 0 {
		return nil, nil
	}
	crossing := walrus.Secondary - axis
	g := gathering[[]redstuff.Symbol]{c: m.c, parallel: mendFetches, hasty: true, have: map[int][]redstuff.Symbol{}, need: m.c.geometry.SourcePrimary()}
	if axis == walrus.Primary {
		g.need = m.c.geometry.SourceSecondary()
	}
	if err := m.own(ctx, crossing, targets, rebuilt, g.have, g.need); err != nil {
		return nil, err
	}
	g.ask = func(ctx context.Context, peer *peer, id walrus.SliverID) ([]redstuff.Symbol, error) {
		return m.askSymbols(ctx, peer, id, axis, targets)
	}
	have, err := g.run(ctx, m.members, m.gap.Blob, crossing, m.self)
	if err != nil {
		return nil, err
	}
	slots := make([]redstuff.Slot, len(targets))
	return slots, m.each(len(targets), func(i int) (err error) {
		symbols := make([]redstuff.Symbol, 0, len(have))
		for _, cut := range have {
			symbols = append(symbols, cut[i])
		}
		slots[i], err = m.c.codec.RecoverSlot(m.md, m.target(axis, targets[i]), symbols)
		return err
	})
}

// mendFetches is how many slivers are asked for symbols at a time. In one
// process the nodes compute them on the same processors, and reads come first.
const mendFetches = 4

func (m *mending) target(axis walrus.Axis, index int) walrus.SliverID {
	return walrus.SliverID{Blob: m.gap.Blob, Axis: axis, Index: uint16(index)}
}

// own cuts the symbols that the node's own slivers of an axis and the rebuilt ones give.
func (m *mending) own(ctx context.Context, axis walrus.Axis, targets []int, rebuilt []redstuff.Slot, have map[int][]redstuff.Symbol, need int) error {
	var mu sync.Mutex // guards have
	err := m.each(min(len(rebuilt), need), func(i int) error {
		s := rebuilt[i]
		symbols, err := m.c.codec.RecoverySymbols(m.md, m.target(axis, s.Index()), s.Data(), targets)
		mu.Lock()
		defer mu.Unlock()
		have[s.Index()] = symbols
		return err
	})
	if err != nil {
		return err
	}
	for _, index := range indices(m.gap.Good, axis) {
		if len(have) >= need || ctx.Err() != nil {
			break
		}
		symbols, err := m.node.Symbols(ctx, m.target(axis, index), targets)
		if err == nil {
			err = m.verify(symbols, index, walrus.Secondary-axis, targets)
		}
		if err == nil { // else it is damaged too, which the node has noted
			have[index] = symbols
		}
	}
	return ctx.Err()
}

// askSymbols gets the symbols of a sliver for some targets of the other axis, and verifies them.
func (m *mending) askSymbols(ctx context.Context, peer *peer, id walrus.SliverID, axis walrus.Axis, targets []int) ([]redstuff.Symbol, error) {
	return askFor(ctx, m.c, peer, id,
		func(n *node.Client) ([]redstuff.Symbol, error) { return n.Symbols(ctx, id, targets) },
		func(symbols []redstuff.Symbol) error {
			for _, s := range symbols {
				m.read.Add(int64(len(s.Data) + 32*len(s.Proof)))
			}
			return m.verify(symbols, int(id.Index), axis, targets)
		})
}

// verify checks symbols of a source for the targets of an axis.
func (m *mending) verify(symbols []redstuff.Symbol, source int, axis walrus.Axis, targets []int) error {
	if len(symbols) != len(targets) {
		return fmt.Errorf("%d symbols for %d slivers: %w", len(symbols), len(targets), redstuff.ErrSymbol)
	}
	for i, s := range symbols {
		if s.Source != source {
			return fmt.Errorf("symbol of %d, asked of %d: %w", s.Source, source, redstuff.ErrSymbol)
		}
		if err := m.c.codec.VerifySymbol(m.md, m.target(axis, targets[i]), s); err != nil {
			return err
		}
	}
	return nil
}

// decode rebuilds the missing slivers from the whole blob.
func (m *mending) decode(ctx context.Context) (slots []redstuff.Slot, release func(), err error) {
	release = func() {}
	if err := m.c.startDecoding(ctx); err != nil {
		return nil, release, err
	}
	defer m.c.endDecoding()
	blob, err := m.c.decodeFrom(ctx, m.md, m.gap.Blob, func(ctx context.Context, peer *peer, id walrus.SliverID) ([]byte, error) {
		data, err := m.c.ask(ctx, peer, m.md, id)
		m.read.Add(int64(len(data)))
		return data, err
	})
	if err != nil {
		return nil, release, err
	}
	e, err := m.c.codec.Encode(ctx, blob)
	if err != nil {
		return nil, release, err
	}
	if e.Blob() != m.gap.Blob {
		e.Release()
		return nil, release, fmt.Errorf("encodes to %s: %w", e.Blob(), redstuff.ErrInconsistent)
	}
	for _, id := range m.gap.Missing {
		slots = append(slots, e.Slot(id.Axis, int(id.Index)))
	}
	return slots, e.Release, nil
}

// each runs task for 0 to n-1 on as many goroutines as there are processors,
// and returns the first error in that order.
func (m *mending) each(n int, task func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = task(i)
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
