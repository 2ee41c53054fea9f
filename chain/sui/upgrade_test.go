package sui_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
)

// program is a transaction that a test puts together.
type program struct {
	localnet.Partial
	pkg move.ID
}

func (p *program) input(in localnet.PartialInput) move.Argument {
	p.Inputs = append(p.Inputs, in)
	return move.Argument{Kind: move.ArgumentInput, Index: uint16(len(p.Inputs) - 1)}
}

func (p *program) object(id move.ID) move.Argument {
	return p.input(localnet.PartialInput{Input: move.Input{Object: move.ObjectRef{ID: id}}, Lookup: true})
}

func (p *program) pure(b []byte) move.Argument {
	return p.input(localnet.PartialInput{Input: move.Input{Kind: move.InputPure, Pure: b}})
}

// bytes gives a vector<u8> that is shorter than 128.
func (p *program) bytes(b []byte) move.Argument { return p.pure(append([]byte{byte(len(b))}, b...)) }

func (p *program) add(c move.Command) move.Argument {
	p.Commands = append(p.Commands, c)
	return move.Argument{Kind: move.ArgumentResult, Index: uint16(len(p.Commands) - 1)}
}

func (p *program) call(module, function string, args ...move.Argument) move.Argument {
	return p.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: p.pkg, Module: module, Function: function, Arguments: args}})
}

// run has an owner sign a program and executes it.
func (w *town) run(owner *sui.Wallet, pkg move.ID, build func(p *program)) *localnet.Executed {
	w.t.Helper()
	p := &program{pkg: pkg, Partial: localnet.Partial{Sender: move.Address(owner.Address()), SelectGas: true}}
	build(p)
	tx, err := w.net.Resolve(context.Background(), &p.Partial)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := move.Marshal(tx)
	if err != nil {
		w.t.Fatal(err)
	}
	signature, err := owner.SignTransaction(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := w.net.Execute(context.Background(), raw, [][]byte{signature})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// must fails the test when a program failed.
func (w *town) must(e *localnet.Executed) *localnet.Executed {
	w.t.Helper()
	if f := e.Effects.Status.Failure; f != nil {
		w.t.Fatal(f)
	}
	return e
}

func (w *town) facts() localnet.Facts {
	w.t.Helper()
	f, err := w.net.Facts(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// code is a module of which the ledger reads no more than the head.
var code = []byte{0xa1, 0x1c, 0xeb, 0x0b, 6, 0, 0, 0}

// upgrade has a quorum of the nodes vote for a package, and makes it.
func (w *town) upgrade(modules [][]byte) (pkg move.ID) {
	w.t.Helper()
	f := w.facts()
	digest := move.PackageDigest(modules, []move.ID{f.Packages.WAL})
	for _, m := range w.net.Committee().Members[:3] {
		w.must(w.run(house(w.t), f.Walrus, func(p *program) {
			who := p.call("auth", "authenticate_sender")
			p.call("upgrade", "vote_for_upgrade", p.object(f.Upgrades), p.object(f.Staking), who, p.pure(m.ID[:]), p.bytes(digest))
		}))
	}
	e := w.must(w.run(wallet(w.t, 1), f.Walrus, func(p *program) {
		manager, staking, system := p.object(f.Upgrades), p.object(f.Staking), p.object(f.System)
		ticket := p.call("upgrade", "authorize_upgrade", manager, staking, p.bytes(digest))
		receipt := p.add(move.Command{Kind: move.CommandUpgrade, Package: f.Walrus, Modules: modules,
			Dependencies: []move.ID{f.Packages.WAL}, Target: ticket})
		p.call("upgrade", "commit_upgrade", manager, staking, system, receipt)
	}))
	for _, c := range e.Changes {
		if c.After != nil && c.After.Type.Equal(move.PackageType()) {
			pkg = c.ID
		}
	}
	return pkg
}

// newParliament makes a town whose nodes can vote.
func newParliament(t *testing.T) *town {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	return w
}

// TestFollowUpgrade upgrades the contracts under a client that is at work.
func TestFollowUpgrade(t *testing.T) {
	w := newParliament(t)
	old := w.facts()
	p := newProxy()
	c := w.client(wallet(t, 1), p.intercept)
	out, err := c.Register(t.Context(), chain.TxID{1}, []chain.Registration{registration(1)})
	if err != nil {
		t.Fatal(err)
	}
	pkg := w.upgrade([][]byte{code})
	if pkg.IsZero() {
		t.Fatal("no package was made")
	}
	// Until the states have moved the old package is the one to call.
	if _, err := c.Register(t.Context(), chain.TxID{2}, []chain.Registration{registration(2)}); err != nil {
		t.Fatal(err)
	}
	update := func(pkg move.ID) *localnet.Executed {
		return w.run(wallet(t, 1), pkg, func(p *program) { p.call("staking", "update_prices", p.object(old.Staking), p.object(old.System)) })
	}
	wantOutdated(t, "the new package before the migration", update(pkg))
	w.must(w.run(wallet(t, 1), pkg, func(p *program) { p.call("init", "migrate", p.object(old.Staking), p.object(old.System)) }))
	wantOutdated(t, "the package that was superseded", update(old.Walrus))
	wantOutdated(t, "the original package", update(old.Packages.Walrus))
	w.must(update(pkg))
	if f := w.facts(); f.Walrus != pkg || f.Packages != old.Packages {
		t.Errorf("after the migration calls go to %s, want %s", f.Walrus, pkg)
	}

	// The client finds out by a simulation that aborts, pays nothing for that, and goes on.
	simulated, sent := p.calls[simulate], p.calls[execute]
	object := out.Registered[0].Object
	msg := walrus.ConfirmationMessage(1, registration(1).Blob, walrus.Persistence{Deletable: registration(1).Deletable, Object: object})
	certs := []chain.Certification{{Object: object, Cert: w.sign([]int{0, 1, 2, 3}, msg)}}
	if _, err := c.Certify(t.Context(), chain.TxID{3}, certs, nil); err != nil {
		t.Fatal(err)
	}
	if p.calls[simulate]-simulated != 2 || p.calls[execute]-sent != 1 {
		t.Errorf("%d simulated, %d sent, want 2 and 1", p.calls[simulate]-simulated, p.calls[execute]-sent)
	}
	if state, err := c.State(t.Context()); err != nil || state.Epoch != 1 {
		t.Errorf("state: %+v, %v", state, err)
	}
	// One that only reads finds the states under other names.
	if state, err := w.client(wallet(t, 1)).State(t.Context()); err != nil || state.Epoch != 1 {
		t.Errorf("state for a fresh client: %+v, %v", state, err)
	}

	// What the ledger does by itself calls the new package, too, and all of it outlives a start.
	w.close()
	w.open()
	if err := w.net.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = w.client(wallet(t, 1))
	if _, err := c.Register(t.Context(), chain.TxID{4}, []chain.Registration{registration(4)}); err != nil {
		t.Fatal(err)
	}
	wantOutdated(t, "the package that was superseded, after a start", update(old.Walrus))

	second := w.upgrade([][]byte{code, append(bytes.Clone(code), 1)})
	w.must(w.run(wallet(t, 1), second, func(p *program) { p.call("init", "migrate", p.object(old.Staking), p.object(old.System)) }))
	if _, err := c.Register(t.Context(), chain.TxID{5}, []chain.Registration{registration(5)}); err != nil {
		t.Fatal(err)
	}
	w.wantVersions(map[move.ID]uint64{old.Packages.Walrus: 1, old.Walrus: 3, pkg: 4, second: 5})
}

func wantOutdated(t *testing.T, what string, e *localnet.Executed) {
	t.Helper()
	if e.Abort == nil || e.Abort.Name != "EWrongVersion" || e.Abort.Code != 1 {
		t.Errorf("%s: got %v, want EWrongVersion", what, e.Effects.Status.Failure)
	}
}

// wantVersions asks the server for the versions of the Walrus package.
func (w *town) wantVersions(want map[move.ID]uint64) {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///localnet", grpc.WithContextDialer(w.server.Pipe), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	packages, ledger := pb.NewMovePackageServiceClient(conn), pb.NewLedgerServiceClient(conn)
	for id := range want {
		got := map[move.ID]uint64{}
		var last uint64
		for q := (&pb.ListPackageVersionsRequest{PackageId: proto.String(id.String()), PageSize: proto.Uint32(3)}); ; {
			page, err := packages.ListPackageVersions(w.t.Context(), q)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, v := range page.Versions {
				id, err := move.ParseAddress(v.GetPackageId())
				if err != nil || v.GetVersion() <= last {
					w.t.Fatalf("version %v behind %d: %v", v, last, err)
				}
				got[id], last = v.GetVersion(), v.GetVersion()
			}
			if q.PageToken = page.NextPageToken; q.PageToken == nil {
				break
			}
		}
		if len(got) != len(want) {
			w.t.Errorf("versions of %s: %v", id, got)
		}
		for id, version := range want {
			if got[id] != version {
				w.t.Errorf("package %s is version %d, want %d", id, got[id], version)
			}
			answer, err := packages.GetPackage(w.t.Context(), &pb.GetPackageRequest{PackageId: proto.String(id.String())})
			if err != nil || answer.Package.GetVersion() != version || answer.Package.GetOriginalId() != w.facts().Packages.Walrus.String() {
				w.t.Errorf("package %s: %v, %v", id, answer, err)
			}
		}
	}
	newest := w.facts().Walrus.String()
	answer, err := ledger.GetObject(w.t.Context(), &pb.GetObjectRequest{ObjectId: &newest, ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"*"}}})
	if o := answer.GetObject(); err != nil || o.GetObjectType() != "package" || o.GetVersion() != want[w.facts().Walrus] || o.GetOwner().GetKind() != pb.Owner_IMMUTABLE {
		w.t.Errorf("package as an object: %v, %v", answer, err)
	}
}

// TestUpgradeRefused checks what the command Upgrade refuses.
func TestUpgradeRefused(t *testing.T) {
	w := newParliament(t)
	f := w.facts()
	modules := [][]byte{code}
	digest := move.PackageDigest(modules, nil)
	for _, m := range w.net.Committee().Members {
		w.must(w.run(house(t), f.Walrus, func(p *program) {
			who := p.call("auth", "authenticate_sender")
			p.call("upgrade", "vote_for_upgrade", p.object(f.Upgrades), p.object(f.Staking), who, p.pure(m.ID[:]), p.bytes(digest))
		}))
	}
	try := func(pkg move.ID, modules [][]byte) *move.Failure {
		return w.run(wallet(t, 1), f.Walrus, func(p *program) {
			manager, staking, system := p.object(f.Upgrades), p.object(f.Staking), p.object(f.System)
			ticket := p.call("upgrade", "authorize_upgrade", manager, staking, p.bytes(digest))
			receipt := p.add(move.Command{Kind: move.CommandUpgrade, Package: pkg, Modules: modules, Target: ticket})
			p.call("upgrade", "commit_upgrade", manager, staking, system, receipt)
		}).Effects.Status.Failure
	}
	for name, c := range map[string]struct {
		got     *move.Failure
		kind    move.FailureKind
		upgrade uint8
	}{
		"other modules":     {try(f.Walrus, [][]byte{append(bytes.Clone(code), 9)}), move.FailedUpgrade, move.UpgradeDigest},
		"no bytecode":       {try(f.Walrus, [][]byte{[]byte("code")}), move.FailedModule, 0},
		"other package":     {try(f.Packages.Walrus, modules), move.FailedUpgrade, move.UpgradeOtherPackage},
		"unknown package":   {try(move.SmallAddress(77), modules), move.FailedUpgrade, move.UpgradeNoPackage},
		"package of others": {try(f.Packages.WAL, modules), move.FailedUpgrade, move.UpgradeNoPackage},
	} {
		if c.got == nil || c.got.Kind != c.kind || c.got.Upgrade.Kind != c.upgrade || c.got.Command == nil || *c.got.Command != 1 {
			t.Errorf("%s: got %v", name, c.got)
		}
	}
	if f := try(f.Walrus, modules); f != nil {
		t.Errorf("the one that was voted for: %v", f)
	}
	made := w.facts()
	system, err := w.net.Object(t.Context(), made.System)
	if err != nil {
		t.Fatal(err)
	}
	var s move.System
	if err := move.Unmarshal(system.Contents, &s); err != nil || s.NewPackageID == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	p := &program{Partial: localnet.Partial{Sender: move.Address(wallet(t, 1).Address()), SelectGas: true}, pkg: f.Walrus}
	p.call("blob", "burn", p.object(*s.NewPackageID))
	tx, err := w.net.Resolve(t.Context(), &p.Partial)
	if err != nil {
		t.Fatal(err)
	}
	var refused *localnet.RefusedError
	if _, err := w.net.Simulate(t.Context(), tx, true); !errors.As(err, &refused) || refused.Kind != localnet.RefusedMalformed {
		t.Errorf("a package as an input: %v", err)
	}
}
