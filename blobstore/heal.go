package blobstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// HealerConfig says what a healer looks after. Client and Nodes are required.
type HealerConfig struct {
	Client      *Client
	Nodes       func() []*node.Node // those to look after that are up; called often
	Ailing      <-chan struct{}     // receives when it may be worth a look; nil means never
	Rate        int64               // bytes rebuilt in a second; 0 means no limit but foreground work
	SurveyEvery time.Duration       // how often all marks are looked at; 0 means DefaultSurveyEvery
	Log         *slog.Logger        // nil means silent
}

// DefaultSurveyEvery is how often a healer looks for what no event and no read has shown.
const DefaultSurveyEvery = 24 * time.Hour

// How a healer works.
const (
	healPage    = 64 // blobs of a node, before the next node has its turn
	healWorkers = 2  // blobs at a time: one computes while the other waits for the disk
	// healGiveUp is after how many failures in a row a node's turn ends.
	healGiveUp     = 8
	minHealBackoff = time.Second
	maxHealBackoff = time.Minute
	// While there is foreground work, healing rests this many times as long as it worked.
	healYield = 3
	maxRest   = 2 * time.Second
	// surveyBurst is for how long a survey works before it rests.
	surveyBurst = 20 * time.Millisecond
	// maxSuspects and maxHopeless bound what is remembered. Who is forgotten is found again, later.
	maxSuspects = 1024
	maxHopeless = 4096
)

// Healer fills nodes with what they lack. What there is to do is known to the
// nodes themselves, so that it can be stopped at any time and goes on later.
type Healer struct {
	cfg HealerConfig

	mu       sync.Mutex // guards the fields below
	running  bool
	patients map[[48]byte]*patient
	suspects map[suspect]bool
	total    Traffic
}

// suspect is a blob of which a node gave wrong bytes.
type suspect struct {
	key  [48]byte
	blob walrus.BlobID
}

// patient is what a healer knows of a node while it is up. Fields from state on are guarded by Healer.mu.
type patient struct {
	node     *node.Node
	survey   time.Time // when it is due
	retry    time.Time // not to be healed before
	failures int       // turns in a row that got nowhere
	after    walrus.BlobID
	tried    bool // something since the list began
	missed   bool // something could not be healed since then
	hopeless map[walrus.BlobID]bool

	state     HealState
	traffic   Traffic
	lastError error
}

// HealState is what a healer does with a node.
type HealState string

// The states of a node.
const (
	Healthy   HealState = "healthy"
	Surveyed  HealState = "surveyed"  // it is looked at
	Healing   HealState = "healing"   // it is being filled
	Waiting   HealState = "waiting"   // it lacks something that cannot be had now
	Abandoned HealState = "abandoned" // what it lacks are blobs that are no valid encodings
)

// NodeHealing is how a node does.
type NodeHealing struct {
	Node     string
	State    HealState // "" while Run does not run
	Left     int       // blobs of which something is missing, as far as is known
	Hopeless int       // of these, blobs that are no valid encodings
	Traffic  Traffic
	Err      error     // what went wrong last, if it still lacks something
	Retry    time.Time // when it is tried again, if it waits
}

// NewHealer makes a healer; Run runs it.
func NewHealer(cfg HealerConfig) *Healer {
	if cfg.SurveyEvery <= 0 {
		cfg.SurveyEvery = DefaultSurveyEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Healer{cfg: cfg, patients: map[[48]byte]*patient{}, suspects: map[suspect]bool{}}
}

// Status returns how the nodes do that are up, in the order of Nodes, and what was done since the healer was made.
func (h *Healer) Status() (nodes []NodeHealing, total Traffic) {
	up := h.cfg.Nodes()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range up {
		status := n.Status()
		s := NodeHealing{Node: status.Name, Left: status.Lacking}
		if p := h.patients[n.PublicKey()]; p != nil && p.node == n {
			s.State, s.Hopeless, s.Traffic = p.state, len(p.hopeless), p.traffic
			if s.Left > 0 {
				s.Err = p.lastError
			}
			if s.State == Waiting {
				s.Retry = p.retry
			}
		} else if h.running {
			s.State = Surveyed // as soon as its turn comes
		}
		if !h.running {
			s.State = ""
		}
		nodes = append(nodes, s)
	}
	return nodes, h.total
}

// Run heals until ctx ends. It sleeps while there is nothing to do.
func (h *Healer) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	tell := func(key [48]byte, blob walrus.BlobID) {
		h.suspect(suspect{key, blob})
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	h.cfg.Client.suspect.Store(&tell)
	defer h.cfg.Client.suspect.Store(nil)
	h.setRunning(true)
	defer h.setRunning(false)
	for {
		next := h.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		due := time.NewTimer(time.Until(next))
		select {
		case <-h.cfg.Ailing:
		case <-wake:
		case <-due.C:
		case <-ctx.Done():
		}
		due.Stop()
	}
}

func (h *Healer) setRunning(running bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = running
}

func (h *Healer) suspect(s suspect) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.suspects) < maxSuspects {
		h.suspects[s] = true
	}
}

// round gives every node a turn and returns when the next one is due.
func (h *Healer) round(ctx context.Context) time.Time {
	h.admit()
	next := time.Now().Add(h.cfg.SurveyEvery)
	for _, n := range h.cfg.Nodes() {
		h.mu.Lock()
		p := h.patients[n.PublicKey()]
		h.mu.Unlock()
		if p == nil || p.node != n {
			return time.Now() // it came up just now
		}
		if ctx.Err() != nil {
			return next
		}
		if due := h.treat(ctx, p); due.Before(next) {
			next = due
		}
	}
	return next
}

// admit takes nodes in that came up and lets those go that went down. As it
// may be them who were missed, all others may be tried again.
func (h *Healer) admit() {
	up := h.cfg.Nodes()
	h.mu.Lock()
	defer h.mu.Unlock()
	came := false
	known := map[[48]byte]*patient{}
	for _, n := range up {
		p := h.patients[n.PublicKey()]
		if p == nil || p.node != n {
			p = &patient{node: n, state: Surveyed, hopeless: map[walrus.BlobID]bool{}}
			came = true
		}
		known[n.PublicKey()] = p
	}
	h.patients = known
	for _, p := range known {
		if came {
			p.retry, p.failures = time.Time{}, 0
		}
	}
}

// treat looks at a node if that is due, fills it for a while, and returns when it is its turn again.
func (h *Healer) treat(ctx context.Context, p *patient) time.Time {
	h.examine(ctx, p)
	if now := time.Now(); !now.Before(p.survey) {
		h.set(p, Surveyed, nil)
		if err := h.look(ctx, p); err != nil && ctx.Err() == nil {
			h.set(p, Waiting, err)
			p.survey = now.Add(maxHealBackoff)
			h.cfg.Log.Warn("node cannot be surveyed", "op", "heal", "node", p.name(), "err", err)
		} else {
			p.survey = now.Add(h.cfg.SurveyEvery)
		}
	}
	lacking := p.node.Status().Lacking
	h.mu.Lock()
	hopeless, retry := len(p.hopeless), p.retry
	h.mu.Unlock()
	switch {
	case lacking == 0:
		h.set(p, Healthy, nil)
		return p.survey
	case lacking <= hopeless:
		h.set(p, Abandoned, nil)
		return p.survey
	case time.Now().Before(retry):
		return retry
	}
	h.set(p, Healing, nil)
	return h.turn(ctx, p)
}

func (p *patient) name() string { return p.node.Status().Name }

// set notes what is done with a node, and an error if there was one.
func (h *Healer) set(p *patient, state HealState, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.state = state
	if err != nil {
		p.lastError = err
	}
}

// examine looks closely at the blobs of which a node gave wrong bytes: either
// its slots are bad although their checksums fit, or it lied.
func (h *Healer) examine(ctx context.Context, p *patient) {
	h.mu.Lock()
	var blobs []walrus.BlobID
	for s := range h.suspects {
		if s.key == p.node.PublicKey() {
			blobs = append(blobs, s.blob)
			delete(h.suspects, s)
		}
	}
	h.mu.Unlock()
	for _, blob := range blobs {
		_, err := p.node.Gap(ctx, blob, node.Hashes)
		if err != nil && !errors.Is(err, node.ErrNotRegistered) && ctx.Err() == nil {
			h.cfg.Log.Warn("wrong bytes cannot be looked into", "op", "heal", "node", p.name(), "blob", blob, "err", err)
		}
	}
}

// look surveys a node for what no event and no read has shown.
func (h *Healer) look(ctx context.Context, p *patient) error {
	began := time.Now()
	return p.node.Survey(ctx, node.Marks, walrus.BlobID{}, func(node.Gap) error {
		worked := time.Since(began)
		if worked < surveyBurst {
			return nil
		}
		err := h.rest(ctx, worked, 0, 0)
		began = time.Now()
		return err
	})
}

// rest gives way after some work on bytes: as long as the rate in bytes per
// second asks for, if there is one, or as foreground work does.
func (h *Healer) rest(ctx context.Context, worked time.Duration, bytes, rate int64) error {
	pauseFor := time.Duration(0)
	if h.cfg.Client.foreground.Load() > 0 {
		pauseFor = min(healYield*worked, maxRest)
	}
	if rate > 0 {
		pauseFor = max(pauseFor, time.Duration(float64(bytes)/float64(rate)*float64(time.Second))-worked)
	}
	if pauseFor <= 0 {
		return ctx.Err()
	}
	return pause(ctx, pauseFor)
}

// turn heals some blobs of a node and returns when it is its turn again.
func (h *Healer) turn(ctx context.Context, p *patient) time.Time {
	blobs, err := p.node.Lacking(ctx, p.after, healPage)
	if err != nil {
		h.set(p, Waiting, err)
		return h.backOff(p)
	}
	if len(blobs) == 0 { // the end of the list
		done := p.tried && !p.missed
		p.after, p.tried, p.missed = walrus.BlobID{}, false, false
		if !done {
			h.set(p, Waiting, nil)
			return h.backOff(p)
		}
		return time.Now()
	}
	p.tried = true
	done := h.mend(ctx, p, blobs)
	p.after = done.last
	p.missed = p.missed || done.failed > 0
	if done.healed > 0 {
		p.failures = 0
	}
	if done.stopped && done.healed == 0 { // and go on behind these, which may be the only ones
		h.set(p, Waiting, nil)
		return h.backOff(p)
	}
	return time.Now()
}

// backOff returns when a node is to be tried again, later each time.
func (h *Healer) backOff(p *patient) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.retry = time.Now().Add(min(minHealBackoff<<min(p.failures, 10), maxHealBackoff))
	p.failures++
	return p.retry
}

// mended is how mend went.
type mended struct {
	healed, failed int
	stopped        bool          // too many failed, or the node takes nothing now
	last           walrus.BlobID // that was tried
}

// mend heals blobs of a node, a few at a time, until there are no more or too many fail.
func (h *Healer) mend(ctx context.Context, p *patient, blobs []walrus.BlobID) (done mended) {
	queue := make(chan walrus.BlobID)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	var mu sync.Mutex // guards done and inRow
	inRow := 0
	for range healWorkers {
		workers.Go(func() {
			for blob := range queue {
				err := h.mendOne(ctx, p, blob)
				mu.Lock()
				if err == nil {
					done.healed, inRow = done.healed+1, 0
				} else {
					done.failed, inRow = done.failed+1, inRow+1
				}
				takesNothing := errors.Is(err, node.ErrNoRoom) || errors.Is(err, ErrClosed)
				if !done.stopped && (inRow >= healGiveUp || takesNothing) {
					done.stopped = true
					close(stop)
				}
				mu.Unlock()
			}
		})
	}
	last := p.after
	func() {
		defer close(queue)
		for _, blob := range blobs {
			if h.isHopeless(p, blob) {
				last = blob
				continue
			}
			select {
			case queue <- blob:
				last = blob
			case <-stop:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	workers.Wait()
	done.last = last
	return done
}

func (h *Healer) isHopeless(p *patient, blob walrus.BlobID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return p.hopeless[blob]
}

// mendOne heals one blob; an error means that there is something left to do for it.
func (h *Healer) mendOne(ctx context.Context, p *patient, blob walrus.BlobID) error {
	began := time.Now()
	t, err := h.cfg.Client.Mend(ctx, p.node, blob)
	if errors.Is(err, node.ErrNotRegistered) {
		return nil
	}
	h.mu.Lock()
	p.traffic.add(t)
	h.total.add(t)
	if errors.Is(err, redstuff.ErrInconsistent) && len(p.hopeless) < maxHopeless {
		p.hopeless[blob] = true
	}
	if err != nil {
		p.lastError = err
	}
	h.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			h.cfg.Log.Warn("blob cannot be healed now", "op", "heal", "node", p.name(), "blob", blob, "err", err)
		}
		return err
	}
	h.cfg.Log.Debug("blob is healed", "op", "heal", "node", p.name(), "blob", blob, "size", t.Rebuilt, "took", time.Since(began))
	return h.rest(ctx, time.Since(began), t.Rebuilt, h.cfg.Rate)
}
