package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// anchor is a drive's anchor object as its committer sees it: at the version
// that the last checkpoint told.
type anchor struct {
	w       *world
	object  walrus.ObjectID
	mu      sync.Mutex
	version uint64
	moves   int
	batches [][]walrus.BlobID
}

func newAnchor(t *testing.T, w *world) *anchor {
	t.Helper()
	blob := randomBlob(999, 1)
	e, err := w.net.Codec().Encode(t.Context(), blob)
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.ledger.Ledger.Register(t.Context(), chain.TxID{50}, []chain.Registration{{
		Blob: e.Blob(), Root: e.Metadata().Root(), Size: 1, EpochsAhead: 5,
		Attributes: []chain.Attribute{{Key: "drive", Value: "d"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := &anchor{w: w, object: out.Registered[0].Object}
	a.version, _ = a.now(t)
	w.config.Anchor = a.move
	w.reconnect()
	return a
}

// now returns the version and the attribute "generation" that the ledger has.
func (a *anchor) now(t *testing.T) (uint64, string) {
	t.Helper()
	owned, err := a.w.ledger.Owned(t.Context(), chain.OwnedQuery{Objects: []walrus.ObjectID{a.object}})
	if err != nil || len(owned) != 1 {
		t.Fatalf("anchor: %+v, %v", owned, err)
	}
	for _, attribute := range owned[0].Attributes {
		if attribute.Key == "generation" {
			return owned[0].Version, attribute.Value
		}
	}
	return owned[0].Version, ""
}

func (a *anchor) move(_ context.Context, certifying []walrus.BlobID) (*chain.AnchorUpdate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.moves++
	a.batches = append(a.batches, certifying)
	return &chain.AnchorUpdate{Object: a.object, Version: a.version,
		Attributes: []chain.Attribute{{Key: "generation", Value: fmt.Sprint(a.moves)}}}, nil
}

// checkpoint notes the version that a certification left behind.
func (a *anchor) checkpoint(r walrus.Receipt) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Stage == walrus.Certified {
		a.version = max(a.version, r.AnchorVersion)
	}
	return nil
}

func TestAnchorMovesWithCertification(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	a := newAnchor(t, w)
	first, _ := a.now(t)
	blobs := make([][]byte, 9)
	for i := range blobs {
		blobs[i] = randomBlob(uint64(i), 10_000)
	}
	for i, err := range w.putMany("certify", blobs, func(int) blobstore.PutOptions {
		return blobstore.PutOptions{Checkpoint: a.checkpoint}
	}) {
		if err != nil {
			t.Errorf("put %d: %v", i, err)
		}
	}
	version, generation := a.now(t)
	if version != a.version || version == first || generation != fmt.Sprint(a.moves) {
		t.Errorf("anchor at version %d, generation %s; known are %d and %d", version, generation, a.version, a.moves)
	}
	named := 0
	for _, batch := range a.batches {
		named += len(batch)
	}
	if transactions, members := w.ledger.count("certify"); named != len(blobs) || members != len(blobs) || transactions != a.moves {
		t.Errorf("anchor moved %d times for %d blobs, %d transactions certified %d", a.moves, named, transactions, members)
	}
}

// Another machine has moved the anchor: nothing is certified, and Put says why.
func TestStaleAnchor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	a := newAnchor(t, w)
	other := &chain.AnchorUpdate{Object: a.object, Version: a.version,
		Attributes: []chain.Attribute{{Key: "generation", Value: "theirs"}}}
	if _, err := w.ledger.Ledger.Certify(t.Context(), chain.TxID{77}, nil, other); err != nil {
		t.Fatal(err)
	}
	blob := randomBlob(1, 10_000)
	r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Checkpoint: a.checkpoint})
	if !errors.Is(err, chain.ErrStaleVersion) || r.Stage != walrus.Stored {
		t.Fatalf("put: %s, %v, want ErrStaleVersion", r.Stage, err)
	}
	if o := w.owned(r.Blob); len(o) != 1 || o[0].Certified {
		t.Errorf("ledger has %+v", o)
	}
	if _, generation := a.now(t); generation != "theirs" {
		t.Errorf("generation %s was overwritten", generation)
	}
	a.version, _ = a.now(t) // an explicit takeover
	before := w.balance()
	if r, err = w.client.Put(t.Context(), blob, blobstore.PutOptions{Resume: r}); err != nil || r.AnchorVersion == 0 {
		t.Errorf("put after the takeover: %+v, %v", r, err)
	}
	if w.balance() != before {
		t.Error("paid again")
	}
}

// The certification happened but its outcome was not written down.
func TestResumeTellsTheAnchorVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	a := newAnchor(t, w)
	var journal walrus.Receipt
	blob := randomBlob(1, 10_000)
	_, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Checkpoint: func(r walrus.Receipt) error {
		if r.Stage == walrus.Certified {
			return errCrash
		}
		journal = r
		return nil
	}})
	if !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	w.reconnect()
	r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Resume: journal})
	version, _ := a.now(t)
	if err != nil || r.AnchorVersion != version || a.moves != 1 {
		t.Errorf("resumed: %+v, %v; anchor is at %d after %d moves", r, err, version, a.moves)
	}
}

func TestAnchorFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	w.config.Anchor = func(context.Context, []walrus.BlobID) (*chain.AnchorUpdate, error) { return nil, errCrash }
	w.reconnect()
	r, err := w.client.Put(t.Context(), randomBlob(1, 10_000), blobstore.PutOptions{})
	if !errors.Is(err, errCrash) || r.Stage != walrus.Stored || r.CertifyTx != [32]byte{} {
		t.Errorf("put: %+v, %v", r, err)
	}
	w.config.Anchor = func(context.Context, []walrus.BlobID) (*chain.AnchorUpdate, error) { return nil, nil }
	w.reconnect()
	if r, err = w.client.Put(t.Context(), randomBlob(1, 10_000), blobstore.PutOptions{Resume: r}); err != nil || r.AnchorVersion != 0 {
		t.Errorf("put with an anchor that stays: %+v, %v", r, err)
	}
}
