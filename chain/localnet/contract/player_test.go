package contract

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// player makes random calls in an economy that has everything.
type player struct {
	*economy
	rnd      *rand.Rand
	slashing move.ID
	upgrades move.ID
	exchange move.ID
	sui      move.ID
	buyers   move.ID
	subsidy  move.ID
	paidOut  uint64 // FROST that withdrawn stakes brought

	exchanger, buyersAdmin move.ID // the rights of those who made exchange and subsidies
}

var errNothing = errors.New("nothing to play with")

func newPlayer(t *testing.T, seed uint64) *player {
	t.Helper()
	p := &player{economy: newEconomy(t, 4, 10), rnd: rand.New(rand.NewPCG(seed, seed))}
	p.advance()
	p.fixed = seed%2 == 0
	p.do(func(tx *overlay.Tx, o *shared) error {
		slashing, err := CreateSlashingManager(tx)
		p.must(err)
		right := &move.UpgradeCap{ID: tx.NewID(), Package: move.ID{9}, Version: Version}
		p.must(tx.Hold(right, move.UpgradeCapType()))
		upgrades, emergency, err := CreateUpgradeManager(tx, right)
		p.must(err)
		x, admin, err := CreateExchange(tx)
		p.must(err)
		p.must(AddWAL(x, o.coin, 1e12))
		sui, err := NewCoin(tx, move.CoinType(move.SUI), 1e12)
		p.must(err)
		funds, err := SplitCoin(tx, p.types.WALCoin(), o.coin, 1e6)
		p.must(err)
		buyers, err := CreateBuyerSubsidies(tx, move.ID{1}, 1000, 1000, funds)
		p.must(err)
		subsidy, err := CreateWalrusSubsidies(tx, o.system, o.staking, move.ID{2}, 5000, 1000, 10)
		p.must(err)
		for _, id := range []move.ID{emergency.ID, admin.ID, sui.ID, buyers.ID, subsidy.ID} {
			p.keep(tx, id)
		}
		p.slashing, p.upgrades, p.exchange, p.sui = slashing.ID, upgrades.ID, x.ID, sui.ID
		p.buyers, p.subsidy = buyers.Subsidies, subsidy.Subsidies
		p.exchanger, p.buyersAdmin = admin.ID, buyers.ID
		return nil
	})
	return p
}

// moves are all that the player can do besides letting time pass.
func (p *player) moves() map[string]func(*overlay.Tx, *shared) error {
	return map[string]func(*overlay.Tx, *shared) error{
		"reserve": p.reserve, "reserve later": p.reserveLater, "split storage": p.splitStorage, "fuse storage": p.fuseStorage,
		"register": p.register, "certify": p.certify, "extend": p.extend, "extend with storage": p.extendWith, "remove": p.remove,
		"share": p.share, "fund shared": p.fundShared, "extend shared": p.extendShared,
		"pool": p.createPool, "pool register": p.poolRegister, "pool certify": p.poolCertify, "pool delete": p.poolDelete,
		"pool extend": p.poolExtend, "pool grow": p.poolGrow, "pool shrink": p.poolShrink, "pool destroy": p.poolDestroy,
		"subsidise": p.subsidise, "subsidise epochs": p.subsidiseEpochs, "buy subsidised": p.buySubsidised,
		"process subsidies": p.processSubsidies, "fund subsidies": p.fundSubsidies,
		"change": p.change, "burn": p.burn, "exchange": p.changeMoney,
		"exchange coins": p.changeCoins, "stock exchange": p.stockExchange, "balances": p.handleBalances,
		"register subsidised": p.registerSubsidised, "take buyers' funds": p.takeBuyerFunds,
		"stake": p.stake, "ask back": p.askBack, "take back": p.takeBack, "split stake": p.splitStake, "join stake": p.joinStake,
		"join": p.joinNode, "commission": p.setCommission, "collect": p.collect, "donate": p.donate, "prices": p.votePrices,
		"deny": p.deny, "event blob": p.eventBlob, "slash": p.slash, "execute": p.executeSlash, "upgrade": p.voteUpgrade,
	}
}

// amount returns a number up to about most, and now and then an extreme one.
func (p *player) amount(most uint64) uint64 {
	switch p.rnd.IntN(40) {
	case 0:
		return 0
	case 1:
		return math.MaxUint64 - p.rnd.Uint64N(3)
	case 2:
		return p.rnd.Uint64()
	}
	return p.rnd.Uint64N(most)
}

func (p *player) epochs() uint32 {
	if p.rnd.IntN(40) == 0 {
		return p.rnd.Uint32()
	}
	return p.rnd.Uint32N(12)
}

// pick returns a random object of a type, of the player or shared, or false.
func (p *player) pick(tag move.StructTag) (move.ID, bool) {
	var ids []move.ID
	for id, o := range p.objects {
		if o.Type.Equal(tag) && id != p.coinID && (o.Owner == move.AddressOwner(move.Address{1}) || o.Owner.Kind == move.OwnerShared) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return move.ID{}, false
	}
	slices.SortFunc(ids, func(a, b move.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids[p.rnd.IntN(len(ids))], true
}

type object[T any] interface {
	*T
	overlay.Object
}

// some borrows a random object of a type.
func some[T any, P object[T]](p *player, tx *overlay.Tx, tag move.StructTag) (P, error) {
	id, ok := p.pick(tag)
	if !ok {
		return nil, errNothing
	}
	return overlay.BorrowMut[T, P](tx, id, tag)
}

// taken takes a random object of a type.
func taken[T any, P object[T]](p *player, tx *overlay.Tx, tag move.StructTag) (P, error) {
	id, ok := p.pick(tag)
	if !ok {
		return nil, errNothing
	}
	return overlay.Take[T, P](tx, id, tag)
}

// own gives what a call returned to the player, if it returned something.
func own[T any, P object[T]](tx *overlay.Tx, v P, err error) error {
	if err != nil {
		return err
	}
	return tx.Transfer(v.ObjectID(), move.AddressOwner(tx.Sender))
}

func (p *player) someNode() int { return p.rnd.IntN(len(p.caps)) }

// confirms is what nodes sign for a blob in the current epoch.
func (e *economy) confirms(o *shared, tx *overlay.Tx, blob move.U256, persistence walrus.Persistence) []byte {
	e.t.Helper()
	inner, err := SystemInner(tx, o.system)
	e.must(err)
	return walrus.ConfirmationMessage(walrus.Epoch(inner.Committee.Epoch), walrus.BlobID(blob), persistence)
}

// confirmation is what all nodes sign for a blob, and now and then a wrong signature.
func (p *player) confirmation(o *shared, tx *overlay.Tx, blob move.U256, deletable bool, object move.ID) (signature, bitmap, msg []byte) {
	persistence := walrus.Persistence{Deletable: deletable}
	if deletable {
		persistence.Object = walrus.ObjectID(object)
	}
	msg = p.confirms(o, tx, blob, persistence)
	signature, bitmap = p.signed(msg)
	if p.rnd.IntN(10) == 0 {
		signature[p.rnd.IntN(len(signature))] ^= 1
	}
	return signature, bitmap, msg
}

// pass lets time pass: the next step of an epoch change.
func (p *player) pass() {
	p.t.Helper()
	p.timeMS += testEpochMS / 2
	if _, staking := p.state(); staking.State.Kind == move.StateDone {
		p.do(votingEnds)
		return
	}
	p.do(epochChanges)
	p.sync()
}
