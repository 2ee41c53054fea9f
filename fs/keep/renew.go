package keep

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// RenewConfig says what a Renewer keeps paid for. Index, Ledger and Ahead are required.
type RenewConfig struct {
	Index  *index.DB
	Ledger chain.Ledger
	Ahead  uint32           // epochs that are bought ahead
	May    func() bool      // whether this machine may pay for the drive now; nil: always
	Now    func() time.Time // the machine's clock, by which Outlook looks back; nil means time.Now
	Log    *slog.Logger     // nil means silent
}

// Renewer buys more storage for the drive's segments before what is paid for
// ends. Its methods may be called concurrently.
type Renewer struct {
	cfg RenewConfig

	mu    sync.Mutex // held during a Renew; guards the field below
	found Renewals

	seen atomic.Pointer[sighting]
}

// sighting is what the ledger said of its time, and when.
type sighting struct {
	state chain.State
	at    time.Time
}

// EpochEnd returns when an epoch will begin at the earliest, as the ledger said
// when it was asked last: its clock may stand still meanwhile. It waits for nobody.
func (r *Renewer) EpochEnd(epoch walrus.Epoch) (time.Time, bool) {
	s := r.seen.Load()
	if s == nil || s.state.EpochDuration <= 0 {
		return time.Time{}, false
	}
	begins := s.state.EpochStart.Add(time.Duration(int64(epoch)-int64(s.state.Epoch)) * s.state.EpochDuration)
	return s.at.Add(begins.Sub(s.state.Now)), true
}

// Renewals says what a Renew did, and what it could not do.
type Renewals struct {
	Epoch       walrus.Epoch
	Renewed     int // segments
	Expired     int // segments that were not renewed in time; nodes may have dropped them
	Missing     int // segments whose object is not the wallet's any more
	Late        int // segments with less than a tenth of their time left
	Err         error
	Frost       uint64       // paid
	Need        uint64       // FROST that what is due costs and was not paid
	EarliestEnd walrus.Epoch // of what is late
}

const (
	// renewLeft and lateLeft say which part of the time bought is left when a
	// segment is due to be renewed, and when it is high time.
	renewLeft = 4
	lateLeft  = 10
	// Epochs are looked at so many times while they last.
	looksPerEpoch = 16
	// minLook and maxLook bound how long a Renewer sleeps.
	minLook = time.Second
	maxLook = time.Hour
)

// NewRenewer makes a Renewer.
func NewRenewer(cfg RenewConfig) *Renewer {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Renewer{cfg: cfg}
}

// Run renews what is due, again and again, until ctx ends.
func (r *Renewer) Run(ctx context.Context) error {
	for {
		wait := maxLook
		if state, err := r.cfg.Ledger.State(ctx); err == nil {
			wait = max(minLook, min(maxLook, state.EpochDuration/looksPerEpoch))
		}
		if r.cfg.May == nil || r.cfg.May() {
			if err := r.Renew(ctx); err != nil && ctx.Err() == nil {
				r.cfg.Log.Error("storage is not renewed", "op", "renew", "err", err)
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// Found returns what the last Renew found.
func (r *Renewer) Found() Renewals {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found
}

// Problems tells in sentences what of Found a person has to know.
func (r *Renewer) Problems() (list []string) {
	f := r.Found()
	add := func(n int, format string, args ...any) {
		if n > 0 {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(f.Expired, "storage of %d blobs has ended: what only they hold may be lost", f.Expired)
	add(f.Missing, "%d blobs do not belong to the wallet any more and cannot be renewed", f.Missing)
	switch {
	case f.Err == nil:
	case f.Late > 0:
		add(1, "storage of %d blobs ends in epoch %d, this is epoch %d, and it cannot be renewed: %v", f.Late, f.EarliestEnd, f.Epoch, f.Err)
	default:
		add(1, "storage cannot be renewed now: %v", f.Err)
	}
	return list
}

// Renew renews what is due now. What was paid is asked of the ledger first, so
// that a crash between its answer and the index costs nothing.
func (r *Renewer) Renew(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := renewal{r: r, paid: map[uint64]bool{}}
	err := run.all(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if run.found.Err = err; err != nil && run.found.Epoch == 0 { // the ledger is away
		run.found.Epoch, run.found.Expired, run.found.Missing = r.found.Epoch, r.found.Expired, r.found.Missing
		run.found.Late, run.found.EarliestEnd = r.found.Late, r.found.EarliestEnd
	}
	r.found = run.found
	if run.found.Renewed > 0 {
		r.cfg.Log.Info("storage renewed", "op", "renew", "segments", run.found.Renewed, "frost", run.found.Frost)
	}
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	return nil
}

// Look asks the ledger what is paid for and tells the index, without renewing anything.
func (r *Renewer) Look(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := renewal{r: r, looks: true}
	if err := run.all(ctx); err != nil {
		return fmt.Errorf("look up what is paid for: %w", err)
	}
	return nil
}

// renewal is one run of Renew, or of Look.
type renewal struct {
	r      *Renewer
	looks  bool // pays nothing
	epoch  walrus.Epoch
	target walrus.Epoch // up to which is paid afterwards
	paid   map[uint64]bool
	buys   bool // free storage was refused: all is bought
	found  Renewals
}

func (n *renewal) all(ctx context.Context) error {
	state, err := n.r.cfg.Ledger.State(ctx)
	if err != nil {
		return fmt.Errorf("ask the ledger for its epoch: %w", err)
	}
	n.r.seen.Store(&sighting{*state, time.Now()})
	ahead := min(n.r.cfg.Ahead, state.MaxEpochsAhead)
	n.epoch, n.found.Epoch, n.target = state.Epoch, state.Epoch, state.Epoch+walrus.Epoch(ahead)
	filter := index.SegmentFilter{EndBy: n.epoch + walrus.Epoch(ahead/renewLeft), Below: index.Finished + 1, Max: chain.MaxBatch}
	var errs []error
	late := n.epoch + walrus.Epoch(max(1, ahead/lateLeft))
	for {
		rows, err := n.r.cfg.Index.Segments(ctx, filter)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if len(rows) == 0 {
			n.r.cfg.Index.AtEpoch(n.epoch, late) // now that the index knows what is paid for
			return errors.Join(errs...)
		}
		filter.After = rows[len(rows)-1].Number
		rows = slices.DeleteFunc(rows, func(s index.SegmentRow) bool { return s.Stage < walrus.Certified })
		due, err := n.look(ctx, rows)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if n.looks {
			continue
		}
		if len(errs) > 1 { // the same will be wrong with the rest
			n.unpaid(state, due, late)
		} else if err := n.extend(ctx, due); err != nil {
			errs = append(errs, err)
			n.unpaid(state, due, late)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// unpaid counts what may not have been renewed.
func (n *renewal) unpaid(state *chain.State, list []due, late walrus.Epoch) {
	for _, d := range list {
		if n.paid[d.Number] {
			continue
		}
		n.found.Need += state.ExtendPrice(d.Storage, uint32(n.target-d.EndEpoch))
		if d.EndEpoch <= late {
			n.found.Late++
			if n.found.EarliestEnd == 0 || d.EndEpoch < n.found.EarliestEnd {
				n.found.EarliestEnd = d.EndEpoch
			}
		}
	}
}

// due is a segment to renew, and the end of what is paid for.
type due struct {
	Number   uint64
	Object   walrus.ObjectID
	EndEpoch walrus.Epoch
	Storage  uint64 // bytes of encoded size
}

// look asks the ledger what is paid for, writes down what the index did not
// know, and returns what is due all the same.
func (n *renewal) look(ctx context.Context, rows []index.SegmentRow) (list []due, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	objects := make([]walrus.ObjectID, len(rows))
	for i, s := range rows {
		objects[i] = s.Object
	}
	owned, err := n.r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Objects: objects})
	if err != nil {
		return nil, fmt.Errorf("look up %d blobs: %w", len(objects), err)
	}
	known := make(map[walrus.ObjectID]chain.OwnedObject, len(owned))
	for _, o := range owned {
		known[o.Object] = o
	}
	for _, s := range rows {
		o, ok := known[s.Object]
		switch {
		case !ok:
			n.found.Missing++
			continue
		case o.EndEpoch <= n.epoch:
			n.found.Expired++
			continue
		case o.EndEpoch != s.EndEpoch: // renewed before, and not written down
			if err := n.r.cfg.Index.Renewed(ctx, []uint64{s.Number}, o.EndEpoch); err != nil {
				return nil, err
			}
		}
		if o.EndEpoch < n.target && n.isDue(o.EndEpoch) {
			list = append(list, due{s.Number, s.Object, o.EndEpoch, o.StorageSize})
		}
	}
	return list, nil
}

func (n *renewal) isDue(end walrus.Epoch) bool { return end <= n.epoch+(n.target-n.epoch)/renewLeft }

// extend pays for segments. A batch that a contract refuses is split in two,
// so that one bad member cannot hold the others up.
func (n *renewal) extend(ctx context.Context, list []due) error {
	if len(list) == 0 {
		return nil
	}
	batch, reusing, err := n.plan(ctx, list)
	if err != nil {
		return err
	}
	if reusing > 0 && reusing < len(list) { // what is cut off for the first ones may do for the others
		first, rest := partition(list, batch)
		return errors.Join(n.extend(ctx, first), n.extend(ctx, rest))
	}
	out, err := n.pay(ctx, list, batch, reusing > 0)
	var abort *chain.AbortError
	if len(list) > 1 && (errors.As(err, &abort) || errors.Is(err, chain.ErrNoFunds)) {
		half := len(list) / 2
		return errors.Join(n.extend(ctx, list[:half]), n.extend(ctx, list[half:]))
	}
	if err != nil {
		return fmt.Errorf("extend %d blobs to epoch %d: %w", len(list), n.target, err)
	}
	n.found.Frost += out.CostFrost
	ends := map[walrus.Epoch][]uint64{}
	for i, e := range out.Extended {
		ends[e.EndEpoch] = append(ends[e.EndEpoch], list[i].Number)
		n.paid[list[i].Number] = true
	}
	for end, numbers := range ends {
		if err := n.r.cfg.Index.Renewed(ctx, numbers, end); err != nil {
			return err
		}
		n.found.Renewed += len(numbers)
	}
	return nil
}

// pay extends segments. If free storage is refused, as when it has gone elsewhere meanwhile, all is
// bought: a call that fails leaves its transaction ID free.
func (n *renewal) pay(ctx context.Context, list []due, batch []chain.Extension, reuses bool) (*chain.Outcome, error) {
	out, err := n.r.cfg.Ledger.Extend(ctx, renewTx(list, n.target), batch)
	if !reuses || !isRefusal(err) {
		return out, err
	}
	n.r.cfg.Log.Warn("free storage cannot be used", "op", "renew", "err", err)
	n.buys = true
	for i := range batch {
		batch[i].Reuse = nil
	}
	return n.r.cfg.Ledger.Extend(ctx, renewTx(list, n.target), batch)
}

// plan deals the wallet's free reservations to segments that are due, and tells how many get some.
func (n *renewal) plan(ctx context.Context, list []due) (batch []chain.Extension, reusing int, err error) {
	free, err := n.r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Storage: true})
	if err != nil {
		return nil, 0, fmt.Errorf("list free reservations: %w", err)
	}
	needs := make([]chain.Need, len(list))
	for i, d := range list {
		needs[i] = chain.Need{Size: d.Storage, From: d.EndEpoch, Until: n.target}
	}
	if n.buys {
		free = nil
	}
	batch = make([]chain.Extension, len(list))
	for i, reuse := range chain.PlanReuse(free, needs, nil) {
		batch[i] = chain.Extension{Object: list[i].Object, Epochs: uint32(n.target - list[i].EndEpoch), Reuse: reuse}
		reusing += min(1, len(reuse))
	}
	return batch, reusing, nil
}

// partition tells the segments that get free storage from the rest.
func partition(list []due, batch []chain.Extension) (with, without []due) {
	for i, d := range list {
		if len(batch[i].Reuse) > 0 {
			with = append(with, d)
		} else {
			without = append(without, d)
		}
	}
	return with, without
}

// renewTx names the transaction that extends a list of segments. The same
// extension of the same objects has the same name, so that it is paid once,
// whoever repeats it.
func renewTx(list []due, target walrus.Epoch) chain.TxID {
	h := sha256.New()
	h.Write([]byte("walfs renewal"))
	var number [8]byte
	for _, d := range list {
		h.Write(d.Object[:])
		binary.LittleEndian.PutUint64(number[:], uint64(d.EndEpoch))
		h.Write(number[:])
	}
	binary.LittleEndian.PutUint64(number[:], uint64(target))
	h.Write(number[:])
	return chain.TxID(h.Sum(nil))
}
