package rpc

import (
	"strconv"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/move"
)

func TestExecute(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		execution, ledger := pb.NewTransactionExecutionServiceClient(conn), pb.NewLedgerServiceClient(conn)
		tx := w.transfer(move.SmallAddress(9), 12345)
		request := w.request(tx, "*")
		digest := move.TransactionDigest(request.Transaction.Bcs.Value).String()
		_, err := ledger.GetTransaction(w.ctx(), &pb.GetTransactionRequest{Digest: &digest})
		wantCode(w, err, codes.NotFound)
		reply, err := execution.ExecuteTransaction(w.ctx(), request)
		if err != nil {
			w.Fatal(err)
		}
		e := reply.Transaction
		if e.GetDigest() != digest || !e.GetEffects().GetStatus().GetSuccess() || e.GetCheckpoint() == 0 || e.Timestamp == nil {
			w.Fatalf("executed %v", e)
		}
		created := 0
		for _, c := range e.Effects.ChangedObjects {
			if c.GetIdOperation() == pb.ChangedObject_CREATED {
				created++
				if c.GetObjectType() != move.CoinType(move.SUI).String() || c.GetOutputOwner().GetAddress() != move.SmallAddress(9).String() ||
					c.GetInputState() != pb.ChangedObject_INPUT_OBJECT_STATE_DOES_NOT_EXIST || c.GetOutputVersion() != e.Effects.GetLamportVersion() {
					w.Errorf("created %v", c)
				}
			}
		}
		if created != 1 || e.Effects.GasObject.GetObjectId() != tx.Gas.Payment[0].ID.String() {
			w.Errorf("effects %v", e.Effects)
		}
		sent, err := marshalComplete(e.Transaction)
		if err != nil || string(sent) != string(request.Transaction.Bcs.Value) {
			w.Errorf("structure is not what was sent: %v", err)
		}
		if s := e.Signatures[0]; string(s.GetBcs().GetValue()) != string(request.Signatures[0].Bcs.Value) || len(s.GetSimple().GetPublicKey()) != 32 {
			w.Errorf("signature %v", s)
		}
		var paid string
		for _, b := range e.BalanceChanges {
			if b.GetAddress() == move.SmallAddress(9).String() {
				paid = b.GetAmount()
			}
		}
		if paid != "12345" {
			w.Errorf("balance changes %v", e.BalanceChanges)
		}

		// The same bytes again give the same answer, also by digest, and pay nothing.
		again, err := execution.ExecuteTransaction(w.ctx(), w.request(tx))
		if err != nil || again.Transaction.GetCheckpoint() != e.GetCheckpoint() || again.Transaction.Digest != nil {
			w.Errorf("again: %v, %v", again, err)
		}
		got, err := ledger.GetTransaction(w.ctx(), &pb.GetTransactionRequest{Digest: &digest, ReadMask: maskOf("digest", "transaction", "effects", "signatures", "checkpoint")})
		if err != nil || !proto.Equal(got.Transaction.GetTransaction(), e.Transaction) || !proto.Equal(got.Transaction.GetEffects(), e.Effects) {
			w.Errorf("by digest: %v, %v", got, err)
		}
		byDefault, err := ledger.GetTransaction(w.ctx(), &pb.GetTransactionRequest{Digest: &digest})
		if err != nil || !proto.Equal(byDefault.Transaction, &pb.ExecutedTransaction{Digest: &digest}) {
			w.Errorf("by default: %v, %v", byDefault, err)
		}
		batch, err := ledger.BatchGetTransactions(w.ctx(), &pb.BatchGetTransactionsRequest{Digests: []string{digest, move.Digest{1}.String()}})
		if err != nil || batch.Transactions[0].GetTransaction().GetDigest() != digest || batch.Transactions[1].GetError().GetCode() != int32(codes.NotFound) {
			w.Errorf("batch: %v, %v", batch, err)
		}
	})
}

// A transaction that is sent as its complete structure is the same as its bytes.
func TestExecuteStructured(t *testing.T) {
	w := newWorld(t)
	tx := w.transfer(move.SmallAddress(9), 5)
	bcs, signature := w.sign(tx)
	reply, err := pb.NewTransactionExecutionServiceClient(w.conn).ExecuteTransaction(w.ctx(), &pb.ExecuteTransactionRequest{
		Transaction: transactionOf(tx, nil, move.Digest{}),
		Signatures:  []*pb.UserSignature{{Signature: signatureOf(signature).Signature}},
		ReadMask:    maskOf("digest", "effects.status"),
	})
	if err != nil || reply.Transaction.GetDigest() != move.TransactionDigest(bcs).String() || !reply.Transaction.Effects.Status.GetSuccess() {
		t.Errorf("%v, %v", reply, err)
	}
}

// A call that a contract refuses was executed: gas is paid, and the status has the abort in its parts.
func TestExecuteAborts(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		reply, err := pb.NewTransactionExecutionServiceClient(conn).ExecuteTransaction(w.ctx(), w.request(w.reserve(0), "effects"))
		if err != nil {
			w.Fatal(err)
		}
		s := reply.Transaction.Effects.GetStatus()
		abort := s.GetError().GetAbort()
		if s.GetSuccess() || s.GetError().GetKind() != pb.ExecutionError_MOVE_ABORT || abort.GetAbortCode() != 2 || s.Error.GetCommand() != 0 ||
			abort.GetLocation().GetModule() != "system_state_inner" || abort.GetCleverError().GetConstantName() != "EInvalidEpochsAhead" {
			w.Errorf("status %v", s)
		}
		// As on Sui the place is in the version of the package that was called. What is not known is absent, not 0.
		if at := abort.GetLocation(); at.GetPackage() != w.facts.Walrus.String() || at.GetPackage() == w.facts.Packages.Walrus.String() ||
			at.GetFunctionName() != "reserve_space" || at.Function != nil || at.Instruction != nil {
			w.Errorf("location %v", at)
		}
		if len(reply.Transaction.Effects.ChangedObjects) == 0 || reply.Transaction.Effects.GetGasUsed().GetComputationCost() == 0 {
			w.Errorf("effects %v", reply.Transaction.Effects)
		}
	})
}

func TestExecuteRefuses(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		execution := pb.NewTransactionExecutionServiceClient(conn)
		old := w.transfer(move.SmallAddress(9), 1)
		w.execute(w.transfer(move.SmallAddress(9), 2))
		stale := w.request(old)
		have := w.coins(w.me, move.CoinType(move.SUI))[0]
		_, err := execution.ExecuteTransaction(w.ctx(), stale)
		wantCode(w, err, codes.InvalidArgument, have.ID.String(), strconv.FormatUint(have.Version, 10), strconv.FormatUint(old.Gas.Payment[0].Version, 10))

		forged := w.request(w.transfer(move.SmallAddress(9), 3))
		forged.Signatures[0].Bcs.Value[5] ^= 1
		_, err = execution.ExecuteTransaction(w.ctx(), forged)
		wantCode(w, err, codes.InvalidArgument)
		unsigned := w.request(w.transfer(move.SmallAddress(9), 3))
		unsigned.Signatures = nil
		_, err = execution.ExecuteTransaction(w.ctx(), unsigned)
		wantCode(w, err, codes.InvalidArgument)
		_, err = execution.ExecuteTransaction(w.ctx(), &pb.ExecuteTransactionRequest{Transaction: &pb.Transaction{Bcs: &pb.Bcs{Value: []byte{9}}}})
		wantCode(w, err, codes.InvalidArgument)
		_, err = execution.ExecuteTransaction(w.ctx(), new(pb.ExecuteTransactionRequest))
		wantCode(w, err, codes.InvalidArgument, "transaction")
		absent := w.transfer(move.SmallAddress(9), 3)
		absent.Inputs = append(absent.Inputs, move.Input{Kind: move.InputOwned, Object: move.ObjectRef{ID: move.SmallAddress(99), Version: 1}})
		_, err = execution.ExecuteTransaction(w.ctx(), w.request(absent))
		wantCode(w, err, codes.NotFound, move.SmallAddress(99).String())
	})
}

// A transaction of which only IDs are known is completed, and what comes back can be signed and sent.
func TestSimulateResolves(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		execution := pb.NewTransactionExecutionServiceClient(conn)
		open := transactionOf(w.reserve(3), nil, move.Digest{})
		open.GasPayment, open.Expiration, open.Digest = nil, nil, nil
		for _, in := range open.GetKind().GetProgrammableTransaction().Inputs {
			if in.ObjectId != nil {
				*in = pb.Input{ObjectId: in.ObjectId}
			}
		}
		reply, err := execution.SimulateTransaction(w.ctx(), &pb.SimulateTransactionRequest{
			Transaction: open, DoGasSelection: proto.Bool(true), Checks: pb.SimulateTransactionRequest_ENABLED.Enum(),
			ReadMask: maskOf("transaction.transaction.sender", "transaction.transaction.gas_payment", "transaction.transaction.expiration",
				"transaction.transaction.kind", "transaction.effects.status", "transaction.effects.epoch"),
		})
		if err != nil {
			w.Fatal(err)
		}
		got := reply.Transaction
		if !got.Effects.Status.GetSuccess() || got.Effects.Epoch == nil || got.Effects.ChangedObjects != nil || got.Digest != nil {
			w.Fatalf("simulated %v", got)
		}
		inputs := got.Transaction.GetKind().GetProgrammableTransaction().Inputs
		if s := inputs[0]; s.GetKind() != pb.Input_SHARED || s.Version == nil || !s.GetMutable() {
			w.Errorf("System is %v", s)
		}
		if c := inputs[3]; c.GetKind() != pb.Input_IMMUTABLE_OR_OWNED || c.Version == nil || c.Digest == nil {
			w.Errorf("coin is %v", c)
		}
		gas := got.Transaction.GasPayment
		if len(gas.Objects) == 0 || gas.GetOwner() != w.me.String() || gas.GetPrice() != w.facts.GasPrice || gas.GetBudget() == 0 {
			w.Errorf("gas %v", gas)
		}
		bcs, err := marshalComplete(got.Transaction)
		if err != nil {
			w.Fatal(err)
		}
		var complete move.Transaction
		if err := move.Unmarshal(bcs, &complete); err != nil {
			w.Fatal(err)
		}
		if s := w.execute(&complete, "effects.status").Effects.Status; !s.GetSuccess() {
			w.Errorf("executed: %v", s)
		}
	})
}

func TestSimulate(t *testing.T) {
	w := newWorld(t)
	execution := pb.NewTransactionExecutionServiceClient(w.conn)
	simulate := func(tx *move.Transaction, change func(*pb.SimulateTransactionRequest)) (*pb.SimulateTransactionResponse, error) {
		bcs, _ := w.sign(tx)
		q := &pb.SimulateTransactionRequest{Transaction: &pb.Transaction{Bcs: &pb.Bcs{Value: bcs}}}
		change(q)
		return execution.SimulateTransaction(w.ctx(), q)
	}
	nothing := func(*pb.SimulateTransactionRequest) {}
	before := w.coins(w.me, move.CoinType(move.SUI))
	reply, err := simulate(w.reserve(2), nothing)
	if err != nil || !reply.Transaction.Effects.Status.GetSuccess() {
		t.Fatalf("reserve: %v, %v", reply, err)
	}
	var storage move.Storage
	value := reply.CommandOutputs[0].ReturnValues[0].Value
	if err := move.Unmarshal(value.GetValue(), &storage); err != nil || storage.Size != 1<<20 || value.GetName() != w.facts.Packages.Storage().String() {
		t.Errorf("reserve returned %v, %v", value, err)
	}
	if reply, err = simulate(w.reserve(0), nothing); err != nil || reply.Transaction.Effects.Status.GetSuccess() {
		t.Errorf("an abort is a success of the call: %v, %v", reply, err)
	}
	bare := w.transfer(move.SmallAddress(3), 1)
	bare.Gas.Payment = nil
	if reply, err = simulate(bare, func(q *pb.SimulateTransactionRequest) { q.DoGasSelection = proto.Bool(true) }); err != nil || len(reply.Transaction.Transaction.GasPayment.Objects) == 0 {
		t.Errorf("coins to pay with: %v, %v", reply, err)
	}
	noCoins := w.reserve(1)
	noCoins.Gas.Payment = nil
	if reply, err = simulate(noCoins, nothing); err != nil || !reply.Transaction.Effects.Status.GetSuccess() {
		t.Errorf("without coins: %v, %v", reply, err)
	}
	stale := w.reserve(1)
	stale.Inputs[3].Object.Version--
	_, err = simulate(stale, nothing)
	wantCode(t, err, codes.InvalidArgument, stale.Inputs[3].Object.ID.String())
	_, err = execution.SimulateTransaction(w.ctx(), new(pb.SimulateTransactionRequest))
	wantCode(t, err, codes.InvalidArgument)
	if after := w.coins(w.me, move.CoinType(move.SUI)); after[0] != before[0] {
		t.Error("a simulation left a trace")
	}
}
