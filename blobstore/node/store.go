package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// Handover is what a client in the same process gives a node to store. The
// encoder took root and checksum of a slot from the same memory; the node
// compares the root with the metadata and checks the checksum of the bytes
// that it writes, and so need not hash them again.
type Handover struct {
	Blob     walrus.BlobID
	Metadata *redstuff.Metadata
	Slots    []redstuff.Slot // borrowed until Store returns
}

// Store writes metadata and slots and returns when they are durable. It may be
// called again, with the same slots or with others: what is already good is not
// written twice. It returns ErrNotRegistered, ErrRefused for data that does
// not belong to the blob or to this node, and ErrNoRoom.
func (n *Node) Store(ctx context.Context, h Handover) error {
	leave, err := n.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := n.store(ctx, h); err != nil {
		if full(err) {
			err = fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
		return fmt.Errorf("store %s: %w", h.Blob, err)
	}
	return nil
}

func (n *Node) store(ctx context.Context, h Handover) error {
	if h.Metadata == nil {
		return fmt.Errorf("no metadata: %w", ErrRefused)
	}
	if err := h.Metadata.Verify(n.geometry, h.Blob); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := checkRoots(h); err != nil {
		return err
	}
	if err := n.registered(ctx, h.Blob, nil); err != nil {
		return err
	}
	state, err := n.assigned(ctx, h)
	if err != nil {
		return err
	}
	unlock := n.blobs.lock(h.Blob)
	defer unlock()
	s := storing{n: n, h: h, own: n.own(state, h.Blob)}
	if err := s.run(ctx); err != nil {
		return err
	}
	if s.complete() {
		n.durable.add(h.Blob, state.Epoch)
		if err := n.settled(ctx, h.Blob, s.own); err != nil {
			return err
		}
	}
	// The ledger may have ended the registration meanwhile, before there was a file to remove.
	live, err := n.catalogue.live(ctx, h.Blob, nil)
	if err == nil && !live {
		err = errors.Join(ErrNotRegistered, n.removeBlob(ctx, h.Blob))
	}
	return err
}

// checkRoots compares the roots handed over with the metadata.
func checkRoots(h Handover) error {
	for _, slot := range h.Slots {
		index := slot.Index()
		if index < 0 || index >= len(h.Metadata.Hashes) {
			return fmt.Errorf("%s sliver %d: %w", slot.Axis(), index, ErrRefused)
		}
		want := h.Metadata.PrimaryHash(index)
		if slot.Axis() == walrus.Secondary {
			want = h.Metadata.SecondaryHash(index)
		}
		if slot.Root() != want {
			return fmt.Errorf("%s sliver %d does not belong to the metadata: %w", slot.Axis(), index, ErrRefused)
		}
	}
	return nil
}

// assigned returns a state of the ledger in which all slots handed over are
// the node's to hold, or ErrRefused. It asks the ledger anew only if the state
// heard last does not say so.
func (n *Node) assigned(ctx context.Context, h Handover) (*chain.State, error) {
	state := n.state.Load()
	if state != nil && n.stranger(state, h) < 0 {
		return state, nil
	}
	state, err := n.hear(ctx)
	if err != nil {
		return nil, err
	}
	if i := n.stranger(state, h); i >= 0 {
		return nil, fmt.Errorf("%s sliver %d is for another node in epoch %d: %w",
			h.Slots[i].Axis(), h.Slots[i].Index(), state.Epoch, ErrRefused)
	}
	return state, nil
}

// stranger returns the first slot that the node is not to hold, or -1.
func (n *Node) stranger(state *chain.State, h Handover) int {
	own := map[slotKey]bool{}
	for _, key := range n.own(state, h.Blob) {
		own[key] = true
	}
	for i, slot := range h.Slots {
		if !own[keyOf(slot)] {
			return i
		}
	}
	return -1
}

func keyOf(s redstuff.Slot) slotKey { return slotKey{s.Axis(), uint16(s.Index())} }

// storing is one run of Store, under the lock of its blob.
type storing struct {
	n     *Node
	h     Handover
	own   []slotKey // what the node is to hold in all
	b     *blobFile
	path  string
	fresh bool  // nothing in the file was ever signed for
	trims bool  // nothing is handed over: slots go, and all others have to be good
	wrote []int // slots written in this run
}

// complete tells whether the slots handed over, or kept by Trim, are all that the node is to hold.
func (s *storing) complete() bool {
	given := map[slotKey]bool{}
	if s.trims {
		for _, i := range s.wrote {
			given[s.b.table[i]] = true
		}
	}
	for _, slot := range s.h.Slots {
		given[keyOf(slot)] = true
	}
	for _, key := range s.own {
		if !given[key] {
			return false
		}
	}
	return true
}

func (s *storing) run(ctx context.Context) (err error) {
	raw, err := s.h.Metadata.MarshalBinary()
	if err != nil {
		return err
	}
	s.path = s.n.path(s.h.Blob)
	old, err := openBlob(s.path, s.h.Blob, os.O_RDWR)
	switch {
	case err == nil && old.has(s.own) && old.metadataSize == len(raw) && old.metadataCRC == checksum(raw):
		s.b = old
		defer func() { err = errors.Join(err, old.f.Close()) }()
		return s.amend(ctx, raw)
	case err == nil || errors.Is(err, errHead):
		defer func() { err = errors.Join(err, old.f.Close()) }()
		return s.create(ctx, raw, old)
	case errors.Is(err, ErrNotFound):
		return s.create(ctx, raw, nil)
	}
	return err
}

// create makes a new file. With old it takes over the slots that are good
// there, under a temporary name first, and then takes the place of old.
func (s *storing) create(ctx context.Context, raw []byte, old *blobFile) error {
	table := s.own
	if old != nil && old.layout != nil {
		table = union(s.own, old.table)
	}
	return s.replace(ctx, raw, old, table)
}

// replace is create with the slots in table.
func (s *storing) replace(ctx context.Context, raw []byte, old *blobFile, table []slotKey) (err error) {
	l, err := newLayout(s.n.geometry, s.h.Blob, s.h.Metadata.Size, raw, table)
	if err != nil {
		return err
	}
	give, err := s.n.take(l.end)
	if err != nil {
		return err
	}
	defer give()
	name := s.path
	if old != nil {
		name += temporary
	}
	if err := s.n.makeFolder(filepath.Dir(name)); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	s.fresh, s.b = true, &blobFile{layout: l, f: f}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil && name != "" {
			err = errors.Join(err, s.n.os.remove(name))
		}
	}()
	if err := s.n.os.allocate(f, l.end); err != nil {
		return fmt.Errorf("allocate %d bytes: %w", l.end, err)
	}
	if _, err := s.n.os.writeAt(f, append(l.head(), raw...), 0); err != nil {
		return err
	}
	if err := s.takeOver(ctx, old); err != nil {
		return err
	}
	if err := s.fill(ctx); err != nil {
		return err
	}
	if err := s.n.os.sync(f); err != nil {
		return err
	}
	if old == nil {
		return s.enlist(ctx)
	}
	if err := s.n.os.rename(name, s.path); err != nil {
		return err
	}
	name = "" // it now holds what was signed for in old
	return s.enlist(ctx)
}

func union(a, b []slotKey) []slotKey {
	seen := map[slotKey]bool{}
	var all []slotKey
	for _, key := range append(append([]slotKey{}, a...), b...) {
		if !seen[key] {
			seen[key] = true
			all = append(all, key)
		}
	}
	return all
}

// takeOver copies the good slots of old that are not handed over.
func (s *storing) takeOver(ctx context.Context, old *blobFile) error {
	if old == nil || old.layout == nil {
		return nil
	}
	given := map[slotKey]bool{}
	for _, slot := range s.h.Slots {
		given[keyOf(slot)] = true
	}
	for i, key := range old.table {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := s.b.find(key)
		if to < 0 {
			continue
		}
		data, err := old.slot(i)
		if s.trims && err != nil && !errors.Is(err, errEmpty) {
			return err
		}
		if err != nil || given[key] {
			continue
		}
		if err := s.put(to, data, checksum(data)); err != nil {
			return err
		}
	}
	return nil
}

// amend brings a file up to date in place: it is long enough, its metadata is
// good, and so are the slots handed over. Nothing that is good is written.
func (s *storing) amend(ctx context.Context, raw []byte) error {
	info, err := s.b.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < s.b.end {
		if err := s.n.os.allocate(s.b.f, s.b.end); err != nil {
			return fmt.Errorf("allocate %d bytes: %w", s.b.end, err)
		}
	}
	if _, err := s.b.metadata(); err != nil {
		if _, err := s.n.os.writeAt(s.b.f, raw, s.b.metadataOffset()); err != nil {
			return err
		}
	}
	err = s.fill(ctx)
	if err == nil {
		err = s.n.os.sync(s.b.f)
	}
	if err == nil {
		return s.enlist(ctx)
	}
	// After a failed fsync the pages look clean though the disk lacks them. Without
	// its mark a slot is written, and synced, again.
	s.n.durable.drop(s.h.Blob)
	for _, i := range s.wrote {
		err = errors.Join(err, s.b.wipe(&s.n.os, i))
	}
	s.n.os.evict(s.b.f)
	return err
}

// fill writes the slots handed over that the file does not have yet.
func (s *storing) fill(ctx context.Context) error {
	for _, slot := range s.h.Slots {
		if err := ctx.Err(); err != nil {
			return err
		}
		i := s.b.find(keyOf(slot))
		if !s.fresh {
			if crc, err := s.b.check(i); err == nil && crc == slot.CRC() {
				continue
			}
		}
		if err := s.put(i, slot.Data(), slot.CRC()); err != nil {
			return err
		}
	}
	return nil
}

// put writes one slot and its mark.
func (s *storing) put(i int, data []byte, crc uint32) error {
	s.wrote = append(s.wrote, i)
	if err := s.b.write(&s.n.os, i, data, crc); err != nil {
		return err
	}
	return s.b.finish(&s.n.os, i, crc)
}

// enlist syncs the folder of a synced file and enters it into the catalogue.
func (s *storing) enlist(ctx context.Context) error {
	if err := s.n.syncName(s.path); err != nil {
		return err
	}
	before, err := s.n.catalogue.addFile(ctx, s.h.Blob, s.b.end, s.complete())
	if err != nil {
		return fmt.Errorf("enter into the catalogue: %w", err)
	}
	blobs := 0
	if before == 0 {
		blobs = 1
	}
	s.n.room.add(blobs, s.b.end-before)
	return s.n.healed(ctx, s.h)
}
