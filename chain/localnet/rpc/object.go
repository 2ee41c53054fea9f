package rpc

import (
	"fmt"
	"strings"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/move"
)

// objectDefault is what is told of an object without a mask. Source: sui.rpc.v2, ledger_service.proto.
const objectDefault = "object_id,version,digest"

// text returns a pointer to the text of v, as optional fields want it.
func text(v fmt.Stringer) *string { return proto.String(v.String()) }

// named returns bytes with the name of what they are the BCS of.
func named(name string, value []byte) *pb.Bcs { return &pb.Bcs{Name: proto.String(name), Value: value} }

// ownerOf returns an owner as the protocol has it.
func ownerOf(o move.Owner) *pb.Owner {
	switch o.Kind {
	case move.OwnerAddress:
		return &pb.Owner{Kind: pb.Owner_ADDRESS.Enum(), Address: text(o.Address)}
	case move.OwnerObject:
		return &pb.Owner{Kind: pb.Owner_OBJECT.Enum(), Address: text(o.Address)}
	case move.OwnerShared:
		return &pb.Owner{Kind: pb.Owner_SHARED.Enum(), Version: proto.Uint64(o.InitialVersion)}
	case move.OwnerImmutable:
		return &pb.Owner{Kind: pb.Owner_IMMUTABLE.Enum()}
	}
	return &pb.Owner{Kind: pb.Owner_OWNER_KIND_UNKNOWN.Enum()}
}

// objectOf returns what m keeps of an object.
func objectOf(o *move.Object, m mask) (*pb.Object, error) {
	name := o.Type.String()
	out := &pb.Object{
		ObjectId: text(o.ID()), Version: proto.Uint64(o.Version), Owner: ownerOf(o.Owner),
		ObjectType: proto.String(name), HasPublicTransfer: proto.Bool(o.HasPublicTransfer), Contents: named(name, o.Contents),
		PreviousTransaction: text(o.PreviousTransaction), StorageRebate: proto.Uint64(o.StorageRebate),
	}
	if o.Type.Equal(move.PackageType()) {
		if err := packageOf(o, out); err != nil {
			return nil, err
		}
	}
	if m.keeps("bcs") || m.keeps("digest") {
		bcs, err := move.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", o.ID(), err)
		}
		digest, err := o.Digest()
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", o.ID(), err)
		}
		out.Bcs, out.Digest = named("Object", bcs), text(digest)
	}
	if isCoin(o.Type) {
		var coin move.Coin
		if err := move.Unmarshal(o.Contents, &coin); err != nil {
			return nil, fmt.Errorf("coin %s: %w", o.ID(), err)
		}
		out.Balance = proto.Uint64(coin.Balance)
	}
	return prune(m, out), nil
}

// packageOf tells of a package what the protocol has apart from other objects.
func packageOf(o *move.Object, out *pb.Object) error {
	var p move.Package
	if err := move.Unmarshal(o.Contents, &p); err != nil {
		return fmt.Errorf("package %s: %w", o.ID(), err)
	}
	out.ObjectType, out.HasPublicTransfer, out.Contents = proto.String("package"), nil, nil
	out.Package = &pb.Package{StorageId: text(p.ID), OriginalId: text(p.Original), Version: proto.Uint64(p.Version)}
	return nil
}

func isCoin(t move.StructTag) bool {
	return t.Address == move.Framework && t.Module == "coin" && t.Name == "Coin" && len(t.Params) == 1
}

// referenceOf returns the name of one version of an object.
func referenceOf(r move.ObjectRef) *pb.ObjectReference {
	return &pb.ObjectReference{ObjectId: text(r.ID), Version: proto.Uint64(r.Version), Digest: text(r.Digest)}
}

// parseID reads the ID of an object or an address that has to be there, in long or short form.
func parseID(field string, s *string) (move.ID, error) {
	if s == nil {
		return move.ID{}, missing(field)
	}
	id, err := move.ParseAddress(*s)
	if err != nil {
		return id, invalid(field, "%q is no address: want 0x and up to 64 hex digits", clip(*s))
	}
	return id, nil
}

// parseDigest reads a digest that has to be there.
func parseDigest(field string, s *string) (move.Digest, error) {
	if s == nil {
		return move.Digest{}, missing(field)
	}
	d, err := move.ParseDigest(*s)
	if err != nil {
		return d, invalid(field, "%q: %v", clip(*s), err)
	}
	return d, nil
}

// maxType is the longest type name that is read, in bytes.
const maxType = 4096

// parseType reads the name of a struct type, with long or short addresses.
func parseType(field, s string) (move.StructTag, error) {
	if len(s) > maxType {
		return move.StructTag{}, invalid(field, "type name of %d bytes", len(s))
	}
	t, err := move.ParseStructTag(s)
	if err != nil {
		return t, invalid(field, "%v", err)
	}
	return t, nil
}

// clip shortens what a caller sent, to be shown to him.
func clip(s string) string { return clipTo(100, s) }

// clipTo cuts a text to about so many bytes.
func clipTo(most int, s string) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
