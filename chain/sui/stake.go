package sui

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// Stake puts WAL to work with a storage node, at least one WAL. Receipt tells
// the StakedWal object of the result.
func (c *Client) Stake(ctx context.Context, tx chain.TxID, node move.ID, frost uint64) (*Result, error) {
	return c.perform(ctx, call{tx, one("stake", []move.ID{node}, frost), func(ctx context.Context, s *session) error {
		coins, err := c.coins(ctx, s.world.types.WALCoin())
		if err != nil {
			return err
		}
		return s.stake(node, frost, coins)
	}})
}

// Receipt returns the StakedWal object that a result of Stake or SplitStake made.
func (c *Client) Receipt(ctx context.Context, r *Result) (move.ID, error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return move.ID{}, err
	}
	made := r.Created(w.types.StakedWAL())
	if len(made) != 1 {
		return move.ID{}, fmt.Errorf("%d receipts: %w", len(made), ErrAnswer)
	}
	return made[0], nil
}

func (s *session) stake(node move.ID, frost uint64, coins []coin) error {
	purse, err := newPurse(s.builder, coins, frost)
	if err != nil {
		return err
	}
	part := s.split(purse.use(), s.u64(frost))
	staked := s.walrus("staking", "stake_with_pool", s.shared(s.world.staking, true), nested(part, 0), s.id(node))
	s.transfer(s.address(s.me), staked)
	return nil
}

// RequestWithdraw asks for staked WAL back. It can be had by Withdraw in a
// later epoch, which the receipt tells from then on.
func (c *Client) RequestWithdraw(ctx context.Context, tx chain.TxID, receipt move.ID) (*Result, error) {
	return c.perform(ctx, call{tx, one("request_withdraw", []move.ID{receipt}), func(ctx context.Context, s *session) error {
		o, err := c.single(ctx, s.world.types.StakedWAL(), receipt)
		if err != nil {
			return err
		}
		s.requestWithdraw(o.ref)
		return nil
	}})
}

func (s *session) requestWithdraw(receipt move.ObjectRef) {
	s.walrus("staking", "request_withdraw_stake", s.shared(s.world.staking, true), s.owned(receipt))
}

// Withdraw takes staked WAL back with its rewards, as a coin.
func (c *Client) Withdraw(ctx context.Context, tx chain.TxID, receipt move.ID) (*Result, error) {
	return c.perform(ctx, call{tx, one("withdraw", []move.ID{receipt}), func(ctx context.Context, s *session) error {
		o, err := c.single(ctx, s.world.types.StakedWAL(), receipt)
		if err != nil {
			return err
		}
		s.withdraw(o.ref)
		return nil
	}})
}

func (s *session) withdraw(receipt move.ObjectRef) {
	money := s.walrus("staking", "withdraw_stake", s.shared(s.world.staking, true), s.owned(receipt))
	s.transfer(s.address(s.me), money)
}

// JoinStake puts the second of two stakes into the first one. Both must be with
// the same node, of the same age and state.
func (c *Client) JoinStake(ctx context.Context, tx chain.TxID, first, second move.ID) (*Result, error) {
	return c.perform(ctx, call{tx, one("join_stake", []move.ID{first, second}), func(ctx context.Context, s *session) error {
		found, err := c.refs(ctx, s.world.types.StakedWAL(), []move.ID{first, second})
		if err != nil {
			return err
		}
		s.walrus("staked_wal", "join", s.owned(found[first].ref), s.owned(found[second].ref))
		return nil
	}})
}

// SplitStake takes a part of a stake out, as a receipt of its own.
func (c *Client) SplitStake(ctx context.Context, tx chain.TxID, receipt move.ID, frost uint64) (*Result, error) {
	return c.perform(ctx, call{tx, one("split_stake", []move.ID{receipt}, frost), func(ctx context.Context, s *session) error {
		o, err := c.single(ctx, s.world.types.StakedWAL(), receipt)
		if err != nil {
			return err
		}
		s.transfer(s.address(s.me), s.walrus("staked_wal", "split", s.owned(o.ref), s.u64(frost)))
		return nil
	}})
}

// Votes are what a storage node wants prices and its own capacity to be. Nil leaves a vote as it is.
type Votes struct {
	StoragePrice *uint64 // FROST per MiB and epoch
	WritePrice   *uint64 // FROST per MiB
	NodeCapacity *uint64 // bytes
}

// Vote casts the votes of a storage node, whose capability the owner holds.
// Prices change at once if the votes of all nodes come to others now.
func (c *Client) Vote(ctx context.Context, tx chain.TxID, nodeCap move.ID, v Votes) (*Result, error) {
	var numbers []uint64
	for i, vote := range []*uint64{v.StoragePrice, v.WritePrice, v.NodeCapacity} {
		if vote != nil {
			numbers = append(numbers, uint64(i), *vote)
		}
	}
	if len(numbers) == 0 {
		return nil, errors.New("vote: nothing to vote on")
	}
	return c.perform(ctx, call{tx, one("vote", []move.ID{nodeCap}, numbers...), func(ctx context.Context, s *session) error {
		o, err := c.single(ctx, s.world.types.NodeCap(), nodeCap)
		if err != nil {
			return err
		}
		s.vote(o.ref, v)
		return nil
	}})
}

func (s *session) vote(nodeCap move.ObjectRef, v Votes) {
	for _, vote := range []struct {
		function string
		value    *uint64
	}{{"set_storage_price_vote", v.StoragePrice}, {"set_write_price_vote", v.WritePrice}, {"set_node_capacity_vote", v.NodeCapacity}} {
		if vote.value != nil {
			s.walrus("staking", vote.function, s.shared(s.world.staking, true), s.owned(nodeCap), s.u64(*vote.value))
		}
	}
	if v.StoragePrice != nil || v.WritePrice != nil {
		s.walrus("staking", "update_prices", s.shared(s.world.staking, true), s.shared(s.world.system, true))
	}
}

// VoteSlash votes for burning the commission of a storage node, in the name of
// another one that authorized the owner to vote.
func (c *Client) VoteSlash(ctx context.Context, tx chain.TxID, voter, candidate move.ID) (*Result, error) {
	return c.perform(ctx, call{tx, one("vote_slash", []move.ID{voter, candidate}), func(ctx context.Context, s *session) error {
		manager, err := c.sharedObject(ctx, c.profile.Slashing)
		if err != nil {
			return err
		}
		s.voteSlash(manager, voter, candidate)
		return nil
	}})
}

func (s *session) voteSlash(manager shared, voter, candidate move.ID) {
	auth := s.walrus("auth", "authenticate_sender")
	s.walrus("slashing", "vote_for_slashing", s.shared(manager, true), s.shared(s.world.staking, false), auth, s.id(voter), s.id(candidate))
}

// ExecuteSlash burns the commission of a storage node that a quorum voted for. Anybody may.
func (c *Client) ExecuteSlash(ctx context.Context, tx chain.TxID, candidate move.ID) (*Result, error) {
	return c.perform(ctx, call{tx, one("execute_slash", []move.ID{candidate}), func(ctx context.Context, s *session) error {
		manager, err := c.sharedObject(ctx, c.profile.Slashing)
		if err != nil {
			return err
		}
		treasury, err := c.sharedObject(ctx, c.profile.Treasury)
		if err != nil {
			return err
		}
		s.executeSlash(manager, treasury, candidate)
		return nil
	}})
}

func (s *session) executeSlash(manager, treasury shared, candidate move.ID) {
	s.walrus("slashing", "execute_slashing", s.shared(manager, true), s.shared(s.world.staking, true), s.shared(treasury, true), s.id(candidate))
}

// CollectCommission takes the commission of a storage node, whose capability the owner holds.
func (c *Client) CollectCommission(ctx context.Context, tx chain.TxID, nodeCap move.ID) (*Result, error) {
	return c.perform(ctx, call{tx, one("collect_commission", []move.ID{nodeCap}), func(ctx context.Context, s *session) error {
		o, err := c.single(ctx, s.world.types.NodeCap(), nodeCap)
		if err != nil {
			return err
		}
		var v move.NodeCap
		if err := move.Unmarshal(o.contents, &v); err != nil {
			return fmt.Errorf("capability %s: %w", nodeCap, err)
		}
		s.collectCommission(o.ref, v.Node)
		return nil
	}})
}

func (s *session) collectCommission(nodeCap move.ObjectRef, node move.ID) {
	auth := s.call(s.world.current, "auth", "authenticate_with_object", []move.TypeTag{s.world.types.NodeCap().Tag()}, s.owned(nodeCap))
	money := s.walrus("staking", "collect_commission", s.shared(s.world.staking, true), s.id(node), auth)
	s.transfer(s.address(s.me), money)
}
