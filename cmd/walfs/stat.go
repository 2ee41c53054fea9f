package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// statArgs is the question of opStat.
type statArgs struct {
	Path []byte `json:"path"` // in the drive
}

// fileStat is what walfs stat prints.
type fileStat struct {
	Path     string       `json:"path"` // in the drive
	Inode    uint64       `json:"inode"`
	State    string       `json:"state"`
	Size     int64        `json:"size"`
	Extents  []fileExtent `json:"extents"`
	EndEpoch walrus.Epoch `json:"end_epoch"` // 0: nothing is paid for yet
	Error    string       `json:"error,omitempty"`
	Sealed   bool         `json:"sealed"` // else the blobs hold plain bytes
}

// fileExtent is a range of the published content. In a sealed blob the bytes at BlobOffset are ciphertext.
type fileExtent struct {
	Offset     int64  `json:"offset"`
	Length     int64  `json:"length"`
	BlobID     string `json:"blob_id"` // empty until the blob is encoded
	BlobOffset int64  `json:"blob_offset"`
}

func newStatCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stat PATH",
		Short: "Show how safe a file is and in which blobs it lies",
		Long: "Stat takes a path below the mount point, or one in the drive, counted from its root.\n" +
			"Extents are of the newest version that was packed whole; what none covers is zeros.",
		Args: arguments(1, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			l, err := a.reach(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.close()) }()
			path, err := l.existing(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var s fileStat
			if err := l.call(cmd.Context(), opStat, statArgs{path}, nil, &s); err != nil {
				return err
			}
			return a.result("stat", s, func() error { return a.showStat(s) })
		},
	}
}

// inside turns a path of this machine into one in the drive. A path that is not below the
// mount point is taken to be one already.
func (l *line) inside(ctx context.Context, path string) ([]byte, error) {
	if !l.mounted {
		return []byte("/" + strings.TrimPrefix(path, "/")), nil
	}
	var s status
	if err := l.call(ctx, opStatus, nothing{}, nil, &s); err != nil {
		return nil, err
	}
	if inner, ok := below(s.Mountpoint, path); ok {
		return inner, nil
	}
	return []byte("/" + strings.TrimPrefix(path, "/")), nil
}

// below returns the path in the drive of one below the mount point.
func below(mountpoint, path string) ([]byte, bool) {
	full := absolute(path)
	full = filepath.Join(resolve(filepath.Dir(full)), filepath.Base(full)) // a link itself is not followed
	if full == mountpoint {
		return []byte("/"), true
	}
	rest, ok := strings.CutPrefix(full, strings.TrimSuffix(mountpoint, "/")+"/")
	return []byte("/" + rest), ok
}

// existing is inside for something that has to be there. What is on this machine, but
// neither below the mount point nor in the drive under the same path, is told as such.
func (l *line) existing(ctx context.Context, path string) ([]byte, error) {
	inner, err := l.inside(ctx, path)
	if err != nil {
		return inner, err
	}
	if _, err := os.Lstat(path); err != nil {
		return inner, nil // who looks for it in the drive says what is wrong
	}
	if !l.mounted {
		if err := l.call(ctx, opStat, statArgs{inner}, nil, nil); err == nil {
			return inner, nil
		}
		return nil, ui.Errorf(ui.Failed, "%s is there on this machine, and not in the drive, which is not mounted: its paths are counted from its root", ui.Clean(path)).
			WithHint("walfs ls / shows what is in the drive")
	}
	var s status
	if err := l.call(ctx, opStatus, nothing{}, nil, &s); err != nil {
		return nil, err
	}
	if _, ok := below(s.Mountpoint, path); ok {
		return inner, nil
	}
	if err := l.call(ctx, opStat, statArgs{inner}, nil, nil); err == nil {
		return inner, nil
	}
	return nil, ui.Errorf(ui.Failed, "%s is not in the drive, which is mounted at %s", ui.Clean(path), s.Mountpoint)
}

func (d *drive) answerStat(ctx context.Context, args statArgs, _ func(any) error) (fileStat, error) {
	attr, err := d.resolve(ctx, args.Path)
	if err != nil {
		return fileStat{}, err
	}
	at, err := d.index.State(ctx, attr.Ino)
	if err != nil {
		return fileStat{}, err
	}
	s := fileStat{
		Path: string(args.Path), Inode: uint64(attr.Ino), State: string(at.State), Sealed: !d.about.Plain, Size: attr.Size,
		Extents: []fileExtent{}, EndEpoch: at.EndEpoch, Error: at.Error,
	}
	for _, e := range at.Extents {
		extent := fileExtent{Offset: e.Off, Length: e.Len, BlobOffset: sealedOffset(e.Header, e.Pos)}
		if !e.Blob.IsZero() {
			extent.BlobID = e.Blob.String()
		}
		s.Extents = append(s.Extents, extent)
	}
	return s, nil
}

// sealedOffset returns where the byte at pos of a segment's plaintext stands in its blob.
func sealedOffset(header seal.Header, pos int64) int64 {
	overhead := header.SealedSize(1) - seal.HeaderSize - 1 // of one chunk
	return seal.HeaderSize + pos/seal.ChunkSize*(seal.ChunkSize+overhead) + pos%seal.ChunkSize
}

func (a *app) showStat(s fileStat) error {
	err := a.Print("%s  %s  %s", ui.Clean(s.Path), s.State, ui.Size(s.Size))
	if s.EndEpoch != 0 {
		err = errors.Join(err, a.Print("paid for until epoch %d", s.EndEpoch))
	}
	if !s.Sealed {
		err = errors.Join(err, a.Print("not sealed: %s", openToAll))
	}
	if s.Error != "" {
		err = errors.Join(err, a.Print("last error: %s", ui.Clean(s.Error)))
	}
	table := a.Table("OFFSET", "LENGTH", "BLOB", "AT")
	for _, e := range s.Extents {
		table.Row(e.Offset, e.Length, e.BlobID, e.BlobOffset)
	}
	return errors.Join(err, table.Flush())
}
