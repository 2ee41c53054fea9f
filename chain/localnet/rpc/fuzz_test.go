package rpc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/move"
)

// method is one that has one request and one answer.
type method struct {
	name    string
	service any
	handler grpc.MethodHandler
}

// methods lists all of a server.
func (w *world) methods() []method {
	services := map[*grpc.ServiceDesc]any{
		&pb.LedgerService_ServiceDesc: &ledgerService{net: w.net}, &pb.StateService_ServiceDesc: &stateService{net: w.net},
		&pb.MovePackageService_ServiceDesc: &packageService{net: w.net}, &pb.TransactionExecutionService_ServiceDesc: &executionService{net: w.net},
	}
	var all []method
	for _, desc := range []*grpc.ServiceDesc{&pb.LedgerService_ServiceDesc, &pb.StateService_ServiceDesc,
		&pb.MovePackageService_ServiceDesc, &pb.TransactionExecutionService_ServiceDesc} {
		for _, m := range desc.Methods {
			all = append(all, method{desc.ServiceName + "/" + m.MethodName, services[desc], grpc.MethodHandler(m.Handler)})
		}
	}
	return all
}

// call gives a method the bytes of a request.
func (w *world) call(m method, raw []byte) (any, error) {
	return m.handler(m.service, context.Background(), func(v any) error {
		if err := proto.Unmarshal(raw, v.(proto.Message)); err != nil {
			return status.Error(codes.Internal, "no message")
		}
		return nil
	}, w.server.answer)
}

// FuzzRequests sends bytes to every method. None may bring the server down, nor make it
// answer with much more than it was asked for, nor fail in a way that is not the caller's doing.
func FuzzRequests(f *testing.F) {
	w := newWorld(f)
	methods := w.methods()
	seed := func(name string, m proto.Message) {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		for i := range methods {
			if methods[i].name == "sui.rpc.v2."+name {
				f.Add(byte(i), raw)
				return
			}
		}
		f.Fatalf("no method %s", name)
	}
	me, system := w.me.String(), w.facts.System.String()
	seed("LedgerService/GetObject", &pb.GetObjectRequest{ObjectId: &system, ReadMask: maskOf("*")})
	seed("LedgerService/BatchGetObjects", &pb.BatchGetObjectsRequest{Requests: []*pb.GetObjectRequest{{ObjectId: &system}}, ReadMask: maskOf("owner.kind")})
	seed("LedgerService/GetCheckpoint", &pb.GetCheckpointRequest{ReadMask: maskOf("transactions.effects")})
	seed("LedgerService/GetCheckpoint", &pb.GetCheckpointRequest{CheckpointId: &pb.GetCheckpointRequest_Digest{Digest: move.Digest{1}.String()}, ReadMask: maskOf("summary", "contents")})
	seed("LedgerService/GetTransaction", &pb.GetTransactionRequest{Digest: proto.String(move.Digest{1}.String()), ReadMask: maskOf("effects.changed_objects.object_id")})
	seed("MovePackageService/ListPackageVersions", &pb.ListPackageVersionsRequest{PackageId: proto.String(w.facts.Walrus.String()), PageSize: proto.Uint32(1), PageToken: make([]byte, 8)})
	seed("MovePackageService/GetDatatype", &pb.GetDatatypeRequest{PackageId: proto.String(w.facts.Packages.Walrus.String()), ModuleName: proto.String("blob"), Name: proto.String("Blob")})
	seed("StateService/ListOwnedObjects", &pb.ListOwnedObjectsRequest{Owner: &me, ObjectType: proto.String("0x2::coin::Coin"), PageSize: proto.Uint32(1), PageToken: make([]byte, 8)})
	seed("StateService/ListDynamicFields", &pb.ListDynamicFieldsRequest{Parent: &system, ReadMask: maskOf("*")})
	seed("StateService/GetBalance", &pb.GetBalanceRequest{Owner: &me, CoinType: proto.String("0x2::sui::SUI")})
	seed("StateService/ListBalances", &pb.ListBalancesRequest{Owner: &me, PageToken: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
	seed("MovePackageService/GetFunction", &pb.GetFunctionRequest{PackageId: proto.String(w.facts.Walrus.String()), ModuleName: proto.String("system"), Name: proto.String("reserve_space")})
	seed("TransactionExecutionService/ExecuteTransaction", w.request(w.transfer(move.SmallAddress(9), 1), "*"))
	structured := transactionOf(w.reserve(3), nil, move.Digest{})
	seed("TransactionExecutionService/SimulateTransaction", &pb.SimulateTransactionRequest{Transaction: structured, DoGasSelection: proto.Bool(true)})
	structured = proto.CloneOf(structured)
	structured.GasPayment = nil
	for _, in := range structured.GetKind().GetProgrammableTransaction().Inputs {
		in.Kind, in.Version, in.Digest, in.Mutable = nil, nil, nil, nil
	}
	seed("TransactionExecutionService/SimulateTransaction", &pb.SimulateTransactionRequest{Transaction: structured, DoGasSelection: proto.Bool(true), Checks: pb.SimulateTransactionRequest_DISABLED.Enum()})
	f.Fuzz(func(t *testing.T, which byte, raw []byte) {
		m := methods[int(which)%len(methods)]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := w.call(m, raw)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20+uint64(len(raw))*1000 {
			t.Errorf("%s: %d bytes of memory for %d of a request", m.name, used, len(raw))
		}
		if code := status.Code(err); code == codes.Internal && status.Convert(err).Message() != "no message" {
			t.Errorf("%s: %v", m.name, err)
		}
	})
}

// FuzzWeb sends bytes as the body of a call of gRPC-web, in each of its forms.
// Whatever they are, the answer ends with trailers, and costs little memory.
func FuzzWeb(f *testing.F) {
	w := newWorld(f)
	handler := w.server.Handler()
	id := w.facts.System.String()
	for i := range formats {
		body := framed(f, &pb.GetObjectRequest{ObjectId: &id, ReadMask: maskOf("*")})
		if strings.Contains(formats[i], "text") {
			body = []byte(base64.StdEncoding.EncodeToString(body))
		}
		f.Add(byte(i), body)
		f.Add(byte(i), body[:len(body)-3])
		f.Add(byte(i), append(body, body...))
		f.Add(byte(i), []byte{0x80, 0xff, 0xff, 0xff, 0xff})
		f.Add(byte(i), []byte{1, 0, 0, 0, 1, 0x1f})
	}
	f.Fuzz(func(t *testing.T, form byte, body []byte) {
		format := formats[int(form)%len(formats)]
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/sui.rpc.v2.LedgerService/GetObject", bytes.NewReader(body))
		r.Header.Set("Content-Type", format)
		answer := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		handler.ServeHTTP(answer, r)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20+uint64(len(body))*1000 {
			t.Errorf("%d bytes of memory for %d of a request", used, len(body))
		}
		out := answer.Body.Bytes()
		if strings.Contains(format, "text") {
			var err error
			if out, err = io.ReadAll(&paddedReader{from: answer.Body}); err != nil {
				t.Fatal(err)
			}
		}
		var last byte
		for len(out) >= 5 {
			length := binary.BigEndian.Uint32(out[1:])
			if uint64(len(out)) < 5+uint64(length) {
				t.Fatalf("a frame of %d bytes, %d are left", length, len(out))
			}
			last, out = out[0], out[5+length:]
		}
		if answer.Code != http.StatusOK || len(out) > 0 || last != trailerFrame {
			t.Errorf("answer %d ends with frame %x and %d bytes", answer.Code, last, len(out))
		}
	})
}
