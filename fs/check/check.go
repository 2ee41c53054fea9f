// Package check looks at a drive as a whole: whether index, staging, outbox,
// ledger, nodes and local copies fit one another, and, when asked, whether every
// byte of every file can be read. It repairs what can be put right without
// guessing, and never gives up the only copy of anything.
//
// A drive may be in use meanwhile. What looks wrong is looked at again before
// it is reported, since the parts change one after the other.
package check

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// ErrTooFewNodes reports that so few nodes are up that no content can be read.
var ErrTooFewNodes = errors.New("too few nodes are up to read content")

// Config is the parts of an open drive. All but Wake and Log are required.
type Config struct {
	Index   *index.DB
	Staging *staging.Dir
	Cache   *cache.Cache
	Blobs   *blobstore.Client // without a cache, so that it reads from the nodes
	Nodes   func() []*node.Node
	Keys    *seal.Keyring
	Ledger  chain.Ledger
	Wake    func()       // a job was queued; nil: nobody asks
	Log     *slog.Logger // nil means silent
}

// Options say how closely to look. The zero value looks at the whole drive and changes nothing.
type Options struct {
	Files    []index.Ino // only read these; nil means all. With Files, only content is looked at
	ReadData bool        // read every byte of every file from the nodes
	Repair   bool
	After    index.Ino // ReadData goes on behind this file
	Progress func(Progress)
}

// Progress says how far a check has come.
type Progress struct {
	Step       string    `json:"step"`
	Done       int64     `json:"done"`  // items
	Total      int64     `json:"total"` // 0: not known
	Bytes      int64     `json:"bytes"`
	BytesTotal int64     `json:"bytes_total"`
	Ino        index.Ino `json:"ino,omitempty"` // the last file of which all was read
}

// Kind says what a finding is.
type Kind string

// The kinds of findings.
const (
	Damage   Kind = "damage"   // wrong, and still so
	Repaired Kind = "repaired" // was wrong
	Unknown  Kind = "unknown"  // could not be looked at
	Note     Kind = "note"     // nothing that anybody has to act on
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Part  string `json:"part"`
	Kind  Kind   `json:"kind"`
	What  string `json:"what"`            // what is wrong and what it means
	Path  string `json:"path,omitempty"`  // in the drive
	Done  string `json:"done,omitempty"`  // what was done about it
	Hint  string `json:"hint,omitempty"`  // what can be done
	Count int    `json:"count,omitempty"` // of a note: of how many things it tells
}

// check is one run.
type check struct {
	cfg    Config
	opt    Options
	signer ed25519.PublicKey
	tell   func(Finding) error
	segs   map[uint64]index.SegmentRow
	anew   map[index.Ino]bool // files of which this check has something stored anew
}

// step is one part of a check.
type step struct {
	name string
	run  func(context.Context) error
}

// Run looks at a drive and calls tell for everything that it finds, one at a
// time. An error of tell, or the end of ctx, ends it. What cannot be looked at
// is a finding, not an error. ErrTooFewNodes ends it before content is read, or
// while it is: each read would only wait in vain.
func Run(ctx context.Context, cfg Config, opt Options, tell func(Finding) error) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	if opt.Progress == nil {
		opt.Progress = func(Progress) {}
	}
	seed := cfg.Keys.Derive("anchor") // as fs/commit signs it
	c := &check{cfg: cfg, opt: opt, tell: tell, anew: map[index.Ino]bool{}, signer: ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)}
	steps := []step{{"index", c.index}, {"staging", c.staging}, {"outbox", c.outbox}, {"extents", c.extents},
		{"ledger", c.ledger}, {"anchor", c.anchor}, {"nodes", c.nodes}, {"cache", c.cached}, {"copies", c.copies}}
	if opt.Files != nil {
		steps = nil
	}
	if opt.ReadData || opt.Files != nil {
		steps = append(steps, step{"content", c.content})
	}
	if err := c.loadSegments(ctx); err != nil {
		return err
	}
	for _, s := range steps {
		opt.Progress(Progress{Step: s.name})
		err := s.run(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var refused *told
		if errors.As(err, &refused) {
			return refused.error
		}
		if errors.Is(err, ErrTooFewNodes) {
			return err
		}
		if err == nil {
			continue
		}
		if err := c.find(Finding{Part: s.name, Kind: Unknown, What: fmt.Sprintf("could not be looked at: %v", err)}); err != nil {
			return err
		}
	}
	return nil
}

// told is the error of whoever is told.
type told struct{ error }

func (c *check) find(f Finding) error {
	if err := c.tell(f); err != nil {
		return &told{err}
	}
	return nil
}

// damaged reports what is wrong and stays so.
func (c *check) damaged(part, path, hint, format string, args ...any) error {
	return c.find(Finding{Part: part, Kind: Damage, Path: path, Hint: hint, What: fmt.Sprintf(format, args...)})
}

// repair does something about what is wrong if that was asked for, and reports both.
func (c *check) repair(f Finding, done string, do func() error) error {
	if !c.opt.Repair {
		f.Kind = Damage
		if f.Hint == "" {
			f.Hint = hintRepair
		}
		return c.find(f)
	}
	if err := do(); err != nil {
		f.Kind, f.Hint = Damage, fmt.Sprintf("cannot be repaired now: %v", err)
		return c.find(f)
	}
	f.Kind, f.Done, f.Hint = Repaired, done, ""
	return c.find(f)
}

const hintRepair = "walfs check --repair puts it right"

// How long something that looks wrong is given to turn out to be on its way.
const (
	lookAgain = 50 * time.Millisecond
	lookTimes = 6
)

// persists reports whether something stays wrong.
func persists(ctx context.Context, wrong func() (bool, error)) (bool, error) {
	for i := range lookTimes {
		is, err := wrong()
		if err != nil || !is {
			return false, err
		}
		if i == lookTimes-1 {
			break
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return true, nil
}

// path names an inode for messages.
func (c *check) path(ctx context.Context, ino index.Ino) string {
	if path, err := c.cfg.Index.Path(ctx, ino); err == nil {
		return path
	}
	return fmt.Sprintf("inode %d", ino)
}

func (c *check) loadSegments(ctx context.Context) error {
	rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{})
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	c.segs = make(map[uint64]index.SegmentRow, len(rows))
	for _, r := range rows {
		c.segs[r.Number] = r
	}
	return nil
}
