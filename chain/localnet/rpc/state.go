package rpc

import (
	"context"
	"encoding/binary"
	"fmt"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
)

// What is told in a list without a mask, and how many members a page has.
// Source: sui.rpc.v2, state_service.proto.
const (
	ownedDefault = "object_id,version,object_type"
	fieldDefault = "parent,field_id"
	defaultPage  = 50
	maxPage      = 1000
)

// stateService answers for what addresses and objects have.
type stateService struct {
	pb.UnimplementedStateServiceServer
	net *localnet.Net
}

// page reads how many members are wanted, and behind which.
func page(size *uint32, token []byte) (limit int, cursor uint64, err error) {
	limit = defaultPage
	if size != nil && *size > 0 {
		limit = int(min(*size, maxPage))
	}
	switch len(token) {
	case 0:
		return limit, 0, nil
	case 8:
		return limit, binary.BigEndian.Uint64(token), nil
	}
	return 0, 0, invalid("page_token", "not one of this server")
}

// token returns what asks for the page behind cursor; for the last page it is
// absent, which is something else than empty.
func token(cursor uint64) []byte {
	if cursor == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, cursor)
}

// ListOwnedObjects implements the method of sui.rpc.v2.StateService.
func (s *stateService) ListOwnedObjects(ctx context.Context, q *pb.ListOwnedObjectsRequest) (*pb.ListOwnedObjectsResponse, error) {
	m, err := readMask(q.ReadMask, new(pb.Object), ownedDefault)
	if err != nil {
		return nil, err
	}
	owner, err := parseID("owner", q.Owner)
	if err != nil {
		return nil, err
	}
	var tag *move.StructTag
	if q.ObjectType != nil {
		t, err := parseType("object_type", *q.ObjectType)
		if err != nil {
			return nil, err
		}
		tag = &t
	}
	limit, cursor, err := page(q.PageSize, q.PageToken)
	if err != nil {
		return nil, err
	}
	objects, next, err := s.net.OwnedObjects(ctx, owner, tag, cursor, limit)
	if err != nil {
		return nil, err
	}
	reply := &pb.ListOwnedObjectsResponse{NextPageToken: token(next)}
	for _, o := range objects {
		object, err := objectOf(o, m)
		if err != nil {
			return nil, err
		}
		reply.Objects = append(reply.Objects, object)
	}
	return reply, nil
}

// GetBalance implements the method of sui.rpc.v2.StateService.
func (s *stateService) GetBalance(ctx context.Context, q *pb.GetBalanceRequest) (*pb.GetBalanceResponse, error) {
	owner, err := parseID("owner", q.Owner)
	if err != nil {
		return nil, err
	}
	if q.CoinType == nil {
		return nil, missing("coin_type")
	}
	currency, err := parseType("coin_type", *q.CoinType)
	if err != nil {
		return nil, err
	}
	all, err := s.net.Balances(ctx, owner)
	if err != nil {
		return nil, err
	}
	balance := localnet.CoinBalance{Currency: currency}
	for _, b := range all {
		if b.Currency.Equal(currency) {
			balance = b
		}
	}
	return &pb.GetBalanceResponse{Balance: balanceOf(balance)}, nil
}

func balanceOf(b localnet.CoinBalance) *pb.Balance {
	return &pb.Balance{CoinType: text(b.Currency), Balance: proto.Uint64(b.Amount)}
}

// ListBalances implements the method of sui.rpc.v2.StateService.
func (s *stateService) ListBalances(ctx context.Context, q *pb.ListBalancesRequest) (*pb.ListBalancesResponse, error) {
	owner, err := parseID("owner", q.Owner)
	if err != nil {
		return nil, err
	}
	limit, cursor, err := page(q.PageSize, q.PageToken)
	if err != nil {
		return nil, err
	}
	all, err := s.net.Balances(ctx, owner)
	if err != nil {
		return nil, err
	}
	reply := new(pb.ListBalancesResponse)
	from := int(min(cursor, uint64(len(all))))
	to := min(from+limit, len(all))
	for _, b := range all[from:to] {
		reply.Balances = append(reply.Balances, balanceOf(b))
	}
	if to < len(all) {
		reply.NextPageToken = token(uint64(to))
	}
	return reply, nil
}

// ListDynamicFields implements the method of sui.rpc.v2.StateService.
func (s *stateService) ListDynamicFields(ctx context.Context, q *pb.ListDynamicFieldsRequest) (*pb.ListDynamicFieldsResponse, error) {
	m, err := readMask(q.ReadMask, new(pb.DynamicField), fieldDefault)
	if err != nil {
		return nil, err
	}
	parent, err := parseID("parent", q.Parent)
	if err != nil {
		return nil, err
	}
	limit, cursor, err := page(q.PageSize, q.PageToken)
	if err != nil {
		return nil, err
	}
	fields, next, err := s.net.DynamicFields(ctx, parent, cursor, limit)
	if err != nil {
		return nil, err
	}
	reply := &pb.ListDynamicFieldsResponse{NextPageToken: token(next)}
	for i := range fields {
		field, err := fieldOf(parent, &fields[i], m)
		if err != nil {
			return nil, err
		}
		reply.DynamicFields = append(reply.DynamicFields, field)
	}
	return reply, nil
}

func fieldOf(parent move.ID, f *localnet.DynamicField, m mask) (*pb.DynamicField, error) {
	object, err := objectOf(f.Field, nil)
	if err != nil {
		return nil, fmt.Errorf("field of %s: %w", parent, err)
	}
	out := &pb.DynamicField{
		Kind: pb.DynamicField_FIELD.Enum(), Parent: text(parent), FieldId: text(f.Field.ID()), FieldObject: object,
		Name: named(f.NameType.String(), f.Name), Value: named(f.ValueType.String(), f.Value), ValueType: text(f.ValueType),
	}
	if f.Child != nil {
		out.Kind, out.ChildId = pb.DynamicField_OBJECT.Enum(), text(f.Child.ID())
		if out.ChildObject, err = objectOf(f.Child, nil); err != nil {
			return nil, fmt.Errorf("field of %s: %w", parent, err)
		}
	}
	return prune(m, out), nil
}

// GetCoinInfo implements the method of sui.rpc.v2.StateService.
func (s *stateService) GetCoinInfo(ctx context.Context, q *pb.GetCoinInfoRequest) (*pb.GetCoinInfoResponse, error) {
	if q.CoinType == nil {
		return nil, missing("coin_type")
	}
	currency, err := parseType("coin_type", *q.CoinType)
	if err != nil {
		return nil, err
	}
	info, err := s.net.CoinInfo(ctx, currency)
	if err != nil {
		return nil, err
	}
	reply := &pb.GetCoinInfoResponse{CoinType: text(info.Currency), Metadata: &pb.CoinMetadata{
		Decimals: proto.Uint32(uint32(info.Decimals)), Name: proto.String(info.Name),
		Symbol: proto.String(info.Symbol), Description: proto.String(info.Description),
	}}
	if info.Supply != nil {
		reply.Treasury = &pb.CoinTreasury{TotalSupply: info.Supply}
		if !info.Treasury.IsZero() {
			reply.Treasury.Id = text(info.Treasury)
		}
	}
	return reply, nil
}
