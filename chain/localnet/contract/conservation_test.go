package contract

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// player makes random calls in an economy.
type player struct {
	*economy
	rnd *rand.Rand
}

// pick returns a random object of a type that the player owns, or false.
func (p *player) pick(tag move.StructTag) (move.ID, bool) {
	var ids []move.ID
	for id, o := range p.objects {
		if o.Type.Equal(tag) && o.Owner == move.AddressOwner(move.Address{1}) && id != p.coinID {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return move.ID{}, false
	}
	slices.SortFunc(ids, func(a, b move.ID) int { return slices.Compare(a[:], b[:]) })
	return ids[p.rnd.IntN(len(ids))], true
}

var errNothing = errors.New("nothing to play with")

func (p *player) reserve(tx *overlay.Tx, o *shared) error {
	s, err := ReserveSpace(tx, o.system, p.rnd.Uint64N(3<<20), p.rnd.Uint32N(12), o.coin)
	if err != nil {
		return err
	}
	return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
}

func (p *player) register(tx *overlay.Tx, o *shared) error {
	id, ok := p.pick(p.types.Storage())
	if !ok {
		return errNothing
	}
	s, err := overlay.Take[move.Storage](tx, id, p.types.Storage())
	p.must(err)
	root := move.U256{0: byte(p.rnd.Uint32())}
	size := p.rnd.Uint64N(5000)
	b, err := RegisterBlob(tx, o.system, s, move.BlobID(root, 1, size), root, size, 1, p.rnd.IntN(2) == 0, o.coin)
	if err != nil {
		return err
	}
	return tx.Transfer(b.ID, move.AddressOwner(tx.Sender))
}

func (p *player) certify(tx *overlay.Tx, o *shared) error {
	id, ok := p.pick(p.types.Blob())
	if !ok {
		return errNothing
	}
	b, err := overlay.BorrowMut[move.Blob](tx, id, p.types.Blob())
	p.must(err)
	inner, err := SystemInner(tx, o.system)
	p.must(err)
	persistence := walrus.Persistence{Deletable: b.Deletable}
	if b.Deletable {
		persistence.Object = walrus.ObjectID(b.ID)
	}
	msg := walrus.ConfirmationMessage(walrus.Epoch(inner.Committee.Epoch), walrus.BlobID(b.BlobID), persistence)
	var sigs [][96]byte
	for i := range p.caps {
		key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1)})
		p.must(err)
		sigs = append(sigs, key.Sign(msg))
	}
	sum, err := bls.AggregateSignatures(sigs)
	p.must(err)
	return CertifyBlob(tx, o.system, b, sum[:], []byte{byte(1<<len(p.caps) - 1)}, msg)
}

func (p *player) extend(tx *overlay.Tx, o *shared) error {
	id, ok := p.pick(p.types.Blob())
	if !ok {
		return errNothing
	}
	b, err := overlay.BorrowMut[move.Blob](tx, id, p.types.Blob())
	p.must(err)
	return ExtendBlob(tx, o.system, b, p.rnd.Uint32N(4), o.coin)
}

func (p *player) remove(tx *overlay.Tx, o *shared) error {
	id, ok := p.pick(p.types.Blob())
	if !ok {
		return errNothing
	}
	b, err := overlay.Take[move.Blob](tx, id, p.types.Blob())
	p.must(err)
	if p.rnd.IntN(3) == 0 {
		return BurnBlob(tx, b)
	}
	s, err := DeleteBlob(tx, o.system, b)
	if err != nil {
		return err
	}
	return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
}

func (p *player) subsidise(tx *overlay.Tx, o *shared) error {
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.rnd.Uint64N(1e6))
	if err != nil {
		return err
	}
	return AddSubsidy(tx, o.system, c, p.rnd.Uint32N(12))
}

func (p *player) stake(tx *overlay.Tx, o *shared) error {
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.rnd.Uint64N(3*minStakeFrost))
	if err != nil {
		return err
	}
	inner, err := StakingInner(tx, o.staking)
	p.must(err)
	s, err := StakeWithPool(tx, o.staking, c, inner.Committee[p.rnd.IntN(len(inner.Committee))].Key)
	if err != nil {
		return err
	}
	return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
}

func (p *player) change(tx *overlay.Tx, o *shared) error {
	if id, ok := p.pick(p.types.WALCoin()); ok && p.rnd.IntN(2) == 0 {
		c, err := overlay.Take[move.Coin](tx, id, p.types.WALCoin())
		p.must(err)
		return JoinCoin(tx, o.coin, c)
	}
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.rnd.Uint64N(1e12))
	if err != nil {
		return err
	}
	return tx.Transfer(c.ID, move.AddressOwner(tx.Sender))
}

func (p *player) burn(tx *overlay.Tx, o *shared) error {
	id, ok := p.pick(p.types.WALCoin())
	if !ok {
		return errNothing
	}
	c, err := overlay.Take[move.Coin](tx, id, p.types.WALCoin())
	p.must(err)
	return BurnWAL(tx, o.treasury, c)
}

// TestSupplyIsConserved makes random calls and checks after each that all WAL
// in coins, rewards, stakes and pools is the supply, and that nothing is minted.
func TestSupplyIsConserved(t *testing.T) {
	const seed, calls = 20261121, 600
	t.Logf("seed %d", seed)
	e := newEconomy(t, 4, 10)
	e.advance()
	p := &player{e, rand.New(rand.NewPCG(seed, seed))}
	moves := map[string]func(*overlay.Tx, *shared) error{"reserve": p.reserve, "register": p.register, "certify": p.certify,
		"extend": p.extend, "remove": p.remove, "subsidise": p.subsidise, "stake": p.stake, "change": p.change, "burn": p.burn}
	names := slices.Sorted(maps.Keys(moves))
	done := make(map[string]int)
	last := uint64(WALSupply)
	for i := range calls {
		name := names[p.rnd.IntN(len(names))]
		if p.rnd.IntN(20) == 0 {
			name = "epoch"
			e.advance()
			done[name]++
		} else {
			tx := e.begin()
			err := moves[name](tx, e.open(tx))
			var abort *chain.AbortError
			switch {
			case err == nil:
				e.finish(tx)
				done[name]++
			case !errors.As(err, &abort) && !errors.Is(err, errNothing):
				t.Fatalf("call %d, %s: %v", i, name, err)
			}
		}
		sum, supply := e.held()
		if sum != supply || supply > last {
			t.Fatalf("call %d, %s: %d FROST are held, the supply is %d and was %d", i, name, sum, supply, last)
		}
		last = supply
	}
	for _, name := range append(names, "epoch") {
		if done[name] < 5 {
			t.Errorf("%s succeeded %d times only: the test is too weak", name, done[name])
		}
	}
	if last == WALSupply {
		t.Error("nothing was burnt")
	}
}
