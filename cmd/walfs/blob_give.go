package main

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// blobGiveArgs is the question of opBlobGive: what is to be given up, and how.
type blobGiveArgs struct {
	Names []string `json:"names"`
	How   string   `json:"how"`
	To    string   `json:"to,omitempty"`   // address, of a transfer
	Look  bool     `json:"look,omitempty"` // only say what would go
}

// The ways to give a blob object up.
const (
	giveDelete   = "delete"
	giveBurn     = "burn"
	giveTransfer = "transfer"
)

// given is the answer of opBlobGive.
type given struct {
	How   string      `json:"how"`
	Blobs []ownedBlob `json:"blobs"`
	Freed []storage   `json:"freed"` // reservations that came back
	To    string      `json:"to,omitempty"`
}

func newBlobDeleteCommand(a *app) *cobra.Command {
	return newBlobGiveCommand(a, giveDelete, &cobra.Command{
		Use:   "delete ID...",
		Short: "Delete blobs: nodes drop them, and their storage comes back",
		Long: "Delete deletes deletable blob objects of the wallet. WAL does not come back, but the storage that\n" +
			"they had paid for does, and is used for what is stored next: walfs blob storage list shows it. It\n" +
			"asks before, unless --yes is given, and refuses what the drive or a restore of it needs.",
		Args: someNames,
	})
}

func newBlobBurnCommand(a *app) *cobra.Command {
	return newBlobGiveCommand(a, giveBurn, &cobra.Command{
		Use:   "burn ID...",
		Short: "Destroy blob objects, and the storage in them",
		Long: "Burn destroys blob objects of the wallet, also permanent ones and those whose time has ended: a\n" +
			"deletable one is better deleted, so that its storage comes back. Only the SUI that keeps an object\n" +
			"on the ledger returns. Nodes keep a burned blob for as long as it was paid for, but nobody can extend\n" +
			"it. It asks before, unless --yes is given, and refuses what the drive or a restore of it needs.",
		Args: someNames,
	})
}

func newBlobTransferCommand(a *app) *cobra.Command {
	return newBlobGiveCommand(a, giveTransfer, &cobra.Command{
		Use:   "transfer ADDRESS ID...",
		Short: "Give blob objects to another owner",
		Long: "Transfer gives blob objects of the wallet to ADDRESS, who alone can extend or delete them then. It\n" +
			"asks before, unless --yes is given, and refuses what the drive or a restore of it needs.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("want an ADDRESS and at least one ID")
			}
			return nil
		},
	})
}

// newBlobGiveCommand gives the three commands what they have in common.
func newBlobGiveCommand(a *app, how string, cmd *cobra.Command) *cobra.Command {
	var at ledgerFlags
	var yes bool
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := blobGiveArgs{How: how, Names: args}
		if how == giveTransfer {
			to, err := parseWholeAddress(args[0])
			if err != nil {
				return err
			}
			q.To, q.Names = to.String(), args[1:]
		}
		return a.giveBlobs(cmd.Context(), &at, q, yes)
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	at.add(cmd)
	return cmd
}

func (a *app) giveBlobs(ctx context.Context, at *ledgerFlags, q blobGiveArgs, yes bool) (err error) {
	l, err := a.reachEstate(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var g given
	q.Look = true
	if err := l.call(ctx, opBlobGive, q, nil, &g); err != nil {
		return err
	}
	if !yes {
		if err := a.agree(ctx, g.question()); err != nil {
			return err
		}
	}
	q.Look, q.Names = false, nil
	for _, b := range g.Blobs { // what was asked about
		q.Names = append(q.Names, b.ObjectID)
	}
	g = given{}
	if err := l.call(ctx, opBlobGive, q, nil, &g); err != nil {
		return err
	}
	return a.result("given", g, func() error { return a.showGiven(g) })
}

func (g *given) question() string {
	switch g.How {
	case giveBurn:
		return "burn " + blobs(len(g.Blobs)) + " with the storage in them?"
	case giveTransfer:
		return "give " + blobs(len(g.Blobs)) + " to " + g.To + " for good?"
	}
	return "delete " + blobs(len(g.Blobs)) + " for good?"
}

func (a *app) showGiven(g given) error {
	for _, b := range g.Blobs {
		what := map[string]string{giveDelete: "deleted", giveBurn: "burned", giveTransfer: "gave " + g.To}[g.How]
		if err := a.Print("%s %s, blob %s", what, brief(b.ObjectID), b.BlobID); err != nil {
			return err
		}
	}
	for _, s := range g.Freed {
		if err := a.Print("storage %s came back: %s until epoch %d", brief(s.ObjectID), ui.Size(int64(s.Size)), s.End); err != nil {
			return err
		}
	}
	return nil
}

func (e *estate) answerGive(ctx context.Context, args blobGiveArgs, _ func(any) error) (g given, err error) {
	g = given{How: args.How, Freed: []storage{}}
	var to move.Address
	if args.How == giveTransfer {
		if to, err = move.ParseAddress(args.To); err != nil {
			return g, usagef("%w", err)
		}
		g.To = to.String()
	}
	state, err := e.State(ctx)
	if err != nil {
		return g, err
	}
	list, err := e.find(ctx, args.Names)
	if err != nil {
		return g, err
	}
	if err := e.guard(ctx, list, state.Epoch); err != nil {
		return g, err
	}
	for i := range list {
		if args.How == giveDelete {
			if err := deletable(&list[i], state.Epoch); err != nil {
				return g, err
			}
		}
		g.Blobs = append(g.Blobs, newOwnedBlob(&list[i], state.Epoch, use{Kind: useOther}))
	}
	if args.Look {
		return g, nil
	}
	for from := 0; from < len(list) && err == nil; from += chain.MaxBatch {
		part := list[from:min(len(list), from+chain.MaxBatch)]
		objects := make([]walrus.ObjectID, len(part))
		for i := range part {
			objects[i] = part[i].Object
		}
		switch args.How {
		case giveDelete:
			err = e.delete(ctx, objects, &g)
		case giveBurn:
			err = e.do(ctx, func(tx chain.TxID) (*sui.Result, error) { return e.Burn(ctx, tx, objects) })
		case giveTransfer:
			for _, object := range objects {
				if err == nil {
					err = e.do(ctx, func(tx chain.TxID) (*sui.Result, error) { return e.Send(ctx, tx, chain.Address(to), move.ID(object)) })
				}
			}
		default:
			err = usagef("%q is no way to give up a blob", args.How)
		}
	}
	if e.changed != nil {
		e.changed(ctx)
	}
	return g, err
}

// deletable says why an object cannot be deleted.
func deletable(o *chain.OwnedObject, now walrus.Epoch) error {
	switch {
	case !o.Deletable:
		return ui.Errorf(ui.Chain, "%s is permanent until epoch %d: nobody can delete it", o.Object, o.EndEpoch)
	case o.EndEpoch <= now:
		return ui.Errorf(ui.Chain, "storage of %s ended in epoch %d: nodes drop it by themselves", o.Object, o.EndEpoch).
			WithHint("walfs blob burn takes the object off the ledger")
	}
	return nil
}

// delete deletes one batch and finds the reservations that come back.
func (e *estate) delete(ctx context.Context, objects []walrus.ObjectID, g *given) error {
	tx, out := newTx(), (*chain.Outcome)(nil)
	if err := e.gassed(ctx, func() (err error) {
		out, err = e.Delete(ctx, tx, objects)
		return err
	}); err != nil {
		return err
	}
	free, err := e.Owned(ctx, chain.OwnedQuery{Storage: true})
	for i := range free {
		if slices.Contains(out.Freed, free[i].Object) {
			g.Freed = append(g.Freed, newStorage(&free[i]))
		}
	}
	return err
}

// do makes a call under a transaction ID of its own.
func (e *estate) do(ctx context.Context, call func(tx chain.TxID) (*sui.Result, error)) error {
	tx := newTx()
	return e.gassed(ctx, func() error {
		_, err := call(tx)
		return err
	})
}

// newTx names a transaction.
func newTx() (tx chain.TxID) {
	_, _ = rand.Read(tx[:]) // never fails, by its documentation
	return tx
}
