// Package chain is the floor on which the ledger meets the rest: the Ledger
// interface, what goes through it, and its errors.
//
// A Ledger acts for one owner address. Every call that changes something
// carries a transaction ID that the caller chose and wrote down before the
// call. A call may be repeated with the same ID after a lost answer: it is
// executed once, paid once, and gives the same result.
package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// TxID names a transaction: 32 random bytes chosen by the caller.
type TxID [32]byte

// Address is that of an owner on the ledger.
type Address [32]byte

// String returns 0x and 64 hex digits.
func (a Address) String() string { return walrus.ObjectID(a).String() }

// FrostPerWAL is the number of FROST in one WAL. Source: module wal, decimals = 9.
const FrostPerWAL = 1_000_000_000

// MaxBatch is how many members one call takes. Source: Sui allows 1024
// commands in a transaction, and a registration with attributes takes several.
const MaxBatch = 128

// State is what the ledger says of itself now.
type State struct {
	Epoch          walrus.Epoch
	EpochStart     time.Time // in the ledger's own time
	EpochDuration  time.Duration
	Now            time.Time // the ledger's clock
	Committee      walrus.Committee
	StoragePrice   uint64 // FROST per MiB of encoded size and epoch
	WritePrice     uint64 // FROST per MiB of encoded size written
	MaxEpochsAhead uint32
	Capacity, Used uint64 // bytes of encoded size
	ChainID        [32]byte
}

// BytesPerUnit is the size of the unit that prices are for. Source: module
// system_state_inner, BYTES_PER_UNIT_SIZE.
const BytesPerUnit = 1 << 20

// Units returns how many units the ledger charges for an encoded size in bytes.
func Units(encoded uint64) uint64 {
	n := encoded / BytesPerUnit
	if encoded%BytesPerUnit != 0 {
		n++
	}
	return n
}

// Registration asks for one blob object.
type Registration struct {
	Blob        walrus.BlobID
	Root        [32]byte
	Size        int64 // unencoded, in bytes
	EpochsAhead uint32
	Deletable   bool
	// Storage is a free reservation of the owner to use instead of buying one;
	// zero buys. It must be large enough and last for EpochsAhead epochs.
	Storage walrus.ObjectID
	// Reuse, instead of Storage, are free reservations of the owner that cover the present epoch. They are
	// cut and fused into what is needed: what they have too much stays free, epochs that they do not
	// all cover are bought. Together they must be large enough.
	Reuse      []walrus.ObjectID
	Attributes []Attribute // set on the new object in the same transaction
}

// Attribute is one key and value in the metadata of a blob object.
type Attribute struct{ Key, Value string }

// Registered answers one Registration.
type Registered struct {
	Object   walrus.ObjectID
	EndEpoch walrus.Epoch
}

// Certification asks to certify one registered blob object.
type Certification struct {
	Object walrus.ObjectID
	Cert   walrus.Certificate
}

// AnchorUpdate moves a drive's anchor in the transaction that certifies.
// The whole transaction fails with ErrStaleVersion, before anything is paid or
// changed, when the object is not at Version.
type AnchorUpdate struct {
	Object     walrus.ObjectID
	Version    uint64
	Attributes []Attribute // inserted or replaced
}

// Outcome is what an executed transaction did. Every slice is in the order of the request.
type Outcome struct {
	Registered    []Registered
	Certified     []walrus.ObjectID
	Extended      []Registered      // object and its new end epoch
	Freed         []walrus.ObjectID // Storage objects that Delete gave back
	AnchorVersion uint64            // the anchor's version after the transaction; 0 when untouched
	CostFrost     uint64
}

// Extension asks to lengthen the storage of a certified blob.
type Extension struct {
	Object walrus.ObjectID
	Epochs uint32
	// Reuse are free reservations of the owner that cover the epoch in which the blob's storage ends. They
	// are used as in a Registration before anything is bought.
	Reuse []walrus.ObjectID
}

// OwnedQuery narrows Owned. The zero value asks for all blob objects and no reservations.
type OwnedQuery struct {
	Blobs   []walrus.BlobID // only objects of these blobs; nil means any
	Objects []walrus.ObjectID
	Key     string // only objects with this attribute
	Storage bool   // list free reservations instead of blobs
}

// OwnedObject is a blob object, or a free storage reservation, of the owner.
type OwnedObject struct {
	Object      walrus.ObjectID
	Version     uint64
	Blob        walrus.BlobID // zero for a reservation
	Size        int64         // unencoded size, 0 for a reservation
	StorageSize uint64        // bytes of encoded size reserved
	StartEpoch  walrus.Epoch
	EndEpoch    walrus.Epoch // exclusive
	Deletable   bool
	Certified   bool
	Registered  walrus.Epoch // in which the blob was registered; 0 for a reservation
	CertifiedIn walrus.Epoch // in which it was certified; 0: it is not
	Attributes  []Attribute
}

// EventKind tells events apart.
type EventKind uint8

// The events that a storage node and a drive follow.
const (
	BlobRegistered EventKind = 1 + iota
	BlobCertified
	BlobDeleted
	EpochChangeStart
	EpochChangeDone
	OtherEvent
)

// Event is one event of the Walrus contracts, in ledger order.
type Event struct {
	Seq       uint64 // cursor: ask for events after this one
	Tx        TxID   // the transaction that emitted it
	Index     uint32 // its place among the events of that transaction, from 0
	Kind      EventKind
	Epoch     walrus.Epoch
	Blob      walrus.BlobID
	Object    walrus.ObjectID
	Size      int64
	EndEpoch  walrus.Epoch
	Deletable bool
	Type      string // full Move type name
	BCS       []byte
}

// Balance is what the owner can spend.
type Balance struct {
	WALFrost uint64
	SUIMist  uint64
}

// Chronicle is the part of a Ledger that does not depend on the owner: what a storage node follows.
type Chronicle interface {
	// State returns epoch, committee, prices and clock.
	State(ctx context.Context) (*State, error)
	// Events returns at most max events with Seq above after, oldest first.
	Events(ctx context.Context, after uint64, max int) ([]Event, error)
}

// Ledger is Sui with the Walrus contracts, seen by one owner. Calls may be
// concurrent. Batches have at most MaxBatch members and are all or nothing. A
// call that fails leaves no trace, and its transaction ID can be used again.
type Ledger interface {
	Chronicle
	// Register buys storage for and registers every blob, in one transaction.
	Register(ctx context.Context, tx TxID, batch []Registration) (*Outcome, error)
	// Certify certifies every blob and moves the anchor when one is given, in one transaction.
	// An empty batch with an anchor only moves the anchor.
	Certify(ctx context.Context, tx TxID, batch []Certification, anchor *AnchorUpdate) (*Outcome, error)
	// Extend lengthens the life of certified blobs.
	Extend(ctx context.Context, tx TxID, batch []Extension) (*Outcome, error)
	// Delete deletes deletable blob objects; their reservations come back to the owner.
	Delete(ctx context.Context, tx TxID, objects []walrus.ObjectID) (*Outcome, error)
	// Outcome returns what tx did, or ErrNotExist when it was never executed.
	Outcome(ctx context.Context, tx TxID) (*Outcome, error)
	// Owned lists objects of the owner.
	Owned(ctx context.Context, q OwnedQuery) ([]OwnedObject, error)
	// Balance returns the owner's coins.
	Balance(ctx context.Context) (Balance, error)
}

// Errors that callers branch on.
var (
	// ErrNotExist reports a transaction or object that the ledger does not know.
	ErrNotExist = errors.New("not on the ledger")
	// ErrStaleVersion reports an object that is at another version than the call named.
	ErrStaleVersion = errors.New("object is at another version")
	// ErrNoFunds reports that the owner's coins do not cover the price.
	ErrNoFunds = errors.New("not enough WAL")
	// ErrNotOwner reports an object that belongs to somebody else.
	ErrNotOwner = errors.New("object belongs to another owner")
	// ErrStaleEpoch reports a certificate of an epoch that is over: collect
	// confirmations anew. An AbortError that says so matches it.
	ErrStaleEpoch = errors.New("certificate is of another epoch")
	// ErrBatch reports a batch that is empty or longer than MaxBatch.
	ErrBatch = errors.New("batch is empty or too long")
	// ErrTxReused reports a transaction ID that was used for another request.
	ErrTxReused = errors.New("transaction id was used for another request")
)

// AbortError reports that a contract refused a call. It is permanent for this request.
type AbortError struct {
	Module   string // for example system_state_inner
	Function string
	Code     uint64
	Name     string // the contract's name of the code, for example EInvalidEpochsAhead
}

func (e *AbortError) Error() string {
	return fmt.Sprintf("%s::%s aborted with %s (%d)", e.Module, e.Function, e.Name, e.Code)
}

// Is reports whether the abort is what target says: ErrStaleEpoch for a
// message of another epoch.
func (e *AbortError) Is(target error) bool {
	return target == ErrStaleEpoch && e.Module == "messages" && e.Name == "EIncorrectEpoch"
}
