package rpc

import (
	"context"
	"slices"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// packageService answers for functions and types. There is no bytecode behind them.
type packageService struct {
	pb.UnimplementedMovePackageServiceServer
	net *localnet.Net
}

// GetPackage implements the method of sui.rpc.v2.MovePackageService. A package has no modules to show.
func (s *packageService) GetPackage(ctx context.Context, q *pb.GetPackageRequest) (*pb.GetPackageResponse, error) {
	id, err := parseID("package_id", q.PackageId)
	if err != nil {
		return nil, err
	}
	original, all, err := s.net.PackageVersions(ctx, id)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(v localnet.PackageVersion) bool { return v.ID == id })
	return &pb.GetPackageResponse{Package: &pb.Package{StorageId: text(id), OriginalId: text(original), Version: proto.Uint64(all[at].Version)}}, nil
}

// ListPackageVersions implements the method of sui.rpc.v2.MovePackageService. The ID may be that of any version.
func (s *packageService) ListPackageVersions(ctx context.Context, q *pb.ListPackageVersionsRequest) (*pb.ListPackageVersionsResponse, error) {
	id, err := parseID("package_id", q.PackageId)
	if err != nil {
		return nil, err
	}
	limit, cursor, err := page(q.PageSize, q.PageToken)
	if err != nil {
		return nil, err
	}
	_, all, err := s.net.PackageVersions(ctx, id)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(v localnet.PackageVersion) bool { return v.Version <= cursor })
	reply := new(pb.ListPackageVersionsResponse)
	if len(all) > limit {
		all = all[:limit]
		reply.NextPageToken = token(all[limit-1].Version)
	}
	for _, v := range all {
		reply.Versions = append(reply.Versions, &pb.PackageVersion{PackageId: text(v.ID), Version: proto.Uint64(v.Version)})
	}
	return reply, nil
}

// GetFunction implements the method of sui.rpc.v2.MovePackageService.
func (s *packageService) GetFunction(ctx context.Context, q *pb.GetFunctionRequest) (*pb.GetFunctionResponse, error) {
	id, err := parseName(q.PackageId, q.ModuleName, q.Name)
	if err != nil {
		return nil, err
	}
	f, err := s.net.Function(ctx, id, *q.ModuleName, *q.Name)
	if err != nil {
		return nil, err
	}
	return &pb.GetFunctionResponse{Function: &pb.FunctionDescriptor{
		Name: proto.String(f.Name), Visibility: pb.FunctionDescriptor_PUBLIC.Enum(), IsEntry: proto.Bool(f.Entry),
		TypeParameters: typeParamsOf(f.TypeParams, false), Parameters: paramsOf(f.Params), Returns: paramsOf(f.Results),
	}}, nil
}

// GetDatatype implements the method of sui.rpc.v2.MovePackageService.
func (s *packageService) GetDatatype(ctx context.Context, q *pb.GetDatatypeRequest) (*pb.GetDatatypeResponse, error) {
	id, err := parseName(q.PackageId, q.ModuleName, q.Name)
	if err != nil {
		return nil, err
	}
	d, err := s.net.Datatype(ctx, id, *q.ModuleName, *q.Name)
	if err != nil {
		return nil, err
	}
	kind := pb.DatatypeDescriptor_STRUCT
	if d.Enum {
		kind = pb.DatatypeDescriptor_ENUM
	}
	return &pb.GetDatatypeResponse{Datatype: &pb.DatatypeDescriptor{
		TypeName: proto.String(d.Package.String() + "::" + d.Module + "::" + d.Name), DefiningId: text(d.Package),
		Module: proto.String(d.Module), Name: proto.String(d.Name), Kind: kind.Enum(),
		Abilities: abilitiesOf(d.Abilities), TypeParameters: typeParamsOf(d.TypeParams, true),
	}}, nil
}

// parseName reads the package of a name whose other parts have to be there, too.
func parseName(pkg, module, name *string) (move.ID, error) {
	switch {
	case module == nil:
		return move.ID{}, missing("module_name")
	case name == nil:
		return move.ID{}, missing("name")
	}
	return parseID("package_id", pkg)
}

func abilitiesOf(all []ptb.Ability) []pb.Ability {
	var out []pb.Ability
	for _, a := range all {
		out = append(out, pb.Ability(a))
	}
	return out
}

// typeParamsOf returns type parameters; only those of types can be phantoms.
func typeParamsOf(all []ptb.TypeParam, ofType bool) []*pb.TypeParameter {
	var out []*pb.TypeParameter
	for _, p := range all {
		param := &pb.TypeParameter{Constraints: abilitiesOf(p.Constraints)}
		if ofType {
			param.IsPhantom = proto.Bool(p.Phantom)
		}
		out = append(out, param)
	}
	return out
}

func paramsOf(all []ptb.Param) []*pb.OpenSignature {
	var out []*pb.OpenSignature
	for i := range all {
		signature := &pb.OpenSignature{Body: bodyOf(&all[i].Type)}
		switch all[i].Ref {
		case ptb.ByRef:
			signature.Reference = pb.OpenSignature_IMMUTABLE.Enum()
		case ptb.ByMut:
			signature.Reference = pb.OpenSignature_MUTABLE.Enum()
		}
		out = append(out, signature)
	}
	return out
}

// bodyKinds are the kinds of plain types in the numbers of the protocol.
var bodyKinds = map[move.Kind]pb.OpenSignatureBody_Type{
	move.KindAddress: pb.OpenSignatureBody_ADDRESS, move.KindBool: pb.OpenSignatureBody_BOOL, move.KindU8: pb.OpenSignatureBody_U8,
	move.KindU16: pb.OpenSignatureBody_U16, move.KindU32: pb.OpenSignatureBody_U32, move.KindU64: pb.OpenSignatureBody_U64,
	move.KindU128: pb.OpenSignatureBody_U128, move.KindU256: pb.OpenSignatureBody_U256,
	move.KindVector: pb.OpenSignatureBody_VECTOR, move.KindStruct: pb.OpenSignatureBody_DATATYPE,
}

func bodyOf(t *ptb.Type) *pb.OpenSignatureBody {
	if t.IsOpen {
		return &pb.OpenSignatureBody{Type: pb.OpenSignatureBody_TYPE_PARAMETER.Enum(), TypeParameter: proto.Uint32(uint32(t.Open))}
	}
	out := &pb.OpenSignatureBody{Type: bodyKinds[t.Kind].Enum()}
	if t.Kind == move.KindStruct {
		out.TypeName = proto.String(t.Address.String() + "::" + t.Module + "::" + t.Name)
	}
	for i := range t.Params {
		out.TypeParameterInstantiation = append(out.TypeParameterInstantiation, bodyOf(&t.Params[i]))
	}
	return out
}
