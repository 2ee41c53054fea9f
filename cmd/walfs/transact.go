package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// consent says whether a transaction is sent, and who is asked before.
type consent struct {
	yes bool
	dry bool
}

func (c *consent) flags(set *pflag.FlagSet) {
	set.BoolVarP(&c.yes, "yes", "y", false, "do not ask before anything is sent")
	set.BoolVar(&c.dry, "dry-run", false, "try it out, tell what it would do and cost, and send nothing")
}

// tried is an answer that has a receipt in it.
type tried interface{ gas() receipt }

func (r receipt) gas() receipt { return r }

// transact has an operation send a transaction. Without --yes it is tried out first, and the
// person at the terminal is asked what question makes of that.
func transact[R tried](ctx context.Context, a *app, f *ledgerFlags, c consent, op string, args func(order) any, question func(R) string) (r R, err error) {
	o := newOrder()
	if c.dry || !c.yes {
		o.Dry = true
		if err := a.onLedger(ctx, f, op, args(o), &r); err != nil || c.dry {
			return r, err
		}
		yes, err := a.Confirm(ctx, question(r)+", for "+formatChange(r.gas().Gas, coinSUI)+" of gas?")
		if err != nil {
			return r, err
		}
		if !yes {
			return r, ui.Errorf(ui.Failed, "nothing was sent")
		}
	}
	o.Dry = false
	var done R // with nothing of the trial
	err = a.onLedger(ctx, f, op, args(o), &done)
	return done, err
}

// sent prints what a transaction did, or would do, with its digest and gas.
func (a *app) sent(kind string, r tried, done, would string) error {
	return a.result(kind, r, func() error {
		g := r.gas()
		if !g.Dry {
			return a.Print("%s\ntransaction %s, %s of gas", done, g.Digest, formatChange(g.Gas, coinSUI))
		}
		if err := a.Print("would %s, for %s of gas; nothing was sent", would, formatChange(g.Gas, coinSUI)); err != nil {
			return err
		}
		for _, line := range g.Commands {
			if err := a.Print("  %s", line); err != nil {
				return err
			}
		}
		return nil
	})
}
