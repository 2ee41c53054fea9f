package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// trashEmptyArgs is the question of opTrashEmpty.
type trashEmptyArgs struct {
	Items     []trashItem   `json:"items,omitempty"` // empty: all
	OlderThan time.Duration `json:"older_than,omitempty"`
	Newest    int64         `json:"newest,omitempty"` // no ID above this; 0: any
	Look      bool          `json:"look,omitempty"`   // only say what would go
}

func newTrashEmptyCommand(a *app) *cobra.Command {
	var older span
	var yes bool
	cmd := &cobra.Command{
		Use:   "empty [ID|PATH...]",
		Short: "Give deleted files up for good",
		Long: "Empty gives up what lies in the trash, or what is named: by ID, or by a path that it had or lay\n" +
			"below. Nobody can have it back then. It asks before, unless --yes is given. The storage of what\n" +
			"nothing else needs is freed when it is collected.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if older < 0 {
				return usagef("--older-than %s lies ahead", time.Duration(older))
			}
			return a.emptyTrash(cmd.Context(), trashEmptyArgs{OlderThan: time.Duration(older)}, args, yes)
		},
	}
	cmd.Flags().Var(&older, "older-than", "only what was deleted longer ago, such as 12h or 3d")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) emptyTrash(ctx context.Context, q trashEmptyArgs, args []string, yes bool) (err error) {
	l, err := a.reach(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if q.Items, err = l.items(ctx, args); err != nil {
		return err
	}
	var sum trashSum
	q.Look = true
	if err := l.call(ctx, opTrashEmpty, q, nil, &sum); err != nil {
		return err
	}
	if sum.Files > 0 && !yes {
		ok, err := a.Confirm(ctx, "give up "+files(sum.Files)+" of "+ui.Size(sum.Bytes)+" for good?")
		if err != nil {
			return err
		}
		if !ok {
			return ui.Errorf(ui.Failed, "nothing was given up")
		}
	}
	q.Look, q.Newest = false, sum.Newest // what was deleted meanwhile nobody was asked about
	if sum.Files > 0 {
		sum = trashSum{}
		if err := l.call(ctx, opTrashEmpty, q, nil, &sum); err != nil {
			return err
		}
	}
	return a.result("emptied", sum, func() error { return a.Print("gave up %s of %s", files(sum.Files), ui.Size(sum.Bytes)) })
}

// emptyBatch is how many files one transaction gives up.
const emptyBatch = 1000

func (d *drive) answerTrashEmpty(ctx context.Context, args trashEmptyArgs, _ func(any) error) (sum trashSum, err error) {
	if args.OlderThan > 0 { // ages are as of the last look at the trash
		if _, err := d.trash.Expire(ctx); err != nil {
			return sum, err
		}
	}
	seen := map[int64]bool{}
	var ids []int64
	add := func(list []index.Trashed) error {
		for _, t := range list {
			if seen[t.ID] || t.Age < args.OlderThan || args.Newest > 0 && t.ID > args.Newest {
				continue
			}
			seen[t.ID] = true
			ids = append(ids, t.ID)
			sum.add(t)
		}
		return nil
	}
	if len(args.Items) == 0 {
		if err := d.eachTrashed(ctx, nil, add); err != nil {
			return sum, err
		}
	}
	for _, item := range args.Items {
		if err := d.trashed(ctx, item, add); err != nil {
			return sum, err
		}
	}
	for len(ids) > 0 && !args.Look {
		n := min(len(ids), emptyBatch)
		if _, err := d.index.EmptyTrash(ctx, ids[:n]); err != nil {
			return trashSum{}, err
		}
		ids = ids[n:]
	}
	return sum, nil
}
