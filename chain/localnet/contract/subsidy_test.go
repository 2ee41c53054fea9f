package contract

import (
	"math"
	"testing"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// subsidies is an economy with both kinds of subsidies.
type subsidies struct {
	*economy
	buyers, buyersCap, nodes, nodesCap move.ID
}

func newSubsidies(t *testing.T, buyer, system uint16, funds uint64) *subsidies {
	t.Helper()
	s := &subsidies{economy: newEconomy(t, 4, 10)}
	s.advance()
	s.do(func(tx *overlay.Tx, o *shared) error {
		c, err := SplitCoin(tx, s.types.WALCoin(), o.coin, funds)
		if err != nil {
			return err
		}
		admin, err := CreateBuyerSubsidies(tx, move.ID{1}, buyer, system, c)
		if err != nil {
			return err
		}
		other, err := CreateWalrusSubsidies(tx, o.system, o.staking, move.ID{2}, 5000, 1000, 10)
		if err != nil {
			return err
		}
		s.buyers, s.buyersCap, s.nodes, s.nodesCap = admin.Subsidies, admin.ID, other.Subsidies, other.ID
		if err := tx.Transfer(admin.ID, move.AddressOwner(tx.Sender)); err != nil {
			return err
		}
		return tx.Transfer(other.ID, move.AddressOwner(tx.Sender))
	})
	return s
}

func (s *subsidies) forBuyers(tx *overlay.Tx) (*move.BuyerSubsidies, *move.SubsidiesAdminCap) {
	s.t.Helper()
	b, err := overlay.BorrowMut[move.BuyerSubsidies](tx, s.buyers, s.types.BuyerSubsidies())
	s.must(err)
	admin, err := overlay.BorrowMut[move.SubsidiesAdminCap](tx, s.buyersCap, s.types.BuyerSubsidiesAdminCap())
	s.must(err)
	return b, admin
}

func (s *subsidies) forNodes(tx *overlay.Tx) (*move.WalrusSubsidies, *move.SubsidiesAdminCap) {
	s.t.Helper()
	w, err := overlay.BorrowMut[move.WalrusSubsidies](tx, s.nodes, s.types.WalrusSubsidies())
	s.must(err)
	admin, err := overlay.BorrowMut[move.SubsidiesAdminCap](tx, s.nodesCap, s.types.WalrusSubsidiesAdminCap())
	s.must(err)
	return w, admin
}

// TestBuyerSubsidies buys storage of which a part is paid by others.
func TestBuyerSubsidies(t *testing.T) {
	for _, c := range []struct{ funds, buyer, system uint64 }{
		{1_000_000, 300, 100}, // of 3000, at 10 % and 3.33 %
		{200, 150, 49},        // in proportion to what there is
		{0, 0, 0},
	} {
		s := newSubsidies(t, 1000, 333, c.funds)
		had := s.purse()
		s.do(func(tx *overlay.Tx, o *shared) error {
			system, err := SystemInner(tx, o.system)
			if err != nil {
				return err
			}
			system.StoragePrice = 100
			b, _ := s.forBuyers(tx)
			storage, err := SubsidisedReserveSpace(tx, b, o.system, 10<<20, 3, o.coin)
			if err != nil {
				return err
			}
			return tx.Transfer(storage.ID, move.AddressOwner(tx.Sender))
		})
		if paid := had - s.purse(); paid != 3000-c.buyer {
			t.Errorf("funds %d: paid %d, want %d", c.funds, paid, 3000-c.buyer)
		}
		system, _ := s.state()
		var earned uint64
		for _, a := range system.Accounting.Entries {
			earned += a.Rewards
		}
		if b, _ := s.forBuyers(s.begin()); earned < 3000+c.system-1 || earned > 3000+c.system || b.Pool != c.funds-c.buyer-(earned-3000) {
			t.Errorf("funds %d: nodes get %d, %d left", c.funds, earned, b.Pool)
		}
		s.balanced()
	}
}

// TestNodeSubsidies pays nodes for what they store and for being there, once.
func TestNodeSubsidies(t *testing.T) {
	s := newSubsidies(t, 0, 0, 0)
	process := func(tx *overlay.Tx, o *shared) error {
		w, _ := s.forNodes(tx)
		return ProcessSubsidies(tx, w, o.staking, o.system, o.clock)
	}
	s.do(process) // epoch 0 had no committee: nothing is due
	s.do(func(tx *overlay.Tx, o *shared) error {
		storage, err := ReserveSpace(tx, o.system, 10<<20, 2, o.coin)
		if err != nil {
			return err
		}
		return tx.Transfer(storage.ID, move.AddressOwner(tx.Sender))
	})
	wantAbort(t, "nothing to pay with", s.try(process), subsidiesFunds)
	s.do(func(tx *overlay.Tx, o *shared) error {
		c, err := SplitCoin(tx, s.types.WALCoin(), o.coin, 1_000_000)
		if err != nil {
			return err
		}
		w, _ := s.forNodes(tx)
		if err := AddSubsidiesCoin(tx, w, c); err != nil {
			return err
		}
		if c, err = SplitCoin(tx, s.types.WALCoin(), o.coin, 5); err != nil {
			return err
		}
		amount, err := intoBalance(tx, c)
		if err != nil {
			return err
		}
		return AddSubsidiesBalance(tx, w, amount)
	})
	before, _ := s.state()
	s.do(process)
	s.do(process)
	after, _ := s.state()
	for i, a := range after.Accounting.Entries {
		if was := before.Accounting.Entries[i].Rewards; a.Rewards != was+was/2 {
			t.Errorf("entry %d: rewards %d, were %d", i, a.Rewards, was)
		}
	}
	s.advance()
	commission := s.commission(0)
	s.do(process)
	_, staking := s.state()
	shards, _ := staking.PreviousCommittee.Get(s.node(0))
	if got, want := s.commission(0)-commission, uint64(1000+10*len(shards)); got != want {
		t.Errorf("node gets %d for the epoch before, want %d", got, want)
	}
	s.do(process)
	if got := s.commission(0) - commission; got != uint64(1000+10*len(shards)) {
		t.Errorf("node gets %d when asked twice", got)
	}
	s.balanced()
}

// TestSharedBlob lets a stranger fund and extend a blob that belongs to nobody.
func TestSharedBlob(t *testing.T) {
	r := newReference(t)
	var id, funded move.ID
	tx := r.begin()
	_, b := r.borrow(tx)
	epoch := uint32(7)
	b.CertifiedEpoch, b.Storage.EndEpoch = &epoch, 8 // the ring of the vectors is short
	taken, err := overlay.Take[move.Blob](tx, r.blob, r.types.Blob())
	r.must(err)
	s, err := NewSharedBlob(tx, taken)
	r.must(err)
	id = s.ID
	result := r.finish(tx)
	ops := make(map[move.ID]overlay.Operation)
	for _, c := range result.Changes {
		ops[c.ID] = c.Operation
	}
	if ops[r.blob] != overlay.Wrapped || ops[id] != overlay.Created || r.objects[id].Owner.Kind != move.OwnerShared || !r.objects[id].HasPublicTransfer {
		t.Errorf("changes %v, shared blob %+v", ops, r.objects[id])
	}
	tx = r.begin()
	s, err = overlay.BorrowMut[move.SharedBlob](tx, id, r.types.SharedBlob())
	r.must(err)
	sys, err := overlay.BorrowMut[move.System](tx, r.system, r.types.System())
	r.must(err)
	wantAbort(t, "without funds", ExtendSharedBlob(tx, s, sys, 2), balanceNotEnough)
	tx = r.begin()
	s, err = overlay.BorrowMut[move.SharedBlob](tx, id, r.types.SharedBlob())
	r.must(err)
	sys, err = overlay.BorrowMut[move.System](tx, r.system, r.types.System())
	r.must(err)
	coin, err := NewCoin(tx, r.types.WALCoin(), 1_000_000)
	r.must(err)
	r.must(FundSharedBlob(tx, s, coin))
	end := s.Blob.Storage.EndEpoch
	r.must(ExtendSharedBlob(tx, s, sys, 2))
	if s.Blob.Storage.EndEpoch != end+2 || s.Funds >= 1_000_000 || s.Funds == 0 {
		t.Errorf("end %d, was %d, %d left", s.Blob.Storage.EndEpoch, end, s.Funds)
	}
	if got := r.finish(tx).Events; len(got) != 1 || got[0].Type.Name != "BlobCertified" {
		t.Errorf("events %v", got)
	}
	r = newReference(t)
	tx = r.begin()
	r.borrow(tx)
	taken, err = overlay.Take[move.Blob](tx, r.blob, r.types.Blob())
	r.must(err)
	coin, err = NewCoin(tx, r.types.WALCoin(), 7)
	r.must(err)
	s, err = NewFundedSharedBlob(tx, taken, coin)
	r.must(err)
	funded = s.ID
	if r.finish(tx); s.Funds != 7 || r.objects[funded] == nil {
		t.Errorf("funded with %d", s.Funds)
	}
}

// subsidising runs something with both kinds of subsidies.
func subsidising(do func(s *subsidies, tx *overlay.Tx, o *shared) error) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, _ *overlay.Tx) error {
		s := newSubsidies(r.t, 1000, 1000, 1e9)
		return s.try(func(tx *overlay.Tx, o *shared) error { return do(s, tx, o) })
	}
}

var noCap = &move.SubsidiesAdminCap{}

var subsidyAborts = []abortCase{
	{"buyers' rate above all", buyersRate, subsidising(func(s *subsidies, tx *overlay.Tx, _ *shared) error {
		b, admin := s.forBuyers(tx)
		return SetBuyerSubsidyRate(b, admin, basisPoints+1)
	})},
	{"first rate above all", buyersRate, subsidising(func(s *subsidies, tx *overlay.Tx, o *shared) error {
		_, err := CreateBuyerSubsidies(tx, move.ID{}, 0, basisPoints+1, o.coin)
		return err
	})},
	{"rate of another's subsidies", buyersAdmin, subsidising(func(s *subsidies, tx *overlay.Tx, _ *shared) error {
		b, _ := s.forBuyers(tx)
		return SetSystemSubsidyRate(b, noCap, 1)
	})},
	{"funds of another's subsidies", buyersAdmin, subsidising(func(s *subsidies, tx *overlay.Tx, _ *shared) error {
		b, _ := s.forBuyers(tx)
		_, err := WithdrawBuyerFunds(b, noCap)
		return err
	})},
	{"other version of buyers' subsidies", buyersVersion, subsidising(func(s *subsidies, tx *overlay.Tx, o *shared) error {
		b, _ := s.forBuyers(tx)
		b.Version--
		_, err := SubsidisedReserveSpace(tx, b, o.system, 1, 1, o.coin)
		return err
	})},
	{"register with other buyers' subsidies", buyersVersion, subsidising(func(s *subsidies, tx *overlay.Tx, o *shared) error {
		b, _ := s.forBuyers(tx)
		b.Version--
		_, err := SubsidisedRegisterBlob(tx, b, o.system, nil, move.U256{}, move.U256{}, 0, 1, true, o.coin)
		return err
	})},
	{"extend with other buyers' subsidies", buyersVersion, subsidising(func(s *subsidies, tx *overlay.Tx, o *shared) error {
		b, _ := s.forBuyers(tx)
		b.Version--
		return SubsidisedExtendBlob(tx, b, o.system, nil, 1, o.coin)
	})},
	{"rate of another's node subsidies", subsidiesAdmin, subsidising(func(s *subsidies, tx *overlay.Tx, _ *shared) error {
		w, _ := s.forNodes(tx)
		return SetUsageSubsidyRate(tx, w, noCap, 1)
	})},
	{"node subsidies of another version", subsidiesVersion, subsidising(func(s *subsidies, tx *overlay.Tx, _ *shared) error {
		w, _ := s.forNodes(tx)
		w.Version++
		return AddSubsidiesBalance(tx, w, 0)
	})},
	{"usage rate above all", subsidiesRate, subsidising(func(s *subsidies, tx *overlay.Tx, _ *shared) error {
		w, admin := s.forNodes(tx)
		return SetUsageSubsidyRate(tx, w, admin, maxSubsidyRate+1)
	})},
	{"base above all", subsidiesRate, subsidising(func(s *subsidies, tx *overlay.Tx, _ *shared) error {
		w, admin := s.forNodes(tx)
		return SetBaseSubsidy(tx, w, admin, math.MaxUint64-9_999)
	})},
	{"amount for a shard above all", subsidiesRate, subsidising(func(s *subsidies, tx *overlay.Tx, _ *shared) error {
		w, admin := s.forNodes(tx)
		return SetPerShardSubsidy(tx, w, admin, math.MaxUint64/subsidiesShards)
	})},
	{"nothing to pay nodes with", subsidiesFunds, subsidising(func(s *subsidies, tx *overlay.Tx, o *shared) error {
		o.staking.Version = Version
		s.stakingInner(tx, o).Epoch = 2
		inner := s.stakingInner(tx, o)
		inner.PreviousCommittee = inner.Committee
		w, _ := s.forNodes(tx)
		return ProcessSubsidies(tx, w, o.staking, o.system, o.clock)
	})},
	{"more subsidies than epochs", innerEpochsAhead, subsidising(func(_ *subsidies, tx *overlay.Tx, o *shared) error {
		return AddPerEpochSubsidies(tx, o.system, make([]uint64, 11))
	})},
}
