package sui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// An event's cursor is the number of its checkpoint and its place in that,
// counted from 1 over the events of all transactions. So a cursor without a
// place stands before all events of a checkpoint.
const cursorBits = 20

func cursor(checkpoint, place uint64) uint64 { return checkpoint<<cursorBits | place }

// checkpointMask is what is asked for of a checkpoint.
var checkpointMask = []string{"sequence_number", "summary.timestamp", "transactions.digest", "transactions.events", "transactions.effects.status"}

// Events implements chain.Ledger. Checkpoints are read one by one from the
// cursor on, up to the newest of the moment; those that the full node does not
// keep any more are skipped.
func (c *Client) Events(ctx context.Context, after uint64, most int) ([]chain.Event, error) {
	list, _, err := c.scan(ctx, after, most)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	return list, nil
}

// scan returns at most so many events after a cursor, and the cursor to go on from.
func (c *Client) scan(ctx context.Context, after uint64, most int) (list []chain.Event, next uint64, err error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, after, err
	}
	info, err := c.serviceInfo(ctx)
	if err != nil {
		return nil, after, err
	}
	for at := max(after>>cursorBits, info.lowest); at <= info.height; at += callsAtOnce {
		found, err := c.checkpoints(ctx, at, min(callsAtOnce, info.height-at+1), checkpointMask)
		if err != nil {
			return nil, after, err
		}
		for _, p := range found {
			events, err := w.events(p)
			if err != nil {
				return nil, after, err
			}
			for _, e := range events {
				if e.Seq <= after {
					continue
				}
				if len(list) == most {
					return list, list[most-1].Seq, nil
				}
				list = append(list, e)
			}
		}
	}
	return list, max(after, cursor(info.height, 1<<cursorBits-1)), nil
}

// checkpoints reads so many checkpoints from a number on. One that the full node does not have is nil.
func (c *Client) checkpoints(ctx context.Context, from, count uint64, paths []string) ([]*pb.Checkpoint, error) {
	found := make([]*pb.Checkpoint, count)
	group, ctx := errgroup.WithContext(ctx)
	for i := range count {
		group.Go(func() error {
			answer, err := ask(ctx, c.conn, c.conn.ledger.GetCheckpoint, &pb.GetCheckpointRequest{
				CheckpointId: &pb.GetCheckpointRequest_SequenceNumber{SequenceNumber: from + i}, ReadMask: mask(paths...)})
			if status.Code(err) == codes.NotFound {
				return nil
			}
			if err != nil {
				return fmt.Errorf("checkpoint %d: %w", from+i, err)
			}
			found[i] = answer.GetCheckpoint()
			return nil
		})
	}
	return found, group.Wait()
}

// events returns the events of the Walrus contracts in a checkpoint.
func (w *world) events(p *pb.Checkpoint) (list []chain.Event, err error) {
	place := uint64(0)
	for _, tx := range p.GetTransactions() {
		if s := tx.GetEffects().GetStatus(); s != nil && !s.GetSuccess() {
			continue
		}
		digest, err := move.ParseDigest(tx.GetDigest())
		if err != nil {
			return nil, fmt.Errorf("checkpoint %d: %w: %w", p.GetSequenceNumber(), ErrAnswer, err)
		}
		for i, e := range tx.GetEvents().GetEvents() {
			place++
			if !w.isOurs(e) {
				continue
			}
			event := chain.Event{Seq: cursor(p.GetSequenceNumber(), place), Tx: chain.TxID(digest), Index: uint32(i),
				Type: e.GetEventType(), BCS: e.GetContents().GetValue()}
			if err := decodeEvent(&event); err != nil {
				return nil, fmt.Errorf("event %s in checkpoint %d: %w", event.Type, p.GetSequenceNumber(), err)
			}
			list = append(list, event)
		}
	}
	return list, nil
}

// isOurs tells whether an event is of the Walrus contracts. Events that came
// with a later version are named after that version, and are emitted by code
// of the current one.
func (w *world) isOurs(e *pb.Event) bool {
	tag, err := move.ParseStructTag(e.GetEventType())
	if err != nil {
		return false
	}
	emitter, err := move.ParseAddress(e.GetPackageId())
	return tag.Address == w.types.Walrus || err == nil && (emitter == w.current || emitter == w.types.Walrus)
}

// decodeEvent fills what the BCS of an event says.
func decodeEvent(e *chain.Event) (err error) {
	e.Kind = chain.OtherEvent
	name, ok := strings.CutPrefix(e.Type[strings.Index(e.Type, "::")+2:], "events::")
	if !ok {
		return nil
	}
	switch name {
	case "BlobRegistered":
		var v move.BlobRegistered
		err = move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch, e.Blob, e.Object = chain.BlobRegistered, walrus.Epoch(v.Epoch), walrus.BlobID(v.Blob), walrus.ObjectID(v.Object)
		e.Size, e.EndEpoch, e.Deletable = int64(v.Size), walrus.Epoch(v.EndEpoch), v.Deletable
	case "BlobCertified":
		var v move.BlobCertified
		err = move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch, e.Blob, e.Object = chain.BlobCertified, walrus.Epoch(v.Epoch), walrus.BlobID(v.Blob), walrus.ObjectID(v.Object)
		e.EndEpoch, e.Deletable = walrus.Epoch(v.EndEpoch), v.Deletable
	case "BlobDeleted":
		var v move.BlobDeleted
		err = move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch, e.Blob, e.Object = chain.BlobDeleted, walrus.Epoch(v.Epoch), walrus.BlobID(v.Blob), walrus.ObjectID(v.Object)
		e.EndEpoch, e.Deletable = walrus.Epoch(v.EndEpoch), true
	case "EpochChangeStart":
		var v move.EpochChangeStart
		err = move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch = chain.EpochChangeStart, walrus.Epoch(v.Epoch)
	case "EpochChangeDone":
		var v move.EpochChangeDone
		err = move.Unmarshal(e.BCS, &v)
		e.Kind, e.Epoch = chain.EpochChangeDone, walrus.Epoch(v.Epoch)
	}
	return err
}

// Follow calls f with the events after a cursor, oldest first, until ctx ends
// or f fails: first those that are there, then new ones as they come. With them
// comes the cursor to go on from after a restart; now and then it comes alone.
// Follow returns the error of f, or why the ledger could not be followed.
func (c *Client) Follow(ctx context.Context, after uint64, f func(events []chain.Event, next uint64) error) error {
	for {
		err := c.followOnce(ctx, &after, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var stop *stopped
		if errors.As(err, &stop) {
			return stop.err
		}
		if err != nil && !isAway(err) && !errors.Is(err, io.EOF) {
			return fmt.Errorf("follow the ledger: %w", err)
		}
		if err := sleep(ctx, rpcBackoff); err != nil {
			return err
		}
	}
}

// stopped is the error with which whom Follow calls ended it.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }

// followOnce follows one subscription to its end.
func (c *Client) followOnce(ctx context.Context, after *uint64, f func([]chain.Event, uint64) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The subscription comes first, so that nothing falls between it and what is there already.
	stream, err := c.conn.checks.SubscribeCheckpoints(ctx, &pb.SubscribeCheckpointsRequest{ReadMask: mask("sequence_number")})
	if err != nil {
		return err
	}
	told := *after
	for {
		for more := true; more; {
			events, next, err := c.scan(ctx, *after, eventPage)
			if err != nil {
				return err
			}
			if more = len(events) == eventPage; len(events) > 0 || next>>cursorBits >= told>>cursorBits+quietAfter {
				if err := f(events, next); err != nil {
					return &stopped{err}
				}
				told = next
			}
			*after = next
		}
		for { // what the stream tells is only that there is more
			answer, err := stream.Recv()
			if err != nil {
				return err
			}
			if answer.GetCursor() > *after>>cursorBits {
				break
			}
		}
	}
}

const (
	eventPage  = 500    // events that are read at a time
	quietAfter = 10_000 // checkpoints without events after which a cursor comes alone
)
