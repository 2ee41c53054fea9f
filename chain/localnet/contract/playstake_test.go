package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

func (p *player) subsidise(tx *overlay.Tx, o *shared) error {
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.amount(1e6))
	if err != nil {
		return err
	}
	return AddSubsidy(tx, o.system, c, p.epochs())
}

// balances takes n balances out of the purse.
func (p *player) balances(tx *overlay.Tx, o *shared, n int) (amounts []uint64, err error) {
	for range n {
		c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.amount(1e5))
		if err != nil {
			return nil, err
		}
		amount, err := intoBalance(tx, c)
		p.must(err)
		amounts = append(amounts, amount)
	}
	return amounts, nil
}

func (p *player) subsidiseEpochs(tx *overlay.Tx, o *shared) error {
	amounts, err := p.balances(tx, o, p.rnd.IntN(12))
	if err != nil {
		return err
	}
	return AddPerEpochSubsidies(tx, o.system, amounts)
}

func (p *player) buySubsidised(tx *overlay.Tx, o *shared) error {
	s, err := overlay.BorrowMut[move.BuyerSubsidies](tx, p.buyers, p.types.BuyerSubsidies())
	p.must(err)
	if p.rnd.IntN(2) == 0 {
		b, err := some[move.Blob](p, tx, p.types.Blob())
		if err != nil {
			return err
		}
		return SubsidisedExtendBlob(tx, s, o.system, b, p.rnd.Uint32N(3), o.coin)
	}
	storage, err := SubsidisedReserveSpace(tx, s, o.system, p.amount(1<<20), p.epochs(), o.coin)
	return own(tx, storage, err)
}

func (p *player) walrusSubsidies(tx *overlay.Tx) *move.WalrusSubsidies {
	w, err := overlay.BorrowMut[move.WalrusSubsidies](tx, p.subsidy, p.types.WalrusSubsidies())
	p.must(err)
	return w
}

func (p *player) processSubsidies(tx *overlay.Tx, o *shared) error {
	return ProcessSubsidies(tx, p.walrusSubsidies(tx), o.staking, o.system, o.clock)
}

func (p *player) fundSubsidies(tx *overlay.Tx, o *shared) error {
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.amount(1e9))
	if err != nil {
		return err
	}
	if p.rnd.IntN(2) == 0 {
		return AddSubsidiesCoin(tx, p.walrusSubsidies(tx), c)
	}
	s, err := overlay.BorrowMut[move.BuyerSubsidies](tx, p.buyers, p.types.BuyerSubsidies())
	p.must(err)
	return AddBuyerFunds(tx, s, c)
}

func (p *player) change(tx *overlay.Tx, o *shared) error {
	if p.rnd.IntN(2) == 0 {
		c, err := taken[move.Coin](p, tx, p.types.WALCoin())
		if err != nil {
			return err
		}
		return JoinCoin(tx, o.coin, c)
	}
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.amount(1e12))
	return own(tx, c, err)
}

func (p *player) burn(tx *overlay.Tx, o *shared) error {
	c, err := taken[move.Coin](p, tx, p.types.WALCoin())
	if err != nil {
		return err
	}
	return BurnWAL(tx, o.treasury, c)
}

func (p *player) changeMoney(tx *overlay.Tx, o *shared) error {
	x, err := overlay.BorrowMut[move.Exchange](tx, p.exchange, p.types.ExchangeType())
	p.must(err)
	sui, err := overlay.BorrowMut[move.Coin](tx, p.sui, move.CoinType(move.SUI))
	p.must(err)
	if p.rnd.IntN(2) == 0 {
		c, err := ExchangeForWAL(tx, x, sui, p.amount(1e10))
		return own(tx, c, err)
	}
	c, err := ExchangeForSUI(tx, x, o.coin, p.amount(1e10))
	if err != nil {
		return err
	}
	return JoinCoin(tx, sui, c)
}

func (p *player) stake(tx *overlay.Tx, o *shared) error {
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.amount(900*minStakeFrost))
	if err != nil {
		return err
	}
	s, err := StakeWithPool(tx, o.staking, c, p.nodeCap(tx, p.someNode()).Node)
	return own(tx, s, err)
}

// someStake borrows a receipt, but never one of the first node: somebody has to stay.
func (p *player) someStake(tx *overlay.Tx) (*move.StakedWAL, error) {
	s, err := some[move.StakedWAL](p, tx, p.types.StakedWAL())
	if err == nil && s.Node == p.nodeCap(tx, 0).Node {
		return nil, errNothing
	}
	return s, err
}

func (p *player) askBack(tx *overlay.Tx, o *shared) error {
	s, err := p.someStake(tx)
	if err != nil {
		return err
	}
	return RequestWithdrawStake(tx, o.staking, s)
}

func (p *player) takeBack(tx *overlay.Tx, o *shared) error {
	s, err := p.someStake(tx)
	if err != nil {
		return err
	}
	if s, err = overlay.Take[move.StakedWAL](tx, s.ID, p.types.StakedWAL()); err != nil {
		return err
	}
	principal := s.Principal
	c, err := WithdrawStake(tx, o.staking, s)
	if err != nil {
		return err
	}
	if c.Balance < principal {
		p.t.Errorf("a stake of %d brings %d", principal, c.Balance)
	}
	p.paidOut += c.Balance
	return JoinCoin(tx, o.coin, c)
}

func (p *player) splitStake(tx *overlay.Tx, _ *shared) error {
	s, err := p.someStake(tx)
	if err != nil {
		return err
	}
	part, err := SplitStaked(tx, s, p.amount(s.Principal+1))
	return own(tx, part, err)
}

// joinStake joins two receipts, which seldom fit, or takes one apart and puts it together.
func (p *player) joinStake(tx *overlay.Tx, _ *shared) error {
	s, err := p.someStake(tx)
	if err != nil {
		return err
	}
	if p.rnd.IntN(2) == 0 {
		part, err := SplitStaked(tx, s, s.Principal/2)
		if err != nil {
			return err
		}
		return JoinStaked(tx, s, part)
	}
	other, err := taken[move.StakedWAL](p, tx, p.types.StakedWAL())
	if err != nil || other.ID == s.ID {
		return errNothing
	}
	return JoinStaked(tx, s, other)
}

// joinNode registers a node, up to eight of them.
func (p *player) joinNode(tx *overlay.Tx, o *shared) error {
	if len(p.caps) >= 8 {
		return errNothing
	}
	c, err := RegisterCandidate(tx, o.staking, candidateIn(p.t, tx, len(p.caps), p.stakingInner(tx, o).Epoch))
	if err == nil {
		p.caps = append(p.caps, c.ID)
	}
	return own(tx, c, err)
}

func (p *player) setCommission(tx *overlay.Tx, o *shared) error {
	return SetNextCommission(tx, o.staking, p.nodeCap(tx, p.someNode()), uint16(p.rnd.UintN(12_000)))
}

func (p *player) collect(tx *overlay.Tx, o *shared) error {
	c := p.nodeCap(tx, p.someNode())
	coin, err := CollectCommission(tx, o.staking, c.Node, AuthenticateWithObject(c.ID))
	if err != nil {
		return err
	}
	return JoinCoin(tx, o.coin, coin)
}

func (p *player) donate(tx *overlay.Tx, o *shared) error {
	amounts, err := p.balances(tx, o, 2)
	if err != nil {
		return err
	}
	nodes := []move.ID{p.nodeCap(tx, p.someNode()).Node, p.nodeCap(tx, p.someNode()).Node}
	return AddCommissionToPools(tx, o.staking, nodes, amounts)
}

func (p *player) votePrices(tx *overlay.Tx, o *shared) error {
	c := p.nodeCap(tx, p.someNode())
	for _, err := range []error{
		SetStoragePriceVote(tx, o.staking, c, p.rnd.Uint64N(1000)), SetWritePriceVote(tx, o.staking, c, p.rnd.Uint64N(100)),
		SetNodeCapacityVote(tx, o.staking, c, p.amount(1e13)),
	} {
		p.must(err)
	}
	return UpdatePrices(tx, o.staking, o.system)
}

func (p *player) deny(tx *overlay.Tx, o *shared) error {
	c := p.nodeCap(tx, p.someNode())
	d := denyList{node: c.Node, sequence: c.DenyListSequence + p.rnd.Uint64N(3), size: p.amount(1 << 22)}
	if p.rnd.IntN(3) == 0 {
		return RegisterDenyListUpdate(tx, o.system, c, d.root, d.sequence)
	}
	msg := certified(denyListUpdate, p.stakingInner(tx, o).Epoch, d.BCS)
	signature, bitmap := p.signed(msg)
	return UpdateDenyList(tx, o.system, c, signature, bitmap, msg)
}

func (p *player) eventBlob(tx *overlay.Tx, o *shared) error {
	inner, err := SystemInner(tx, o.system)
	p.must(err)
	checkpoint := uint64(1)
	if inner.LatestEventBlob != nil {
		checkpoint = inner.LatestEventBlob.Checkpoint + p.rnd.Uint64N(2)
	}
	return CertifyEventBlob(tx, o.system, p.nodeCap(tx, p.someNode()), eventBlob(checkpoint, inner.Committee.Epoch))
}

func (p *player) slashingManager(tx *overlay.Tx) *move.SlashingManager {
	m, err := overlay.BorrowMut[move.SlashingManager](tx, p.slashing, p.types.SlashingManager())
	p.must(err)
	return m
}

// slash votes against the first or the second node, so that votes meet.
func (p *player) slash(tx *overlay.Tx, o *shared) error {
	voter, candidate := p.nodeCap(tx, p.someNode()).Node, p.nodeCap(tx, p.rnd.IntN(2)).Node
	return VoteForSlashing(tx, p.slashingManager(tx), o.staking, AuthenticateSender(tx), voter, candidate)
}

func (p *player) executeSlash(tx *overlay.Tx, o *shared) error {
	if p.rnd.IntN(4) == 0 {
		return CleanupSlashingProposals(tx, p.slashingManager(tx), o.staking, []move.ID{p.nodeCap(tx, 0).Node})
	}
	return ExecuteSlashing(tx, p.slashingManager(tx), o.staking, o.treasury, p.nodeCap(tx, p.rnd.IntN(2)).Node)
}

func (p *player) voteUpgrade(tx *overlay.Tx, o *shared) error {
	m, err := overlay.BorrowMut[move.UpgradeManager](tx, p.upgrades, p.types.UpgradeManager())
	p.must(err)
	digest := make([]byte, digestSize)
	digest[0] = byte(p.rnd.IntN(3))
	if p.rnd.IntN(5) == 0 {
		return CleanupUpgradeProposals(tx, m, o.staking, [][]byte{digest})
	}
	return VoteForUpgrade(tx, m, o.staking, AuthenticateSender(tx), p.nodeCap(tx, p.someNode()).Node, digest)
}
