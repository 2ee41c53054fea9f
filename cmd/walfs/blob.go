package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// newBlobCommand groups what can be done with blobs as such.
func newBlobCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "blob", Short: "The wallet's blobs, blobs of the network, and blobs in files", Args: cobra.NoArgs, RunE: needSubcommand}
	cmd.AddCommand(newBlobListCommand(a), newBlobPutCommand(a), newBlobGetCommand(a), newBlobExtendCommand(a), newBlobDeleteCommand(a), newBlobBurnCommand(a),
		newBlobTransferCommand(a), newBlobAttributesCommand(a), newStorageCommand(a), newBlobEncodeCommand(a), newBlobDecodeCommand(a), newBlobIDCommand(a))
	return cmd
}

// encodedBlob is what blob encode prints.
type encodedBlob struct {
	BlobID      string `json:"blob_id"`
	RootHash    string `json:"root_hash"`
	Size        int64  `json:"size"`
	SymbolSize  int    `json:"symbol_size"`
	EncodedSize uint64 `json:"encoded_size"`
}

func newBlobEncodeCommand(a *app) *cobra.Command {
	var shards int
	var out string
	cmd := &cobra.Command{
		Use:   "encode --shards N [--out DIR] FILE",
		Short: "Encode a file with RedStuff and print what the blob is",
		Long: "Encode computes the slivers and the metadata of a blob and prints one JSON object.\n" +
			"With --out it writes metadata.bcs, primary-NNNN.bcs and secondary-NNNN.bcs.",
		Args: arguments(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.encodeBlob(cmd.Context(), shards, out, args[0])
		},
	}
	shardsFlag(cmd, &shards)
	cmd.Flags().StringVar(&out, "out", "", "`DIR` to write the slivers and the metadata to")
	return cmd
}

func (a *app) encodeBlob(ctx context.Context, shards int, out, file string) error {
	codec, blob, err := loadBlob(shards, file)
	if err != nil {
		return err
	}
	encoded, err := codec.Encode(ctx, blob)
	if err != nil {
		return fmt.Errorf("encode %s: %w", file, err)
	}
	defer encoded.Release()
	if out != "" {
		if err := writeSlivers(out, codec.Geometry(), encoded); err != nil {
			return err
		}
	}
	size, err := codec.Geometry().EncodedSize(int64(len(blob)))
	if err != nil {
		return err
	}
	root := encoded.Metadata().Root()
	return a.Emit("blob", encodedBlob{
		BlobID:      encoded.Blob().String(),
		RootHash:    hex.EncodeToString(root[:]),
		Size:        int64(len(blob)),
		SymbolSize:  encoded.SymbolSize(),
		EncodedSize: size,
	})
}

// loadBlob reads a file that is a whole blob, after a look at its size.
func loadBlob(shards int, file string) (*redstuff.Codec, []byte, error) {
	codec, err := newCodec(shards)
	if err != nil {
		return nil, nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, nil, err
	}
	if limit := codec.Geometry().MaxBlobSize(); info.Size() > limit {
		return nil, nil, usagef("%s has %d bytes; a blob of %d shards has at most %d", file, info.Size(), shards, limit)
	}
	blob, err := os.ReadFile(file)
	return codec, blob, err
}

func newCodec(shards int) (*redstuff.Codec, error) {
	geometry, err := walrus.NewGeometry(shards)
	if err != nil {
		return nil, ui.Errorf(ui.Usage, "--shards: %w", err)
	}
	return redstuff.New(geometry)
}

func writeSlivers(dir string, g walrus.Geometry, e *redstuff.Encoded) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	metadata, err := e.Metadata().MarshalBinary()
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "metadata.bcs"), metadata, 0o600); err != nil {
		return err
	}
	for i := range g.Shards {
		for name, data := range map[string][]byte{"primary": e.Primary(i), "secondary": e.Secondary(i)} {
			name = filepath.Join(dir, fmt.Sprintf("%s-%04d.bcs", name, i))
			if err := os.WriteFile(name, redstuff.MarshalSliver(e.SymbolSize(), i, data), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

func newBlobIDCommand(a *app) *cobra.Command {
	var shards int
	cmd := &cobra.Command{
		Use:   "id --shards N FILE",
		Short: "Print the blob ID that a file has",
		Args:  arguments(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			codec, blob, err := loadBlob(shards, args[0])
			if err != nil {
				return err
			}
			metadata, err := codec.ComputeMetadata(cmd.Context(), blob)
			if err != nil {
				return fmt.Errorf("encode %s: %w", args[0], err)
			}
			id := metadata.BlobID().String()
			return a.result("blob", map[string]any{"blob_id": id, "size": len(blob)}, func() error { return a.Print("%s", id) })
		},
	}
	shardsFlag(cmd, &shards)
	return cmd
}

func shardsFlag(cmd *cobra.Command, shards *int) {
	cmd.Flags().IntVar(shards, "shards", 0, "`N` shards of the network: 100 embedded, 1000 on Walrus")
	_ = cmd.MarkFlagRequired("shards") // fails only for a flag that is not there
}
