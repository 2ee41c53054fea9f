package blobstore_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// stored is a blob that was put.
type stored struct {
	walrus.Receipt
	blob []byte
}

// some puts blobs of the given sizes.
func (w *world) some(seed uint64, sizes ...int) (all []stored) {
	w.t.Helper()
	for i, size := range sizes {
		blob := randomBlob(seed+uint64(i), size)
		all = append(all, stored{w.put(blob), blob})
	}
	return all
}

func (w *world) stop(i int) {
	w.t.Helper()
	if err := w.net.Stop(w.node(i)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start(i int) {
	w.t.Helper()
	if err := w.net.Start(w.t.Context(), w.node(i)); err != nil {
		w.t.Fatal(err)
	}
}

// settle has all that was put be on every node, for a client that remembers nothing.
func (w *world) settle() {
	w.t.Helper()
	w.reconnect()
	for _, blob := range w.blobs {
		w.everywhere(blob)
	}
}

// everywhere gives the nodes what a Put has not: on a busy machine some are late, and it ends without them.
func (w *world) everywhere(blob walrus.BlobID) {
	w.t.Helper()
	w.net.Sync(w.t.Context())
	for _, n := range w.net.Up() {
		if _, err := w.client.Mend(w.t.Context(), n, blob); err != nil {
			w.t.Fatal(err)
		}
	}
}

// running starts a healer, which ends with the test, or when stop is called.
func (w *world) running() (h *blobstore.Healer, stop func()) {
	h = blobstore.NewHealer(blobstore.HealerConfig{Client: w.client, Nodes: w.net.Up, Ailing: w.net.Ailing()})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := h.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	stop = func() { cancel(); done.Wait() }
	w.t.Cleanup(stop)
	return h, stop
}

// until waits for a node to be in a state.
func (w *world) until(h *blobstore.Healer, i int, want blobstore.HealState) blobstore.NodeHealing {
	w.t.Helper()
	name := w.node(i)
	var last blobstore.NodeHealing
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		all, _ := h.Status()
		for _, n := range all {
			if n.Node != name {
				continue
			}
			if last = n; n.State == want && (want != blobstore.Healthy || n.Left == 0) {
				return n
			}
		}
	}
	w.t.Fatalf("%s is not %s: %+v", name, want, last)
	return last
}

// same compares every slot of a node, read from it, with a fresh encoding, and
// returns how many bytes it compared.
func (w *world) same(i int, all ...stored) (size int64) {
	w.t.Helper()
	state, err := w.ledger.State(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	name := w.node(i)
	for m := range state.Committee.Members {
		member := state.Committee.Members[m]
		if member.Name != name {
			continue
		}
		client, err := w.net.Dial(member)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range all {
			size += w.sameBlob(client, member, s)
		}
	}
	if size == 0 {
		w.t.Fatalf("%s holds nothing", name)
	}
	return size
}

func (w *world) sameBlob(client *node.Client, member walrus.Member, s stored) (size int64) {
	w.t.Helper()
	e, err := w.net.Codec().Encode(w.t.Context(), s.blob)
	if err != nil {
		w.t.Fatal(err)
	}
	defer e.Release()
	g := w.client.Geometry()
	for _, shard := range member.Shards {
		pair := g.Pair(s.Blob, int(shard))
		for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
			id := walrus.SliverID{Blob: s.Blob, Axis: axis, Index: uint16(g.SliverIndex(pair, axis))}
			data, err := client.Sliver(w.t.Context(), id)
			if err != nil {
				w.t.Errorf("%s: %v", member.Name, err)
			} else if !bytes.Equal(data, e.Slot(axis, int(id.Index)).Data()) {
				w.t.Errorf("%s: sliver %s differs from a fresh encoding", member.Name, id)
			}
			size += int64(len(data))
		}
	}
	if md, err := client.Metadata(w.t.Context(), s.Blob); err != nil || md.BlobID() != s.Blob {
		w.t.Errorf("%s: metadata of %s: %v", member.Name, s.Blob, err)
	}
	return size
}

// file returns where a node keeps a blob.
func (w *world) file(i int, s stored) string {
	name := fmt.Sprintf("%x", s.Blob[:])
	return filepath.Join(w.net.Nodes()[i].Dir, "blobs", name[:2], name)
}

// A node that was down while blobs were stored is filled when it comes back,
// and what it had is not touched.
func TestHealReturned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 0)
	before := w.some(1, 200_000)
	w.settle()
	old, err := os.Stat(w.file(3, before[0]))
	if err != nil {
		t.Fatal(err)
	}
	w.stop(3)
	missed := w.some(10, 1, 5_000, 200_000, 1_500_000)
	h, _ := w.running()
	w.start(3)
	n := w.until(h, 3, blobstore.Healthy)
	size := w.same(3, missed...)
	w.same(3, before...)
	if n.Traffic.Blobs != len(missed) || n.Traffic.Rebuilt != size || n.Err != nil {
		t.Errorf("status %+v after %d blobs of %d bytes", n, len(missed), size)
	}
	if now, err := os.Stat(w.file(3, before[0])); err != nil || !now.ModTime().Equal(old.ModTime()) {
		t.Errorf("a good file was written: %v, %v", now.ModTime(), err)
	}
	for i := range 6 { // six others may die now
		if i != 3 {
			w.stop(i)
		}
	}
	w.stop(9)
	w.reconnect()
	for _, s := range missed {
		w.reads(s.Receipt, s.blob)
	}
}

// wipe takes away all that a node keeps but its key.
func (w *world) wipe(i int) {
	w.t.Helper()
	w.stop(i)
	dir := w.net.Nodes()[i].Dir
	if err := os.RemoveAll(filepath.Join(dir, "blobs")); err != nil {
		w.t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, "catalogue.db"+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
}

// A wiped folder is rebuilt although two other nodes are down and one lies.
func TestHealWiped(t *testing.T) {
	t.Parallel()
	for _, lie := range []embedded.Fault{embedded.Corrupt, embedded.WrongSliver | embedded.WrongMetadata} {
		w := newWorld(t, 0, 0)
		all := w.some(20, 1, 40_000, 900_000, 1_200_000, 700_001)
		w.settle()
		w.wipe(4)
		w.stop(0)
		w.stop(7)
		w.inject(lie, 8)
		h, _ := w.running()
		w.start(4)
		n := w.until(h, 4, blobstore.Healthy)
		if size := w.same(4, all...); n.Traffic.Rebuilt != size {
			t.Errorf("rebuilt %d bytes of %d", n.Traffic.Rebuilt, size)
		}
		if len(w.client.Problems()) == 0 {
			t.Error("nobody noticed the liar")
		}
	}
}

// With more nodes down than recovery by symbols stands, decoding still works.
func TestHealFewNodes(t *testing.T) {
	t.Parallel()
	for _, hang := range []bool{false, true} {
		w := newWorld(t, 0, 0)
		all := w.some(30, 1_000_000)
		w.settle()
		w.wipe(1)
		for i := 2; i < 7; i++ {
			if hang {
				w.inject(embedded.Hang, i)
			} else {
				w.stop(i)
			}
		}
		h, _ := w.running()
		w.start(1)
		n := w.until(h, 1, blobstore.Healthy)
		if n.Traffic.Decoded != 1 {
			t.Errorf("%+v, want one blob decoded", n)
		}
		w.same(1, all...)
	}
}

// A node that cannot be filled waits, and is filled when enough others are back.
func TestHealWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	all := w.some(40, 10_000, 20_000)
	w.settle()
	w.wipe(0)
	w.stop(1)
	w.stop(2)
	w.inject(embedded.Corrupt, 3)
	h, _ := w.running()
	w.start(0)
	n := w.until(h, 0, blobstore.Waiting)
	if n.Left != 2 || n.Err == nil || n.Retry.IsZero() {
		t.Errorf("status %+v, want two blobs left, an error and a time", n)
	}
	w.start(1)
	w.start(2)
	w.until(h, 0, blobstore.Healthy)
	w.same(0, all...)
}

// A healer with nothing to do sleeps, and one with a rate keeps to it.
func TestHealPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 10)
		all := w.some(140, 100_000, 100_001, 100_002)
		w.settle()
		var rounds atomic.Int64
		const rate = 1 << 20
		h := blobstore.NewHealer(blobstore.HealerConfig{Client: w.client, Ailing: w.net.Ailing(), Rate: rate, Nodes: func() []*node.Node {
			rounds.Add(1)
			return w.net.Up()
		}})
		if nodes, _ := h.Status(); nodes[0].State != "" {
			t.Errorf("%+v before it runs", nodes[0])
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = h.Run(ctx) })
		defer running.Wait()
		defer cancel()
		w.wipe(2)
		began := time.Now()
		w.start(2)
		n := w.until(h, 2, blobstore.Healthy)
		// Two blobs may be under way at the end, and rest afterwards.
		if least := time.Duration(float64(n.Traffic.Rebuilt) / rate / 3 * float64(time.Second)); time.Since(began) < least {
			t.Errorf("%d bytes in %s at %d a second", n.Traffic.Rebuilt, time.Since(began), rate)
		}
		w.same(2, all...)
		for i := range 4 {
			w.until(h, i, blobstore.Healthy)
		}
		synctest.Wait() // for a round that is under way
		before := rounds.Load()
		time.Sleep(300 * time.Millisecond) // in which nothing is to happen
		if more := rounds.Load() - before; more > 0 {
			t.Errorf("looked at the nodes %d times with nothing to do", more)
		}
	})
}

// Blobs that nobody has any more do not keep those behind them from being healed.
func TestHealPassesTheLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	var all []stored
	for i := range 24 {
		all = append(all, w.some(uint64(200+i), 900+i)...)
	}
	slices.SortFunc(all, func(a, b stored) int { return bytes.Compare(a.Blob[:], b.Blob[:]) })
	w.settle()
	w.wipe(0)
	lost, rest := all[:20], all[20:]
	for _, s := range lost {
		for i := 1; i < 4; i++ {
			if err := os.Remove(w.file(i, s)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h, _ := w.running()
	w.start(0)
	for deadline := time.Now().Add(time.Minute); w.net.Nodes()[0].Lacking > len(lost); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("node lacks %d blobs, of which %d are lost", w.net.Nodes()[0].Lacking, len(lost))
		}
	}
	w.same(0, rest...)
	if n := w.until(h, 0, blobstore.Waiting); n.Left != len(lost) || n.Err == nil {
		t.Errorf("status %+v", n)
	}
}

// For a whole node symbols cost less than the bytes they rebuild where symbols
// are long; where they are short, proofs would cost more than the blob.
func TestHealCost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, 0)
		w.some(50, 2_000_000)
		w.settle()
		w.wipe(2)
		h, stop := w.running()
		w.start(2)
		big := w.until(h, 2, blobstore.Healthy).Traffic
		stop()
		if ratio := float64(big.Read) / float64(big.Rebuilt); big.Decoded != 0 || ratio > 1.2 {
			t.Errorf("%.2f bytes read for each rebuilt, %+v", ratio, big)
		}
		small := w.some(51, 20_000)
		w.settle()
		w.wipe(2)
		h, _ = w.running()
		w.start(2)
		n := w.until(h, 2, blobstore.Healthy).Traffic
		if n.Blobs != 2 || n.Decoded != 1 {
			t.Errorf("%+v, want the small blob decoded and the other not", n)
		}
		w.same(2, small...)
	})
}

// rot flips a bit in some slots of a file and, if fit is set, makes their checksums fit.
func (w *world) rot(i int, s stored, slots int, fit bool) {
	w.t.Helper()
	path := w.file(i, s)
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	for slot := range slots {
		rotSlot(b, slot, fit)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// Rot that a read meets is healed, whether the node sees it or only the client can.
func TestHealRotFoundByRead(t *testing.T) {
	t.Parallel()
	for _, fit := range []bool{false, true} {
		w := newWorld(t, 0, 0)
		s := w.some(60, 500_000)[0]
		w.settle()
		i := w.holders(s.Receipt)[0]
		b, err := os.ReadFile(w.file(i, s))
		if err != nil {
			t.Fatal(err)
		}
		for slot := range 20 {
			rotSlot(b, slot, fit)
		}
		h, _ := w.running()
		w.until(h, i, blobstore.Healthy)
		if err := os.WriteFile(w.file(i, s), b, 0o600); err != nil {
			t.Fatal(err)
		}
		w.reads(s.Receipt, s.blob)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			n := w.until(h, i, blobstore.Healthy)
			if n.Traffic.Slivers > 0 && len(w.net.Nodes()[i].BadSlots) == 0 || time.Now().After(deadline) {
				break
			}
		}
		if fit { // all of them are known now, not only those that were read
			w.same(i, s)
		} else if n := w.net.Nodes()[i]; len(n.BadSlots) > 0 {
			t.Errorf("%d bad slots are left", len(n.BadSlots))
		}
	}
}

// Rot that nobody reads is found by a scrub.
func TestHealRotFoundByScrub(t *testing.T) {
	t.Parallel()
	for _, fit := range []bool{false, true} {
		w := newWorld(t, 0, 0)
		all := w.some(70, 500_000, 3_000)
		w.settle()
		h, _ := w.running()
		w.until(h, 5, blobstore.Healthy)
		w.rot(5, all[0], 7, fit)
		w.rot(5, all[1], 20, fit)
		report, err := h.Scrub(t.Context(), w.net.Up()[5], blobstore.ScrubOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if report.Blobs != 2 || report.Missing < 3 || report.Read < 700_000/10 {
			t.Errorf("report %+v", report)
		}
		w.until(h, 5, blobstore.Healthy)
		w.same(5, all...)
		if n := w.net.Nodes()[5]; len(n.BadSlots) > 0 || n.Lacking > 0 {
			t.Errorf("%d bad slots and %d blobs are left", len(n.BadSlots), n.Lacking)
		}
	}
}

// Heads, metadata and lengths are healed as well, and files that went without a word.
func TestHealBrokenFiles(t *testing.T) {
	t.Parallel()
	spoil := map[string]func(path string) error{
		"magic":    func(path string) error { return poke(path, 0) },
		"table":    func(path string) error { return poke(path, 81) },
		"metadata": func(path string) error { return poke(path, 80+4*20+50) },
		"mark":     func(path string) error { return truncate(path, 3) },
		"half":     func(path string) error { return truncate(path, 2) },
		"empty":    func(path string) error { return os.Truncate(path, 0) },
		"gone":     os.Remove,
		"folder":   func(path string) error { return os.RemoveAll(filepath.Dir(filepath.Dir(path))) },
	}
	w := newWorld(t, 0, 0)
	s := w.some(80, 300_000)[0]
	w.settle()
	for what, spoil := range spoil {
		h, stop := w.running()
		w.until(h, 6, blobstore.Healthy)
		stop()
		if err := spoil(w.file(6, s)); err != nil {
			t.Fatal(err)
		}
		h, stop = w.running() // which looks at everything
		w.until(h, 6, blobstore.Healthy)
		t.Run(what, func(t *testing.T) { w.same(6, s) })
		stop()
	}
}

func poke(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 4
	return os.WriteFile(path, b, 0o600)
}

// truncate leaves the first part of a file, all but one n-th.
func truncate(path string, n int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()-info.Size()/n)
}

// Blobs that are no valid encodings, that expired or were never certified are left alone.
func TestHealLeavesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 0)
	short, err := w.client.Put(t.Context(), randomBlob(90, 50_000), blobstore.PutOptions{Epochs: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.client.Put(t.Context(), randomBlob(91, 50_000), blobstore.PutOptions{Epochs: 3, Checkpoint: func(r walrus.Receipt) error {
		if r.Stage == walrus.Stored {
			return errors.New("stop here")
		}
		return nil
	}})
	if err == nil {
		t.Fatal("was certified")
	}
	w.settle()
	w.wipe(2)
	if err := w.net.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, _ := w.running()
	w.start(2)
	if n := w.until(h, 2, blobstore.Healthy); n.Traffic.Blobs != 0 {
		t.Errorf("%+v, want nothing healed", n)
	}
	if n := w.net.Nodes()[2]; n.Blobs != 0 {
		t.Errorf("node holds %d blobs", n.Blobs)
	}
	if _, err := w.client.Mend(t.Context(), w.net.Up()[2], short.Blob); !errors.Is(err, node.ErrNotRegistered) {
		t.Errorf("mend of an expired blob: %v", err)
	}
}

// forge certifies a blob that is no valid encoding, as a malicious writer can.
func (w *world) forge(size int) walrus.BlobID {
	w.t.Helper()
	var pair [2]*redstuff.Encoded
	for i := range pair {
		e, err := w.net.Codec().Encode(w.t.Context(), randomBlob(uint64(100+i), size))
		if err != nil {
			w.t.Fatal(err)
		}
		pair[i] = e
	}
	md := &redstuff.Metadata{Size: int64(size)}
	for i := range w.client.Geometry().Shards {
		md.Hashes = append(md.Hashes, pair[i%2].Metadata().Hashes[i])
	}
	blob := md.BlobID()
	out, err := w.ledger.Register(w.t.Context(), chain.TxID{77}, []chain.Registration{{Blob: blob, Root: md.Root(), Size: md.Size, EpochsAhead: 3}})
	if err != nil {
		w.t.Fatal(err)
	}
	state, err := w.ledger.State(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var confirmations []walrus.Confirmation
	for _, member := range state.Committee.Members {
		h := node.Handover{Blob: blob, Metadata: md}
		for _, shard := range member.Shards {
			i := w.client.Geometry().Pair(blob, int(shard))
			h.Slots = append(h.Slots, pair[i%2].Slot(walrus.Primary, i), pair[i%2].Slot(walrus.Secondary, w.client.Geometry().Shards-1-i))
		}
		client, err := w.net.Dial(member)
		if err == nil {
			err = client.Store(w.t.Context(), h)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		c, err := client.Confirm(w.t.Context(), blob, walrus.Persistence{})
		if err != nil {
			w.t.Fatal(err)
		}
		confirmations = append(confirmations, c)
	}
	cert, err := walrus.Aggregate(&state.Committee, confirmations)
	if err == nil {
		_, err = w.ledger.Certify(w.t.Context(), chain.TxID{78}, []chain.Certification{{Object: out.Registered[0].Object, Cert: *cert}}, nil)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return blob
}

// A blob that is no valid encoding is given up, and does not keep others from being healed.
func TestHealInconsistent(t *testing.T) {
	t.Parallel()
	for _, size := range []int{900_000, 5_000} { // by symbols, by decoding
		w := newWorld(t, 0, 0)
		blob := w.forge(size)
		good := w.some(110, 100_000)
		w.settle()
		w.wipe(1)
		h, _ := w.running()
		w.start(1)
		n := w.until(h, 1, blobstore.Abandoned)
		if n.Hopeless != 1 || n.Left != 1 || !errors.Is(n.Err, redstuff.ErrInconsistent) {
			t.Errorf("status %+v", n)
		}
		w.same(1, good...)
		if _, err := w.net.Up()[1].Confirm(t.Context(), blob, walrus.Persistence{}); !errors.Is(err, node.ErrNotFound) {
			t.Errorf("confirm of what is not there: %v", err)
		}
	}
}

// The folder is copied again and again while a node is healed, as a kill may
// leave it. In no copy does the node sign for a blob of which it lacks anything.
func TestHealKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	all := w.some(120, 200_000, 100, 30_000, 150_000, 1_000, 170_000, 60_000, 90_000)
	w.settle()
	w.wipe(1)
	copied, ended := make(chan struct{}), make(chan struct{})
	defer close(ended)
	w.pace(copied, ended)
	h := blobstore.NewHealer(blobstore.HealerConfig{Client: w.client, Nodes: w.net.Up, Ailing: w.net.Ailing()})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	w.start(1)
	running.Go(func() { _ = h.Run(ctx) })
	var dirs []string
	for left := len(all); left > 0; {
		left = w.net.Nodes()[1].Lacking // the last copy has everything
		dir := filepath.Join(t.TempDir(), fmt.Sprint(len(dirs)))
		if err := copyTree(dir, w.net.Nodes()[1].Dir); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
		select {
		case copied <- struct{}{}:
		default:
		}
	}
	w.until(h, 1, blobstore.Healthy)
	cancel()
	running.Wait()
	w.same(1, all...)
	seen := map[int]bool{} // how many blobs were confirmed in a copy
	for _, dir := range dirs {
		seen[w.signedIsThere(dir, 1, all)] = true
	}
	t.Logf("blobs confirmed in %d copies: %v", len(dirs), seen)
	if len(seen) < 3 || !seen[0] || !seen[len(all)] {
		t.Errorf("the copies confirm %v blobs, want none, some, and all %d", seen, len(all))
	}
}

// pace has the client begin with a blob only after something was sent to turns, until all have ended: it
// waits before it hears of the blob's metadata.
func (w *world) pace(turns, ended <-chan struct{}) {
	var mu sync.Mutex // guards begun
	begun := map[walrus.BlobID]func(){}
	w.config.Dial = func(m walrus.Member) (*node.Client, error) {
		c, err := w.net.Dial(m)
		if err != nil {
			return nil, err
		}
		return node.NewClient(node.Calls{
			Store: c.Store, Confirm: c.Confirm, Sliver: c.Sliver, Symbols: c.Symbols,
			Metadata: func(ctx context.Context, blob walrus.BlobID) (*redstuff.Metadata, error) {
				mu.Lock()
				if begun[blob] == nil {
					begun[blob] = sync.OnceFunc(func() {
						select {
						case <-turns:
						case <-ended:
						}
					})
				}
				begin := begun[blob]
				mu.Unlock()
				begin()
				return c.Metadata(ctx, blob)
			},
		}), nil
	}
	w.reconnect()
}

// copyTree copies a folder of which files are being written.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, path[len(from):])
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o600)
	})
}

// signedIsThere opens a copy of a node's folder and compares every slot of the
// blobs that it confirms with a fresh encoding. It returns how many these are.
func (w *world) signedIsThere(dir string, i int, all []stored) (confirmed int) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := bls.SecretKeyFromBytes([32]byte(raw[1:]))
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := node.Open(w.t.Context(), node.Config{Dir: dir, Name: "copy", Key: key, Codec: w.net.Codec(), Ledger: w.ledger})
	if err != nil {
		w.t.Fatal(err)
	}
	defer n.Close()
	state, err := w.ledger.State(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	m := slices.IndexFunc(state.Committee.Members, func(m walrus.Member) bool { return m.Name == w.node(i) })
	for _, s := range all {
		if _, err := n.Confirm(w.t.Context(), s.Blob, walrus.Persistence{}); err != nil {
			continue
		}
		confirmed++
		w.sameBlob(node.NewLocalClient(n), state.Committee.Members[m], s)
	}
	if err := n.Survey(w.t.Context(), node.Marks, walrus.BlobID{}, func(node.Gap) error { return nil }); err != nil {
		w.t.Error(err)
	}
	if lacking := n.Status().Lacking; lacking < len(all)-confirmed {
		w.t.Errorf("node knows of %d blobs that it lacks, and confirms %d of %d", lacking, confirmed, len(all))
	}
	return confirmed
}
