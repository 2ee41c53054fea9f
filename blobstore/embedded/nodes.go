package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
)

// member is one node of the network, up or down.
type member struct {
	name   string
	folder string
	shards int // of the network

	mu     sync.Mutex // guards the fields below
	node   *node.Node // nil while it is down
	held   *claimed   // its folder; set while it is up
	key    *bls.SecretKey
	reason string // why it is down
	absent bool   // its folder was not there: it comes up by itself when it is
	fault  Fault
	last   node.Status // when it went down

	followed struct { // of its own accord; one caller at a time
		node *node.Node
		turn uint64 // of the ledger
	}
}

// NodeStatus is what a network knows of one of its nodes.
type NodeStatus struct {
	Name          string
	State         string // "up" or "down"
	Reason        string // why it is down: "stopped", or what was wrong
	Absent        bool   // it is down as its folder is not there, and comes up by itself when it is
	Dir           string
	Shards        int
	Blobs         int
	Bytes         int64
	SliverReads   uint64
	MetadataReads uint64
	SymbolReads   uint64
	Lacking       int   // certified blobs of which something is missing or damaged, as far as the node knows
	Log           error // why its copy of the ledger's log is behind; nil: it is not
	BadSlots      []node.BadSlot
}

// stopped is the reason of a node that was taken down by Stop.
const stopped = "stopped"

// openNodes opens all nodes that are not stopped, in parallel.
func (n *Network) openNodes(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range n.plan.Nodes {
		planned := &n.plan.Nodes[i]
		m := &member{name: planned.Name, folder: planned.folder(n.cfg.Dir), shards: n.plan.Shards, reason: stopped}
		n.nodes = append(n.nodes, m)
		if planned.Stopped {
			continue
		}
		wg.Go(func() {
			if err := n.open(ctx, m); err != nil {
				n.cfg.Log.Error("node is down", "node", m.name, "err", err)
			}
		})
	}
	wg.Wait()
}

// open takes a node up.
func (n *Network) open(ctx context.Context, m *member) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node != nil {
		return nil
	}
	if err := n.openIn(ctx, m); err != nil {
		m.node, m.reason, m.absent = nil, err.Error(), absent(err)
		return err
	}
	m.reason, m.absent = "", false
	n.lacks() // perhaps: nobody has looked yet
	return nil
}

// openIn opens the node in its folder. The caller holds m.mu.
func (n *Network) openIn(ctx context.Context, m *member) error {
	key, err := readSigningKey(m.folder)
	if err != nil {
		return err
	}
	held, err := n.claim(m.folder)
	if err != nil {
		return err
	}
	m.node, err = node.Open(ctx, node.Config{
		Dir: m.folder, Name: m.name, Key: key, Codec: n.codec,
		Ledger: n.ledger, Lacks: n.lacks, Log: n.cfg.Log,
	})
	if err != nil {
		held.release()
		return err
	}
	m.key, m.held = key, held
	if err := n.keep(m.name, m.folder); err != nil {
		n.cfg.Log.Warn("folder of the node has no whole copy of keys and facts", "node", m.name, "err", err)
	}
	return nil
}

// lacks lets whoever heals nodes know that there may be something to do.
func (n *Network) lacks() {
	select {
	case n.ailing <- struct{}{}:
	default:
	}
}

// Ailing receives when a node came up, or found that it lacks something.
func (n *Network) Ailing() <-chan struct{} { return n.ailing }

// Up returns the nodes that are up.
func (n *Network) Up() []*node.Node {
	var up []*node.Node
	for _, m := range n.nodes {
		if node, _, err := m.use(); err == nil {
			up = append(up, node)
		}
	}
	return up
}

// close takes a node down.
func (m *member) close(reason string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.absent = false
	if m.node == nil {
		if m.reason == "" || reason == stopped {
			m.reason = reason
		}
		return nil
	}
	return m.end(reason)
}

// end closes the node. The caller holds m.mu.
func (m *member) end(reason string) error {
	err := m.node.Close()
	m.held.release()
	m.last = m.node.Status()
	m.node, m.reason = nil, reason
	return err
}

// use returns the node for a call. It returns node.ErrUnavailable if it is down, or its folder is
// not there: what took its place is not to be written to.
func (m *member) use() (*node.Node, Fault, error) {
	m.mu.Lock()
	up, fault, held := m.node, m.fault, m.held
	m.mu.Unlock()
	if up == nil || fault&Down != 0 || held.gone() {
		return nil, fault, fmt.Errorf("node %s is down: %w", m.name, node.ErrUnavailable)
	}
	return up, fault, nil
}

// follow lets the node, if it is up, follow the ledger to its end, unless it has since
// the ledger came to a turn. One caller follows at a time.
func (m *member) follow(ctx context.Context, turn uint64) error {
	node, _, err := m.use()
	if err != nil || m.followed.node == node && m.followed.turn == turn {
		return nil
	}
	if err := node.Sync(ctx); err != nil {
		return err
	}
	m.followed.node, m.followed.turn = node, turn
	return nil
}

// Nodes returns the state of all nodes.
func (n *Network) Nodes() []NodeStatus {
	shards := map[string]int{}
	committee := n.ledger.Committee()
	for i := range committee.Members {
		shards[committee.Members[i].Name] = committee.Weight(i)
	}
	logs := map[string]error{}
	for _, c := range n.ledger.Copies() {
		logs[c.Dir] = c.Err
	}
	all := make([]NodeStatus, len(n.nodes))
	for i, m := range n.nodes {
		all[i] = m.status(shards[m.name])
		all[i].Log = logs[all[i].Dir]
	}
	return all
}

func (m *member) status(shards int) NodeStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, state, reason, away := m.last, "down", m.reason, m.absent
	if m.node != nil {
		s, state = m.node.Status(), "up"
		if m.held.gone() {
			state, reason, away = "down", m.held.missing(), true
		}
	}
	return NodeStatus{
		Name: m.name, State: state, Reason: reason, Absent: away, Dir: m.folder, Shards: shards, Blobs: s.Blobs, Bytes: s.Bytes,
		SliverReads: s.SliverReads, MetadataReads: s.MetadataReads, SymbolReads: s.SymbolReads,
		Lacking: s.Lacking, BadSlots: s.BadSlots,
	}
}

// find returns a node and its place in the plan.
func (n *Network) find(name string) (*member, int, error) {
	i := slices.IndexFunc(n.nodes, func(m *member) bool { return m.name == name })
	if i < 0 {
		return nil, 0, fmt.Errorf("%q: %w", name, ErrUnknown)
	}
	return n.nodes[i], i, nil
}

// Stop takes a node down, after the calls that it is answering. It stays down,
// also after Close and Open, until Start.
func (n *Network) Stop(name string) error {
	m, i, err := n.find(name)
	if err != nil {
		return fmt.Errorf("stop node: %w", err)
	}
	if err := errors.Join(n.note(i, true), m.close(stopped)); err != nil {
		return fmt.Errorf("stop node %s: %w", name, err)
	}
	return nil
}

// Start takes a node up again.
func (n *Network) Start(ctx context.Context, name string) error {
	m, i, err := n.find(name)
	if err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	if err := n.note(i, false); err != nil {
		return fmt.Errorf("start node %s: %w", name, err)
	}
	n.lose(m)
	return n.open(ctx, m)
}

// note writes down whether a node is stopped.
func (n *Network) note(i int, isStopped bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.plan.Nodes[i].Stopped == isStopped {
		return nil
	}
	n.plan.Nodes[i].Stopped = isStopped
	return n.plan.save(n.cfg.Dir)
}

// Dial returns a client of a member of the committee. It may be kept while the
// node goes down and comes back.
func (n *Network) Dial(w walrus.Member) (*node.Client, error) {
	m, _, err := n.find(w.Name)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return node.NewClient(node.Calls{
		Store: m.store, Confirm: m.confirm, Metadata: m.metadata, Sliver: m.sliver, Symbols: m.symbols, SyncShard: m.syncShard,
	}), nil
}
