package sui

import (
	"context"
	"fmt"
	"math/bits"

	"github.com/walfs/walfs/chain/move"
)

// Holding is a stake as it stands: what it is worth, and when it can be had.
type Holding struct {
	Staked
	NodeName string
	Epoch    uint32 // now
	// RewardsFrost is what it has earned so far, by the exchange rate of the
	// node's pool: until the withdrawal, when one was asked for.
	RewardsFrost uint64
	// Early says that it can be had back at once and without rewards: no
	// committee was chosen with it yet.
	Early bool
	// Idle says that its node is in no committee now or next, so that it can be
	// had back at once with what it has earned.
	Idle bool
	// Free is the epoch from which on Withdraw pays, when RequestWithdraw is
	// called now or was called before. It is Epoch when no request is needed.
	Free uint32
}

// State says in a word how far a stake is: "pending" before it is at work,
// "active", "withdrawing" once it was asked back, "withdrawable" when Withdraw
// pays it with what it earned. A pending one can be had back, too, if it is Early.
func (h *Holding) State() string {
	switch {
	case h.Withdrawing && h.Free > h.Epoch:
		return "withdrawing"
	case h.Withdrawing, h.Idle:
		return "withdrawable"
	case h.ActivationEpoch > h.Epoch:
		return "pending"
	}
	return "active"
}

// Holdings lists the owner's stakes with what they have earned.
func (c *Client) Holdings(ctx context.Context) ([]Holding, error) {
	stakes, err := c.Stakes(ctx)
	if err != nil || len(stakes) == 0 {
		return nil, err
	}
	_, _, staking, err := c.inners(ctx)
	if err != nil {
		return nil, fmt.Errorf("list stakes: %w", err)
	}
	var ids []move.ID
	for _, s := range stakes {
		ids = append(ids, s.Node)
	}
	found, err := c.conn.objects(ctx, unique(ids))
	if err != nil {
		return nil, fmt.Errorf("list stakes: %w", err)
	}
	list := make([]Holding, len(stakes))
	for i, s := range stakes {
		list[i] = Holding{Staked: s, Epoch: staking.Epoch}
		var pool move.StakingPool
		if found[s.Node] == nil {
			return nil, fmt.Errorf("storage node %s: %w", s.Node, ErrAnswer)
		}
		if err := move.Unmarshal(found[s.Node].contents, &pool); err != nil {
			return nil, fmt.Errorf("storage node %s: %w", s.Node, err)
		}
		if err := c.hold(ctx, staking, &pool, &list[i]); err != nil {
			return nil, fmt.Errorf("stake %s: %w", s.ID, err)
		}
	}
	return list, nil
}

// hold fills in what a stake is worth and when it can be had.
func (c *Client) hold(ctx context.Context, staking *move.StakingInner, pool *move.StakingPool, h *Holding) error {
	h.NodeName = pool.Info.Name
	inCurrent := staking.Committee.Index(pool.ID) >= 0
	inNext := staking.NextCommittee != nil && staking.NextCommittee.Index(pool.ID) >= 0
	now := staking.Epoch
	// Source: Walrus contracts version 3, staking_pool::request_withdraw_stake and withdraw_stake.
	switch {
	case h.Withdrawing:
		h.Free = h.WithdrawEpoch
	case h.ActivationEpoch == now+2 || h.ActivationEpoch == now+1 && !inNext:
		h.Early, h.Free = true, now
	case h.ActivationEpoch == now+1:
		h.Free = h.ActivationEpoch + 1
	case !inCurrent && !inNext:
		h.Idle, h.Free = true, now
	case inNext:
		h.Free = now + 2
	default:
		h.Free = now + 1
	}
	until := now
	if h.Withdrawing {
		until = min(now, h.WithdrawEpoch)
	}
	if h.ActivationEpoch >= until {
		return nil
	}
	bought, err := c.rateAt(ctx, pool, h.ActivationEpoch)
	if err != nil {
		return err
	}
	sold, err := c.rateAt(ctx, pool, until)
	if err != nil {
		return err
	}
	if worth := toWAL(sold, toShares(bought, h.Principal)); worth > h.Principal {
		h.RewardsFrost = min(worth-h.Principal, pool.RewardsPool)
	}
	return nil
}

// rateAt reads the exchange rate of a pool in an epoch, or in the newest one
// before it that has a rate. Source: staking_pool::exchange_rate_at_epoch.
func (c *Client) rateAt(ctx context.Context, pool *move.StakingPool, epoch uint32) (move.ExchangeRate, error) {
	flat := move.ExchangeRate{Flat: true}
	first := int64(pool.ActivationEpoch)
	for at := int64(min(epoch, max(pool.LatestEpoch, pool.ActivationEpoch))); at >= first; at -= objectsPerCall {
		var ids []move.ID
		for e := at; e >= max(first, at-objectsPerCall+1); e-- {
			id, err := move.FieldID(pool.ExchangeRates.ID, move.U32Key(uint32(e)))
			if err != nil {
				return flat, err
			}
			ids = append(ids, id)
		}
		found, err := c.conn.objects(ctx, ids)
		if err != nil {
			return flat, err
		}
		for _, id := range ids {
			if found[id] == nil {
				continue
			}
			var rate move.ExchangeRate
			err := readField(found[id], len(move.U32Key(0).BCS), &rate)
			return rate, err
		}
	}
	return flat, nil
}

// toShares is how many shares of a pool some WAL bought. A rate fits 64 bits. Source: module pool_exchange_rate.
func toShares(rate move.ExchangeRate, frost uint64) uint64 {
	if rate.Flat {
		return frost
	}
	return scaled(frost, rate.Shares.Lo, rate.WAL.Lo)
}

// toWAL is what shares of a pool are worth.
func toWAL(rate move.ExchangeRate, shares uint64) uint64 {
	if rate.Flat {
		return shares
	}
	return scaled(shares, rate.WAL.Lo, rate.Shares.Lo)
}

// scaled returns a·b/c, or zero for what no pool can have.
func scaled(a, b, c uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high >= c {
		return 0
	}
	q, _ := bits.Div64(high, low, c)
	return q
}
