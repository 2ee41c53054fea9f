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
	"github.com/walfs/walfs/chain/sui"
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
	{localnet.ErrNoGenesis, ui.Failed, "the ledger's files are gone; each node folder has a copy: walfs restore --node-dir DIR rebuilds the drive from those"},
	{localnet.ErrTakenOver, ui.Failed, "the drive was restored from its node folders to another state folder: use that one; what was not certified here is still in this one's staging folder"},
	{localnet.ErrDatabase, ui.Failed, "start walfs again: the ledger's database is made anew from its log"},
	{localnet.ErrDamaged, ui.Failed, "mount the disks that the node folders are on: each has a copy of the ledger's log; walfs restore --node-dir DIR makes the drive of them"},
	{embedded.ErrPlan, ui.Failed, "put network.json back from a copy, or walfs restore --node-dir DIR makes the drive of the node folders"},
	{control.ErrInUse, ui.InUse, ""},
	{exec.ErrNotFound, ui.Failed, "mounting without being root needs fusermount3: sudo apt-get install fuse3"},
	{seal.ErrWrongKey, ui.WrongKey, ""},
	{seal.ErrUnknownKey, ui.WrongKey, ""},
	{seal.ErrPermissions, ui.WrongKey, "others may have read this file; if not, close it with chmod 600"},
	{embedded.ErrUnknown, ui.Failed, "walfs node list shows their names"},
	{keep.ErrPinned, ui.Failed, "walfs cache unpin PATH lets go of it"},
	{node.ErrUnavailable, ui.TooFewNodes, "walfs node list shows which nodes are down"},
	{blobstore.ErrUnavailable, ui.TooFewNodes, "walfs node list shows which nodes are down"},
	{keep.ErrCollected, ui.Failed, "without --at the newest state is restored; gc_grace says how long older ones are kept"},
	{sui.ErrOtherChain, ui.Chain, "--rpc or --profile names another network than before; walfs signs for the one that it knows alone"},
	{sui.ErrAway, ui.Failed, "--rpc names another full node; what was signed and not answered is settled by the next command of this wallet"},
	{sui.ErrBehind, ui.Failed, "it catches up by itself: try again in a minute, or name another full node with --rpc"},
	{sui.ErrLocked, ui.Chain, "the next command of this wallet settles what was signed before; what two transactions claimed at once is free when Sui's epoch ends, within a day"},
	{sui.ErrForgotten, ui.Chain, "it was paid for and is not sent again; --rpc names a full node that keeps history and can tell what it did"},
	{sui.ErrAnswer, ui.Failed, "--rpc names another full node; one that is newer than this program may need a newer walfs"},
	{sui.ErrJournal, ui.Failed, "nothing is signed that cannot be written down: make room on the disk of the state folder, then start walfs again"},
	{sui.ErrNoJournal, ui.Failed, "put transactions.journal back from a copy; without it walfs looks on the ledger for what it paid"},
	{sui.ErrExecution, ui.Chain, "walfs wallet history tells what was sent and what it cost"},
	{sui.ErrUnknown, ui.Failed, "--profile FILE can name it: see docs/wallet.md"},
	{sui.ErrProfile, ui.Usage, "walfs localnet serve prints such a file; testnet and mainnet are known by name"},
	{sui.ErrJournalInUse, ui.InUse, "another command is using this wallet: try again when it is done"},
	{sui.ErrKey, ui.WrongKey, "want the words of a phrase, or a text that begins with suiprivkey1"},
	{chain.ErrNoFunds, ui.Chain, ""},
	{chain.ErrNotOwner, ui.Chain, "walfs wallet address tells in whose name the command acts; --wallet names another one"},
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
		return &ui.Error{Err: err, Code: ui.Chain, Hint: refusals[refused.Name]}
	}
	return err
}

// refusals says what to do about a contract's refusal, by its name.
var refusals = map[string]string{
	"EWrongVersion":       "the contracts are newer than this walfs knows: update walfs",
	"EStorageExceeded":    "the storage nodes have no room left for so many epochs: fewer epochs may fit, or try again later",
	"EInvalidEpochsAhead": "the network sells storage for fewer epochs ahead: walfs cost tells how many",
	"EResourceBounds":     "the storage has ended, or ends too early: walfs blob list and walfs blob storage list show when",
	"EResourceSize":       "the storage is too small: walfs blob storage list shows what is there",
	"EBlobNotDeletable":   "a permanent blob stays until its end epoch",
}
