package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// exitCodes is what the help of walfs ends with; ui.Code has the numbers.
const exitCodes = `Exit codes:
  0 done               11 drive in use
  1 error              12 wrong key
  2 usage              13 too few nodes
  3 done in part       14 chain refused, or no funds
  10 no drive here     130 interrupted`

// errInterrupted reports that a signal ended the command.
var errInterrupted = ui.Errorf(ui.Interrupted, "interrupted")

// usagef reports that a command was called in a way that it cannot be.
func usagef(format string, args ...any) *ui.Error { return ui.Errorf(ui.Usage, format, args...) }

// noDrive reports that there is no drive in the state folder, or none that this user may see.
func noDrive(h home) *ui.Error {
	if _, err := os.Lstat(h.index()); errors.Is(err, fs.ErrPermission) {
		return ui.Errorf(ui.Failed, "state folder %s belongs to another user", h.dir).
			WithHint("run walfs as its owner, or name another folder with --home")
	}
	return ui.Errorf(ui.NoDrive, "no drive in %s", h.dir).
		WithHint("walfs mount DIR makes one; --home or WALFS_HOME names another state folder")
}

// meanings says what errors of the packages below mean to the person at the keyboard.
// The first line that matches counts.
var meanings = []struct {
	is   error
	code ui.Code
	hint string
}{
	{index.ErrNoDrive, ui.NoDrive, "walfs mount DIR makes a drive; --home or WALFS_HOME names another state folder"},
	{index.ErrNewer, ui.Failed, "a newer walfs has used this drive: update walfs"},
	{index.ErrCorrupt, ui.Failed, "walfs check --repair makes a new index from the network, or from a local copy, and keeps what is staged"},
	{embedded.ErrSettings, ui.Usage, "leave --nodes and --shards out, or name another folder with --home"},
	{embedded.ErrLocked, ui.InUse, "the network belongs to a drive that is mounted: unmount that first"},
	{localnet.ErrTakenOver, ui.Failed, "the drive was restored from its node folders to another state folder: use that one; what was not certified here is still in this one's staging folder"},
	{control.ErrInUse, ui.InUse, ""},
	{exec.ErrNotFound, ui.Failed, "mounting without being root needs fusermount3: sudo apt-get install fuse3"},
	{seal.ErrWrongKey, ui.WrongKey, ""},
	{seal.ErrUnknownKey, ui.WrongKey, ""},
	{seal.ErrPermissions, ui.WrongKey, "others may have read this file; if not, close it with chmod 600"},
	{node.ErrUnavailable, ui.TooFewNodes, "walfs node list shows which nodes are down"},
	{blobstore.ErrUnavailable, ui.TooFewNodes, "walfs node list shows which nodes are down"},
	{keep.ErrCollected, ui.Failed, "without --at the newest state is restored; gc_grace says how long older ones are kept"},
	{chain.ErrNoFunds, ui.Chain, ""},
	{commit.ErrRolledBack, ui.Chain, "the network folder was put back to an earlier state; walfs takeover --allow-rollback goes on with it"},
	{commit.ErrTakenOver, ui.Failed, "walfs takeover makes this machine the writer again"},
	{chain.ErrStaleVersion, ui.Chain, "another machine has taken this drive over with walfs restore"},
}

// explain gives err the exit code and the hint that belong to it, unless it has them.
func explain(err error) error {
	var done *ui.Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	var answered *control.Error
	if errors.As(err, &answered) {
		return &ui.Error{Err: err, Code: ui.Code(answered.Code), Hint: answered.Hint}
	}
	for _, m := range meanings {
		if errors.Is(err, m.is) {
			return &ui.Error{Err: err, Code: m.code, Hint: m.hint}
		}
	}
	var quorum *blobstore.QuorumError
	if errors.As(err, &quorum) {
		return &ui.Error{Err: err, Code: ui.TooFewNodes, Hint: "walfs node list shows which nodes are down"}
	}
	var refused *chain.AbortError
	if errors.As(err, &refused) {
		return &ui.Error{Err: err, Code: ui.Chain}
	}
	return err
}
