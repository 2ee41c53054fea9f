package sui

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walfs/walfs/chain/move"
)

// fate is what became of the objects that a transaction named, as far as a full node tells.
type fate int

const (
	unmoved  fate = iota // all are at the versions named
	moved                // one is not; whose doing that is cannot be told
	byOther              // another transaction took one as it was: this one cannot have been executed
	byItself             // this one took them: it was executed
)

// verdict finds out what a refusal means: the transaction may have been
// executed by an earlier try, may have become impossible because something
// else used its objects, or may be locked for now. Only what can be no other way is
// called dead, since what is dead is built anew, and paid; first says that nobody was ever sent it before. What
// cannot be told is waited for, and then gives ErrBehind, or ErrForgotten if it was executed.
func (c *Client) verdict(ctx context.Context, r *record, first bool, wal move.StructTag, refusal error) (*Result, error) {
	refs, err := r.Attempt.owned()
	if err != nil {
		return nil, fmt.Errorf("transaction %s: %w", r.Digest, err)
	}
	invalid := status.Code(refusal) == codes.InvalidArgument
	old := time.Since(time.UnixMilli(int64(r.TimeMS))) > knownFor
	for pause, deadline := behindPause, time.Now().Add(c.conn.patience); ; pause = min(2*pause, time.Second) {
		what, err := c.fate(ctx, refs, r.Digest, first || c.whole)
		if err != nil {
			return nil, err
		}
		// Asked after the objects were read, so that an execution in between is seen.
		result, err := c.lookup(ctx, r.Digest, wal)
		if result != nil || err != nil {
			return result, err
		}
		switch {
		case what == unmoved && !invalid:
			return nil, fmt.Errorf("transaction %s: %w: %w", r.Digest, ErrLocked, refusal)
		case what == byOther, what != byItself && (first || c.whole), what == unmoved && old:
			return nil, fmt.Errorf("transaction %s: %s: %w", r.Digest, status.Convert(refusal).Message(), errDead)
		case time.Now().Before(deadline):
			if err := sleep(ctx, pause); err != nil {
				return nil, err
			}
		case what == byItself:
			return nil, fmt.Errorf("transaction %s: %w", r.Digest, ErrForgotten)
		default:
			return nil, fmt.Errorf("it cannot be told whether transaction %s was executed: %w: %w", r.Digest, ErrBehind, refusal)
		}
	}
}

// owned returns the owned objects that a transaction names, those that pay the gas first.
func (a *attempt) owned() (refs []move.ObjectRef, err error) {
	var tx move.Transaction
	if err := move.Unmarshal(a.Raw, &tx); err != nil {
		return nil, err
	}
	refs = tx.Gas.Payment
	for _, in := range tx.Inputs {
		if in.Kind == move.InputOwned {
			refs = append(refs, in.Object)
		}
	}
	return refs, nil
}

// fate tells what became of objects that the transaction of a digest names. Where it does not matter
// by whose doing they moved, that is not looked for.
func (c *Client) fate(ctx context.Context, refs []move.ObjectRef, digest move.Digest, anybody bool) (fate, error) {
	worst := unmoved
	for _, ref := range refs {
		what, newest, err := c.newest(ctx, ref, digest)
		if err == nil && what == moved && newest != "" && !anybody {
			what, err = c.walk(ctx, ref, digest.String(), newest)
		}
		if err != nil {
			return what, fmt.Errorf("read object %s: %w", ref.ID, err)
		}
		if what > moved {
			return what, nil
		}
		worst = max(worst, what)
	}
	return worst, nil
}

// newest reads what an object is now, and by which transaction, "" if it does not help to know.
func (c *Client) newest(ctx context.Context, ref move.ObjectRef, digest move.Digest) (what fate, by string, err error) {
	id := ref.ID.String()
	answer, err := ask(ctx, c.conn, c.conn.ledger.GetObject,
		&pb.GetObjectRequest{ObjectId: &id, ReadMask: mask("object_id", "version", "previous_transaction")})
	o := answer.GetObject()
	switch {
	case status.Code(err) == codes.NotFound:
		return moved, "", nil
	case err != nil:
		return moved, "", err
	case o.GetVersion() == ref.Version:
		return unmoved, "", nil
	case o.GetVersion() < ref.Version:
		return moved, "", nil // of the past
	case o.GetPreviousTransaction() == digest.String():
		return byItself, "", nil
	}
	return moved, o.GetPreviousTransaction(), nil
}

// maxWalk is how many transactions back the one is looked for that took an object.
const maxWalk = 1000

// walk goes back from the transaction by which an object is what it is now to the one that took it as
// ref names it. Transactions tell the version that they found, and those that they build upon, among
// which is the one that left it so. Digest is of the transaction that named ref.
func (c *Client) walk(ctx context.Context, ref move.ObjectRef, digest, by string) (fate, error) {
	id := ref.ID.String()
	for range maxWalk {
		effects, err := c.effects(ctx, by)
		if err != nil || effects == nil {
			return moved, err
		}
		if slices.Contains(effects.GetDependencies(), digest) {
			return byItself, nil // whatever it left there
		}
		found := changeOf(effects, id)
		switch {
		case found == nil || found.GetInputState() != pb.ChangedObject_INPUT_OBJECT_STATE_EXISTS:
			return moved, nil // it was inside another object
		case found.GetInputVersion() <= ref.Version:
			return byOther, nil // by is not digest; nor did it ever have a version that is leapt over
		}
		if by, err = c.writer(ctx, effects.GetDependencies(), id, found.GetInputVersion()); err != nil || by == "" {
			return moved, err
		}
	}
	return moved, nil
}

// writer returns which of some transactions left an object at a version, "" if none is known to have.
func (c *Client) writer(ctx context.Context, digests []string, id string, version uint64) (string, error) {
	for _, digest := range digests {
		effects, err := c.effects(ctx, digest)
		if err != nil {
			return "", err
		}
		if o := changeOf(effects, id); o != nil && o.GetOutputVersion() == version {
			return digest, nil
		}
	}
	return "", nil
}

// effects asks what a transaction did, nil when the full node does not know it.
func (c *Client) effects(ctx context.Context, digest string) (*pb.TransactionEffects, error) {
	answer, err := ask(ctx, c.conn, c.conn.ledger.GetTransaction,
		&pb.GetTransactionRequest{Digest: &digest, ReadMask: mask("digest", "effects")})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up transaction %s: %w", digest, err)
	}
	return answer.GetTransaction().GetEffects(), nil
}

// changeOf returns what a transaction did to an object, nil if nothing.
func changeOf(effects *pb.TransactionEffects, id string) *pb.ChangedObject {
	i := slices.IndexFunc(effects.GetChangedObjects(), func(o *pb.ChangedObject) bool { return o.GetObjectId() == id })
	if i < 0 {
		return nil
	}
	return effects.ChangedObjects[i]
}
