package blobstore

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walfs/walfs/chain"
)

// maxBatch is how many blobs share a transaction at most. A Sui transaction
// takes 1,024 commands and 128 KiB; a registration is a few commands, a
// certificate about 200 bytes.
const maxBatch = 32

// gatherFor is how long a batch waits for Puts that are about to come.
const gatherFor = 100 * time.Millisecond

// coalescer gathers what several Puts want of the ledger: while one batch is
// on its way, those who come wait together for the next, and for a moment for those who are about to come.
type coalescer struct {
	run  func(context.Context, []*ticket) // settles every ticket
	wake chan struct{}
	// coming counts the Puts that are about to come.
	coming atomic.Int64

	mu     sync.Mutex // guards the fields below
	queue  []*ticket
	closed bool
}

// ticket is one Put's place in a batch. Whoever runs the batch owns the put's
// receipt until the ticket is settled.
type ticket struct {
	p     *put
	state atomic.Int32
	err   error
	done  chan struct{}
}

// The states of a ticket.
const (
	waiting int32 = iota
	taken
	withdrawn
)

func newCoalescer(run func(context.Context, []*ticket)) *coalescer {
	return &coalescer{run: run, wake: make(chan struct{}, 1)}
}

// do waits until p was in a batch. When ctx ends p is withdrawn, but once its
// batch has begun do waits for the outcome, which must not be lost.
func (q *coalescer) do(ctx context.Context, p *put) error {
	t := &ticket{p: p, done: make(chan struct{})}
	if !q.push(t) {
		return ErrClosed
	}
	p.arrive()
	select {
	case <-t.done:
	case <-ctx.Done():
		if t.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
		<-t.done
	}
	return t.err
}

func (q *coalescer) push(t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.queue = append(q.queue, t)
	q.rouse()
	return true
}

func (q *coalescer) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// announce says that p is about to come to q, until it arrives there or ends.
func (p *put) announce(q *coalescer) {
	p.arrive()
	q.coming.Add(1)
	p.arrived = func() { q.coming.Add(-1); q.rouse() }
}

// arrive takes an announcement back, if there is one.
func (p *put) arrive() {
	if p.arrived != nil {
		p.arrived()
		p.arrived = nil
	}
}

// take returns the next batch, empty if nobody waits.
func (q *coalescer) take() []*ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []*ticket
	for len(q.queue) > 0 && len(batch) < maxBatch {
		if t := q.queue[0]; t.state.CompareAndSwap(waiting, taken) {
			batch = append(batch, t)
		}
		q.queue = q.queue[1:]
	}
	return batch
}

// loop runs batches, one at a time, until ctx ends.
func (q *coalescer) loop(ctx context.Context) {
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			q.mu.Lock()
			q.closed = true
			q.mu.Unlock()
			for batch := q.take(); len(batch) > 0; batch = q.take() {
				settle(batch, ErrClosed)
			}
			return
		}
		q.gather(ctx)
		for batch := q.take(); len(batch) > 0; batch = q.take() {
			q.run(ctx, batch)
		}
	}
}

// gather waits until all who are about to come have come, but not for long: who stores
// alone does not wait at all.
func (q *coalescer) gather(ctx context.Context) {
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	for q.coming.Load() > 0 && q.length() < maxBatch {
		select {
		case <-q.wake:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (q *coalescer) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue)
}

// settle ends the wait of the given tickets.
func settle(batch []*ticket, err error) {
	for _, t := range batch {
		t.err = err
		close(t.done)
	}
}

// each calls f for all tickets at once, settles those for which it failed and
// returns the others, in order.
func each(batch []*ticket, f func(*put) error) []*ticket {
	errs := make([]error, len(batch))
	var wg sync.WaitGroup
	for i, t := range batch {
		wg.Go(func() { errs[i] = f(t.p) })
	}
	wg.Wait()
	var left []*ticket
	for i, t := range batch {
		if errs[i] != nil {
			settle([]*ticket{t}, errs[i])
			continue
		}
		left = append(left, t)
	}
	return left
}

// How a transaction is sent: a lost answer is asked for again, under the same transaction ID.
const (
	ledgerTimeout = 60 * time.Second // of one try
	ledgerTries   = 3
	ledgerBackoff = 100 * time.Millisecond // grows fourfold
)

// transact calls the ledger until it answers.
func transact(ctx context.Context, call func(context.Context) (*chain.Outcome, error)) (out *chain.Outcome, err error) {
	wait := ledgerBackoff
	for try := 1; ; try++ {
		one, cancel := context.WithTimeout(ctx, ledgerTimeout)
		out, err = call(one)
		cancel()
		if err == nil || refused(err) || try == ledgerTries || ctx.Err() != nil {
			return out, err
		}
		if e := pause(ctx, wait); e != nil {
			return nil, errors.Join(err, e)
		}
		wait *= 4
	}
}

// refused tells whether the ledger has decided: the same request would fail again.
func refused(err error) bool {
	return splits(err) || errors.Is(err, chain.ErrStaleVersion) || errors.Is(err, chain.ErrTxReused)
}

// splits tells whether one member of a batch may be to blame for an error of all.
func splits(err error) bool {
	var abort *chain.AbortError
	return errors.As(err, &abort) || errors.Is(err, chain.ErrNoFunds) || errors.Is(err, chain.ErrNotExist)
}

func newTx() (tx chain.TxID) {
	_, _ = rand.Read(tx[:]) // never fails, by its documentation
	return tx
}
