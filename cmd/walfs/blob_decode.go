package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
)

func newBlobDecodeCommand(a *app) *cobra.Command {
	var shards int
	var metadata, out string
	cmd := &cobra.Command{
		Use:   "decode --shards N --metadata FILE --out FILE SLIVER...",
		Short: "Rebuild a blob from slivers in files",
		Long: "Decode rebuilds a blob when the slivers of one kind suffice; mixing kinds adds nothing.\n" +
			"It verifies every sliver and the blob against the metadata and refuses what does not match.",
		Args: anyNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.decodeBlob(cmd.Context(), shards, metadata, out, args)
		},
	}
	shardsFlag(cmd, &shards)
	cmd.Flags().StringVar(&metadata, "metadata", "", "`FILE` with the BCS form of the metadata")
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write the blob to")
	for _, name := range []string{"metadata", "out"} {
		_ = cmd.MarkFlagRequired(name) // fails only for a flag that is not there
	}
	return cmd
}

func (a *app) decodeBlob(ctx context.Context, shards int, metadata, out string, files []string) error {
	codec, err := newCodec(shards)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(metadata)
	if err != nil {
		return err
	}
	md, err := redstuff.ParseMetadata(codec.Geometry(), raw)
	if err != nil {
		return ui.Errorf(ui.Failed, "%s: %w", metadata, err).WithHint("was the blob encoded with --shards %d?", shards)
	}
	slivers := sliverSet{codec: codec, md: md}
	for _, file := range files {
		if err := slivers.load(file); err != nil {
			return err
		}
	}
	axis, have, err := slivers.enough()
	if err != nil {
		return err
	}
	blob, err := codec.Decode(ctx, md, axis, have, redstuff.DecodeOptions{Verified: true, Strict: true})
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if err := writeWhole(out, blob); err != nil {
		return err
	}
	return a.result("blob", map[string]any{"blob_id": md.BlobID().String(), "size": md.Size, "axis": axis.String()}, func() error { return nil })
}

// sliverSet is verified slivers of one blob by kind.
type sliverSet struct {
	codec  *redstuff.Codec
	md     *redstuff.Metadata
	byAxis [2]map[int][]byte
}

// load adds the sliver in file. Its kind follows from its length.
func (s *sliverSet) load(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	data, symbolSize, index, err := redstuff.ParseSliver(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	g := s.codec.Geometry()
	for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
		if index >= g.Shards || len(data) != g.SliverSize(axis, symbolSize) {
			continue
		}
		id := walrus.SliverID{Blob: s.md.BlobID(), Axis: axis, Index: uint16(index)}
		if err := s.codec.Verify(s.md, id, data); err != nil {
			return ui.Errorf(ui.Failed, "%s: %w", file, err).WithHint("the file is damaged or belongs to another blob")
		}
		if s.byAxis[axis] == nil {
			s.byAxis[axis] = map[int][]byte{}
		}
		s.byAxis[axis][index] = data
		return nil
	}
	return ui.Errorf(ui.Failed, "%s: sliver %d of %d bytes is none of a blob of %d shards", file, index, len(data), g.Shards)
}

// enough picks the kind of which there are enough slivers.
func (s *sliverSet) enough() (walrus.Axis, map[int][]byte, error) {
	g := s.codec.Geometry()
	primary, secondary := s.byAxis[walrus.Primary], s.byAxis[walrus.Secondary]
	switch {
	case len(primary) >= g.SourcePrimary():
		return walrus.Primary, primary, nil
	case len(secondary) >= g.SourceSecondary():
		return walrus.Secondary, secondary, nil
	}
	return 0, nil, ui.Errorf(ui.Failed, "too few slivers: %d of %d primary, %d of %d secondary",
		len(primary), g.SourcePrimary(), len(secondary), g.SourceSecondary()).
		WithHint("one kind must suffice by itself")
}
