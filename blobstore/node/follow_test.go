package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

func exists(t *testing.T, n *Node, s sample) bool {
	t.Helper()
	_, err := os.Stat(n.path(s.Blob()))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func (b *bench) delete(s sample, object byte) {
	b.ledger.say(chain.Event{Kind: chain.BlobDeleted, Blob: s.Blob(), Object: walrus.ObjectID{object}, Deletable: true})
}

func (b *bench) sync(n *Node) {
	b.t.Helper()
	if err := n.Sync(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func TestEndedBlobsGo(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	deleted, twice, expired, extended := b.sample(1, 5000), b.sample(2, 5000), b.sample(3, 5000), b.sample(4, 5000)
	b.ledger.register(deleted.Blob(), 101, 10)
	b.ledger.register(twice.Blob(), 102, 10)
	b.ledger.say(chain.Event{Kind: chain.BlobCertified, Blob: extended.Blob(), Object: walrus.ObjectID{4}, EndEpoch: 20})
	for _, s := range []sample{deleted, twice, expired, extended} {
		if err := n.Store(t.Context(), s.handover()); err != nil {
			t.Fatal(err)
		}
	}
	one := n.Status().Bytes / 4
	check := func(when string, want map[string]bool) {
		t.Helper()
		b.sync(n)
		held := 0
		for name, s := range map[string]sample{"deleted": deleted, "twice": twice, "expired": expired, "extended": extended} {
			if got := exists(t, n, s); got != want[name] {
				t.Errorf("%s: file of %s is there: %t, want %t", when, name, got, want[name])
			}
			if want[name] {
				held++
				b.held(n, s.handover())
			} else if _, err := n.Metadata(t.Context(), s.Blob()); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: metadata of %s: %v", when, name, err)
			}
		}
		if st := n.Status(); st.Blobs != held || st.Bytes != int64(held)*one || len(st.BadSlots) != 0 {
			t.Errorf("%s: status %+v", when, st)
		}
	}
	all := map[string]bool{"deleted": true, "twice": true, "expired": true, "extended": true}
	check("at first", all)
	b.delete(deleted, 1)
	b.delete(twice, 102)
	check("after one of two registrations", all)
	b.delete(deleted, 101)
	check("after both", map[string]bool{"twice": true, "expired": true, "extended": true})
	b.ledger.set(func(s *chain.State) { s.Epoch = 10 })
	check("after the end epoch", map[string]bool{"extended": true})
	if err := n.Store(t.Context(), expired.handover()); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("store of an expired blob: %v, want ErrNotRegistered", err)
	}
	b.ledger.register(expired.Blob(), 7, 30)
	if err := n.Store(t.Context(), expired.handover()); err != nil {
		t.Errorf("store of a blob that was registered anew: %v", err)
	}
	check("after a new registration", map[string]bool{"extended": true, "expired": true})
}

// A page of events may end between a deletion and the registration that follows it.
func TestDeletionAcrossPages(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 5000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	for i := range eventPage - 2 {
		b.ledger.say(chain.Event{Kind: chain.OtherEvent, Object: walrus.ObjectID{9, byte(i)}})
	}
	b.delete(s, 1)
	b.ledger.register(s.Blob(), 2, 10)
	b.sync(n)
	if !exists(t, n, s) {
		t.Error("file went though the blob is registered again")
	}
}

// Without the ledger the node goes on with what it knows, and removes nothing.
func TestLedgerAway(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 5000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	n.Close()
	b.ledger.err = errors.New("away")
	n = b.open(disk())
	b.held(n, s.handover())
	if err := n.Sync(t.Context()); !errors.Is(err, b.ledger.err) {
		t.Errorf("sync: %v", err)
	}
	b.ledger.err = nil
	b.sync(n)
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
		t.Error(err)
	}
}

// The catalogue is only a copy: without it, or with a broken or an old one, all is as before.
func TestCatalogueIsRebuilt(t *testing.T) {
	damage := map[string]func(path string) error{
		"lost": os.Remove,
		"garbage": func(path string) error {
			return os.WriteFile(path, []byte("no database at all, but long enough"), 0o600)
		},
		"empty":    func(path string) error { return os.Truncate(path, 0) },
		"unclosed": func(string) error { return nil },
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			n := b.open(disk())
			kept, gone := b.sample(1, 5000), b.sample(2, 5000)
			for _, s := range []sample{kept, gone} {
				if err := n.Store(t.Context(), s.handover()); err != nil {
					t.Fatal(err)
				}
			}
			bytes := n.Status().Bytes
			leftover := n.path(kept.Blob()) + temporary
			if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
			// As if the process were killed: the catalogue does not know that it is complete.
			if err := n.catalogue.db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := spoil(filepath.Join(b.dir, "catalogue.db")); err != nil {
				t.Fatal(err)
			}
			n = b.open(disk())
			if st := n.Status(); st.Blobs != 2 || st.Bytes != bytes {
				t.Errorf("status %+v, want 2 blobs of %d bytes", st, bytes)
			}
			if _, err := os.Stat(leftover); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("unfinished file is still there: %v", err)
			}
			if _, err := n.Confirm(t.Context(), kept.Blob(), permanent); err != nil {
				t.Error(err)
			}
			b.delete(gone, 2)
			b.sync(n)
			if exists(t, n, gone) || !exists(t, n, kept) {
				t.Error("the wrong files are there")
			}
		})
	}
}

// A ledger that lost its tail, or is another one, is followed from its start.
// Files of which it says nothing stay.
func TestOtherLedger(t *testing.T) {
	tests := map[string]func(b *bench, s []sample){
		"other chain": func(b *bench, s []sample) {
			b.ledger.set(func(st *chain.State) { st.ChainID = [32]byte{2}; b.ledger.events = nil })
		},
		"shorter": func(b *bench, s []sample) {
			b.ledger.set(func(*chain.State) { b.ledger.events = b.ledger.events[:1] })
		},
		"rewritten": func(b *bench, s []sample) {
			b.ledger.set(func(*chain.State) { b.ledger.events = b.ledger.events[:1] })
			b.ledger.register(walrus.BlobID{77}, 77, 10)
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			n := b.open(disk())
			s := []sample{b.sample(1, 5000), b.sample(2, 5000)}
			for i := range s {
				if err := n.Store(t.Context(), s[i].handover()); err != nil {
					t.Fatal(err)
				}
			}
			change(b, s)
			b.ledger.register(s[0].Blob(), 11, 10)
			b.sync(n)
			if _, err := n.Confirm(t.Context(), s[0].Blob(), permanent); err != nil {
				t.Errorf("blob that the new ledger knows: %v", err)
			}
			if _, err := n.Confirm(t.Context(), s[1].Blob(), permanent); !errors.Is(err, ErrNotRegistered) {
				t.Errorf("blob that it does not know: %v, want ErrNotRegistered", err)
			}
			b.held(n, s[1].handover())
		})
	}
}

// The events are read once, not at every start and call.
func TestCursorIsKept(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 5000)
	b.sync(n)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	calls := b.ledger.calls
	for range 5 {
		if err := n.Store(t.Context(), s.handover()); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
			t.Fatal(err)
		}
	}
	if b.ledger.calls != calls {
		t.Errorf("%d calls for events about a blob that is known", b.ledger.calls-calls)
	}
	n.Close()
	n = b.open(disk())
	at, err := n.catalogue.cursor(t.Context())
	if err != nil || at.seq != 1 {
		t.Errorf("cursor %+v, %v, want event 1", at, err)
	}
	if got := fmt.Sprint(b.ledger.calls - calls); got != "2" {
		t.Errorf("%s calls for events at a restart, want 2", got)
	}
}
