package rpc

import (
	"fmt"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
)

// What is told of a transaction without a mask. Source: sui.rpc.v2.
const (
	transactionDefault = "digest"
	executeDefault     = "effects.status,checkpoint"
)

// executedOf returns what m keeps of a transaction and of what it did.
func executedOf(e *localnet.Executed, m mask) (*pb.ExecutedTransaction, error) {
	effects, err := effectsOf(e)
	if err != nil {
		return nil, fmt.Errorf("transaction %s: %w", e.Digest, err)
	}
	events, err := eventsOf(e.Events)
	if err != nil {
		return nil, fmt.Errorf("transaction %s: %w", e.Digest, err)
	}
	out := &pb.ExecutedTransaction{Digest: text(e.Digest), Effects: effects, Events: events, Timestamp: timestampOf(e.TimeMS)}
	if e.Seq > 0 {
		out.Checkpoint = proto.Uint64(e.Seq)
	}
	if e.Transaction != nil {
		out.Transaction = transactionOf(e.Transaction, e.BCS, e.Digest)
	}
	for _, signature := range e.Signatures {
		out.Signatures = append(out.Signatures, signatureOf(signature))
	}
	for _, b := range e.Balances {
		out.BalanceChanges = append(out.BalanceChanges, &pb.BalanceChange{
			Address: text(b.Owner), CoinType: text(b.Currency), Amount: proto.String(b.Amount.String()),
		})
	}
	if m.keeps("objects") {
		if out.Objects, err = objectsOf(e); err != nil {
			return nil, err
		}
	}
	return prune(m, out), nil
}

// objectsOf returns the objects as they were before and after, as far as they are known.
func objectsOf(e *localnet.Executed) (*pb.ObjectSet, error) {
	set := new(pb.ObjectSet)
	for i := range e.Changes {
		for _, o := range []*move.Object{e.Changes[i].Before, e.Changes[i].After} {
			if o == nil {
				continue
			}
			object, err := objectOf(o, nil)
			if err != nil {
				return nil, err
			}
			set.Objects = append(set.Objects, object)
		}
	}
	return set, nil
}

func timestampOf(ms uint64) *timestamppb.Timestamp {
	return timestamppb.New(time.UnixMilli(int64(ms)))
}

func eventsOf(events move.Events) (*pb.TransactionEvents, error) {
	if len(events) == 0 {
		return nil, nil
	}
	digest, err := events.Digest()
	if err != nil {
		return nil, err
	}
	bcs, err := move.Marshal(&events)
	if err != nil {
		return nil, err
	}
	out := &pb.TransactionEvents{Bcs: named("TransactionEvents", bcs), Digest: text(digest)}
	for i := range events {
		e := &events[i]
		out.Events = append(out.Events, &pb.Event{
			PackageId: text(e.Package), Module: proto.String(e.Module), Sender: text(e.Sender),
			EventType: text(e.Type), Contents: named(e.Type.String(), e.Contents),
		})
	}
	return out, nil
}

// Signatures of one key: scheme, signature, public key.
const (
	simpleSignature = 64
	schemeEd25519   = 0
	schemePasskey   = 6
)

// signatureOf returns a signature; those of single keys in parts, too.
func signatureOf(raw []byte) *pb.UserSignature {
	out := &pb.UserSignature{Bcs: named("UserSignatureBytes", raw)}
	if len(raw) == 0 || raw[0] > schemePasskey {
		return out
	}
	out.Scheme = pb.SignatureScheme(raw[0]).Enum()
	if raw[0] == schemeEd25519 && len(raw) > 1+simpleSignature {
		out.Signature = &pb.UserSignature_Simple{Simple: &pb.SimpleSignature{
			Scheme: out.Scheme, Signature: raw[1 : 1+simpleSignature], PublicKey: raw[1+simpleSignature:],
		}}
	}
	return out
}

// readSignature returns the bytes of a signature that was sent whole or in parts.
func readSignature(field string, s *pb.UserSignature) ([]byte, error) {
	if s.GetBcs().GetValue() != nil {
		return s.GetBcs().GetValue(), nil
	}
	simple := s.GetSimple()
	if simple == nil || simple.Scheme == nil && s.Scheme == nil {
		return nil, missing(field + ".bcs")
	}
	scheme := s.GetScheme()
	if simple.Scheme != nil {
		scheme = simple.GetScheme()
	}
	if scheme < 0 || scheme > schemePasskey {
		return nil, invalid(field+".scheme", "unknown scheme %d", scheme)
	}
	raw := append([]byte{byte(scheme)}, simple.Signature...)
	return append(raw, simple.PublicKey...), nil
}
