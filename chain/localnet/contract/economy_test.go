package contract

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// economy is a ledger that begins in epoch 0 with nodes, made by the contracts.
type economy struct {
	*world
	system, staking, treasury, coinID move.ID
	caps                              []move.ID
	worth                             worth
	fixed                             bool // nodes cannot move shards
}

func (e *economy) begin() *overlay.Tx {
	tx := e.world.begin()
	tx.FixedCommittee = e.fixed
	return tx
}

const testEpochMS = 1000

// founded are the economies that tests began with, by nodes and shards: to
// check the nodes' proofs once is enough.
var founded sync.Map

// newEconomy returns an economy of a test's own.
func newEconomy(t *testing.T, nodes int, shards uint16) *economy {
	t.Helper()
	size := [2]int{nodes, int(shards)}
	first, ok := founded.Load(size)
	if !ok {
		first, _ = founded.LoadOrStore(size, foundEconomy(t, nodes, shards))
	}
	e := *first.(*economy)
	w := *e.world
	w.t, w.objects = t, maps.Clone(w.objects)
	e.world, e.caps = &w, slices.Clone(e.caps)
	return &e
}

func foundEconomy(t *testing.T, nodes int, shards uint16) *economy {
	t.Helper()
	e := &economy{world: newWorld(t)}
	tx := e.begin()
	treasury, coin, err := CreateCurrency(tx)
	e.must(err)
	e.keep(tx, coin.ID)
	sys, err := CreateSystem(tx, 10, move.ID{9})
	e.must(err)
	clock := &move.Clock{ID: move.ClockID, TimestampMS: e.timeMS}
	e.must(tx.Hold(clock, clockTag))
	e.must(tx.Share(clock.ID))
	s, err := CreateStaking(tx, 0, testEpochMS, shards, move.ID{9}, clock)
	e.must(err)
	e.system, e.staking, e.treasury, e.coinID = sys.ID, s.ID, treasury.ID, coin.ID
	e.finish(tx)
	for i := range nodes {
		e.join(i, 1000*minStakeFrost)
	}
	return e
}

var clockTag = move.FrameworkType("clock", "Clock")

// candidate is a node with a good proof for epoch 0.
func candidate(t *testing.T, tx *overlay.Tx, i int) Candidate { return candidateIn(t, tx, i, 0) }

func candidateIn(t *testing.T, tx *overlay.Tx, i int, epoch uint32) Candidate {
	t.Helper()
	key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1)})
	if err != nil {
		t.Fatal(err)
	}
	public := key.PublicKey()
	proof := key.Sign(walrus.ProofOfPossessionMessage(walrus.Epoch(epoch), tx.Sender, public))
	return Candidate{Name: fmt.Sprint("node-", i), NetworkAddress: "127.0.0.1:1", PublicKey: public[:], Proof: proof[:],
		NetworkKey: make([]byte, networkKeySize), CommissionRate: 500,
		Votes: move.VotingParams{StoragePrice: uint64(100 + i), WritePrice: uint64(20 + i), NodeCapacity: 1e12}}
}

// shared are the objects that most calls take.
type shared struct {
	system   *move.System
	staking  *move.Staking
	treasury *move.Treasury
	clock    *move.Clock
	coin     *move.Coin
}

func (e *economy) open(tx *overlay.Tx) *shared {
	e.t.Helper()
	o := new(shared)
	var err error
	o.system, err = overlay.BorrowMut[move.System](tx, e.system, e.types.System())
	e.must(err)
	o.staking, err = overlay.BorrowMut[move.Staking](tx, e.staking, e.types.Staking())
	e.must(err)
	o.treasury, err = overlay.BorrowMut[move.Treasury](tx, e.treasury, e.types.Treasury())
	e.must(err)
	o.clock, err = overlay.BorrowMut[move.Clock](tx, move.ClockID, clockTag)
	e.must(err)
	o.clock.TimestampMS = e.timeMS
	o.coin, err = overlay.BorrowMut[move.Coin](tx, e.coinID, e.types.WALCoin())
	e.must(err)
	return o
}

// do runs a transaction that must succeed.
func (e *economy) do(body func(tx *overlay.Tx, o *shared) error) *overlay.Result {
	e.t.Helper()
	tx := e.begin()
	e.must(body(tx, e.open(tx)))
	return e.finish(tx)
}

// try runs a transaction that must fail, and returns why.
func (e *economy) try(body func(tx *overlay.Tx, o *shared) error) error {
	e.t.Helper()
	tx := e.begin()
	return body(tx, e.open(tx))
}

func (e *economy) nodeCap(tx *overlay.Tx, i int) *move.NodeCap {
	e.t.Helper()
	c, err := overlay.BorrowMut[move.NodeCap](tx, e.caps[i], e.types.NodeCap())
	e.must(err)
	return c
}

func (e *economy) stakingInner(tx *overlay.Tx, o *shared) *move.StakingInner {
	e.t.Helper()
	inner, err := StakingInner(tx, o.staking)
	e.must(err)
	return inner
}

func votingEnds(tx *overlay.Tx, o *shared) error { return VotingEnd(tx, o.staking, o.clock) }

func epochChanges(tx *overlay.Tx, o *shared) error {
	return InitiateEpochChange(tx, o.staking, o.system, o.treasury, o.clock)
}

// advance changes to the next epoch and returns the events.
func (e *economy) advance() (events []overlay.Event) {
	e.t.Helper()
	e.timeMS += testEpochMS
	events = append(events, e.do(votingEnds).Events...)
	events = append(events, e.do(epochChanges).Events...)
	return append(events, e.sync()...)
}

// sync tells for each member of the committee that it has its shards.
func (e *economy) sync() (events []overlay.Event) {
	e.t.Helper()
	_, staking := e.state()
	for i := range e.caps {
		events = append(events, e.do(func(tx *overlay.Tx, o *shared) error {
			c := e.nodeCap(tx, i)
			if staking.Committee.Index(c.Node) < 0 {
				return nil
			}
			return EpochSyncDone(tx, o.staking, c, staking.Epoch, o.clock)
		}).Events...)
	}
	return events
}

// nextEpoch changes to the next epoch.
func (e *economy) nextEpoch() {
	e.t.Helper()
	e.advance()
}

// join registers a node, with a stake unless that is 0.
func (e *economy) join(i int, stake uint64) {
	e.t.Helper()
	e.do(func(tx *overlay.Tx, o *shared) error {
		nodeCap, err := RegisterCandidate(tx, o.staking, candidateIn(e.t, tx, i, e.stakingInner(tx, o).Epoch))
		if err != nil {
			return err
		}
		e.caps = append(e.caps, nodeCap.ID)
		return tx.Transfer(nodeCap.ID, move.AddressOwner(tx.Sender))
	})
	if stake > 0 {
		e.stakeWith(i, stake)
	}
}

// purse returns what is in the coin that most calls take.
func (e *economy) purse() uint64 {
	e.t.Helper()
	return e.open(e.begin()).coin.Balance
}

// balanced checks that all WAL that is anywhere is the supply.
func (e *economy) balanced() {
	e.t.Helper()
	if sum, supply := e.held(); sum != supply {
		e.t.Errorf("%d FROST are held, the supply is %d", sum, supply)
	}
}

// state reads the two inner states.
func (e *economy) state() (*move.SystemInner, *move.StakingInner) {
	e.t.Helper()
	tx := e.begin()
	o := e.open(tx)
	inner, err := SystemInner(tx, o.system)
	e.must(err)
	return inner, e.stakingInner(tx, o)
}

// activeSet reads the set of nodes with stake.
func (e *economy) activeSet() *move.ActiveSet {
	e.t.Helper()
	tx := e.begin()
	set, err := overlay.Field[move.ActiveSet](tx, e.stakingInner(tx, e.open(tx)).ActiveSet, e.types.ExtendedKey(), e.types.ActiveSet())
	e.must(err)
	return set
}
