package rpc

import (
	"errors"
	"net"
	"strings"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/walfs/walfs/chain/move"
)

// maskOf returns a mask, nil without paths.
func maskOf(paths ...string) *fieldmaskpb.FieldMask {
	if paths == nil {
		return nil
	}
	return &fieldmaskpb.FieldMask{Paths: paths}
}

// both runs a test through the pipe and over TCP.
func both(t *testing.T, f func(w *world, conn *grpc.ClientConn)) {
	t.Run("pipe", func(t *testing.T) {
		w := newWorld(t)
		f(w, w.conn)
	})
	t.Run("TCP", func(t *testing.T) {
		w := newWorld(t)
		f(w, w.dial(w.listen()))
	})
}

func wantCode(t testing.TB, err error, code codes.Code, words ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("got %v, want %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(status.Convert(err).Message(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
}

func TestListenRefusesOtherMachines(t *testing.T) {
	if _, err := Listen(t.Context(), "0.0.0.0:0", false); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("listen everywhere: %v, want ErrNotLoopback", err)
	}
	l, err := Listen(t.Context(), "0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if l, err = Listen(t.Context(), "localhost:0", false); err != nil {
		t.Fatal(err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Errorf("localhost is %s", l.Addr())
	}
	l.Close()
}

func TestServiceInfoAndEpoch(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		ledger := pb.NewLedgerServiceClient(conn)
		info, err := ledger.GetServiceInfo(w.ctx(), new(pb.GetServiceInfoRequest))
		if err != nil {
			w.Fatal(err)
		}
		if info.GetChainId() != w.facts.ChainID.String() || info.GetChain() != "localnet" || info.GetCheckpointHeight() == 0 {
			w.Errorf("info %v", info)
		}
		epoch, err := ledger.GetEpoch(w.ctx(), &pb.GetEpochRequest{ReadMask: maskOf("reference_gas_price", "epoch")})
		if err != nil {
			w.Fatal(err)
		}
		if e := epoch.Epoch; e.GetReferenceGasPrice() != w.facts.GasPrice || e.Epoch == nil || e.Start != nil || e.ProtocolConfig != nil {
			w.Errorf("epoch %v", e)
		}
		_, err = ledger.GetEpoch(w.ctx(), &pb.GetEpochRequest{Epoch: proto.Uint64(1 << 40)})
		wantCode(w, err, codes.NotFound)
	})
}

func TestObjects(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		ledger := pb.NewLedgerServiceClient(conn)
		system := w.facts.System.String()
		one, err := ledger.GetObject(w.ctx(), &pb.GetObjectRequest{ObjectId: &system})
		if err != nil {
			w.Fatal(err)
		}
		if o := one.Object; o.GetObjectId() != system || o.Version == nil || o.Digest == nil || o.Contents != nil || o.Owner != nil {
			w.Errorf("object by default: %v", o)
		}
		batch, err := ledger.BatchGetObjects(w.ctx(), &pb.BatchGetObjectsRequest{
			Requests: []*pb.GetObjectRequest{{ObjectId: &system}, {ObjectId: proto.String("0x123")}, {ObjectId: proto.String("0x6")},
				{ObjectId: &system, Version: proto.Uint64(1 << 50)}},
			ReadMask: maskOf("owner", "object_type", "digest", "version", "object_id", "contents"),
		})
		if err != nil {
			w.Fatal(err)
		}
		if len(batch.Objects) != 4 {
			w.Fatalf("%d members", len(batch.Objects))
		}
		o := batch.Objects[0].GetObject()
		var v move.System
		if err := move.Unmarshal(o.GetContents().GetValue(), &v); err != nil || v.PackageID != w.facts.Walrus {
			w.Errorf("System: %v, %v", v, err)
		}
		if o.GetObjectType() != w.facts.Packages.Walrus.String()+"::system::System" || o.GetOwner().GetKind() != pb.Owner_SHARED || o.GetOwner().Version == nil {
			w.Errorf("type %s, owner %v", o.GetObjectType(), o.GetOwner())
		}
		for _, i := range []int{1, 3} {
			if e := batch.Objects[i].GetError(); e.GetCode() != int32(codes.NotFound) {
				w.Errorf("member %d: %v", i, batch.Objects[i])
			}
		}
		if batch.Objects[2].GetObject().GetObjectType() != move.FrameworkType("clock", "Clock").String() {
			w.Errorf("clock: %v", batch.Objects[2])
		}
		_, err = ledger.GetObject(w.ctx(), &pb.GetObjectRequest{ObjectId: proto.String("0x123")})
		wantCode(w, err, codes.NotFound, "0x0000000000000000000000000000000000000000000000000000000000000123")
		_, err = ledger.GetObject(w.ctx(), new(pb.GetObjectRequest))
		wantCode(w, err, codes.InvalidArgument, "object_id")
		_, err = ledger.GetObject(w.ctx(), &pb.GetObjectRequest{ObjectId: proto.String("system")})
		wantCode(w, err, codes.InvalidArgument, "system")
		_, err = ledger.GetObject(w.ctx(), &pb.GetObjectRequest{ObjectId: &system, ReadMask: maskOf("nothing")})
		wantCode(w, err, codes.InvalidArgument, "nothing")
		_, err = ledger.BatchGetObjects(w.ctx(), &pb.BatchGetObjectsRequest{Requests: make([]*pb.GetObjectRequest, 51)})
		wantCode(w, err, codes.InvalidArgument)
	})
}

func TestBalancesAndCoins(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		state := pb.NewStateServiceClient(conn)
		me, long := w.me.String(), move.SUI.String()
		for _, name := range []string{"0x2::sui::SUI", long} {
			b, err := state.GetBalance(w.ctx(), &pb.GetBalanceRequest{Owner: &me, CoinType: &name})
			if err != nil || b.Balance.GetBalance() != 10e9 || b.Balance.GetCoinType() != long {
				w.Errorf("balance of %s: %v, %v", name, b, err)
			}
		}
		other := proto.String("0x7")
		if b, err := state.GetBalance(w.ctx(), &pb.GetBalanceRequest{Owner: other, CoinType: &long}); err != nil || b.Balance.GetBalance() != 0 {
			w.Errorf("balance of nobody: %v, %v", b, err)
		}
		w.fund(w.me, 1, 1)
		w.fund(w.me, 2, 2)
		var sum uint64
		var token []byte
		pages := 0
		for {
			page, err := state.ListOwnedObjects(w.ctx(), &pb.ListOwnedObjectsRequest{
				Owner: &me, PageSize: proto.Uint32(2), PageToken: token, ReadMask: maskOf("balance", "object_type"),
				ObjectType: proto.String("0x2::coin::Coin<0x2::sui::SUI>"),
			})
			if err != nil {
				w.Fatal(err)
			}
			for _, o := range page.Objects {
				sum += o.GetBalance()
				if o.ObjectId != nil || o.GetObjectType() != move.CoinType(move.SUI).String() {
					w.Errorf("coin %v", o)
				}
			}
			pages++
			if token = page.NextPageToken; token == nil {
				break
			}
		}
		if pages != 2 || sum != 13e9 {
			w.Errorf("%d MIST on %d pages", sum, pages)
		}
		all, err := state.ListBalances(w.ctx(), &pb.ListBalancesRequest{Owner: &me})
		if err != nil || len(all.Balances) != 2 || all.NextPageToken != nil {
			w.Errorf("balances %v, %v", all, err)
		}
		first, err := state.ListBalances(w.ctx(), &pb.ListBalancesRequest{Owner: &me, PageSize: proto.Uint32(1)})
		if err != nil || len(first.Balances) != 1 || first.NextPageToken == nil {
			w.Fatalf("first balance %v, %v", first, err)
		}
		second, err := state.ListBalances(w.ctx(), &pb.ListBalancesRequest{Owner: &me, PageToken: first.NextPageToken})
		if err != nil || len(second.Balances) != 1 || second.Balances[0].GetCoinType() == first.Balances[0].GetCoinType() {
			w.Errorf("second balance %v, %v", second, err)
		}
		info, err := state.GetCoinInfo(w.ctx(), &pb.GetCoinInfoRequest{CoinType: proto.String(w.facts.Packages.WALType().String())})
		if err != nil || info.Metadata.GetDecimals() != 9 || info.Treasury.GetTotalSupply() == 0 {
			w.Errorf("info %v, %v", info, err)
		}
		_, err = state.GetCoinInfo(w.ctx(), &pb.GetCoinInfoRequest{CoinType: proto.String("0x5::no::NO")})
		wantCode(w, err, codes.NotFound)
		_, err = state.ListOwnedObjects(w.ctx(), &pb.ListOwnedObjectsRequest{Owner: &me, PageToken: []byte("x")})
		wantCode(w, err, codes.InvalidArgument, "page_token")
		_, err = state.GetBalance(w.ctx(), &pb.GetBalanceRequest{Owner: &me, CoinType: proto.String("SUI")})
		wantCode(w, err, codes.InvalidArgument, "coin_type")
	})
}

func TestDynamicFields(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		state := pb.NewStateServiceClient(conn)
		system := w.facts.System.String()
		fields, err := state.ListDynamicFields(w.ctx(), &pb.ListDynamicFieldsRequest{Parent: &system, ReadMask: maskOf("*")})
		if err != nil {
			w.Fatal(err)
		}
		if len(fields.DynamicFields) != 1 || fields.NextPageToken != nil {
			w.Fatalf("fields of System: %v", fields)
		}
		f := fields.DynamicFields[0]
		if f.GetKind() != pb.DynamicField_FIELD || f.GetName().GetName() != "u64" || f.GetFieldId() != f.FieldObject.GetObjectId() || f.ChildId != nil {
			w.Errorf("field %v", f)
		}
		if want := w.facts.Packages.SystemInner(); f.GetValueType() != want.String() {
			w.Errorf("value is a %s", f.GetValueType())
		}
		var inner move.SystemInner
		if err := move.Unmarshal(f.GetValue().GetValue(), &inner); err != nil || inner.Committee.Shards != 10 {
			w.Errorf("inner state: %v", err)
		}
	})
}

func TestPackages(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		packages := pb.NewMovePackageServiceClient(conn)
		for _, pkg := range []string{w.facts.Walrus.String(), w.facts.Packages.Walrus.String()} {
			f, err := packages.GetFunction(w.ctx(), &pb.GetFunctionRequest{
				PackageId: &pkg, ModuleName: proto.String("staking"), Name: proto.String("stake_with_pool"),
			})
			if err != nil {
				w.Fatal(err)
			}
			params := f.Function.GetParameters()
			if len(params) < 3 || params[0].GetReference() != pb.OpenSignature_MUTABLE {
				w.Fatalf("parameters %v", params)
			}
			coin := params[1].GetBody()
			if coin.GetTypeName() != move.FrameworkType("coin", "Coin").String() || params[1].Reference != nil ||
				coin.GetTypeParameterInstantiation()[0].GetTypeName() != w.facts.Packages.WALType().String() {
				w.Errorf("parameter 1 is %v", params[1])
			}
		}
		original := w.facts.Packages.Walrus.String()
		d, err := packages.GetDatatype(w.ctx(), &pb.GetDatatypeRequest{PackageId: &original, ModuleName: proto.String("blob"), Name: proto.String("Blob")})
		if err != nil || d.Datatype.GetTypeName() != original+"::blob::Blob" || d.Datatype.GetKind() != pb.DatatypeDescriptor_STRUCT {
			w.Errorf("Blob is %v, %v", d, err)
		}
		p, err := packages.GetPackage(w.ctx(), &pb.GetPackageRequest{PackageId: proto.String(w.facts.Walrus.String())})
		if err != nil || p.Package.GetOriginalId() != original {
			w.Errorf("package %v, %v", p, err)
		}
		_, err = packages.GetFunction(w.ctx(), &pb.GetFunctionRequest{PackageId: &original, ModuleName: proto.String("staking"), Name: proto.String("no")})
		wantCode(w, err, codes.NotFound)
		_, err = packages.GetPackage(w.ctx(), &pb.GetPackageRequest{PackageId: proto.String("0x9999")})
		wantCode(w, err, codes.NotFound)
		_, err = packages.GetDatatype(w.ctx(), &pb.GetDatatypeRequest{PackageId: &original})
		wantCode(w, err, codes.InvalidArgument, "module_name")
	})
}
