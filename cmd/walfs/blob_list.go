package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// blobListArgs is the question of opBlobList.
type blobListArgs struct {
	Names []string `json:"names,omitempty"` // empty: all
	Other bool     `json:"other,omitempty"` // only those that the drive does not use
}

// ownedBlob is a blob object of the wallet.
type ownedBlob struct {
	BlobID     string            `json:"blob_id"`
	ObjectID   string            `json:"object_id"`
	Size       int64             `json:"size"`
	Encoded    uint64            `json:"encoded_size"` // that is paid for
	Registered walrus.Epoch      `json:"registered_epoch"`
	Certified  *walrus.Epoch     `json:"certified_epoch"` // null: it is not
	End        walrus.Epoch      `json:"end_epoch"`
	Expired    bool              `json:"expired"`
	Deletable  bool              `json:"deletable"`
	Attributes map[string]string `json:"attributes"`
	use
}

func newOwnedBlob(o *chain.OwnedObject, now walrus.Epoch, is use) ownedBlob {
	b := ownedBlob{BlobID: o.Blob.String(), ObjectID: o.Object.String(), Size: o.Size, Encoded: o.StorageSize, Registered: o.Registered,
		End: o.EndEpoch, Expired: o.EndEpoch <= now, Deletable: o.Deletable, Attributes: map[string]string{}, use: is}
	if o.Certified {
		b.Certified = &o.CertifiedIn
	}
	for _, a := range o.Attributes {
		b.Attributes[a.Key] = a.Value
	}
	return b
}

// blobPage is an event of opBlobList.
type blobPage struct {
	Blobs []ownedBlob `json:"blobs"`
}

// blobPageSize is how many blobs an event has; attributes make them long.
const blobPageSize = 200

func newBlobListCommand(a *app) *cobra.Command {
	var q blobListArgs
	var at ledgerFlags
	cmd := &cobra.Command{
		Use:   "list [ID...]",
		Short: "List the blob objects that the wallet owns",
		Long: "List shows the blob objects of the drive's wallet, or those named: by object ID, by blob ID, or by\n" +
			"how one begins. USE tells what the drive has them for: segments hold content and names, the\n" +
			"anchor tells a restore where to begin; what it does not use is other. --json has all of them whole.",
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Names = args
			return a.listBlobs(cmd.Context(), &at, q)
		},
	}
	cmd.Flags().BoolVar(&q.Other, "other", false, "only those that the drive does not use")
	at.add(cmd)
	return cmd
}

func (a *app) listBlobs(ctx context.Context, at *ledgerFlags, q blobListArgs) (err error) {
	l, err := a.reachEstate(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	table := a.Table("OBJECT", "BLOB ID", "SIZE", "ENCODED", "FROM", "CERTIFIED", "UNTIL", "", "USE")
	var bad error
	any := false
	err = l.call(ctx, opBlobList, q, func(event json.RawMessage) {
		var page blobPage
		if err := json.Unmarshal(event, &page); err != nil {
			bad = err
		}
		for _, b := range page.Blobs {
			any = true
			if a.JSON() {
				bad = errors.Join(bad, a.Emit("blob", b))
				continue
			}
			table.Row(brief(b.ObjectID), b.BlobID, ui.Size(b.Size), ui.Size(int64(b.Encoded)), b.Registered, b.certified(), b.until(), b.kind(), b.text())
		}
	}, nil)
	if err = errors.Join(err, bad); err != nil || a.JSON() || !any {
		return err
	}
	return table.Flush()
}

// briefID is how much of an object ID a table shows.
const briefID = 12

// brief shortens an object ID to what is enough to name it.
func brief(id string) string { return id[:min(len(id), briefID)] }

func (b *ownedBlob) certified() any {
	if b.Certified == nil {
		return "no"
	}
	return *b.Certified
}

func (b *ownedBlob) until() any { return b.End }

func (b *ownedBlob) kind() string {
	switch {
	case b.Expired:
		return "ended"
	case b.Deletable:
		return "deletable"
	}
	return "permanent"
}

func (e *estate) answerList(ctx context.Context, args blobListArgs, emit func(any) error) (nothing, error) {
	state, err := e.State(ctx)
	if err != nil {
		return nothing{}, err
	}
	all, err := e.Owned(ctx, chain.OwnedQuery{})
	if err != nil {
		return nothing{}, err
	}
	if len(args.Names) > 0 {
		if all, err = pick(all, args.Names, "blob object"); err != nil {
			return nothing{}, err
		}
	}
	uses, err := e.uses(ctx)
	if err != nil {
		return nothing{}, err
	}
	var page blobPage
	for i := range all {
		is := uses.of(&all[i])
		if args.Other && is.Kind != useOther {
			continue
		}
		if page.Blobs = append(page.Blobs, newOwnedBlob(&all[i], state.Epoch, is)); len(page.Blobs) == blobPageSize {
			if err := emit(page); err != nil {
				return nothing{}, err
			}
			page.Blobs = nil
		}
	}
	if len(page.Blobs) == 0 {
		return nothing{}, nil
	}
	return nothing{}, emit(page)
}
