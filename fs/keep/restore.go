// Package keep is what a drive does by itself besides committing.
package keep

import (
	"context"
	"errors"
	"log/slog"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain"
)

// ErrNoAnchor reports that the wallet holds no anchor of the drive that its key signed.
var ErrNoAnchor = errors.New("no anchor of this drive in the wallet")

// RestoreConfig says which drive to restore, and where.
type RestoreConfig struct {
	Ledger   chain.Ledger
	Blobs    *blobstore.Client
	Keys     *seal.Keyring
	Drive    [16]byte // its ID; zero: the only drive that Keys can verify
	Path     string   // of the new index file
	ReadOnly bool     // do not take over the drive: this machine must not write
	Plain    bool     // segments are not encrypted
	Log      *slog.Logger
}

// Report says what a restore brought back.
type Report struct {
	Drive      [16]byte
	Generation uint64
	Inodes     int64
	Bytes      int64
	Problems   []string // what was refused or made harmless
}

var errUnfinished = errors.New("not there yet")

// Restore builds the index of a drive from the ledger, the nodes and the drive
// key. Unless ReadOnly is set it makes this machine the drive's writer.
func Restore(ctx context.Context, cfg RestoreConfig) (Report, error) { return Report{}, errUnfinished }
