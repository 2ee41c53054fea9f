package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/keep"
)

// takeoverOptions says what a restore may do with the drive; walfs takeover has them too.
type takeoverOptions struct {
	take     bool // the drive over
	loss     bool // accepted
	verify   bool
	rollback bool // accepted
}

func (o *takeoverOptions) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.loss, "accept-loss", false, "go on from an older generation when newer ones cannot be read: what they said is given up")
	flags.BoolVar(&o.verify, "verify", false, "read all content from the nodes, to find out what is lost")
	flags.BoolVar(&o.rollback, "allow-rollback", false, "believe a ledger that says less of the drive than this machine has seen before")
}

func (o *takeoverOptions) check() error {
	if o.loss && !o.take {
		return usagef("--accept-loss goes with --take-over: without it nothing is given up")
	}
	return nil
}

// restored is what restore and takeover print.
type restored struct {
	Drive      string       `json:"drive"`
	Home       string       `json:"home"`
	Generation uint64       `json:"generation"`
	Time       string       `json:"time,omitempty"` // when it was packed, as RFC 3339
	ReadOnly   bool         `json:"read_only"`
	Inodes     int64        `json:"inodes"`
	Bytes      int64        `json:"bytes"`
	Problems   []string     `json:"problems"`
	Nodes      []string     `json:"nodes,omitempty"`          // whose folders were found
	Missing    []string     `json:"missing,omitempty"`        // nodes that got new folders, to be filled from the others
	Newest     uint64       `json:"newest_generation"`        // that the ledger names
	Written    string       `json:"last_written,omitempty"`   // when the ledger was told of it
	Passed     []passedOver `json:"passed_over,omitempty"`    // newest first
	Salvaged   []salvaged   `json:"salvaged,omitempty"`       // files that generations above those told all of
	SalvagedIn int          `json:"salvaged_count,omitempty"` // how many such files there are
	Missed     []string     `json:"missed,omitempty"`         // paths of which those say something that is missing still
	MissedIn   int          `json:"missed_count,omitempty"`   // how many such paths there are
	Lost       []lostFile   `json:"lost,omitempty"`           // files that cannot be read any more
	LostIn     int          `json:"lost_count,omitempty"`     // how many such files there are
	Shelved    []string     `json:"shelved,omitempty"`        // files that were never stored; they are in lost+found
}

// passedOver is a generation that cannot be read.
type passedOver struct {
	Generation uint64 `json:"generation"`
	Reason     string `json:"reason"`
}

// salvaged is a file that was brought back from above a generation that cannot be read.
type salvaged struct {
	Path       string   `json:"path"`
	Bytes      int64    `json:"bytes"`
	Generation uint64   `json:"generation,omitempty"` // that told of it
	Uncertain  []string `json:"uncertain,omitempty"`
}

// lostFile is a file that cannot be read any more.
type lostFile struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"` // of it that are lost
	Reason string `json:"reason"`
}

func newRestored(h home, r keep.Report) restored {
	to := restored{
		Drive: hex.EncodeToString(r.Drive[:]), Home: h.dir, Generation: r.Generation, Time: timeOf(r.Time), ReadOnly: !r.Writer,
		Inodes: r.Inodes, Bytes: r.Bytes, Problems: append([]string{}, r.Problems...),
		Newest: r.Newest, Written: timeOf(r.Before.Time), SalvagedIn: r.SalvagedIn, Missed: r.Missed, MissedIn: r.MissedIn, LostIn: r.LostIn,
	}
	for _, f := range r.Salvaged {
		to.Salvaged = append(to.Salvaged, salvaged(f))
	}
	for _, p := range r.Passed {
		to.Passed = append(to.Passed, passedOver{p.Generation, p.Why})
	}
	for _, l := range r.Lost {
		to.Lost = append(to.Lost, lostFile{l.Path, l.Bytes, l.Why})
	}
	return to
}

// survived adds what was found of the nodes.
func (r *restored) survived(left *embedded.Survivors) {
	r.Missing = left.Missing
	for _, v := range left.Here {
		r.Nodes = append(r.Nodes, v.Name)
	}
	r.Problems = append(r.Problems, left.Older...)
}

// timeOf writes a time down; "" for none.
func timeOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// maxNamed is how many of a kind restore lists for a person; --json lists more.
const maxNamed = 10

func (a *app) showRestored(r restored) error {
	if len(r.Missing) > 0 {
		a.Note("%d of %d node folders are lost; the next mount fills new ones from the others", len(r.Missing), len(r.Missing)+len(r.Nodes))
	}
	of := ""
	if r.Time != "" && r.ReadOnly {
		of = " of " + r.Time
	}
	if r.ReadOnly {
		of += ", to be read only"
	}
	err := a.Print("restored generation %d%s: %s, %s; %s mount DIR mounts it",
		r.Generation, of, ui.Plural(r.Inodes, "file or folder", "files and folders"), ui.Size(r.Bytes), a.self)
	if !r.ReadOnly {
		return errors.Join(err, a.Print("this machine writes the drive from now on"))
	}
	if when, never := time.Parse(time.RFC3339, r.Written); never == nil {
		err = errors.Join(err, a.Print("the drive was last written %s by another machine, and stays with it", ago(when)))
	} else {
		err = errors.Join(err, a.Print("the drive was never written, and stays with the machine that made it"))
	}
	if r.Generation < r.Newest && len(r.Passed) == 0 {
		return errors.Join(err, a.Print("it stays as it was then; takeover would bring it to the newest generation, %d", r.Newest))
	}
	return errors.Join(err, a.Print("if that machine is gone: %s --home %s takeover", a.self, r.Home))
}

// restoredOnly is why a drive cannot be written that was restored to be read.
type restoredOnly struct {
	from string // the state that was restored
	why  error  // what the committer says of it; may be nil
}

func (e *restoredOnly) Error() string { return "restored from " + e.from }

// Unwrap returns what the committer says.
func (e *restoredOnly) Unwrap() error { return e.why }

// whyReadOnly says of a drive that was restored to be read that it was, and returns why for others.
func (d *drive) whyReadOnly(ctx context.Context, why error) error {
	at, err := d.index.Anchored(ctx)
	if err != nil || at.Version != 0 {
		return why
	}
	from := "an older generation"
	if a := at.Anchor; a != nil {
		from = fmt.Sprintf("generation %d of %s", a.Generation, timeOf(time.Unix(0, a.Time)))
	}
	return &restoredOnly{from: from + " in " + d.config.networkFolder(d.home), why: why}
}

// ago says how long a time is past, for a person.
func ago(t time.Time) string {
	d := time.Since(t)
	switch {
	case d < 0:
		return "at " + t.Format(time.RFC3339)
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds ago", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", d/time.Hour)
	}
	return fmt.Sprintf("%d days ago", d/(24*time.Hour))
}

// err warns of what could not be restored as it was.
func (r restored) err(a *app) error {
	var parts []string
	for _, p := range r.Passed {
		parts = append(parts, fmt.Sprintf("generation %d is passed over: %s", p.Generation, p.Reason))
	}
	a.warnOf(parts, len(parts))
	var doubts []string
	for _, f := range r.Salvaged {
		text := "salvaged from newer generations: " + f.Path
		if len(f.Uncertain) > 0 {
			text += "; " + strings.Join(f.Uncertain, "; ")
		}
		doubts = append(doubts, text)
	}
	a.warnOf(doubts, r.SalvagedIn)
	var missed []string
	for _, path := range r.Missed {
		missed = append(missed, "newer generations speak of "+path+", and do not tell all of it")
	}
	a.warnOf(missed, r.MissedIn)
	var lost []string
	for _, l := range r.Lost {
		lost = append(lost, fmt.Sprintf("lost: %s, %s of it: %s", l.Path, ui.Size(l.Bytes), l.Reason))
	}
	a.warnOf(lost, r.LostIn)
	for _, problem := range r.Problems {
		a.Warn("%s", problem)
	}
	switch {
	case len(r.Passed) > 0 && r.ReadOnly:
		return ui.Errorf(ui.Partial, "generation %d could not be read, and %d is what was restored%s", r.Passed[0].Generation, r.Generation, r.more()).
			WithHint("try again when more nodes answer; %s --home %s takeover --accept-loss goes on from generation %d", a.self, r.Home, r.Generation)
	case len(r.Passed) > 0:
		return ui.Errorf(ui.Partial, "generations up to %d are given up: the drive goes on from %d%s", r.Newest, r.Generation, r.more())
	case r.LostIn > 0:
		return ui.Errorf(ui.Partial, "%s be read any more; all else is restored", ui.Plural(r.LostIn, "file cannot", "files cannot"))
	case len(r.Problems) > 0:
		return ui.Errorf(ui.Partial, "%s not as they were", ui.Plural(len(r.Problems), "entry is", "entries are"))
	}
	return nil
}

// more says how many files are newer than the generation that was restored.
func (r restored) more() string {
	if r.SalvagedIn == 0 {
		return ""
	}
	return fmt.Sprintf(", with %d files of newer ones", r.SalvagedIn)
}

// warnOf warns of the first of n things, of which some are listed.
func (a *app) warnOf(list []string, n int) {
	for _, text := range list[:min(len(list), maxNamed)] {
		a.Warn("%s", text)
	}
	if more := n - maxNamed; more > 0 {
		a.Warn("and %d more; --json lists them", more)
	}
}

// rebuild restores into cfg.Path from the network of the home, and remembers what it has seen.
// Then, which may be nil, is called while the network is open.
func (a *app) rebuild(ctx context.Context, h home, c config, k keys, o takeoverOptions, cfg keep.RestoreConfig,
	then func(*embedded.Network, *blobstore.Client) error) (report keep.Report, err error) {
	net, err := c.openNetwork(ctx, h, k, a.logTo(h))
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	ledger, err := net.Owner(ctx, k.wallet, h.journal())
	if err != nil {
		return report, err
	}
	blobs, err := blobstore.New(blobstore.Config{
		Ledger: ledger, Dial: net.Dial, Codec: net.Codec(), ReadTimeout: time.Duration(c.ReadTimeout), Log: a.logTo(h),
	})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, blobs.Close()) }()
	cfg.Ledger, cfg.Blobs, cfg.Keys, cfg.Drive, cfg.Log = ledger, blobs, k.ring, k.drive, a.logTo(h)
	cfg.Verify, cfg.AcceptLoss = o.verify, o.loss
	memory := memoryOf(k.drive, a.getenv)
	if !o.rollback {
		if cfg.Seen, err = memory.load(); err != nil {
			return report, err
		}
	}
	if !cfg.ReadOnly && !o.take {
		take, err := a.askTakeOver(ctx, cfg)
		if err != nil {
			return report, explainRestore(err)
		}
		cfg.ReadOnly = !take
	}
	if _, err := rand.Read(cfg.Writer[:]); err != nil {
		return report, err
	}
	progress := a.Progress("restore", "generations")
	cfg.Progress = func(p keep.Progress) { showStep(progress, p) }
	report, err = keep.Restore(ctx, cfg)
	progress.End()
	if err != nil {
		return report, explainRestore(err)
	}
	if report.Writer { // so that the writer before leaves the copies of the keys alone
		if err := h.claimAs(net, cfg.Writer); err != nil {
			return report, err
		}
	}
	if then != nil {
		if err := then(net, blobs); err != nil {
			return report, err
		}
	}
	if o.rollback {
		return report, memory.set(report.Anchor)
	}
	return report, memory.note(report.Anchor)
}

// askTakeOver asks the person at the terminal whether to take the drive over; nobody there means no.
func (a *app) askTakeOver(ctx context.Context, cfg keep.RestoreConfig) (bool, error) {
	seen, err := keep.Look(ctx, cfg)
	if err != nil {
		return false, err
	}
	when := "never written"
	if !seen.Time.IsZero() {
		when = "last written " + ago(seen.Time)
	}
	if !a.Attended() {
		return false, nil
	}
	return a.Confirm(ctx, fmt.Sprintf("The drive was %s, and another machine is its writer. Take it over, so that that one only reads?", when))
}

// showStep shows one step of a restore.
func showStep(progress *ui.Progress, p keep.Progress) {
	progress.Set(ui.Count{Items: int64(p.Done), Bytes: p.Bytes}, ui.Count{Items: int64(p.Total)})
}

// explainRestore says what errors of a restore mean.
func explainRestore(err error) error {
	switch {
	case errors.Is(err, keep.ErrRolledBack):
		return ui.Errorf(ui.Chain, "%w", err).
			WithHint("the network folder is an older copy, or the ledger lies; --allow-rollback goes on with it all the same")
	case errors.Is(err, keep.ErrNoAnchor):
		return ui.Errorf(ui.NoDrive, "%w", err).WithHint("is this the network folder of the drive, and the wallet that belongs to its key?")
	case errors.Is(err, keep.ErrBusy):
		return ui.Errorf(ui.InUse, "%w", err).WithHint("unmount the drive there, or stop that machine")
	}
	return wrapf(err, "rebuild the index")
}
