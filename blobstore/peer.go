package blobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
)

// How long a node that did not answer is avoided: the first time, and at most.
// It is short, as a node that came back is to be used again soon, and as trying
// one that did not costs a single read no more than the hedge.
const (
	firstPenalty = time.Second
	maxPenalty   = 8 * time.Second
)

// Problem is what a node did wrong.
type Problem struct {
	Node  string
	Wrong int // answers that did not match the blob ID, or signatures that did not verify
	// Slivers are those that did not, each once, at most maxNamed; axis 2
	// stands for metadata, a zero ID for a signature. Read only.
	Slivers []walrus.SliverID
}

// maxNamed is how many wrong slivers of a node are remembered by name.
const maxNamed = 256

// peer is a node and how it behaves.
type peer struct {
	member walrus.Member

	mu       sync.Mutex // guards the fields below
	client   *node.Client
	failures int       // since it answered last
	until    time.Time // it is avoided
	probing  bool      // one request finds out whether it is back
	taking   int       // blobs that it is being handed
	problem  Problem
}

// standing says how far a node is to be relied on.
type standing int

const (
	good     standing = iota
	doubtful          // it failed, and may be tried again
	avoided           // it failed just now
)

// peers are the nodes that a client has dealt with.
type peers struct {
	mu   sync.Mutex // guards byID
	byID map[walrus.NodeID]*peer
}

// of returns the peer of a member. A member whose address or key has changed is a new one.
func (ps *peers) of(m *walrus.Member) *peer {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.byID[m.ID]
	if p == nil || p.member.Address != m.Address || p.member.PublicKey != m.PublicKey {
		p = &peer{member: *m, problem: Problem{Node: m.Name}}
		if ps.byID == nil {
			ps.byID = map[walrus.NodeID]*peer{}
		}
		ps.byID[m.ID] = p
	}
	return p
}

// Problems returns what nodes did wrong since the client was made, by name.
func (c *Client) Problems() []Problem {
	c.peers.mu.Lock()
	all := slices.Collect(maps.Values(c.peers.byID))
	c.peers.mu.Unlock()
	var problems []Problem
	for _, p := range all {
		p.mu.Lock()
		if p.problem.Wrong > 0 {
			problems = append(problems, p.problem)
		}
		p.mu.Unlock()
	}
	slices.SortFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Node, b.Node) })
	return problems
}

// wrong notes that a node gave something that does not verify.
func (c *Client) wrong(m *walrus.Member, id walrus.SliverID) {
	p := c.peers.of(m)
	p.failed(time.Now())
	if tell := c.suspect.Load(); tell != nil && !id.Blob.IsZero() {
		(*tell)(m.PublicKey, id.Blob)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problem.Wrong++
	if len(p.problem.Slivers) < maxNamed && !slices.Contains(p.problem.Slivers, id) {
		p.problem.Slivers = append(p.problem.Slivers, id)
	}
	c.cfg.Log.Error("node gave wrong bytes", "node", m.Name, "sliver", id)
}

// dial returns the client of the node.
func (p *peer) dial(dial func(walrus.Member) (*node.Client, error)) (*node.Client, error) {
	p.mu.Lock()
	client := p.client
	p.mu.Unlock()
	if client != nil {
		return client, nil
	}
	client, err := dial(p.member)
	if err != nil {
		return nil, fmt.Errorf("dial: %w: %w", node.ErrUnavailable, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = client
	return client, nil
}

// standing says how far the node is to be relied on now.
func (p *peer) standing(now time.Time) standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.failures == 0:
		return good
	case now.Before(p.until) || p.probing:
		return avoided
	}
	return doubtful
}

// claim tells whether a read should wait for the node: it is in good standing,
// or this read is the one that tries it again. Then answered, failed or unclaim has to follow.
func (p *peer) claim(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures == 0 {
		return true
	}
	if now.Before(p.until) || p.probing {
		return false
	}
	p.probing = true
	return true
}

// unclaim takes a claim back without a judgement.
func (p *peer) unclaim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probing = false
}

// answered notes that the node does its work.
func (p *peer) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.probing = 0, false
}

// failed notes that the node gave no answer, or none in time, or a wrong one.
// Failures while it is avoided anyway do not count again.
func (p *peer) failed(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probing = false
	if p.failures > 0 && now.Before(p.until) {
		return
	}
	p.until = now.Add(min(firstPenalty<<min(p.failures, 8), maxPenalty))
	p.failures++
}

// enter counts a blob in that is handed to the node. It returns false if there
// are limit of them already: then earlier ones hang, and each keeps the memory
// of an encoding.
func (p *peer) enter(limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taking >= limit {
		return false
	}
	p.taking++
	return true
}

func (p *peer) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taking--
}

// judge draws the consequences of an answer for a node's standing. Took is how
// long it took; err says also whether it verified.
func (c *Client) judge(ctx context.Context, p *peer, took time.Duration, err error) {
	late := took > c.pace.hedge()
	if err == nil {
		c.pace.add(took)
	}
	switch {
	case err == nil && !late, errors.Is(err, node.ErrNotFound):
		p.answered()
	case err != nil && ctx.Err() != nil && !late:
		p.unclaim()
	default:
		p.failed(time.Now())
	}
}

// How long a read waits for a node before it also tries others: a multiple of
// the median of the last answers, so that a few slow nodes do not set the pace, within bounds.
const (
	hedgeMedians = 4
	minHedge     = 300 * time.Millisecond
	// maxHedge does not hold while half of the answers take most of it: asking others
	// beside every node that is as slow as all would make them slower still.
	maxHedge = 3 * time.Second
)

// pace remembers how long the last answers took.
type pace struct {
	mu   sync.Mutex // guards the fields below
	took [64]time.Duration
	next int
}

func (p *pace) add(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took[p.next%len(p.took)] = took
	p.next++
}

// hedge returns how long to wait for a node.
func (p *pace) hedge() time.Duration {
	p.mu.Lock()
	took := slices.Clone(p.took[:min(p.next, len(p.took))])
	p.mu.Unlock()
	if len(took) == 0 {
		return minHedge
	}
	slices.Sort(took)
	median := took[len(took)/2]
	return min(max(hedgeMedians*median, minHedge), max(maxHedge, median+median/2))
}
