package rpc

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"golang.org/x/crypto/blake2b"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
)

// world is a ledger, a server in front of it, and somebody with coins.
type world struct {
	testing.TB
	net    *localnet.Net
	server *Server
	facts  localnet.Facts
	key    ed25519.PrivateKey
	me     move.Address
	conn   *grpc.ClientConn // through the pipe
}

func newWorld(t testing.TB) *world {
	t.Helper()
	g, seed := &localnet.Genesis{Shards: 10}, [32]byte{1}
	for i := range 4 {
		key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1), 30: 7})
		if err != nil {
			t.Fatal(err)
		}
		n := localnet.GenesisNode{Name: fmt.Sprintf("node-%d", i), Address: fmt.Sprintf("127.0.0.1:%d", 9000+i),
			PublicKey: key.PublicKey(), NetworkKey: [33]byte{2, 9}}
		n.ProofOfPossession = key.Sign(n.ProofMessage(localnet.House(seed)))
		g.Nodes = append(g.Nodes, n)
	}
	n, err := localnet.Open(context.Background(), localnet.Config{Dir: t.TempDir(), Seed: seed, Genesis: g})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := n.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, net: n, server: New(n, Config{}), facts: facts, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))}
	t.Cleanup(func() {
		if err := w.server.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("close ledger: %v", err)
		}
	})
	w.me = blake2b.Sum256(append([]byte{0}, w.key.Public().(ed25519.PublicKey)...))
	w.fund(w.me, 100, 10)
	w.conn = w.dial("passthrough:///localnet", grpc.WithContextDialer(w.server.Pipe))
	return w
}

// ctx ends soon enough for a test that hangs to tell where.
func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	w.Cleanup(cancel)
	return ctx
}

func (w *world) dial(target string, options ...grpc.DialOption) *grpc.ClientConn {
	w.Helper()
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close() })
	return conn
}

// listen serves over TCP and returns the address.
func (w *world) listen() string {
	w.Helper()
	l, err := Listen(w.Context(), "127.0.0.1:0", false)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, Guard(w.server.Handler())) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

var funded byte

// fund pays an address WAL and SUI.
func (w *world) fund(to move.Address, wal, sui uint64) {
	w.Helper()
	funded++
	if err := w.net.Faucet(context.Background(), chain.TxID{funded, 77}, chain.Address(to), wal*1e9, sui*1e9); err != nil {
		w.Fatal(err)
	}
}

// coins returns what somebody has of a coin type, as references.
func (w *world) coins(owner move.Address, tag move.StructTag) []move.ObjectRef {
	w.Helper()
	objects, _, err := w.net.OwnedObjects(w.Context(), owner, &tag, 0, 100)
	if err != nil {
		w.Fatal(err)
	}
	var refs []move.ObjectRef
	for _, o := range objects {
		digest, err := o.Digest()
		if err != nil {
			w.Fatal(err)
		}
		refs = append(refs, move.ObjectRef{ID: o.ID(), Version: o.Version, Digest: digest})
	}
	if len(refs) == 0 {
		w.Fatalf("%s has no %s", owner, tag)
	}
	return refs
}

// u64 is the input of a number.
func u64(n uint64) move.Input {
	key := move.U64Key(n)
	return move.Input{Kind: move.InputPure, Pure: key.BCS}
}

// transfer is a transaction that pays MIST from the gas coin to an address.
func (w *world) transfer(to move.Address, mist uint64) *move.Transaction {
	w.Helper()
	return &move.Transaction{
		Inputs: []move.Input{u64(mist), {Kind: move.InputPure, Pure: to[:]}},
		Commands: []move.Command{
			{Kind: move.CommandSplitCoins, Target: move.Argument{Kind: move.ArgumentGasCoin}, Arguments: []move.Argument{{Kind: move.ArgumentInput}}},
			{Kind: move.CommandTransferObjects, Target: move.Argument{Kind: move.ArgumentInput, Index: 1},
				Arguments: []move.Argument{{Kind: move.ArgumentNestedResult}}},
		},
		Sender: w.me,
		Gas:    move.GasData{Payment: w.coins(w.me, move.CoinType(move.SUI))[:1], Owner: w.me, Price: w.facts.GasPrice, Budget: w.facts.GasBudget},
	}
}

// reserve is a transaction that asks the Walrus package for storage, paid from a
// coin that is not enough when there are too many epochs.
func (w *world) reserve(epochs uint32) *move.Transaction {
	w.Helper()
	system, err := w.net.Object(w.Context(), w.facts.System)
	if err != nil {
		w.Fatal(err)
	}
	count := move.U32Key(epochs)
	input := func(i uint16) move.Argument { return move.Argument{Kind: move.ArgumentInput, Index: i} }
	return &move.Transaction{
		Inputs: []move.Input{
			{Kind: move.InputShared, Object: move.ObjectRef{ID: w.facts.System}, Initial: system.Owner.InitialVersion, Mutable: true},
			u64(1 << 20), {Kind: move.InputPure, Pure: count.BCS},
			{Kind: move.InputOwned, Object: w.coins(w.me, w.facts.Packages.WALCoin())[0]},
			{Kind: move.InputPure, Pure: w.me[:]},
		},
		Commands: []move.Command{
			{Kind: move.CommandMoveCall, Call: move.Call{Package: w.facts.Walrus, Module: "system", Function: "reserve_space",
				Arguments: []move.Argument{input(0), input(1), input(2), input(3)}}},
			{Kind: move.CommandTransferObjects, Target: input(4), Arguments: []move.Argument{{Kind: move.ArgumentResult}}},
		},
		Sender: w.me,
		Gas:    move.GasData{Payment: w.coins(w.me, move.CoinType(move.SUI))[:1], Owner: w.me, Price: w.facts.GasPrice, Budget: w.facts.GasBudget},
	}
}

// sign returns the BCS of a transaction and the signature of its sender.
func (w *world) sign(t *move.Transaction) (bcs, signature []byte) {
	w.Helper()
	bcs, err := move.Marshal(t)
	if err != nil {
		w.Fatal(err)
	}
	hash := move.SigningHash(bcs)
	signature = append([]byte{0}, ed25519.Sign(w.key, hash[:])...)
	return bcs, append(signature, w.key.Public().(ed25519.PublicKey)...)
}

// request asks for a transaction to be executed.
func (w *world) request(t *move.Transaction, paths ...string) *pb.ExecuteTransactionRequest {
	w.Helper()
	bcs, signature := w.sign(t)
	return &pb.ExecuteTransactionRequest{
		Transaction: &pb.Transaction{Bcs: &pb.Bcs{Value: bcs}},
		Signatures:  []*pb.UserSignature{{Bcs: &pb.Bcs{Value: signature}}},
		ReadMask:    maskOf(paths...),
	}
}

// execute executes a transaction through the pipe.
func (w *world) execute(t *move.Transaction, paths ...string) *pb.ExecutedTransaction {
	w.Helper()
	reply, err := pb.NewTransactionExecutionServiceClient(w.conn).ExecuteTransaction(w.ctx(), w.request(t, paths...))
	if err != nil {
		w.Fatal(err)
	}
	return reply.Transaction
}
