package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// How Put deals with nodes.
const (
	nodeTries   = 3                      // of a node in good standing, within a round
	nodeBackoff = 100 * time.Millisecond // between them; doubles
	sendRounds  = 3
	roundPause  = 300 * time.Millisecond // doubles
	// When a quorum has answered, or so many refuse that none can be, the rest gets tailBase and
	// half the time that this took. Source: the Walrus client, sliver write extra time.
	tailBase = 500 * time.Millisecond
	// patience is for a round in which no quorum answers, and grows by a second for each patienceBytes of the blob.
	patience      = time.Minute
	patienceBytes = 64 << 10
	// stopGrace is how long Put waits at its end for nodes that do not heed its context.
	stopGrace = 2 * time.Second
)

// store hands every node its slivers and gathers confirmations for the current
// epoch until they make a certificate.
func (p *put) store(ctx context.Context) error {
	if p.receipt.Stage >= walrus.Stored {
		return nil
	}
	p.announce(p.c.certifier)
	wait := roundPause
	var got confirmations
	for round := 1; ; round++ {
		state, err := p.state(ctx, round)
		if err != nil {
			return err
		}
		if state.Committee.Shards != p.c.geometry.Shards {
			return fmt.Errorf("committee of %d shards, encoded for %d", state.Committee.Shards, p.c.geometry.Shards)
		}
		if got.committee == nil || got.committee.Epoch != state.Epoch {
			got = confirmations{committee: &state.Committee, byMember: map[int]walrus.Confirmation{}}
		}
		failed := p.send(ctx, &got)
		cert, wrong := p.c.aggregate(&got)
		if cert != nil {
			p.receipt.Cert = cert
			return p.advance(walrus.Stored)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		failed = append(failed, wrong...)
		if (round == sendRounds || !worthRetrying(failed)) && !p.overtaken(ctx, state.Epoch) {
			return &QuorumError{Have: got.weight(), Need: p.c.geometry.Quorum(), Nodes: failed}
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// state returns what to store by: what was heard lately, and once that did not do what the ledger says now.
func (p *put) state(ctx context.Context, round int) (*chain.State, error) {
	if round == 1 {
		return p.c.lately(ctx)
	}
	return p.c.hear(ctx)
}

// overtaken tells whether the ledger has gone on to another epoch than the one that was stored for.
func (p *put) overtaken(ctx context.Context, stored walrus.Epoch) bool {
	state, err := p.c.hear(ctx)
	return err == nil && state.Epoch != stored
}

// worthRetrying tells whether any node failed in a way that may pass.
func worthRetrying(failed []error) bool {
	for _, err := range failed {
		if !final(err) {
			return true
		}
	}
	return false
}

// final tells whether a node has answered and would answer so again.
func final(err error) bool { return errors.Is(err, node.ErrRefused) || errors.Is(err, node.ErrNoRoom) }

// confirmations are those of one epoch.
type confirmations struct {
	committee *walrus.Committee
	byMember  map[int]walrus.Confirmation
}

func (c *confirmations) weight() int {
	weight := 0
	for i := range c.byMember {
		weight += c.committee.Weight(i)
	}
	return weight
}

// aggregate makes a certificate of confirmations worth a quorum. The signatures are
// verified together; if that fails, one by one, and the wrong ones are dropped.
func (c *Client) aggregate(got *confirmations) (cert *walrus.Certificate, wrong []error) {
	for range 2 {
		all := make([]walrus.Confirmation, 0, len(got.byMember))
		for _, one := range got.byMember {
			all = append(all, one)
		}
		cert, err := walrus.Aggregate(got.committee, all)
		if err == nil {
			err = cert.Verify(got.committee)
		}
		if err == nil {
			return cert, wrong
		}
		for i, one := range got.byMember {
			if err := c.verify(got.committee, answer{member: i, confirmation: one}); err != nil {
				delete(got.byMember, i)
				wrong = append(wrong, fmt.Errorf("node %s: %w", got.committee.Members[i].Name, err))
			}
		}
	}
	return nil, wrong
}

// verify checks one confirmation, and notes who signed wrongly.
func (c *Client) verify(committee *walrus.Committee, a answer) error {
	err := a.confirmation.Verify(committee)
	if err != nil {
		c.wrong(&committee.Members[a.member], walrus.SliverID{})
	}
	return err
}

// sending is what is on its way to nodes for one Put.
type sending struct {
	cancel    context.CancelFunc
	nodes     sync.WaitGroup
	done      chan struct{} // closed when the last one has ended
	abandoned chan struct{} // closed when Put waits no longer
	once      sync.Once
}

func (s *sending) idle() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop ends what is still on its way.
func (s *sending) stop() {
	s.cancel()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-s.done:
	case <-grace.C:
	}
	s.once.Do(func() { close(s.abandoned) })
}

// answer is what one node said to Store and Confirm.
type answer struct {
	member       int
	confirmation walrus.Confirmation
	err          error
}

// send asks all nodes that have not confirmed yet, in parallel. It returns
// when all have answered, or a quorum has, or never will, and the rest had its time; nodes
// that are late go on meanwhile.
func (p *put) send(ctx context.Context, got *confirmations) (failed []error) {
	if p.sending != nil {
		p.sending.stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &sending{cancel: cancel, done: make(chan struct{}), abandoned: make(chan struct{})}
	p.sending = s
	committee := got.committee
	answers := make(chan answer, len(committee.Members))
	asked, pending := 0, map[int]*peer{} // of those asked, the ones in good standing
	for i := range committee.Members {
		if _, ok := got.byMember[i]; ok {
			continue
		}
		peer := p.c.peers.of(&committee.Members[i])
		tries := 1
		if peer.standing(time.Now()) == good {
			pending[i] = peer
			tries = nodeTries
		}
		d := delivery{
			peer: peer, tries: tries, persistence: p.persistence(),
			message:  walrus.ConfirmationMessage(committee.Epoch, p.receipt.Blob, p.persistence()),
			handover: handover(p.encoded, committee, i),
		}
		asked++
		s.nodes.Go(func() {
			c, err := p.c.deliver(ctx, d)
			c.Member = i
			answers <- answer{i, c, err}
		})
	}
	go func() { s.nodes.Wait(); close(s.done) }()
	return p.gather(ctx, got, answers, asked, pending)
}

// gather collects answers for send.
func (p *put) gather(ctx context.Context, got *confirmations, answers <-chan answer, asked int, pending map[int]*peer) (failed []error) {
	began := time.Now()
	enough := time.After(patience + time.Duration(len(p.blob)/patienceBytes)*time.Second)
	refused := 0 // weight of those that would again
	var tail <-chan time.Time
	for ; asked > 0; asked-- {
		if tail == nil && (p.c.geometry.IsQuorum(got.weight()) || !p.c.geometry.IsQuorum(p.c.geometry.Shards-refused)) {
			tail = time.After(tailBase + time.Since(began)/2)
		}
		if tail != nil && len(pending) == 0 {
			return failed
		}
		select {
		case a := <-answers:
			if _, trusted := pending[a.member]; !trusted && a.err == nil {
				// Whoever lied before must not pass for the last part of a quorum.
				a.err = p.c.verify(got.committee, a)
			}
			delete(pending, a.member)
			if a.err == nil {
				got.byMember[a.member] = a.confirmation
				continue
			}
			if final(a.err) {
				refused += got.committee.Weight(a.member)
			}
			name := got.committee.Members[a.member].Name
			p.c.cfg.Log.Warn("node did not take a blob", "op", "store", "blob", p.receipt.Blob, "node", name, "err", a.err)
			failed = append(failed, fmt.Errorf("node %s: %w", name, a.err))
		case <-tail:
			return append(failed, p.late(got.committee, pending)...)
		case <-enough:
			return append(failed, p.late(got.committee, pending)...)
		case <-ctx.Done():
			return failed
		}
	}
	return failed
}

// late notes which nodes did not answer in time.
func (p *put) late(committee *walrus.Committee, pending map[int]*peer) (failed []error) {
	for i, peer := range pending {
		peer.failed(time.Now())
		name := committee.Members[i].Name
		p.c.cfg.Log.Warn("node is late", "op", "store", "blob", p.receipt.Blob, "node", name)
		failed = append(failed, fmt.Errorf("node %s is late: %w", name, node.ErrUnavailable))
	}
	return failed
}

// handover collects what a member is to hold, the primary slivers first.
func handover(e *redstuff.Encoded, committee *walrus.Committee, member int) node.Handover {
	g := committee.Geometry()
	h := node.Handover{Blob: e.Blob(), Metadata: e.Metadata()}
	for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
		for _, shard := range committee.Members[member].Shards {
			pair := g.Pair(h.Blob, int(shard))
			h.Slots = append(h.Slots, e.Slot(axis, g.SliverIndex(pair, axis)))
		}
	}
	return h
}

// delivery is what one node is to take and to confirm.
type delivery struct {
	peer        *peer
	tries       int
	persistence walrus.Persistence
	message     []byte // which the node has to sign
	handover    node.Handover
}

// errBusy reports a node that has not even ended its work for an earlier Put.
var errBusy = fmt.Errorf("still busy with an earlier blob: %w", node.ErrUnavailable)

// deliver has a node store and confirm, and tries again what may pass.
func (c *Client) deliver(ctx context.Context, d delivery) (conf walrus.Confirmation, err error) {
	if !d.peer.enter(c.cfg.Parallel) {
		return conf, errBusy
	}
	defer d.peer.leave()
	wait := nodeBackoff
	for try := 1; ; try++ {
		conf, err = c.deliverOnce(ctx, d)
		switch {
		case err == nil:
			d.peer.answered()
			return conf, nil
		case ctx.Err() != nil:
			return conf, err
		case errors.Is(err, node.ErrUnavailable):
			d.peer.failed(time.Now())
		}
		if try >= d.tries || final(err) {
			return conf, err
		}
		if e := pause(ctx, wait); e != nil {
			return conf, err
		}
		wait *= 2
	}
}

func (c *Client) deliverOnce(ctx context.Context, d delivery) (conf walrus.Confirmation, err error) {
	client, err := d.peer.dial(c.cfg.Dial)
	if err != nil {
		return conf, err
	}
	if err := client.Store(ctx, d.handover); err != nil {
		return conf, err
	}
	if conf, err = client.Confirm(ctx, d.handover.Blob, d.persistence); err != nil {
		return conf, err
	}
	if !bytes.Equal(conf.Message, d.message) {
		return conf, fmt.Errorf("confirmation says something else: %w", walrus.ErrMessage)
	}
	return conf, nil
}
