package keep

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
)

// ScrubConfig says how nodes are scrubbed. Healer, Nodes and Path are required.
type ScrubConfig struct {
	Healer *blobstore.Healer
	Nodes  func() []*node.Node // those that are up
	Path   string              // of the file that keeps how far each node was scrubbed
	Every  time.Duration       // from one scrub of a node to the next; 0 means DefaultScrubEvery, negative never
	Rate   int64               // bytes read in a second; 0 means DefaultScrubRate
	Now    func() time.Time    // nil means time.Now
	Log    *slog.Logger        // nil means silent
}

// The defaults of a ScrubConfig. The rate is a small part of what a disk reads, and
// goes through a node of 20 TB within the time between two scrubs.
const (
	DefaultScrubEvery = 30 * 24 * time.Hour
	DefaultScrubRate  = 8 << 20
)

const (
	// scrubPortion is how many bytes are read before the position is written down.
	scrubPortion = 32 << 20
	// minScrubLook and maxScrubLook bound how long a Scrubber sleeps.
	minScrubLook = time.Second
	maxScrubLook = 10 * time.Minute
)

// Scrubber reads all that the nodes hold once in a while, and compares it with checksums
// and hashes. What is damaged is noted by the node, and healed. Its methods may be
// called concurrently.
type Scrubber struct {
	cfg ScrubConfig

	turn sync.Mutex // held while a node is scrubbed

	mu     sync.Mutex // guards the fields below
	nodes  map[string]*NodeScrub
	loaded bool
	saved  string           // what stands in the file
	errs   map[string]error // why a node cannot be scrubbed; "" is of the file
}

// NodeScrub is how far a node was scrubbed.
type NodeScrub struct {
	Name    string        `json:"name"`
	Since   time.Time     `json:"since"`           // when the last scrub ended, or the node was first seen
	Ended   time.Time     `json:"ended,omitzero"`  // when the last scrub ended
	Began   time.Time     `json:"began,omitzero"`  // when the one that runs began
	After   walrus.BlobID `json:"after,omitzero"`  // it goes on behind this blob
	Blobs   int           `json:"blobs,omitempty"` // that it has seen
	Bytes   int64         `json:"bytes,omitempty"`
	Missing int           `json:"missing,omitempty"` // slivers that it found absent or damaged
	Found   int           `json:"found,omitempty"`   // what the last one that ended found
}

// NewScrubber makes a Scrubber.
func NewScrubber(cfg ScrubConfig) *Scrubber {
	if cfg.Every == 0 {
		cfg.Every = DefaultScrubEvery
	}
	if cfg.Rate <= 0 {
		cfg.Rate = DefaultScrubRate
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Scrubber{cfg: cfg, nodes: map[string]*NodeScrub{}, errs: map[string]error{}}
}

// Run scrubs what is due, a portion of a node at a time, until ctx ends.
func (s *Scrubber) Run(ctx context.Context) error {
	for ctx.Err() == nil && s.cfg.Every > 0 {
		worked, err := s.Work(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("nodes are not scrubbed", "op", "scrub", "err", err)
		}
		wait := min(maxScrubLook, s.cfg.Every)
		if worked && err == nil {
			wait = min(wait, minScrubLook)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

// Work scrubs a portion of the node whose scrub began first, or else of the one that is
// due for longest, and reports whether there was one.
func (s *Scrubber) Work(ctx context.Context) (worked bool, err error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	up := s.cfg.Nodes()
	n, at, err := s.next(up)
	if err != nil || n == nil {
		return false, err
	}
	r, err := s.cfg.Healer.Scrub(ctx, n, blobstore.ScrubOptions{Rate: s.cfg.Rate, After: at.After, Limit: scrubPortion})
	return true, errors.Join(s.note(n, r, err, ctx.Err() != nil), err)
}

// next chooses a node. All that are up are known afterwards.
func (s *Scrubber) next(up []*node.Node) (best *node.Node, at NodeScrub, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		s.errs[""] = err
		return nil, at, err
	}
	delete(s.errs, "")
	now := s.cfg.Now()
	for _, n := range up {
		state := s.of(n, now)
		if state.Since.After(now) { // the clock was put back: count from now, not from a time to come
			state.Since = now
		}
		running := !state.Began.IsZero()
		if !running && now.Sub(state.Since) < s.cfg.Every {
			continue
		}
		if best == nil || running && at.Began.IsZero() || running == !at.Began.IsZero() && state.Since.Before(at.Since) {
			best, at = n, *state
		}
	}
	if best != nil && at.Began.IsZero() {
		state := s.of(best, now)
		state.Began, state.After, state.Blobs, state.Bytes, state.Missing = now, walrus.BlobID{}, 0, 0, 0
	}
	return best, at, s.save()
}

// of returns what is known of a node. One that is new counts from now on. The caller holds mu.
func (s *Scrubber) of(n *node.Node, now time.Time) *NodeScrub {
	key := n.PublicKey()
	name := hex.EncodeToString(key[:])
	state := s.nodes[name]
	if state == nil {
		state = &NodeScrub{Since: now}
		s.nodes[name] = state
	}
	state.Name = n.Status().Name
	return state
}

// note writes down how far a scrub has come.
func (s *Scrubber) note(n *node.Node, r blobstore.ScrubReport, err error, stopped bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.of(n, s.cfg.Now())
	state.Blobs, state.Bytes, state.Missing = state.Blobs+r.Blobs, state.Bytes+r.Read, state.Missing+r.Missing
	if !r.Last.IsZero() {
		state.After = r.Last
	}
	if err != nil && !stopped {
		s.errs[state.Name] = err
	} else {
		delete(s.errs, state.Name)
	}
	if r.Done {
		now := s.cfg.Now()
		s.cfg.Log.Info("node scrubbed", "op", "scrub", "node", state.Name, "blobs", state.Blobs, "size", state.Bytes, "missing", state.Missing)
		state.Since, state.Ended, state.Found = now, now, state.Missing
		state.Began, state.After = time.Time{}, walrus.BlobID{}
	}
	return s.save()
}

// load reads the file once. One that is damaged is as good as none: then all are
// scrubbed again in time.
func (s *Scrubber) load() error {
	if s.loaded {
		return nil
	}
	text, err := os.ReadFile(s.cfg.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read how far nodes were scrubbed: %w", err)
	}
	known := map[string]*NodeScrub{}
	if err == nil && json.Unmarshal(text, &known) != nil {
		s.cfg.Log.Warn("what nodes were scrubbed is not known any more", "op", "scrub")
		clear(known)
	}
	for name, state := range known {
		if state != nil {
			s.nodes[name] = state
		}
	}
	s.loaded = true
	return nil
}

func (s *Scrubber) save() error {
	text, err := json.MarshalIndent(s.nodes, "", "  ")
	if err == nil && string(text) == s.saved {
		return nil
	}
	if err == nil {
		err = writeSynced(s.cfg.Path, text)
	}
	if err == nil {
		s.saved = string(text)
	}
	if err != nil {
		return fmt.Errorf("write down how far nodes were scrubbed: %w", err)
	}
	return nil
}

// Status returns how far the nodes were scrubbed, by name.
func (s *Scrubber) Status() []NodeScrub {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return nil
	}
	var list []NodeScrub
	for _, state := range s.nodes {
		list = append(list, *state)
	}
	slices.SortFunc(list, func(a, b NodeScrub) int { return a.Since.Compare(b.Since) })
	return list
}

// Problems tells in sentences what a person has to know.
func (s *Scrubber) Problems() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, err := range s.errs {
		if name == "" {
			list = append(list, err.Error())
			continue
		}
		list = append(list, fmt.Sprintf("%s cannot be scrubbed: %v", name, err))
	}
	slices.Sort(list)
	return list
}
