package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// blobExtendArgs is the question of opBlobExtend.
type blobExtendArgs struct {
	Names  []string `json:"names"`
	Epochs uint32   `json:"epochs"`
	Look   bool     `json:"look,omitempty"` // only say what it would cost
	// Ends are the end epochs that the price was told for, by object ID; others are refused.
	Ends map[string]walrus.Epoch `json:"ends,omitempty"`
}

// extended is the answer of opBlobExtend.
type extended struct {
	Blobs   []extendedBlob `json:"blobs"`
	Frost   uint64         `json:"cost_frost"`
	Balance uint64         `json:"wal_balance_frost"` // before
	DryRun  bool           `json:"dry_run"`
}

// extendedBlob is a blob object whose time is lengthened.
type extendedBlob struct {
	BlobID   string       `json:"blob_id"`
	ObjectID string       `json:"object_id"`
	From     walrus.Epoch `json:"from_epoch"`
	To       walrus.Epoch `json:"to_epoch"`
	Frost    uint64       `json:"cost_frost"`
}

func newBlobExtendCommand(a *app) *cobra.Command {
	var q blobExtendArgs
	var at ledgerFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "extend --epochs N ID...",
		Short: "Pay for blobs for longer",
		Long: "Extend buys N epochs more for blob objects of the wallet. It shows what that costs, and asks unless\n" +
			"--yes is given. The drive renews what it uses by itself.",
		Args: someNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Names = args
			return a.extendBlobs(cmd.Context(), &at, q, yes)
		},
	}
	cmd.Flags().Uint32Var(&q.Epochs, "epochs", 0, "pay for `N` epochs more")
	cmd.Flags().BoolVar(&q.Look, "dry-run", false, "pay nothing, say what it would cost")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	_ = cmd.MarkFlagRequired("epochs") // fails only for a flag that is not there
	at.add(cmd)
	return cmd
}

func (a *app) extendBlobs(ctx context.Context, at *ledgerFlags, q blobExtendArgs, yes bool) (err error) {
	l, err := a.reachEstate(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	look := q.Look
	var x extended
	q.Look = true
	if err := l.call(ctx, opBlobExtend, q, nil, &x); err != nil {
		return err
	}
	if !look {
		if !yes {
			if err := a.agree(ctx, "extend "+blobs(len(x.Blobs))+" for "+wal(x.Frost)+"?"); err != nil {
				return err
			}
		}
		q.Look, q.Ends = false, map[string]walrus.Epoch{}
		for _, b := range x.Blobs {
			q.Ends[b.ObjectID] = b.From
		}
		x = extended{}
		if err := l.call(ctx, opBlobExtend, q, nil, &x); err != nil {
			return err
		}
	}
	return a.result("extended", x, func() error { return a.showExtended(x) })
}

// agree asks a question, and fails if the answer is not yes.
func (a *app) agree(ctx context.Context, question string) error {
	ok, err := a.Confirm(ctx, question)
	if err == nil && !ok {
		err = ui.Errorf(ui.Failed, "nothing was done")
	}
	return err
}

func (a *app) showExtended(x extended) error {
	table := a.Table("OBJECT", "BLOB ID", "FROM", "TO", "COST")
	for _, b := range x.Blobs {
		table.Row(brief(b.ObjectID), b.BlobID, b.From, b.To, wal(b.Frost))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if x.DryRun {
		return a.Print("would cost %s, the wallet has %s", wal(x.Frost), wal(x.Balance))
	}
	return a.Print("paid %s of %s", wal(x.Frost), wal(x.Balance))
}

func (e *estate) answerExtend(ctx context.Context, args blobExtendArgs, _ func(any) error) (x extended, err error) {
	if args.Epochs == 0 {
		return x, usagef("--epochs: at least 1")
	}
	state, err := e.State(ctx)
	if err != nil {
		return x, err
	}
	list, err := e.find(ctx, args.Names)
	if err != nil {
		return x, err
	}
	x.DryRun = args.Look
	for i := range list {
		b, err := extension(&list[i], state, args.Epochs)
		if err != nil {
			return x, err
		}
		if from, told := args.Ends[b.ObjectID]; args.Ends != nil && (!told || from != b.From) {
			return x, ui.Errorf(ui.Failed, "%s ends in epoch %d now: somebody else has extended it", b.ObjectID, b.From)
		}
		x.Blobs = append(x.Blobs, b)
		x.Frost += b.Frost
	}
	balance, err := e.Balance(ctx)
	if err != nil {
		return x, err
	}
	if x.Balance = balance.WALFrost; args.Look {
		return x, nil
	}
	x.Frost = 0
	for from := 0; from < len(list); from += chain.MaxBatch {
		part := list[from:min(len(list), from+chain.MaxBatch)]
		paid, err := e.extend(ctx, part, args.Epochs)
		if err != nil {
			return x, err
		}
		x.Frost += paid
	}
	return x, nil
}

// extension says what extending an object means, or why it cannot be.
func extension(o *chain.OwnedObject, state *chain.State, epochs uint32) (b extendedBlob, err error) {
	b = extendedBlob{BlobID: o.Blob.String(), ObjectID: o.Object.String(), From: o.EndEpoch, To: o.EndEpoch + walrus.Epoch(epochs),
		Frost: state.ExtendPrice(o.StorageSize, epochs)}
	switch {
	case !o.Certified:
		return b, ui.Errorf(ui.Chain, "%s is not certified: only what the nodes have can be extended", o.Object)
	case o.EndEpoch <= state.Epoch:
		return b, ui.Errorf(ui.Chain, "storage of %s ended in epoch %d", o.Object, o.EndEpoch)
	case uint64(o.EndEpoch)+uint64(epochs) > uint64(state.Epoch)+uint64(state.MaxEpochsAhead):
		return b, usagef("%s would be paid for until epoch %d: storage is sold up to epoch %d now", o.Object, uint64(o.EndEpoch)+uint64(epochs), uint64(state.Epoch)+uint64(state.MaxEpochsAhead))
	}
	return b, nil
}

// extend pays for one batch, and tells the index what it has of it. The transaction is named after
// what it does: repeated after a lost answer it pays nothing more.
func (e *estate) extend(ctx context.Context, list []chain.OwnedObject, epochs uint32) (uint64, error) {
	batch := make([]chain.Extension, len(list))
	sum := sha256.New()
	sum.Write([]byte("walfs blob extend"))
	for i, o := range list {
		batch[i] = chain.Extension{Object: o.Object, Epochs: epochs}
		sum.Write(o.Object[:])
		sum.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(o.EndEpoch)), epochs))
	}
	var out *chain.Outcome
	if err := e.gassed(ctx, func() (err error) {
		out, err = e.Extend(ctx, chain.TxID(sum.Sum(nil)), batch)
		return err
	}); err != nil {
		return 0, err
	}
	return out.CostFrost, e.renewed(ctx, out.Extended)
}

// renewed writes down until when segments of the drive are paid for now.
func (e *estate) renewed(ctx context.Context, list []chain.Registered) error {
	if e.index == nil {
		return nil
	}
	rows, err := e.index.Segments(ctx, index.SegmentFilter{})
	if err != nil {
		return err
	}
	numbers := map[walrus.ObjectID]uint64{}
	for i := range rows {
		numbers[rows[i].Object] = rows[i].Number
	}
	for _, r := range list {
		if number, ours := numbers[r.Object]; ours {
			if err := e.index.Renewed(ctx, []uint64{number}, r.EndEpoch); err != nil {
				return err
			}
		}
	}
	return nil
}
