package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// guarded is a drive with one stored file, and what its wallet owns by name.
type guarded struct {
	*testing.T
	d     *drive
	owned map[string]walrus.ObjectID
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	dir := t.TempDir()
	a := newApp(io.Discard, io.Discard)
	h := home{dir: filepath.Join(dir, "home"), given: true}
	_, err := a.initDrive(t.Context(), h, initOptions{nodes: 4, shards: 10})
	must(t, err)
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte(strings.Repeat("kept", 5000)), 0o600))
	for _, args := range [][]string{{"put", file, "/file"}, {"sync"}} {
		if code := newApp(io.Discard, t.Output()).execute(t.Context(), append([]string{"--home", h.dir}, args...)); code != 0 {
			t.Fatalf("%v: exit code %d", args, code)
		}
	}
	g := &guarded{T: t, owned: map[string]walrus.ObjectID{}}
	g.d, err = a.openDrive(t.Context(), h, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { must(t, g.d.Close()) })
	rows, err := g.d.index.Segments(t.Context(), index.SegmentFilter{})
	must(t, err)
	if len(rows) != 1 || rows[0].Object.IsZero() {
		t.Fatalf("segments: %+v, want one that is stored", rows)
	}
	g.owned["segment"] = rows[0].Object
	at, err := g.d.index.Anchored(t.Context())
	must(t, err)
	g.owned["anchor"] = at.Object
	g.register("second object of the segment", chain.Registration{Blob: rows[0].Blob, Root: rows[0].Root, Size: rows[0].Size})
	return g
}

// register makes a blob object that is not certified.
func (g *guarded) register(name string, r chain.Registration) {
	g.Helper()
	r.EpochsAhead, r.Deletable = 5, true
	out, err := g.d.ledger.Register(g.Context(), newTx(), []chain.Registration{r})
	must(g.T, err)
	g.owned[name] = out.Registered[0].Object
}

// put stores a blob beside the drive.
func (g *guarded) put(name string, content []byte, attributes ...chain.Attribute) {
	g.Helper()
	r, err := g.d.blobs.Put(g.Context(), content, blobstore.PutOptions{Epochs: 5, Deletable: true, Apart: true, Attributes: attributes})
	must(g.T, err)
	g.owned[name] = r.Object
}

// wants tries to give everything up in each way: only what may go is not refused, and the others
// are refused for the reason that is told. Nothing does go.
func (g *guarded) wants(what string, e *estate, reasons map[string]string) {
	g.Helper()
	for name, object := range g.owned {
		for _, q := range []blobGiveArgs{{How: giveDelete}, {How: giveBurn}, {How: giveTransfer, To: "0x" + strings.Repeat("5", 64)}} {
			q.Names = []string{object.String()}
			want := reasons[name]
			for _, q.Look = range []bool{true, false} {
				if want == "" && !q.Look {
					continue
				}
				_, err := e.answerGive(g.Context(), q, nil)
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					g.Errorf("%s, %s %s: %v, want %q", what, q.How, name, err, want)
				}
			}
		}
	}
	all, err := e.Owned(g.Context(), chain.OwnedQuery{})
	must(g.T, err)
	if len(all) != len(g.owned) {
		g.Fatalf("%s: the wallet has %d objects, want %d", what, len(all), len(g.owned))
	}
}

// TestGuard tries to give up what a drive needs, in every way and from every place that the
// commands know: where the drive is, where another drive has the same wallet, and elsewhere.
func TestGuard(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.put("put", []byte("of blob put"), chain.Attribute{Key: keyPut, Value: "1"})
	g.put("other", []byte("of another program, and longer than a header of a segment, which has 64 bytes"))
	g.put("short", []byte("x"))
	sealed, err := g.d.keys.ring.Seal([]byte("of a generation that was given up"), seal.Options{})
	must(t, err)
	g.put("unknown segment", sealed)
	open, err := g.d.keys.ring.Seal([]byte("of a plain drive"), seal.Options{Suite: seal.SuitePlain})
	must(t, err)
	g.put("unknown plain segment", open)
	newer := append([]byte(nil), open...)
	newer[4] = 9 // a version to come
	g.put("unknown new segment", newer)
	g.register("never stored", chain.Registration{Blob: walrus.ComputeBlobID([32]byte{1}, 70), Root: [32]byte{1}, Size: 70})

	e, err := g.d.estate(t.Context(), g.d.keys.wallet)
	must(t, err)
	const segment, anchor, unknown = "of the drive, which needs it", "without it the drive is lost", "a segment that the drive here does not know"
	own := map[string]string{
		"segment": segment, "second object of the segment": segment, "anchor": anchor,
		"unknown segment": unknown, "unknown plain segment": unknown, "unknown new segment": unknown,
	}
	g.wants("where the drive is", e, own)

	with := func(from map[string]string, reason string, names ...string) map[string]string {
		all := map[string]string{}
		for name, why := range from {
			all[name] = why
		}
		for _, name := range names {
			all[name] = reason
		}
		return all
	}
	away := *e
	away.read = func(context.Context, walrus.BlobID, []byte, int64) (int, error) {
		return 0, errors.New("no node answers")
	}
	g.wants("while nodes are away", &away, with(own, "cannot be told: no node answers", "other", "short", "unknown segment", "unknown plain segment", "unknown new segment"))

	not := []string{"other", "short", "never stored", "unknown segment", "unknown plain segment", "unknown new segment"}
	taken := *e
	taken.writer = func(context.Context) error { return commit.ErrTakenOver }
	g.wants("where another machine writes", &taken, with(own, "is not known here", not...))

	elsewhere := &estate{account: e.account}
	g.wants("on another network", elsewhere, with(map[string]string{"anchor": anchor}, "the wallet also has the anchor of drive", append(not, "segment", "second object of the segment")...))

	g.register("another anchor", chain.Registration{Blob: walrus.ComputeBlobID([32]byte{2}, 1), Root: [32]byte{2}, Size: 1,
		Attributes: []chain.Attribute{{Key: index.KeyDrive, Value: strings.Repeat("ab", 16)}, {Key: index.KeyAnchor, Value: "of another drive"}}})
	own["another anchor"] = "is the anchor of drive abab"
	g.wants("beside another drive", e, with(own, "the wallet also has the anchor of drive abab", not...))
}

// TestAnchorWithoutAttributes knows the anchor by its ID where another program took its attributes.
func TestAnchorWithoutAttributes(t *testing.T) {
	id := walrus.ObjectID{7}
	if is := (&uses{anchor: id}).of(&chain.OwnedObject{Object: id}); is.Kind != useAnchor {
		t.Errorf("it is used as %q", is.Kind)
	}
}

// TestOwnAttributes sets attributes by which walfs knows what an object is for: nobody else may.
func TestOwnAttributes(t *testing.T) {
	t.Parallel()
	d := ledgerDrive(t)
	q := blobPutArgs{Hash: strings.Repeat("0", 64), Attributes: []attribute{{"name", "x"}, {index.KeyAnchor, "x"}}}
	if _, err := d.answerBlobPut(t.Context(), q, nil); err == nil || !strings.Contains(err.Error(), "walfs's own") {
		t.Errorf("blob put: %v", err)
	}
}
