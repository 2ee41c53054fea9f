package sui

import (
	"context"
	"errors"
	"fmt"
	"slices"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/walfs/walfs/chain/move"
)

// ErrAnswer reports an answer of the full node that makes no sense.
var ErrAnswer = errors.New("malformed answer of the full node")

// How objects are asked for. Source: the official client asks for 50 at a time
// and for pages of up to 1,000.
const (
	objectsPerCall = 50
	objectsPerPage = 1000
	callsAtOnce    = 8
)

// object is one version of an object on the ledger.
type object struct {
	ref      move.ObjectRef
	tag      move.StructTag
	owner    move.Owner
	contents []byte
}

// objectMask is what an object is read of.
var objectMask = []string{"object_id", "version", "digest", "owner", "object_type", "contents"}

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// objects reads the newest versions of objects, none older than this client left them. Those that the ledger does not have are left out.
func (c *conn) objects(ctx context.Context, ids []move.ID) (found map[move.ID]*object, err error) {
	err = c.caughtUp(ctx, func() (lacks lack, err error) {
		if found, err = c.objectsNow(ctx, ids); err == nil {
			lacks = c.left.lacking(ids, found)
		}
		return lacks, err
	})
	return found, err
}

func (c *conn) objectsNow(ctx context.Context, ids []move.ID) (map[move.ID]*object, error) {
	chunks := slices.Collect(slices.Chunk(ids, objectsPerCall))
	parts := make([]map[move.ID]*object, len(chunks))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(callsAtOnce)
	for i, chunk := range chunks {
		group.Go(func() (err error) {
			parts[i], err = c.objectsOnce(ctx, chunk)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read %d objects: %w", len(ids), err)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	all := make(map[move.ID]*object, len(ids))
	for _, part := range parts {
		for id, o := range part {
			all[id] = o
		}
	}
	return all, nil
}

func (c *conn) objectsOnce(ctx context.Context, ids []move.ID) (map[move.ID]*object, error) {
	request := &pb.BatchGetObjectsRequest{ReadMask: mask(objectMask...)}
	for _, id := range ids {
		text := id.String()
		request.Requests = append(request.Requests, &pb.GetObjectRequest{ObjectId: &text})
	}
	answer, err := ask(ctx, c, c.ledger.BatchGetObjects, request)
	if err != nil {
		return nil, err
	}
	if len(answer.GetObjects()) != len(ids) {
		return nil, fmt.Errorf("%d objects for %d: %w", len(answer.GetObjects()), len(ids), ErrAnswer)
	}
	found := make(map[move.ID]*object, len(ids))
	for i, result := range answer.GetObjects() {
		if e := result.GetError(); e != nil {
			if codes.Code(e.GetCode()) == codes.NotFound {
				continue
			}
			return nil, fmt.Errorf("object %s: %s (%d)", ids[i], e.GetMessage(), e.GetCode())
		}
		o, err := readObject(result.GetObject())
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", ids[i], err)
		}
		if o.ref.ID != ids[i] {
			return nil, fmt.Errorf("object %s for %s: %w", o.ref.ID, ids[i], ErrAnswer)
		}
		found[ids[i]] = o
	}
	return found, nil
}

// owned reads all objects of a type that an address owns, none older than this client left them.
func (c *conn) owned(ctx context.Context, owner move.Address, tag move.StructTag) (list []*object, err error) {
	err = c.caughtUp(ctx, func() (lacks lack, err error) {
		if list, err = c.ownedNow(ctx, owner, tag); err == nil {
			lacks = c.left.unlisted(move.AddressOwner(owner), tag, list)
		}
		return lacks, err
	})
	return list, err
}

func (c *conn) ownedNow(ctx context.Context, owner move.Address, tag move.StructTag) (list []*object, err error) {
	size, text, kind := uint32(objectsPerPage), owner.String(), tag.String()
	request := &pb.ListOwnedObjectsRequest{Owner: &text, ObjectType: &kind, PageSize: &size, ReadMask: mask(objectMask...)}
	for {
		answer, err := ask(ctx, c, c.state.ListOwnedObjects, request)
		if err != nil {
			return nil, fmt.Errorf("list objects of type %s::%s: %w", tag.Module, tag.Name, err)
		}
		for _, o := range answer.GetObjects() {
			one, err := readObject(o)
			if err != nil {
				return nil, fmt.Errorf("list objects of type %s::%s: %w", tag.Module, tag.Name, err)
			}
			if one.tag.Equal(tag) {
				list = append(list, one)
			}
		}
		if len(answer.GetNextPageToken()) == 0 {
			return list, nil
		}
		request.PageToken = answer.GetNextPageToken()
	}
}

func readObject(o *pb.Object) (*object, error) {
	var v object
	var err error
	if v.ref, err = readRef(o.GetObjectId(), o.Version, o.GetDigest()); err != nil {
		return nil, err
	}
	if v.tag, err = move.ParseStructTag(o.GetObjectType()); err != nil {
		return nil, errors.Join(ErrAnswer, err)
	}
	if v.owner, err = readOwner(o.GetOwner()); err != nil {
		return nil, err
	}
	v.contents = o.GetContents().GetValue()
	if len(v.contents) < len(move.ID{}) {
		return nil, fmt.Errorf("no contents: %w", ErrAnswer)
	}
	return &v, nil
}

func readRef(id string, version *uint64, digest string) (ref move.ObjectRef, err error) {
	if version == nil {
		return ref, fmt.Errorf("no version: %w", ErrAnswer)
	}
	ref.Version = *version
	if ref.ID, err = move.ParseAddress(id); err != nil {
		return ref, errors.Join(ErrAnswer, err)
	}
	if ref.Digest, err = move.ParseDigest(digest); err != nil {
		return ref, errors.Join(ErrAnswer, err)
	}
	return ref, nil
}

func readOwner(o *pb.Owner) (owner move.Owner, err error) {
	switch o.GetKind() {
	case pb.Owner_ADDRESS, pb.Owner_OBJECT:
		owner.Kind = move.OwnerAddress
		if o.GetKind() == pb.Owner_OBJECT {
			owner.Kind = move.OwnerObject
		}
		if owner.Address, err = move.ParseAddress(o.GetAddress()); err != nil {
			return owner, errors.Join(ErrAnswer, err)
		}
	case pb.Owner_SHARED:
		owner = move.Owner{Kind: move.OwnerShared, InitialVersion: o.GetVersion()}
	case pb.Owner_IMMUTABLE:
		owner.Kind = move.OwnerImmutable
	default:
		return owner, fmt.Errorf("owner of kind %s: %w", o.GetKind(), ErrAnswer)
	}
	return owner, nil
}
