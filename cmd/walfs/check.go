package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/check"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// checkArgs is the question of opCheck.
type checkArgs struct {
	Paths    [][]byte `json:"paths,omitempty"` // in the drive; none: all of it
	ReadData bool     `json:"read_data,omitempty"`
	Repair   bool     `json:"repair,omitempty"`
}

// checkEvent is what opCheck tells while it works: one of the two.
type checkEvent struct {
	Finding  *check.Finding  `json:"finding,omitempty"`
	Progress *check.Progress `json:"progress,omitempty"`
}

// checked is the answer of opCheck, and what check prints at the end.
type checked struct {
	Damaged  int   `json:"damaged"`  // wrong, and still so
	Repaired int   `json:"repaired"` // was wrong
	Unknown  int   `json:"unknown"`  // could not be looked at
	Bytes    int64 `json:"bytes"`    // of content that was read
}

func (c *checked) count(k check.Kind) {
	switch k {
	case check.Damage:
		c.Damaged++
	case check.Repaired:
		c.Repaired++
	case check.Unknown:
		c.Unknown++
	}
}

func newCheckCommand(a *app) *cobra.Command {
	var args checkArgs
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "check [PATH...]",
		Short: "Look for damage in the drive, and repair it",
		Long: "Check compares index, staging, outbox, ledger, nodes and local copies, and prints a line for each\n" +
			"thing that is wrong. With --read-data, or for the PATHs given, it also reads every byte from the\n" +
			"nodes, verifies it, and compares it with what is local. --repair puts right what can be without\n" +
			"guessing; it never removes the only copy of anything, and says what it does. An index that is too\n" +
			"damaged to be opened is made anew from the network, or from a local copy when there is no\n" +
			"network; what is staged is kept. It exits with 3 when damage remains or something could not be\n" +
			"looked at, and with 13 when too few nodes are up to read content.",
		Args: anyNames,
		RunE: func(cmd *cobra.Command, paths []string) error {
			return a.check(cmd.Context(), args, rebuild, paths)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&args.ReadData, "read-data", false, "read every byte of every file from the nodes")
	flags.BoolVar(&args.Repair, "repair", false, "put right what can be")
	flags.BoolVar(&rebuild, "rebuild-index", false, "with --repair: make the index anew although it can be opened")
	return cmd
}

func (a *app) check(ctx context.Context, args checkArgs, rebuild bool, paths []string) error {
	if rebuild && !args.Repair {
		return usagef("--rebuild-index needs --repair")
	}
	h, err := a.home()
	if err != nil {
		return err
	}
	s := showing{app: a}
	l, err := a.reachWhole(ctx, h, args.Repair, rebuild, &s)
	if err != nil {
		return err
	}
	if l != nil {
		err = errors.Join(s.run(ctx, l, args, paths), l.close())
	}
	if err != nil {
		return err
	}
	return s.verdict()
}

// reachWhole reaches the drive, and makes its index anew where that is needed and repair is
// set. Without repair, a drive that cannot be opened is a finding, and there is no line.
func (a *app) reachWhole(ctx context.Context, h home, repair, rebuild bool, s *showing) (*line, error) {
	if err := a.checkHome(h); err != nil {
		return nil, err
	}
	client, err := control.Dial(ctx, h.dir)
	if err == nil {
		if rebuild {
			return nil, errors.Join(inUse(h), client.Close())
		}
		return &line{call: client.Call, close: client.Close, mounted: true}, nil
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return nil, err
	}
	var l *line
	if !rebuild {
		if l, err = a.openRecovered(ctx, h, repair); !errors.Is(err, index.ErrCorrupt) {
			return l, err
		}
		if !repair {
			return nil, s.add(check.Finding{Part: "index", Kind: check.Damage, What: fmt.Sprintf("the drive cannot be opened: %v", err),
				Hint: "walfs check --repair makes a new index from the network, or from a local copy; what is staged is kept, and so is the damaged file"})
		}
	}
	if err := a.rebuildIndex(ctx, h, s); err != nil {
		return nil, err
	}
	return a.openRecovered(ctx, h, repair)
}

// openRecovered opens the drive here, brings it to where it was left, and, when work is set,
// lets it do what a mounted drive does.
func (a *app) openRecovered(ctx context.Context, h home, work bool) (*line, error) {
	d, err := a.openDrive(ctx, h, a.logTo(h))
	if err != nil {
		return nil, err
	}
	stop := func() error { return nil }
	if work {
		stop, err = d.work(ctx)
	} else {
		_, err = d.recover(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d.line(func() error { return errors.Join(stop(), d.Close()) }), nil
}

// showing prints findings as they come.
type showing struct {
	app   *app
	count checked
}

func (s *showing) add(f check.Finding) error {
	s.count.count(f.Kind)
	return s.app.result("finding", f, func() error { return s.text(f) })
}

// kindStyles are how a person sees kinds.
var kindStyles = map[check.Kind]ui.Style{check.Damage: ui.Red, check.Repaired: ui.Green, check.Unknown: ui.Yellow}

func (s *showing) text(f check.Finding) error {
	what := f.What
	if f.Path != "" {
		what = f.Path + ": " + what
	}
	err := s.app.Print("%s  %-8s  %s", s.app.Paint(kindStyles[f.Kind], fmt.Sprintf("%-8s", f.Kind)), f.Part, ui.Clean(what))
	for _, more := range []string{f.Done, f.Hint} {
		if err == nil && more != "" {
			err = s.app.Print("%20s%s", "", ui.Clean(more))
		}
	}
	return err
}

// run asks for a check and shows what it finds.
func (s *showing) run(ctx context.Context, l *line, args checkArgs, paths []string) error {
	for _, p := range paths {
		inside, err := l.existing(ctx, p)
		if err != nil {
			return err
		}
		args.Paths = append(args.Paths, inside)
	}
	progress := s.app.Progress("check", "items")
	defer progress.End()
	var refused error
	var done checked
	err := l.call(ctx, opCheck, args, func(raw json.RawMessage) {
		var event checkEvent
		switch err := json.Unmarshal(raw, &event); {
		case err != nil:
		case event.Finding != nil:
			refused = errors.Join(refused, s.add(*event.Finding))
		case event.Progress != nil:
			p := event.Progress
			progress.Set(ui.Count{Items: p.Done, Bytes: p.Bytes}, ui.Count{Items: p.Total, Bytes: p.BytesTotal})
		}
	}, &done)
	s.count.Bytes = done.Bytes
	return errors.Join(err, refused)
}

// verdict is the end of the output, and the error of the command.
func (s *showing) verdict() error {
	c := s.count
	err := s.app.result("check", c, func() error {
		switch {
		case c == checked{Bytes: c.Bytes} && c.Bytes > 0:
			return s.app.Print("all is well; %s were read from the nodes", ui.Size(c.Bytes))
		case c == checked{}:
			return s.app.Print("all is well")
		}
		return s.app.Print("%d damaged, %d repaired, %d could not be looked at", c.Damaged, c.Repaired, c.Unknown)
	})
	switch {
	case err != nil:
		return err
	case c.Damaged > 0:
		return ui.Errorf(ui.Partial, "damage remains: %s", ui.Plural(c.Damaged, "finding", "findings"))
	case c.Unknown > 0:
		return ui.Errorf(ui.Partial, "%s not be looked at", ui.Plural(c.Unknown, "part could", "parts could"))
	}
	return nil
}

func (d *drive) answerCheck(ctx context.Context, args checkArgs, emit func(any) error) (done checked, err error) {
	opt := check.Options{ReadData: args.ReadData, Repair: args.Repair}
	for _, p := range args.Paths {
		if opt.Files, err = d.filesBelow(ctx, p, opt.Files); err != nil {
			return done, err
		}
	}
	blobs, err := blobstore.New(blobstore.Config{
		Ledger: d.ledger, Dial: d.net.Dial, Codec: d.net.Codec(), ReadTimeout: checkPatience, Log: d.log,
	})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, blobs.Close()) }()
	tell := func(f check.Finding) error {
		done.count(f.Kind)
		return emit(checkEvent{Finding: &f})
	}
	if d.found.Shelved > 0 && opt.Files == nil {
		f := check.Finding{Part: "staging", Kind: check.Repaired, What: "local content of " + ui.Plural(d.found.Shelved, "file", "files") + " that the index did not know when the drive was opened", Done: "moved to " + d.staging.Lost()}
		if err := tell(f); err != nil {
			return done, err
		}
	}
	if args.ReadData && args.Repair {
		if err := d.findAgain(ctx, tell); err != nil {
			return done, err
		}
	}
	opt.Progress = func(p check.Progress) {
		done.Bytes = max(done.Bytes, p.Bytes)
		_ = emit(checkEvent{Progress: &p}) // nobody listens: the check goes on until ctx ends
	}
	err = check.Run(ctx, check.Config{
		Index: d.index, Staging: d.staging, Cache: d.cache, Blobs: blobs, Nodes: d.net.Up, Keys: d.keys.ring,
		Ledger: d.ledger, Wake: d.committer.Wake, Log: d.log,
	}, opt, tell)
	if errors.Is(err, check.ErrTooFewNodes) {
		return done, ui.Errorf(ui.TooFewNodes, "%w", err).WithHint("%s: walfs node start NAME takes one up", downText(d.nodes()))
	}
	return done, err
}

// downText names the nodes that are down.
func downText(all []nodeStatus) string {
	var names []string
	for _, n := range all {
		if n.State != "up" {
			names = append(names, n.Name)
		}
	}
	if len(names) == 1 {
		return names[0] + " is down"
	}
	return strings.Join(names, ", ") + " are down"
}

// filesBelow appends the regular files at or below a path, each once.
func (d *drive) filesBelow(ctx context.Context, path []byte, list []index.Ino) ([]index.Ino, error) {
	attr, err := d.resolve(ctx, path)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []index.Ino{}
	}
	if attr.IsRegular() {
		return append(list, attr.Ino), nil
	}
	for folders := []index.Ino{attr.Ino}; len(folders) > 0 && attr.IsDir(); folders = folders[1:] {
		for after := uint64(0); ; {
			entries, err := d.index.ReadDir(ctx, folders[0], after, maxListPage)
			if err != nil {
				return nil, err
			}
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				after = e.Cookie
				switch {
				case e.Attr.IsDir():
					folders = append(folders, e.Attr.Ino)
				case e.Attr.IsRegular():
					list = append(list, e.Attr.Ino)
				}
			}
		}
	}
	return list, nil
}

// findAgain tells of what was lost and can be read again, and makes good what the nodes have lost.
func (d *drive) findAgain(ctx context.Context, tell func(check.Finding) error) error {
	_, before, err := keep.LostFiles(ctx, d.index)
	if err != nil {
		return err
	}
	looked, err := d.watch.Look(ctx)
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		return tell(check.Finding{Part: "content", Kind: check.Unknown, What: err.Error()})
	}
	_, after, err := keep.LostFiles(ctx, d.index)
	if err != nil {
		return err
	}
	if looked.Found > 0 {
		err = tell(check.Finding{Part: "content", Kind: check.Repaired, What: fmt.Sprintf("%d files were lost, %d are", before, after), Done: "they can be read again"})
	}
	if err == nil && looked.Snapshot {
		err = tell(check.Finding{Part: "index", Kind: check.Repaired, What: "a restore would have read a segment that the nodes have lost", Done: "a full snapshot stands in for it"})
	}
	return err
}

// restage stores files anew, as far as local copies prove what the nodes have lost.
func (d *drive) restage(ctx context.Context, blobs *blobstore.Client, files []index.Ino) error {
	cfg := check.Config{
		Index: d.index, Staging: d.staging, Cache: d.cache, Blobs: blobs, Nodes: d.net.Up, Keys: d.keys.ring,
		Ledger: d.ledger, Wake: d.committer.Wake, Log: d.log,
	}
	return check.Run(ctx, cfg, check.Options{Files: files, Repair: true}, func(f check.Finding) error {
		d.log.Info("what the nodes have lost", "op", "watch", "kind", f.Kind, "err", f.What, "done", f.Done)
		return nil
	})
}
