package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// blobPutArgs is the question of opBlobPut.
type blobPutArgs struct {
	Hash       string      `json:"hash"` // SHA-256 of the content, in hex
	Size       int64       `json:"size"`
	Epochs     uint32      `json:"epochs,omitempty"` // 0: as many as the drive buys
	Permanent  bool        `json:"permanent,omitempty"`
	Attributes []attribute `json:"attributes,omitempty"`
	Storage    string      `json:"storage,omitempty"` // free reservation to use
}

// blobPart is the question of opBlobPart: a part of what opBlobPut is to store.
type blobPart struct {
	Hash   string `json:"hash"`
	Offset int64  `json:"offset"`
	Data   []byte `json:"data"`
}

// blobStored is the answer of opBlobPut.
type blobStored struct {
	// Missing is from where on the content is not here yet: it is to come by opBlobPart. At the
	// end of the content the blob is stored, and the rest tells of it.
	Missing   int64        `json:"missing"`
	BlobID    string       `json:"blob_id"`
	ObjectID  string       `json:"object_id"`
	Size      int64        `json:"size"`
	Encoded   uint64       `json:"encoded_size"`
	End       walrus.Epoch `json:"end_epoch"`
	Permanent bool         `json:"permanent"`
}

func newBlobPutCommand(a *app) *cobra.Command {
	var q blobPutArgs
	var attributes []string
	cmd := &cobra.Command{
		Use:   "put FILE",
		Short: "Store a file as a blob of the drive's network, as it is",
		Long: "Put stores the bytes of FILE, or of stdin with -, as one blob, which any Walrus client of the network\n" +
			"can read by its ID: they are not sealed. The drive's wallet pays and owns the blob object; the drive\n" +
			"itself does not know it and does not renew it, see walfs blob extend. A put that was interrupted goes\n" +
			"on when it is repeated with the same content, and pays for nothing twice.",
		Args: arguments(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if q.Attributes, err = parseAttributes(attributes); err != nil {
				return err
			}
			return a.putBlob(cmd.Context(), args[0], q)
		},
	}
	cmd.Flags().StringVar(&q.Storage, "storage", "", "use the free storage `ID` for it, and buy what it lacks")
	putFlags(cmd, &q, &attributes)
	return cmd
}

func putFlags(cmd *cobra.Command, q *blobPutArgs, attributes *[]string) {
	cmd.Flags().Uint32Var(&q.Epochs, "epochs", 0, "pay for `N` epochs (default: what the drive buys ahead)")
	cmd.Flags().BoolVar(&q.Permanent, "permanent", false, "nobody is to be able to delete it before its end epoch")
	cmd.Flags().StringArrayVar(attributes, "attribute", nil, "set `KEY=VALUE` on the blob object; more than once at will")
}

func newStorageReuseCommand(a *app) *cobra.Command {
	var q blobPutArgs
	var attributes []string
	cmd := &cobra.Command{
		Use: "reuse ID FILE", Short: "Store a file as a blob in free storage",
		Long: "Reuse is walfs blob put --storage ID FILE: what the reservation has too much in size stays free, and\n" +
			"what it lacks in time is bought.",
		Args: arguments(2, "ID", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if q.Attributes, err = parseAttributes(attributes); err != nil {
				return err
			}
			q.Storage = args[0]
			return a.putBlob(cmd.Context(), args[1], q)
		},
	}
	putFlags(cmd, &q, &attributes)
	return cmd
}

// blobPartSize is how many bytes one opBlobPart has: with its encoding it fits a request.
const blobPartSize = 512 << 10

func (a *app) putBlob(ctx context.Context, name string, q blobPutArgs) (err error) {
	f, done, err := wholeFile(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	sum := sha256.New()
	if q.Size, err = io.Copy(sum, f); err != nil {
		return fmt.Errorf("read %s: %w", ui.Clean(name), err)
	}
	q.Hash = hex.EncodeToString(sum.Sum(nil))
	l, err := a.reach(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var s blobStored
	if err := l.call(ctx, opBlobPut, q, nil, &s); err != nil {
		return err
	}
	if s.Missing < q.Size {
		if err := a.sendBlob(ctx, l, f, q, s.Missing); err != nil {
			return err
		}
		if err := l.call(ctx, opBlobPut, q, nil, &s); err != nil {
			return err
		}
		if s.Missing < q.Size {
			return ui.Errorf(ui.Failed, "%s changed while it was read", ui.Clean(name))
		}
	}
	return a.result("blob", s, func() error {
		kind := "deletable"
		if s.Permanent {
			kind = "permanent"
		}
		return a.Print("blob %s\nobject %s, %s until epoch %d", s.BlobID, s.ObjectID, kind, s.End)
	})
}

// sendBlob hands the content over, from where on it is missing.
func (a *app) sendBlob(ctx context.Context, l *line, f *os.File, q blobPutArgs, from int64) error {
	progress := a.Progress("read", "blobs")
	defer progress.End()
	part := blobPart{Hash: q.Hash, Data: make([]byte, blobPartSize)}
	for part.Offset = from; part.Offset < q.Size; {
		n, err := f.ReadAt(part.Data[:min(blobPartSize, q.Size-part.Offset)], part.Offset)
		if n == 0 {
			return fmt.Errorf("read %s: %w", ui.Clean(f.Name()), err)
		}
		part.Data = part.Data[:n]
		if err := l.call(ctx, opBlobPart, part, nil, nil); err != nil {
			return err
		}
		part.Offset += int64(n)
		part.Data = part.Data[:cap(part.Data)]
		progress.Set(ui.Count{Bytes: part.Offset}, ui.Count{Bytes: q.Size})
	}
	return nil
}

// wholeFile opens a file that can be read twice: stdin is copied.
func wholeFile(name string) (*os.File, func() error, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Close, nil
	}
	f, err := os.CreateTemp("", "walfs-blob-*")
	if err != nil {
		return nil, nil, err
	}
	done := func() error { return f.Close() }
	if err = os.Remove(f.Name()); err == nil {
		if _, err = io.Copy(f, os.Stdin); err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read stdin: %w", err), done())
	}
	return f, done, nil
}
