package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// storage is a free reservation of the wallet: storage that is paid for, and holds no blob.
type storage struct {
	ObjectID string       `json:"object_id"`
	Size     uint64       `json:"size"` // bytes of encoded size
	Start    walrus.Epoch `json:"start_epoch"`
	End      walrus.Epoch `json:"end_epoch"`
}

func newStorage(o *chain.OwnedObject) storage {
	return storage{ObjectID: o.Object.String(), Size: o.StorageSize, Start: o.StartEpoch, End: o.EndEpoch}
}

// storages is the answer of opStorageList, and what splitting or fusing leaves.
type storages struct {
	Epoch   walrus.Epoch `json:"epoch"`
	Storage []storage    `json:"storage"`
}

// storageSplitArgs is the question of opStorageSplit: one of Size and Epochs.
type storageSplitArgs struct {
	Name   string `json:"name"`
	Size   uint64 `json:"size,omitempty"`   // bytes that the first part keeps
	Epochs uint32 `json:"epochs,omitempty"` // from now on that the first part lasts
}

// storageFuseArgs is the question of opStorageFuse: the others are put into the first.
type storageFuseArgs struct {
	Names []string `json:"names"`
}

func newStorageCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "storage", Short: "Free storage: what is paid for and holds no blob", Args: arguments(0), RunE: needSubcommand,
		Long: "When a blob is deleted its storage comes back. It is used for what is stored or renewed next, cut or\n" +
			"put together as needed, before any is bought. These commands show it, and cut, fuse or use it by hand.",
	}
	cmd.AddCommand(newStorageListCommand(a), newStorageSplitCommand(a), newStorageFuseCommand(a), newStorageReuseCommand(a))
	return cmd
}

func newStorageListCommand(a *app) *cobra.Command {
	var at ledgerFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List free storage of the wallet", Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.callStorage(cmd.Context(), &at, opStorageList, nothing{})
		},
	}
	at.add(cmd)
	return cmd
}

func newStorageSplitCommand(a *app) *cobra.Command {
	var at ledgerFlags
	var q storageSplitArgs
	var size string
	cmd := &cobra.Command{
		Use: "split ID --size SIZE|--epochs N", Short: "Cut free storage in two, by size or by time",
		Long: "Split cuts a free reservation in two: the first part keeps SIZE of it, or lasts for N epochs from now.",
		Args: arguments(1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Name = args[0]
			if size != "" {
				n, err := ui.ParseSize(size)
				if err != nil || n <= 0 {
					return usagef("--size %s: want a size, such as 8MiB", size)
				}
				q.Size = uint64(n)
			} else if q.Epochs == 0 {
				return usagef("--epochs: at least 1")
			}
			return a.callStorage(cmd.Context(), &at, opStorageSplit, q)
		},
	}
	cmd.Flags().StringVar(&size, "size", "", "the first part keeps `SIZE`, such as 8MiB, of encoded bytes")
	cmd.Flags().Uint32Var(&q.Epochs, "epochs", 0, "the first part lasts for `N` epochs from now")
	exclusive(cmd, "size", "epochs")
	needOne(cmd, "size", "epochs")
	at.add(cmd)
	return cmd
}

func newStorageFuseCommand(a *app) *cobra.Command {
	var at ledgerFlags
	cmd := &cobra.Command{
		Use: "fuse ID ID...", Short: "Make one free reservation of several",
		Long: "Fuse puts free reservations together that cover the same epochs, or have the same size and follow one\n" +
			"another without a gap.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("want at least two IDs")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.callStorage(cmd.Context(), &at, opStorageFuse, storageFuseArgs{args})
		},
	}
	at.add(cmd)
	return cmd
}

// callStorage makes a call that answers with reservations, and shows them.
func (a *app) callStorage(ctx context.Context, at *ledgerFlags, op string, args any) (err error) {
	l, err := a.reachEstate(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var s storages
	if err := l.call(ctx, op, args, nil, &s); err != nil {
		return err
	}
	if a.JSON() {
		for _, one := range s.Storage {
			err = errors.Join(err, a.Emit("storage", one))
		}
		return err
	}
	if len(s.Storage) == 0 {
		return nil
	}
	table := a.Table("OBJECT", "SIZE", "BYTES", "FROM", "UNTIL", "")
	for _, one := range s.Storage {
		note := ""
		if one.End <= s.Epoch {
			note = "ended"
		}
		table.Row(brief(one.ObjectID), ui.Size(int64(one.Size)), one.Size, one.Start, one.End, note)
	}
	return table.Flush()
}

// free lists the reservations, and the ledger's epoch.
func (e *estate) free(ctx context.Context) (list []chain.OwnedObject, now walrus.Epoch, err error) {
	state, err := e.State(ctx)
	if err != nil {
		return nil, 0, err
	}
	list, err = e.Owned(ctx, chain.OwnedQuery{Storage: true})
	return list, state.Epoch, err
}

func (e *estate) answerStorages(ctx context.Context, _ nothing, _ func(any) error) (s storages, err error) {
	list, now, err := e.free(ctx)
	s = storages{Epoch: now, Storage: []storage{}}
	for i := range list {
		s.Storage = append(s.Storage, newStorage(&list[i]))
	}
	return s, err
}

func (e *estate) answerSplit(ctx context.Context, args storageSplitArgs, _ func(any) error) (s storages, err error) {
	list, now, err := e.free(ctx)
	if err == nil {
		list, err = pick(list, []string{args.Name}, "free storage")
	}
	if err != nil {
		return s, err
	}
	o, epoch := &list[0], walrus.Epoch(0)
	if args.Size > 0 && args.Size >= o.StorageSize {
		return s, usagef("--size: %s has %d bytes, the first part is to keep fewer", o.Object, o.StorageSize)
	}
	if args.Size == 0 {
		if epoch = now + walrus.Epoch(args.Epochs); epoch <= o.StartEpoch || epoch >= o.EndEpoch {
			return s, usagef("--epochs %d: %s covers epochs %d to %d, and this is epoch %d", args.Epochs, o.Object, o.StartEpoch, o.EndEpoch-1, now)
		}
	}
	var done *sui.Result
	if err := e.do(ctx, func(tx chain.TxID) (r *sui.Result, err error) {
		done, err = e.SplitStorage(ctx, tx, o.Object, args.Size, epoch)
		return done, err
	}); err != nil {
		return s, err
	}
	parts := []walrus.ObjectID{o.Object}
	for _, c := range done.Changes {
		if tag, err := move.ParseStructTag(c.Type); err == nil && c.Created && tag.Name == "Storage" {
			parts = append(parts, walrus.ObjectID(c.ID))
		}
	}
	return e.these(ctx, parts)
}

func (e *estate) answerFuse(ctx context.Context, args storageFuseArgs, _ func(any) error) (s storages, err error) {
	list, _, err := e.free(ctx)
	if err == nil {
		list, err = pick(list, args.Names, "free storage")
	}
	if err != nil {
		return s, err
	}
	if len(list) < 2 {
		return s, usagef("want at least two reservations")
	}
	first := list[0]
	for _, o := range list[1:] {
		switch {
		case o.StartEpoch == first.StartEpoch && o.EndEpoch == first.EndEpoch:
			first.StorageSize += o.StorageSize
		case o.StorageSize == first.StorageSize && o.StartEpoch == first.EndEpoch:
			first.EndEpoch = o.EndEpoch
		case o.StorageSize == first.StorageSize && o.EndEpoch == first.StartEpoch:
			first.StartEpoch = o.StartEpoch
		default:
			return s, ui.Errorf(ui.Failed, "%s (%s) does not fit %s (%s)", o.Object, covers(&o), first.Object, covers(&first)).
				WithHint("storage fuses with what covers the same epochs, or has the same size and the epochs before or after; walfs blob storage split cuts it")
		}
		if err := e.do(ctx, func(tx chain.TxID) (*sui.Result, error) { return e.FuseStorage(ctx, tx, first.Object, o.Object) }); err != nil {
			return s, err
		}
	}
	return e.these(ctx, []walrus.ObjectID{first.Object})
}

func covers(o *chain.OwnedObject) string {
	return fmt.Sprintf("%d bytes, epochs %d to %d", o.StorageSize, o.StartEpoch, o.EndEpoch-1)
}

// these returns some reservations as they are now.
func (e *estate) these(ctx context.Context, objects []walrus.ObjectID) (s storages, err error) {
	list, now, err := e.free(ctx)
	s = storages{Epoch: now, Storage: []storage{}}
	for _, id := range objects {
		for i := range list {
			if list[i].Object == id {
				s.Storage = append(s.Storage, newStorage(&list[i]))
			}
		}
	}
	return s, err
}

// ids returns the IDs of objects.
func ids(list []chain.OwnedObject) []walrus.ObjectID {
	objects := make([]walrus.ObjectID, len(list))
	for i := range list {
		objects[i] = list[i].Object
	}
	return objects
}
