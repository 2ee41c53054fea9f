package localnet

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// caller calls functions with arguments of the right types and any values.
type caller struct {
	*build
	rng     *rand.Rand
	objects []*move.Object // all of the ledger
	all     []*ptb.Function
}

// argument returns something of a type, or false when there is none.
func (c *caller) argument(t ptb.Type, types []move.TypeTag, depth int) (move.Argument, bool) {
	if t.IsOpen {
		return c.ofTag(types[t.Open])
	}
	switch t.Kind {
	case move.KindVector:
		return c.vector(t, types, depth)
	case move.KindStruct:
		switch t.Name {
		case "String":
			return c.text([]string{"", "k", "a longer text", "127.0.0.1:1"}[c.rng.IntN(4)]), true
		case "ID":
			return c.id(c.anyID()), true
		}
		if a, ok := c.ofTag(tagOf(t, types)); ok {
			return a, true
		}
		return c.made(t, types, depth)
	}
	return c.plain(t.Kind), true
}

// tagOf is a type with the type arguments in their places.
func tagOf(t ptb.Type, types []move.TypeTag) move.TypeTag {
	if t.IsOpen {
		return types[t.Open]
	}
	if t.Kind == move.KindVector {
		elem := tagOf(t.Params[0], types)
		return move.TypeTag{Kind: move.KindVector, Elem: &elem}
	}
	if t.Kind != move.KindStruct {
		return move.TypeTag{Kind: t.Kind}
	}
	s := move.StructTag{Address: t.Address, Module: t.Module, Name: t.Name}
	for _, p := range t.Params {
		s.Params = append(s.Params, tagOf(p, types))
	}
	return s.Tag()
}

// ofTag names an object of the ledger, whoever owns it.
func (c *caller) ofTag(tag move.TypeTag) (move.Argument, bool) {
	for _, i := range c.rng.Perm(len(c.objects)) {
		o := c.objects[i]
		if o.Type.Tag().Equal(tag) && o.Owner.Kind != move.OwnerObject {
			return c.object(o.ID()), true
		}
	}
	return move.Argument{}, false
}

// anyID is the ID of an object, of a node, or of nothing.
func (c *caller) anyID() move.ID {
	if c.rng.IntN(8) == 0 {
		return move.ID{byte(c.rng.Uint32())}
	}
	if c.rng.IntN(2) == 0 {
		return move.ID(c.w.net.Committee().Members[c.rng.IntN(4)].ID)
	}
	return c.objects[c.rng.IntN(len(c.objects))].ID()
}

func (c *caller) plain(kind move.Kind) move.Argument {
	n := c.rng.Uint64() >> c.rng.UintN(64)
	switch kind {
	case move.KindBool:
		return c.flag(n%2 == 0)
	case move.KindU8:
		return c.u8(uint8(n % 3))
	case move.KindU16:
		return c.u16(uint16(n))
	case move.KindU32:
		return c.u32(uint32(n))
	case move.KindU64:
		return c.u64(n)
	case move.KindU256:
		return c.u256(move.U256{byte(n)})
	}
	return c.id(c.anyID())
}

func (c *caller) vector(t ptb.Type, types []move.TypeTag, depth int) (move.Argument, bool) {
	if t.Params[0].Kind == move.KindU8 && !t.Params[0].IsOpen {
		b := make([]byte, []int{0, 1, 32, 33, 40, 48, 72, 96}[c.rng.IntN(8)])
		for i := range b {
			b[i] = byte(c.rng.Uint32())
		}
		return c.bytes(b), true
	}
	elem := tagOf(t.Params[0], types)
	command := move.Command{Kind: move.CommandMakeMoveVec, Type: &elem}
	for range c.rng.IntN(3) {
		a, ok := c.argument(t.Params[0], types, depth+1)
		if !ok {
			return a, false
		}
		command.Arguments = append(command.Arguments, a)
	}
	return c.add(command), true
}

// made calls a function that returns what is wanted.
func (c *caller) made(t ptb.Type, types []move.TypeTag, depth int) (move.Argument, bool) {
	const deep = 3
	want := tagOf(t, types)
	for _, i := range c.rng.Perm(len(c.all)) {
		f := c.all[i]
		if depth > deep || len(f.Results) != 1 || f.Results[0].Type.IsOpen || f.Results[0].Type.Name != t.Name {
			continue
		}
		if a, ok := c.function(f, want, depth+1); ok {
			return a, true
		}
	}
	return move.Argument{}, false
}

// function appends a call. Want is the type of its result, if that matters.
func (c *caller) function(f *ptb.Function, want move.TypeTag, depth int) (move.Argument, bool) {
	p := &c.w.net.facts.packages
	var types []move.TypeTag
	for i := range f.TypeParams {
		tag := []move.TypeTag{p.WALType().Tag(), move.SUI.Tag()}[c.rng.IntN(2)]
		if len(f.TypeParams[i].Constraints) > 0 {
			tag = []move.TypeTag{p.Blob().Tag(), p.Storage().Tag(), p.WALCoin().Tag(), p.NodeCap().Tag()}[c.rng.IntN(4)]
		} else if want.Struct != nil && len(want.Struct.Params) == 1 {
			tag = want.Struct.Params[0]
		}
		types = append(types, tag)
	}
	command := move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: f.Package, Module: f.Module, Function: f.Name, Types: types}}
	if f.Package == p.Walrus {
		command.Call.Package = c.walrus
	}
	for i := range f.Arity() {
		a, ok := c.argument(f.Params[i].Type, types, depth)
		if !ok {
			return a, false
		}
		command.Call.Arguments = append(command.Call.Arguments, a)
	}
	return c.add(command), true
}

// TestEveryFunction calls every function of the table with values of the right
// types: it does what it does or aborts, and never ends in an error of the program.
func TestEveryFunction(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rounds := 8
	if os.Getenv("WALFS_SOAK") != "" {
		rounds = 500
	}
	t.Logf("seed %d", seed)
	n, w, _ := newProgramNet(t)
	furnishPlay(t, n, w)
	rng := rand.New(rand.NewPCG(seed, 2))
	objects, all := allObjects(t, n), n.table.Functions()
	tried, good := make(map[string]bool), 0
	for range rounds {
		for _, f := range all {
			c := &caller{build: w.build(), rng: rng, objects: objects, all: all}
			c.SelectGas = false
			out, ok := c.function(f, move.TypeTag{}, 0)
			if !ok {
				continue
			}
			tried[f.Module+"::"+f.Name] = true
			for i := range f.Results {
				c.transfer(w.address(), nested(out, uint16(i)))
			}
			e, err := n.Simulate(context.Background(), w.resolve(c.build), false)
			var refused *RefusedError
			switch {
			case errors.As(err, &refused): // the system object for the exchange, say
			case err != nil:
				t.Errorf("%s::%s: %v\n%+v", f.Module, f, err, c.Commands)
			case e.Effects.Status.Failure == nil:
				good++
			}
		}
	}
	for _, f := range all {
		// commit_upgrade wants what the command Upgrade gives, which this ledger refuses
		if !tried[f.Module+"::"+f.Name] && f.Name != "commit_upgrade" {
			t.Errorf("%s::%s was never called", f.Module, f.Name)
		}
	}
	t.Logf("%d functions, %d calls succeeded", len(all), good)
	if good < len(all)*rounds/20 {
		t.Error("that says little")
	}
}

// furnishPlay makes one object at least of every type that can be made.
func furnishPlay(t *testing.T, n *Net, w *wallet) {
	t.Helper()
	b := w.build()
	batch := numberedBlobs(0, 3)
	sys := b.object(n.facts.system)
	b.transfer(w.address(), b.register(batch[0]), b.register(batch[1]))
	b.call("shared_blob", "new", b.register(batch[2]))
	coin := b.object(w.coin())
	b.transfer(w.address(), b.call("system", "reserve_space", sys, b.u64(1<<20), b.u32(3), coin),
		b.call("system", "create_storage_pool", sys, b.u64(1<<30), b.u32(3), coin),
		b.call("staking", "stake_with_pool", b.object(n.facts.staking), b.split(coin, 5e9), b.id(move.ID(n.Committee().Members[0].ID))))
	p := &n.facts.packages
	b.transfer(w.address(), b.inPackage(p.Exchange, "wal_exchange", "new"), b.inPackage(p.BuyersPackage, "subsidies", "new", b.id(p.BuyersPackage)),
		b.inPackage(p.Subsidies, "walrus_subsidies", "new", sys, b.object(n.facts.staking), b.u32(100), b.u64(1), b.u64(1)))
	w.succeed(b)
}
