package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// blobRange is the question of opBlobRead.
type blobRange struct {
	Blob   string `json:"blob_id"`
	Offset int64  `json:"offset"`
}

// blobBytes is the answer of opBlobRead.
type blobBytes struct {
	Data []byte `json:"data"`
	End  bool   `json:"end"` // nothing follows
}

// blobReadSize is how many bytes one answer of opBlobRead has at most.
const blobReadSize = 1 << 20

func newBlobGetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "get BLOBID [DEST]",
		Short: "Read any blob of the drive's network, as it was stored",
		Long: "Get writes the bytes of a blob to DEST, or to stdout without DEST or with -. It need not be a blob of\n" +
			"this drive: any that is certified on its network will do. All bytes are checked against the blob\n" +
			"ID. Blobs of a drive that is not plain are ciphertext. A DEST that is there is replaced when the new file is whole.",
		Args: arguments(1, "BLOBID", "DEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			blob, err := walrus.ParseBlobID(args[0])
			if err != nil {
				return usagef("%w", err).WithHint("%s blob list shows the IDs of the wallet's blobs, %s stat those of a file", a.self, a.self)
			}
			dest := "-"
			if len(args) > 1 {
				dest = args[1]
			}
			return a.getBlob(cmd.Context(), blob, dest)
		},
	}
}

func (a *app) getBlob(ctx context.Context, blob walrus.BlobID, dest string) (err error) {
	l, err := a.reach(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if dest == "-" {
		w := bufio.NewWriter(a.out)
		return errors.Join(pourBlob(ctx, l, blob, w), w.Flush())
	}
	return writeBlob(absolute(dest), func(w io.Writer) error { return pourBlob(ctx, l, blob, w) })
}

// writeBlob puts what pour writes at path: the old or the new file is there, whole.
func writeBlob(path string, pour func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", ui.Clean(path), err)
	}
	err = pour(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", ui.Clean(path), errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// pourBlob writes all bytes of a blob.
func pourBlob(ctx context.Context, l *line, blob walrus.BlobID, w io.Writer) error {
	q := blobRange{Blob: blob.String()}
	for {
		var part blobBytes
		if err := l.call(ctx, opBlobRead, q, nil, &part); err != nil {
			return err
		}
		if _, err := w.Write(part.Data); err != nil {
			return err
		}
		if part.End {
			return nil
		}
		q.Offset += int64(len(part.Data))
	}
}

func (d *drive) answerBlobRead(ctx context.Context, q blobRange, _ func(any) error) (part blobBytes, err error) {
	blob, err := walrus.ParseBlobID(q.Blob)
	if err != nil {
		return part, usagef("%w", err)
	}
	p := make([]byte, blobReadSize)
	n, err := d.blobs.ReadAt(ctx, blob, p, q.Offset)
	part = blobBytes{Data: p[:n], End: errors.Is(err, io.EOF)}
	if part.End {
		err = nil
	}
	return part, err
}
