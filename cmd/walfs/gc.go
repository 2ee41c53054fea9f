package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/keep"
)

// collectArgs is the question of opCollect.
type collectArgs struct {
	DryRun  bool   `json:"dry_run,omitempty"`
	Grace   string `json:"grace,omitempty"` // a duration; empty: that of the drive
	Compact bool   `json:"compact,omitempty"`
	Shorter bool   `json:"shorter,omitempty"` // a grace shorter than the drive's is meant
}

// collectStep is an event of opCollect.
type collectStep struct {
	Step  string `json:"step"`
	Done  int    `json:"done"`
	Total int    `json:"total"`
}

// collected is the answer of opCollect.
type collected struct {
	keep.Collected
	DryRun bool   `json:"dry_run"`
	Grace  string `json:"grace"`
}

func newCollectCommand(a *app) *cobra.Command {
	var o collectArgs
	var grace span
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Free what nothing needs any more on the nodes",
		Long: "Gc does at once what a mounted drive does by itself a few times a day. Blobs that no file needs\n" +
			"are condemned, and deleted when the grace period has passed since: until then older states\n" +
			"of the drive can be had back with restore --at. Time counts while the drive is open. --compact\n" +
			"rewrites what is left of blobs that are mostly garbage.\n" +
			"A --grace shorter than the drive's gives up that part of its history for good, and needs --yes.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("grace") {
				o.Grace = time.Duration(grace).String()
			}
			return a.collect(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "change nothing, say what would be done")
	cmd.Flags().Var(&grace, "grace", "delete what was condemned this `DURATION` ago, such as 48h or 3d")
	cmd.Flags().BoolVar(&o.Compact, "compact", false, "rewrite what is left of sparse blobs")
	cmd.Flags().BoolVar(&o.Shorter, "yes", false, "give up history that a shorter --grace deletes")
	return cmd
}

func (a *app) collect(ctx context.Context, o collectArgs) (err error) {
	l, err := a.reach(ctx, !o.DryRun)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var done collected
	if err := l.collectShown(ctx, a.UI, o, &done); err != nil {
		return err
	}
	return a.result("gc", done, func() error { return a.showCollected(done) })
}

// collectShown calls opCollect and shows its progress, step by step.
func (l *line) collectShown(ctx context.Context, say *ui.UI, o collectArgs, done *collected) error {
	var progress *ui.Progress
	step := ""
	end := func() {
		if progress != nil {
			progress.End()
		}
	}
	defer func() { end() }()
	return l.call(ctx, opCollect, o, func(event json.RawMessage) {
		var at collectStep
		if json.Unmarshal(event, &at) != nil {
			return
		}
		if at.Step != step {
			end()
			progress, step = say.Progress(at.Step, "blobs"), at.Step
		}
		progress.Set(ui.Count{Items: int64(at.Done)}, ui.Count{Items: int64(at.Total)})
	}, done)
}

func (d *drive) answerCollect(ctx context.Context, args collectArgs, emit func(any) error) (collected, error) {
	grace, usual := d.config.grace(), d.config.grace()
	if args.Grace != "" {
		var err error
		if grace, err = parseSpan(args.Grace); err != nil || grace < 0 {
			return collected{}, usagef("--grace %s is no time to wait", args.Grace)
		}
	}
	if grace < usual && !args.Shorter && !args.DryRun {
		return collected{}, ui.Errorf(ui.Usage, "a grace period of %s instead of %s gives up what deleted files and older states of the drive held", ui.Duration(grace), ui.Duration(usual)).
			WithHint("add --yes if that is meant; --dry-run shows what would go")
	}
	if where := d.mounted(); where.readOnly != nil {
		return collected{}, where.readOnly
	}
	done, err := d.collector.Collect(ctx, keep.CollectOptions{
		DryRun: args.DryRun, Grace: &grace, Compact: args.Compact, Asked: true,
		Progress: func(step string, done, total int) { _ = emit(collectStep{step, done, total}) }, // nobody listens: it goes on
	})
	if done.Deleted.Segments > 0 && !args.DryRun {
		d.net.Sync(ctx) // so that the room is there when the command returns
	}
	return collected{Collected: done, DryRun: args.DryRun, Grace: grace.String()}, err
}

func (a *app) showCollected(c collected) error {
	would := ""
	if c.DryRun {
		would = "would be "
	}
	var b strings.Builder
	row := func(name string, g keep.Garbage, format string, args ...any) {
		if g.Segments > 0 {
			fmt.Fprintf(&b, "%-10s %s\n", name, blobs(g.Segments)+", "+fmt.Sprintf(format, args...))
		}
	}
	if c.Snapshot {
		fmt.Fprintf(&b, "%-10s %sstored: older trailers are not needed any more\n", "snapshot", would)
	}
	row("condemned", c.Condemned, "%s: no file needs them", ui.Size(c.Condemned.Payload))
	row("compacted", c.Compacted, "%s of %s %smoved", ui.Size(c.Moved), ui.Size(c.Compacted.Payload), would)
	row("deleted", c.Deleted, "%s, %s on the nodes", ui.Size(c.Deleted.Payload), ui.Size(c.Deleted.Stored))
	when := ""
	if !c.First.IsZero() {
		when = "; they can go from " + c.First.Local().Format("2006-01-02 15:04")
		if c.All.After(c.First) {
			when += ", the last at " + c.All.Local().Format("2006-01-02 15:04")
		}
	}
	row("waiting", c.Waiting, "%s, %s on the nodes%s", ui.Size(c.Waiting.Payload), ui.Size(c.Waiting.Stored), when)
	row("trash", c.Trash, "%s on the nodes, wait until the trash lets go of them", ui.Size(c.Trash.Stored))
	row("trailers", c.Trailers, "%s on the nodes, wait for the next full snapshot", ui.Size(c.Trailers.Stored))
	row("sparse", c.Dead, "mostly garbage: --compact frees %s on the nodes", ui.Size(c.Dead.Stored))
	if c.Hindered != "" {
		fmt.Fprintf(&b, "%-10s %s\n", "compaction", c.Hindered)
	}
	if b.Len() == 0 {
		b.WriteString("there is no garbage\n")
	}
	_, err := a.Stdout().Write([]byte(b.String()))
	return err
}
