package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// estate is what an account owns, and what is known here of the drive that it pays for.
type estate struct {
	*account
	index *index.DB // nil: of no drive anything is known
	// writer says why this machine may not know all that the drive needs now; nil: it does.
	writer  func(ctx context.Context) error
	read    func(ctx context.Context, blob walrus.BlobID, p []byte, off int64) (int, error) // nil: there are no nodes
	changed func(ctx context.Context)                                                       // nodes are to hear at once
}

// estate returns what a wallet owns on the drive's ledger.
func (d *drive) estate(ctx context.Context, wallet *sui.Wallet) (*estate, error) {
	acc, err := d.account(ctx, wallet)
	if err != nil {
		return nil, err
	}
	return &estate{account: acc, index: d.index, writer: d.committer.Reconcile, read: d.blobs.ReadAt, changed: d.net.Sync}, nil
}

// The operations on an estate.
const (
	opBlobList       = "blob.list"
	opBlobExtend     = "blob.extend"
	opBlobGive       = "blob.give"
	opBlobAttributes = "blob.attributes"
	opStorageList    = "storage.list"
	opStorageSplit   = "storage.split"
	opStorageFuse    = "storage.fuse"
)

// calls returns what can be asked of an estate: a drive that is mounted answers it below opEstate.
func (e *estate) calls() map[string]control.Handler {
	return map[string]control.Handler{
		opBlobList:       held(e, e.answerList),
		opBlobExtend:     held(e, e.answerExtend),
		opBlobGive:       held(e, e.answerGive),
		opBlobAttributes: held(e, e.answerAttributes),
		opStorageList:    held(e, e.answerStorages),
		opStorageSplit:   held(e, e.answerSplit),
		opStorageFuse:    held(e, e.answerFuse),
	}
}

// held makes a handler that says what money is missing, and where to get it.
func held[A, R any](e *estate, f func(ctx context.Context, args A, emit func(any) error) (R, error)) control.Handler {
	return answer(func(ctx context.Context, args A, emit func(any) error) (R, error) {
		result, err := f(ctx, args, emit)
		return result, e.explain(err)
	})
}

// answerEstate does an operation on what a wallet owns on the drive's ledger.
func (d *drive) answerEstate(ctx context.Context, args ledgerArgs, emit func(any) error) (any, error) {
	wallet := d.keys.wallet
	if args.Wallet != "" {
		var err error
		if wallet, err = sui.WalletFromText(args.Wallet); err != nil {
			return nil, err
		}
	}
	e, err := d.estate(ctx, wallet)
	if err != nil {
		return nil, err
	}
	op := e.calls()[args.Op]
	if op == nil {
		return nil, usagef("the drive does not know %q", args.Op)
	}
	return op(ctx, args.Args, emit)
}

// reachEstate opens a line to what the wallet that the flags name owns on the ledger that they name.
func (a *app) reachEstate(ctx context.Context, f *ledgerFlags) (*line, error) {
	if f.away() {
		acc, err := a.openAccount(ctx, f)
		if err != nil {
			return nil, err
		}
		calls := (&estate{account: acc}).calls()
		return &line{
			call: func(ctx context.Context, op string, args any, onEvent func(json.RawMessage), result any) error {
				return callHere(ctx, calls[op], args, onEvent, result)
			},
			close: acc.end,
		}, nil
	}
	q := ledgerArgs{}
	if f.wallet != "" {
		w, err := a.openWallet(ctx, f)
		if err != nil {
			return nil, err
		}
		q.Wallet = w.Text()
	}
	l, err := a.reach(ctx, false)
	if err != nil {
		return nil, err
	}
	return &line{
		call: func(ctx context.Context, op string, args any, onEvent func(json.RawMessage), result any) error {
			q := q
			q.Op = op
			if q.Args, err = json.Marshal(args); err != nil {
				return err
			}
			return l.call(ctx, opEstate, q, onEvent, result)
		},
		close: l.close, mounted: l.mounted,
	}, nil
}

// find returns the owned objects that names stand for: object IDs, blob IDs, or how one of them
// begins. A name that stands for none or for several is an error.
func (e *estate) find(ctx context.Context, names []string) ([]chain.OwnedObject, error) {
	all, err := e.Owned(ctx, chain.OwnedQuery{})
	if err != nil {
		return nil, err
	}
	return pick(all, names, "blob object")
}

// minPrefix is how many characters of an ID are enough to try.
const minPrefix = 6

// pick finds what names stand for in a list, each once.
func pick(all []chain.OwnedObject, names []string, what string) (list []chain.OwnedObject, err error) {
	taken := map[walrus.ObjectID]bool{}
	for _, name := range names {
		var found []chain.OwnedObject
		for i := range all {
			switch object, blob := all[i].Object.String(), all[i].Blob.String(); {
			case name == object || name == blob:
				found = append(found, all[i])
			case len(name) >= minPrefix && (strings.HasPrefix(object, name) || !all[i].Blob.IsZero() && strings.HasPrefix(blob, name)):
				found = append(found, all[i])
			}
		}
		switch {
		case len(found) == 0:
			return nil, ui.Errorf(ui.Failed, "the wallet has no %s %s", what, ui.Clean(name)).WithHint("walfs blob list and walfs blob storage list show what it has")
		case len(found) > 1:
			return nil, usagef("%s stands for %d: name the object ID", ui.Clean(name), len(found))
		case !taken[found[0].Object]:
			taken[found[0].Object] = true
			list = append(list, found[0])
		}
	}
	return list, nil
}
