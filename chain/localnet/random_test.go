package localnet

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// gambler sends transactions of random commands.
type gambler struct {
	*wallet
	rng   *rand.Rand
	keys  testNodes
	blobs int // registered so far, to name them
}

// owned returns a random object of a type, or false.
func (g *gambler) owned(tag move.StructTag) (move.ID, bool) {
	g.t.Helper()
	objects, _, err := g.net.OwnedObjects(context.Background(), g.address(), &tag, 0, 100)
	if err != nil {
		g.t.Fatal(err)
	}
	if len(objects) == 0 {
		return move.ID{}, false
	}
	return objects[g.rng.IntN(len(objects))].ID(), true
}

// amount is a random amount that is now and then too much.
func (g *gambler) amount() uint64 { return g.rng.Uint64N(1 << (4 + g.rng.IntN(50))) }

// step appends something random to a transaction.
func (g *gambler) step(b *build) {
	p := &g.net.facts.packages
	sys, staking := g.net.facts.system, g.net.facts.staking
	blob, hasBlob := g.owned(p.Blob())
	storage, hasStorage := g.owned(p.Storage())
	staked, hasStaked := g.owned(p.StakedWAL())
	coin, _ := g.owned(p.WALCoin())
	steps := []func(){
		func() {
			r := numberedBlobs(g.blobs, 1)[0]
			r.EpochsAhead, r.Deletable = 1+g.rng.Uint32N(60), g.rng.IntN(3) > 0
			g.blobs++
			b.transfer(g.address(), b.register(r))
		},
		func() { b.transfer(g.address(), b.split(b.object(coin), g.amount(), g.amount())) },
		func() {
			if other, ok := g.owned(p.WALCoin()); ok {
				b.add(move.Command{Kind: move.CommandMergeCoins, Target: b.object(coin), Arguments: []move.Argument{b.object(other)}})
			}
		},
		func() {
			out := b.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: p.Exchange, Module: "wal_exchange",
				Function: "exchange_all_for_wal", Arguments: []move.Argument{b.object(g.net.exchange()), b.split(gasCoin, g.amount())}}})
			b.transfer(g.address(), out)
		},
		func() {
			out := b.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: p.Exchange, Module: "wal_exchange",
				Function: "exchange_for_sui", Arguments: []move.Argument{b.object(g.net.exchange()), b.object(coin), b.u64(g.amount())}}})
			b.transfer(g.address(), out)
		},
		func() {
			node := g.net.Committee().Members[g.rng.IntN(4)].ID
			stake := b.call("staking", "stake_with_pool", b.object(staking), b.split(b.object(coin), chain.FrostPerWAL+g.amount()), b.id(move.ID(node)))
			b.transfer(g.address(), stake)
		},
		func() {
			b.call("system", "add_subsidy", b.object(sys), b.split(b.object(coin), g.amount()), b.u32(g.rng.Uint32N(60)))
		},
		func() { // left over: fails
			b.split(b.object(coin), 1)
		},
	}
	if hasBlob {
		steps = append(steps,
			func() {
				b.transfer(g.address(), b.call("system", "delete_blob", b.object(sys), b.object(blob)))
			},
			func() { b.call("blob", "burn", b.object(blob)) },
			func() {
				b.call("system", "extend_blob", b.object(sys), b.object(blob), b.u32(g.rng.Uint32N(60)), b.object(coin))
			},
			func() { b.call("shared_blob", "new_funded", b.object(blob), b.split(b.object(coin), g.amount())) },
			func() {
				b.call("blob", "insert_or_update_metadata_pair", b.object(blob), b.text("k"), b.text("v"))
			})
	}
	if hasStorage {
		steps = append(steps,
			func() {
				b.transfer(g.address(), b.call("storage_resource", "split_by_size", b.object(storage), b.u64(g.amount())))
			},
			func() { b.call("storage_resource", "destroy", b.object(storage)) },
			func() {
				b.transfer(g.address(), b.call("system", "create_storage_pool_with_storage", b.object(sys), b.object(storage)))
			})
	}
	if hasStaked {
		steps = append(steps,
			func() { b.call("staking", "request_withdraw_stake", b.object(staking), b.object(staked)) },
			func() {
				b.transfer(g.address(), b.call("staking", "withdraw_stake", b.object(staking), b.object(staked)))
			},
			func() {
				b.transfer(g.address(), b.call("staked_wal", "split", b.object(staked), b.u64(chain.FrostPerWAL)))
			})
	}
	steps[g.rng.IntN(len(steps))]()
}

// TestRandomPrograms sends transactions of random commands, changes epochs in
// between, and counts all WAL after each: none comes and none goes but what is burnt.
func TestRandomPrograms(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rounds := 150
	if os.Getenv("WALFS_SOAK") != "" {
		rounds = 5000
	}
	t.Logf("seed %d", seed)
	n, w, keys := newProgramNet(t)
	g := &gambler{wallet: w, rng: rand.New(rand.NewPCG(seed, 1)), keys: keys}
	good, failed := 0, 0
	supply := checkSupply(t, n)
	little := func() bool { return good < rounds/5 || failed < rounds/20 }
	for i := 0; i < rounds || i < 4*rounds && little(); i++ { // what a seed makes of it differs
		if i%25 == 24 {
			if err := n.AdvanceEpoch(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		b := w.build()
		for range 1 + g.rng.IntN(3) {
			g.step(b)
		}
		if e := w.execute(b); e.Effects.Status.Failure == nil {
			good++
		} else {
			failed++
		}
		now := checkSupply(t, n)
		if now > supply || t.Failed() {
			t.Fatalf("round %d: supply %d, before %d: %+v", i, now, supply, b.Commands)
		}
		supply = now
	}
	if little() {
		t.Errorf("%d good and %d failed transactions say little", good, failed)
	}
	checkRows(t, n)
}

// FuzzExecute sends bytes as signed transactions: refusals and failures, never a panic.
func FuzzExecute(f *testing.F) {
	n, w, _ := newProgramNet(f)
	b := w.build()
	b.transfer(w.address(), b.register(numberedBlobs(0, 1)[0]))
	bcs, _ := w.sign(w.resolve(b))
	f.Add(bcs, uint16(0), byte(0))
	b = w.build()
	parts := b.split(b.object(w.coin()), 1, 2, 3)
	vector := b.add(move.Command{Kind: move.CommandMakeMoveVec, Arguments: []move.Argument{nested(parts, 0), nested(parts, 1)}})
	b.framework("pay", "join_vec", n.facts.packages.WALType(), nested(parts, 2), vector)
	b.transfer(w.address(), nested(parts, 2))
	bcs, _ = w.sign(w.resolve(b))
	f.Add(bcs, uint16(40), byte(3))
	f.Fuzz(func(t *testing.T, raw []byte, at uint16, flip byte) {
		raw = bytes.Clone(raw)
		if len(raw) > 0 {
			raw[int(at)%len(raw)] ^= flip
		}
		if _, err := n.Execute(t.Context(), raw, nil); err == nil {
			t.Error("executed without a signature")
		}
		tx, err := ptb.Decode(raw)
		if err != nil {
			return
		}
		for _, checks := range []bool{true, false} {
			e, err := n.Simulate(t.Context(), tx, checks)
			if err != nil {
				continue
			}
			if _, err := move.Marshal(e.Effects); err != nil {
				t.Errorf("effects %+v: %v", e.Effects, err)
			}
		}
	})
}

// TestMakeVector merges coins through a vector of them.
func TestMakeVector(t *testing.T) {
	n, w, _ := newProgramNet(t)
	b := w.build()
	parts := b.split(b.object(w.coin()), 10, 20, 30)
	vector := b.add(move.Command{Kind: move.CommandMakeMoveVec, Arguments: []move.Argument{nested(parts, 0), nested(parts, 1)}})
	b.framework("pay", "join_vec", n.facts.packages.WALType(), nested(parts, 2), vector)
	b.transfer(w.address(), nested(parts, 2))
	e := w.succeed(b)
	var coin move.Coin
	o, err := n.Object(t.Context(), move.CreatedID(e.Digest, 2))
	if err == nil {
		err = move.Unmarshal(o.Contents, &coin)
	}
	if err != nil || coin.Balance != 60 {
		t.Errorf("coin %+v, %v", coin, err)
	}
	for _, id := range []move.ID{move.CreatedID(e.Digest, 0), move.CreatedID(e.Digest, 1)} {
		if operations(e)[id] != "" {
			t.Error("a coin that came and went in one transaction is listed")
		}
	}
}

// TestWithdrawalOfStake stakes, asks back, and is paid when the epochs have passed.
func TestWithdrawalOfStake(t *testing.T) {
	n, w, _ := newProgramNet(t)
	node := move.ID(n.Committee().Members[0].ID)
	b := w.build()
	b.transfer(w.address(), b.call("staking", "stake_with_pool", b.object(n.facts.staking), b.split(b.object(w.coin()), 5*chain.FrostPerWAL), b.id(node)))
	e := w.succeed(b)
	staked := move.CreatedID(e.Digest, 1)
	advance := func() {
		t.Helper()
		if err := n.AdvanceEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	advance()
	b = w.build()
	b.call("staking", "request_withdraw_stake", b.object(n.facts.staking), b.object(staked))
	w.succeed(b)
	withdraw := func() *Executed {
		b := w.build()
		b.transfer(w.address(), b.call("staking", "withdraw_stake", b.object(n.facts.staking), b.object(staked)))
		return w.execute(b)
	}
	if e := withdraw(); e.Abort == nil || e.Abort.Name != "EWithdrawEpochNotReached" {
		t.Errorf("too early: %+v, %v", e.Abort, e.Effects.Status.Failure)
	}
	advance()
	advance()
	e = withdraw()
	if e.Effects.Status.Failure != nil {
		t.Fatal(e.Effects.Status.Failure)
	}
	checkBalances(t, e, w.address(), n.facts.packages.WALType(), 5*chain.FrostPerWAL)
}
