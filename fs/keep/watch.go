package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// WatchConfig says what a Watch works with. All but Restage, May and Log are required.
type WatchConfig struct {
	Index     *index.DB
	Ledger    chain.Ledger
	Blobs     *blobstore.Client // without a cache: what nodes have is looked at
	Keys      *seal.Keyring
	Committer Committer
	Nodes     func() []*node.Node // those that are up
	// Restage stores files anew as far as local copies prove them. Nil: none are here.
	Restage func(ctx context.Context, files []index.Ino) error
	May     func() bool // whether this machine may write the drive now; nil: always
	Log     *slog.Logger
}

// Watch looks for segments that the nodes do not have any more, while the index still
// knows all that was in them. One that a restore would read is made superfluous by a full
// snapshot, and content of which copies are here is stored anew. It also finds what
// was lost, once it can be read again. Its methods may be called concurrently.
type Watch struct {
	cfg  WatchConfig
	turn sync.Mutex // held during a Look

	mu   sync.Mutex // guards the fields below
	lost int        // segments that could not be read when they were looked at last
	err  error
}

// Watched says what a look found and did.
type Watched struct {
	Found    int  // segments that were lost and can be read again
	Lost     int  // segments that the nodes do not have any more
	Snapshot bool // a full snapshot was stored, so that no restore reads them
}

// How often a Watch looks: some time after its start, and then a few times an hour. What
// there is to look at is short unless something is wrong.
const (
	watchFirst = time.Minute
	watchEvery = 10 * time.Minute
)

const (
	// watchPage is how many blobs of a node's list are read at a time.
	watchPage = 1000
	// maxSuspects bounds how many blobs are read in a look.
	maxSuspects = 256
)

// NewWatch makes a Watch.
func NewWatch(cfg WatchConfig) *Watch {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Watch{cfg: cfg}
}

// Run looks again and again until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	for wait := watchFirst; ; wait = watchEvery {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		if _, err := w.Look(ctx); err != nil && ctx.Err() == nil {
			w.cfg.Log.Warn("lost segments are not looked for", "op", "watch", "err", err)
		}
	}
}

// Look looks once.
func (w *Watch) Look(ctx context.Context) (done Watched, err error) {
	w.turn.Lock()
	defer w.turn.Unlock()
	if done.Found, err = w.again(ctx); err == nil {
		err = w.suspects(ctx, &done)
	}
	if ctx.Err() == nil {
		w.mu.Lock()
		w.lost, w.err = done.Lost, err
		w.mu.Unlock()
	}
	if err != nil {
		return done, fmt.Errorf("look for lost segments: %w", err)
	}
	return done, nil
}

// Problems tells in sentences what a person has to know.
func (w *Watch) Problems() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost > 0 {
		list = append(list, fmt.Sprintf("%d blobs cannot be read from the nodes that are up: walfs check --read-data tells what is in them", w.lost))
	}
	if w.err != nil && !errors.Is(w.err, ErrNotWriter) {
		list = append(list, fmt.Sprintf("what the nodes have lost is not made good: %v", w.err))
	}
	return list
}

// lookout makes one that asks ledger and nodes for segments.
func (w *Watch) lookout(ctx context.Context) (*lookout, error) {
	state, err := w.cfg.Ledger.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the ledger for its epoch: %w", err)
	}
	r := &restore{cfg: RestoreConfig{Ledger: w.cfg.Ledger, Blobs: w.cfg.Blobs, Keys: w.cfg.Keys, Log: w.cfg.Log}}
	return &lookout{r: r, epoch: state.Epoch, why: map[uint64]string{}}, nil
}

// again takes back that segments are lost of which ledger and nodes have all.
func (w *Watch) again(ctx context.Context) (int, error) {
	rows, err := w.cfg.Index.LostSegments(ctx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	look, err := w.lookout(ctx)
	if err != nil {
		return 0, err
	}
	var found []index.SegmentRow
	for i := range rows {
		s := &rows[i]
		if header, _, err := look.r.open(ctx, segment{blob: s.Blob, size: s.Size}); err == nil {
			s.Header = header
		} else if ctx.Err() != nil {
			return 0, ctx.Err()
		} else {
			continue
		}
		if err := look.ask(ctx, rows[i:i+1]); err != nil {
			return 0, err
		}
		if look.why[s.Number] != "" {
			continue
		}
		if err := look.verify(ctx, s); err != nil {
			return 0, err
		}
		if look.why[s.Number] == "" {
			found = append(found, *s)
		}
	}
	if len(found) > 0 {
		w.cfg.Log.Info("lost segments can be read again", "op", "watch", "segments", len(found))
	}
	return len(found), w.cfg.Index.FoundAgain(ctx, found)
}

// suspects reads the blobs of which too many nodes miss something, and deals with those that cannot be had.
func (w *Watch) suspects(ctx context.Context, done *Watched) error {
	blobs, all, err := w.lacking(ctx)
	if err != nil || len(blobs) == 0 {
		return err
	}
	look, err := w.lookout(ctx)
	if err != nil {
		return err
	}
	full, files := false, []index.Ino(nil)
	for after := uint64(0); ; {
		rows, err := w.cfg.Index.Segments(ctx, index.SegmentFilter{After: after, Max: chain.MaxBatch})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		after = rows[len(rows)-1].Number
		for i := range rows {
			s := &rows[i]
			if s.Stage < walrus.Certified || !blobs[s.Blob] {
				continue
			}
			if err := look.verify(ctx, s); err != nil {
				return err
			}
			if look.why[s.Number] == "" {
				continue
			}
			w.cfg.Log.Error("the nodes that are up do not have a segment", "op", "watch", "segment", s.Number, "err", look.why[s.Number])
			inside, trailer, err := w.cfg.Index.FilesIn(ctx, s.Number)
			if err != nil {
				return err
			}
			done.Lost++
			full, files = full || trailer, append(files, inside...)
		}
	}
	if done.Lost == 0 {
		return nil
	}
	if all { // else it may come back with a node
		if err := w.cfg.Index.MarkLost(ctx, look.why); err != nil {
			return err
		}
	}
	return w.makeGood(ctx, done, full, files)
}

// makeGood stores a full snapshot if a restore would read what is lost, and
// content of which copies are here.
func (w *Watch) makeGood(ctx context.Context, done *Watched, full bool, files []index.Ino) error {
	if w.cfg.May != nil && !w.cfg.May() {
		return ErrNotWriter
	}
	if err := w.cfg.Committer.Reconcile(ctx); err != nil {
		return err
	}
	if full {
		if err := w.cfg.Committer.StoreFull(ctx); err != nil {
			return err
		}
		done.Snapshot = true
	}
	if len(files) > 0 && w.cfg.Restage != nil {
		return w.cfg.Restage(ctx, files)
	}
	return nil
}

// lacking returns the blobs that may not be had any more, since nodes that are
// up miss something of them, and the others do not have shards enough to decode
// them. All reports whether every node is up.
func (w *Watch) lacking(ctx context.Context) (blobs map[walrus.BlobID]bool, all bool, err error) {
	state, err := w.cfg.Ledger.State(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("ask the ledger for its nodes: %w", err)
	}
	nodes := map[[48]byte]*node.Node{}
	for _, n := range w.cfg.Nodes() {
		nodes[n.PublicKey()] = n
	}
	here, missing := 0, map[walrus.BlobID]int{} // in shards
	for _, m := range state.Committee.Members {
		n := nodes[m.PublicKey]
		if n == nil {
			continue
		}
		here += len(m.Shards)
		for after := (walrus.BlobID{}); ; {
			page, err := n.Lacking(ctx, after, watchPage)
			if err != nil {
				return nil, false, err
			}
			for _, blob := range page {
				missing[blob] += len(m.Shards)
				after = blob
			}
			if len(page) < watchPage {
				break
			}
		}
	}
	blobs = map[walrus.BlobID]bool{}
	enough := w.cfg.Blobs.Geometry().SourcePrimary()
	for blob, n := range missing {
		if here-n < enough && len(blobs) < maxSuspects {
			blobs[blob] = true
		}
	}
	return blobs, here == state.Committee.Shards, nil
}
