package contract

import (
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// run is an economy through many epochs, with nodes that keep what blobs they should.
type run struct {
	*assembly
	stored map[move.ID]map[uint16]move.ID // by blob object and shard, the node that has it
	ends   map[move.ID]uint32             // of the blobs that are not expired
}

// store registers and certifies a blob, which all members of the committee store.
func (r *run) store(root byte, epochs uint32) (id move.ID) {
	r.t.Helper()
	r.do(func(tx *overlay.Tx, o *shared) error {
		s, err := ReserveSpace(tx, o.system, 1<<20, epochs, o.coin)
		if err != nil {
			return err
		}
		u := move.U256{root}
		b, err := RegisterBlob(tx, o.system, s, move.BlobID(u, 1, blobSize), u, blobSize, 1, false, o.coin)
		if err != nil {
			return err
		}
		id, r.ends[b.ID] = b.ID, b.Storage.EndEpoch
		return tx.Transfer(b.ID, move.AddressOwner(tx.Sender))
	})
	_, staking := r.state()
	r.stored[id] = make(map[uint16]move.ID)
	for _, member := range staking.Committee {
		for _, shard := range member.Value {
			r.stored[id][shard] = member.Key
		}
	}
	r.do(func(tx *overlay.Tx, o *shared) error {
		b, err := overlay.BorrowMut[move.Blob](tx, id, r.types.Blob())
		if err != nil {
			return err
		}
		msg := r.confirms(o, tx, b.BlobID, walrus.Persistence{})
		signature, bitmap := r.signed(msg)
		return CertifyBlob(tx, o.system, b, signature, bitmap, msg)
	})
	return id
}

func (r *run) renew(id move.ID, epochs uint32) {
	r.t.Helper()
	r.do(func(tx *overlay.Tx, o *shared) error {
		b, err := overlay.BorrowMut[move.Blob](tx, id, r.types.Blob())
		if err != nil {
			return err
		}
		if err := ExtendBlob(tx, o.system, b, epochs, o.coin); err != nil {
			return err
		}
		r.ends[id] = b.Storage.EndEpoch
		return nil
	})
}

// epoch changes to the next epoch. Nodes that get shards fetch them from those
// that had them, and then the books must balance and all blobs be there.
func (r *run) epoch() {
	r.t.Helper()
	_, before := r.state()
	r.timeMS += testEpochMS
	r.do(votingEnds)
	r.do(epochChanges)
	_, staking := r.state()
	for _, member := range staking.Committee {
		for _, shard := range member.Value {
			for _, holders := range r.stored {
				if from := holders[shard]; from != member.Key && !holds(before.Committee, from, shard) {
					r.t.Fatalf("epoch %d: shard %d is nowhere", staking.Epoch, shard)
				}
				holders[shard] = member.Key
			}
		}
	}
	r.sync()
	r.check()
}

func holds(c move.Committee, node move.ID, shard uint16) bool {
	shards, _ := c.Get(node)
	for _, s := range shards {
		if s == shard {
			return true
		}
	}
	return false
}

// check looks at books, committees and blobs.
func (r *run) check() {
	r.t.Helper()
	r.balanced()
	system, staking := r.state()
	r.checkStake()
	if system.Committee.Epoch != staking.Epoch || staking.State.Kind != move.StateDone || len(system.Committee.Members) != len(staking.Committee) {
		r.t.Fatalf("epochs %d and %d, state %v", system.Committee.Epoch, staking.Epoch, staking.State)
	}
	for i, m := range system.Committee.Members {
		if m.Node != staking.Committee[i].Key || int(m.Weight) != len(staking.Committee[i].Value) {
			r.t.Fatalf("epoch %d: member %d differs", staking.Epoch, i)
		}
	}
	for id, end := range r.ends {
		if end <= staking.Epoch {
			delete(r.ends, id)
			delete(r.stored, id)
			continue
		}
		for _, member := range staking.Committee {
			for _, shard := range member.Value {
				if r.stored[id][shard] != member.Key {
					r.t.Fatalf("epoch %d: blob %s, shard %d is not with its node", staking.Epoch, id, shard)
				}
			}
		}
	}
}

func (r *run) shards(i int) int {
	r.t.Helper()
	_, staking := r.state()
	shards, _ := staking.Committee.Get(r.node(i))
	return len(shards)
}

// receiptOf finds a receipt of a node, one that waits to be paid or one that does not.
func (r *run) receiptOf(i int, waits bool) (id move.ID) {
	r.t.Helper()
	for at, o := range r.objects {
		if !o.Type.Equal(r.types.StakedWAL()) {
			continue
		}
		var s move.StakedWAL
		r.read(o, &s)
		if s.Node == r.node(i) && s.Withdrawing == waits {
			id = at
		}
	}
	return id
}

// TestTwentyEpochs lives through twenty epochs in virtual time: stake comes and
// goes, a node joins and one leaves, nodes vote on prices and against one of
// them, blobs are renewed and expire. Books and blobs are looked at after each.
func TestTwentyEpochs(t *testing.T) {
	r := &run{assembly: newAssembly(t), stored: make(map[move.ID]map[uint16]move.ID), ends: make(map[move.ID]uint32)}
	renewed := r.store(1, 3)
	r.store(2, 4)
	var mine move.ID
	var price uint64
	for {
		_, staking := r.state()
		switch staking.Epoch {
		case 2:
			mine = r.stakeWith(2, 700*minStakeFrost)
			r.join(4, 1500*minStakeFrost)
		case 3:
			if r.shards(4) == 0 {
				t.Error("the newcomer has no shards")
			}
		case 6:
			r.do(r.requesting(r.receiptOf(1, false)))
		case 8:
			if r.shards(1) != 0 {
				t.Errorf("the leaver has %d shards", r.shards(1))
			}
			system, _ := r.state()
			price = system.StoragePrice
			for i := range r.caps {
				r.do(func(tx *overlay.Tx, o *shared) error {
					if err := SetStoragePriceVote(tx, o.staking, r.nodeCap(tx, i), 3*price); err != nil {
						return err
					}
					return UpdatePrices(tx, o.staking, o.system)
				})
			}
			if system, _ = r.state(); system.StoragePrice != 3*price {
				t.Errorf("price %d after a vote for %d", system.StoragePrice, 3*price)
			}
		case 9:
			r.do(func(tx *overlay.Tx, o *shared) error {
				s, err := overlay.Take[move.StakedWAL](tx, r.receiptOf(1, true), r.types.StakedWAL())
				if err != nil {
					return err
				}
				c, err := WithdrawStake(tx, o.staking, s)
				if err != nil {
					return err
				}
				if c.Balance <= 1000*minStakeFrost {
					t.Errorf("the leaver's stake brings %d", c.Balance)
				}
				return JoinCoin(tx, o.coin, c)
			})
		case 11:
			for _, voter := range []int{0, 2, 4} {
				r.do(r.against(voter, 3))
			}
			lost := r.commission(3)
			_, before := r.held()
			r.do(r.slash(3))
			if _, after := r.held(); lost == 0 || before-after != lost {
				t.Errorf("slashing burnt %d of %d", before-after, lost)
			}
		case 13:
			r.do(r.requesting(mine))
			r.do(func(tx *overlay.Tx, o *shared) error {
				return SetNextCommission(tx, o.staking, r.nodeCap(tx, 0), 2000)
			})
		case 15:
			had := r.purse()
			r.do(r.withdrawing(mine))
			if earned := r.purse() - had - 700*minStakeFrost; earned == 0 || earned > 700*minStakeFrost {
				t.Errorf("700 WAL earned %d FROST", earned)
			}
		case 16:
			r.store(16, 2)
			tx := r.begin()
			pool, err := Pool(tx, r.stakingInner(tx, r.open(tx)), r.node(0))
			r.must(err)
			if pool.CommissionRate != 2000 {
				t.Errorf("commission rate %d, want 2000", pool.CommissionRate)
			}
		case 20:
			if len(r.ends) != 1 || r.ends[renewed] <= 20 {
				t.Errorf("blobs at the end: %v", r.ends)
			}
			return
		}
		if r.ends[renewed]-staking.Epoch == 1 {
			r.renew(renewed, 2)
		}
		r.reward()
		r.epoch()
	}
}
