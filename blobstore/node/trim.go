package node

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// What the catalogue notes of epoch changes, in its table meta.
const (
	metaDone     = "epoch_done"      // the newest epoch whose change is done
	metaReceived = "shards_received" // BCS of move.ShardsReceived: those that their nodes have said to hold in the newest epoch
	metaTrimmed  = "trimmed"         // metaReceived as Trim has acted on it
)

// errEpochOver ends a Trim whose epoch is over, or whose shards are coming.
var errEpochOver = errors.New("epoch is over")

// Trim deletes the slivers of shards that are other nodes' now, and returns how many bytes that
// freed. Until the change of the epoch is done, and the shard's new node has said on the ledger
// that it holds it, the slivers stay and are served. A node that is not in the committee deletes
// nothing. Trim may be called at any time; when there is nothing new it asks the ledger only.
// A crash leaves each blob as it was or as it is to be.
func (n *Node) Trim(ctx context.Context) (freed int64, err error) {
	leave, err := n.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := n.follow(ctx); err != nil {
		return 0, err
	}
	t := trim{n: n, epoch: n.state.Load().Epoch}
	if todo, err := t.prepare(ctx); err != nil || !todo {
		return 0, err
	}
	err = t.run(ctx)
	if errors.Is(err, errEpochOver) {
		return t.freed, nil
	}
	if err != nil {
		return t.freed, fmt.Errorf("delete slivers of shards given away: %w", err)
	}
	return t.freed, setMeta(ctx, n.catalogue.db, metaTrimmed, t.mark)
}

// trim is one run of Trim.
type trim struct {
	n        *Node
	epoch    walrus.Epoch
	received map[uint16]bool // shards that their nodes hold in the epoch
	mark     []byte          // to leave when all is done
	freed    int64
}

// prepare reads what the ledger has said of the epoch, and reports whether it tells anything new.
func (t *trim) prepare(ctx context.Context) (todo bool, err error) {
	c := t.n.catalogue
	done, err := c.meta(ctx, metaDone)
	if err != nil || len(done) != 4 || walrus.Epoch(binary.LittleEndian.Uint32(done)) != t.epoch {
		return false, err
	}
	if t.mark, err = c.meta(ctx, metaReceived); err != nil {
		return false, err
	}
	before, err := c.meta(ctx, metaTrimmed)
	if err != nil || string(before) == string(t.mark) {
		return false, err
	}
	var r move.ShardsReceived
	if err := move.Unmarshal(t.mark, &r); err != nil || walrus.Epoch(r.Epoch) != t.epoch {
		return false, err
	}
	t.received = map[uint16]bool{}
	for _, shard := range r.Shards {
		t.received[shard] = true
	}
	return true, nil
}

func (t *trim) run(ctx context.Context) error {
	for after := (walrus.BlobID{}); ; {
		blobs, err := t.n.catalogue.blobs(ctx, "SELECT blob FROM file WHERE blob > ? ORDER BY blob LIMIT ?", after[:], surveyPage)
		if err != nil || len(blobs) == 0 {
			return err
		}
		for _, blob := range blobs {
			after = blob
			switch err := t.one(ctx, blob); {
			case errors.Is(err, errRot) || errors.Is(err, errHead): // what can be healed comes first
				t.n.cfg.Log.Warn("slivers of shards given away stay beside damaged ones", "op", "trim", "blob", blob, "err", err)
			case err != nil:
				return fmt.Errorf("blob %s: %w", blob, err)
			}
		}
	}
}

// one writes the file of a blob anew, without what is another node's, and puts it into the place of the old one.
func (t *trim) one(ctx context.Context, blob walrus.BlobID) (err error) {
	n := t.n
	if !n.fetching.TryLock() { // shards are coming: this epoch is over
		return errEpochOver
	}
	defer n.fetching.Unlock()
	unlock := n.blobs.lock(blob)
	defer unlock()
	state, err := n.hear(ctx)
	if err != nil {
		return err
	}
	own := n.own(state, blob)
	if state.Epoch != t.epoch || len(own) == 0 {
		return errEpochOver
	}
	old, err := openBlob(n.path(blob), blob, os.O_RDONLY)
	if old != nil {
		defer func() { err = errors.Join(err, old.f.Close()) }()
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var gone []walrus.SliverID
	for _, key := range old.table {
		if t.given(blob, key, own) {
			gone = append(gone, sliverOf(blob, key))
		}
	}
	if len(gone) == 0 {
		return n.relist(ctx, old)
	}
	md, err := old.metadata()
	if err != nil {
		return err
	}
	raw, err := md.MarshalBinary()
	if err != nil {
		return err
	}
	table := slices.DeleteFunc(union(own, old.table), func(key slotKey) bool { return t.given(blob, key, own) })
	s := storing{n: n, h: Handover{Blob: blob, Metadata: md}, own: own, path: n.path(blob), trims: true}
	before := old.end
	if err := s.replace(ctx, raw, old, table); err != nil {
		return err
	}
	t.freed += before - s.b.end
	n.cfg.Log.Info("slivers of shards given away are deleted", "op", "trim", "blob", blob, "slivers", len(gone))
	return n.forget(ctx, gone)
}

// relist corrects the catalogue where an earlier run came to its end without it.
func (n *Node) relist(ctx context.Context, b *blobFile) error {
	before, err := n.catalogue.addFile(ctx, b.blob, b.end, false)
	if err != nil || before == b.end {
		return err
	}
	n.room.add(0, b.end-before)
	return n.syncName(n.path(b.blob))
}

// given reports whether a slot is that of a shard which another node has said to hold.
func (t *trim) given(blob walrus.BlobID, key slotKey, own []slotKey) bool {
	g := t.n.geometry
	shard := g.Shard(blob, g.PairOf(key.axis, int(key.index)))
	return t.received[uint16(shard)] && !slices.Contains(own, key)
}

// noteEpoch notes what an event tells of the change of an epoch.
func noteEpoch(ctx context.Context, tx *sql.Tx, e *chain.Event) error {
	if e.Kind == chain.EpochChangeDone {
		return setMeta(ctx, tx, metaDone, binary.LittleEndian.AppendUint32(nil, uint32(e.Epoch)))
	}
	var now, known move.ShardsReceived
	if !strings.HasSuffix(e.Type, "::events::"+now.EventName()) {
		return nil
	}
	if err := move.Unmarshal(e.BCS, &now); err != nil {
		return err
	}
	var raw []byte
	err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaReceived).Scan(&raw)
	if err == nil {
		err = move.Unmarshal(raw, &known)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if known.Epoch == now.Epoch {
		now.Shards = append(now.Shards, known.Shards...)
	}
	slices.Sort(now.Shards)
	now.Shards = slices.Compact(now.Shards)
	if raw, err = move.Marshal(&now); err != nil {
		return err
	}
	return setMeta(ctx, tx, metaReceived, raw)
}
