package localnet

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// clockInterval is how often Run writes the clock down, so that a killed
// process loses no more of the ledger's time than this.
const clockInterval = time.Minute

// AdvanceEpoch moves the ledger's clock to the end of the epoch and changes to the next one.
func (n *Net) AdvanceEpoch(ctx context.Context) error {
	n.epochMu.Lock()
	defer n.epochMu.Unlock()
	_, staking, err := n.readStaking(ctx)
	if err != nil {
		return fmt.Errorf("advance epoch: %w", err)
	}
	target := staking.Epoch + 1
	if staking.State.Kind == move.StateSync {
		target = staking.Epoch // finish what was begun
	}
	for staking.Epoch != target || staking.State.Kind != move.StateDone {
		n.clock.advanceTo(dueMS(staking))
		if err := n.epochStep(ctx, staking); err != nil {
			return fmt.Errorf("advance epoch: %w", err)
		}
		if _, staking, err = n.readStaking(ctx); err != nil {
			return fmt.Errorf("advance epoch: %w", err)
		}
	}
	return nil
}

// Run changes epochs when they are due by the ledger's own clock, and compacts
// the log when that has grown long, until ctx ends. It returns nil then, and an
// error when an epoch cannot be changed.
func (n *Net) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		wait, err := n.tick(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("epochs: %w", err)
		}
		if err := n.compactIfDue(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("the ledger's log stays long", "err", err)
		}
		timer.Reset(wait)
	}
}

// tick does what is due and returns how long nothing will be.
func (n *Net) tick(ctx context.Context) (time.Duration, error) {
	n.epochMu.Lock()
	defer n.epochMu.Unlock()
	for {
		_, staking, err := n.readStaking(ctx)
		if err != nil {
			return 0, err
		}
		now, due := n.clock.timeMS(), dueMS(staking)
		if now < due {
			wait := time.Duration(min(due-now, uint64(clockInterval.Milliseconds()))) * time.Millisecond
			n.mu.Lock()
			defer n.mu.Unlock()
			return wait, n.saveClock(ctx)
		}
		if err := n.epochStep(ctx, staking); err != nil {
			return 0, err
		}
	}
}

// dueMS returns the time of the next step of the epoch change.
func dueMS(staking *move.StakingInner) uint64 {
	switch staking.State.Kind {
	case move.StateDone:
		return contract.VotingEndTime(staking)
	case move.StateSelected:
		return contract.EpochEndTime(staking)
	}
	return 0
}

func (n *Net) readStaking(ctx context.Context) (system *move.SystemInner, staking *move.StakingInner, err error) {
	err = n.view(ctx, func(tx *sql.Tx) error {
		_, system, staking, err = n.inners(ctx, tx)
		return err
	})
	return system, staking, err
}

// epochStep executes the next of the three transactions that change an epoch.
func (n *Net) epochStep(ctx context.Context, staking *move.StakingInner) error {
	kind, body := "voting_end", votingEnd
	switch staking.State.Kind {
	case move.StateSelected:
		kind, body = "initiate_epoch_change_v2", initiateEpochChange
	case move.StateSync:
		kind, body = "epoch_sync_done", epochSyncDone
	}
	if _, err := n.execute(ctx, n.systemCall(kind, uint64(staking.Epoch), n.facts.faucet, body)); err != nil {
		return err
	}
	if kind == "initiate_epoch_change_v2" {
		if err := n.loadCommittee(ctx); err != nil {
			return err
		}
	}
	n.log.Info("epoch", "op", kind, "epoch", staking.Epoch)
	return nil
}

// systemCall is a call that the ledger makes by itself. Its ID derives from
// kind and number, so that it happens once.
func (n *Net) systemCall(kind string, number uint64, sender chain.Address, body func(*env) error) call {
	id := blake2b.Sum256(binary.LittleEndian.AppendUint64(append(n.facts.chainID[:], kind...), number))
	return call{tx: id, sender: sender, request: systemRequest(kind, number), body: func(e *env) (*chain.Outcome, error) {
		return new(chain.Outcome), body(e)
	}}
}

// staking borrows the Staking object to change it.
func (e *env) staking() (*move.Staking, error) {
	return overlay.BorrowMut[move.Staking](e.Tx, e.net.facts.staking, e.Types.Staking())
}

// clock brings the Clock object up to the time of the transaction and borrows it.
func (e *env) clock() (*move.Clock, error) {
	clock, err := overlay.BorrowMut[move.Clock](e.Tx, move.ClockID, clockType)
	if err != nil {
		return nil, err
	}
	clock.TimestampMS = e.TimeMS
	return clock, nil
}

var clockType = move.FrameworkType("clock", "Clock")

func votingEnd(e *env) error {
	s, err := e.staking()
	if err != nil {
		return err
	}
	clock, err := e.clock()
	if err != nil {
		return err
	}
	return contract.VotingEnd(e.Tx, s, clock)
}

func initiateEpochChange(e *env) error {
	s, err := e.staking()
	if err != nil {
		return err
	}
	sys, err := e.system()
	if err != nil {
		return err
	}
	treasury, err := overlay.BorrowMut[move.Treasury](e.Tx, e.net.facts.treasury, e.Types.Treasury())
	if err != nil {
		return err
	}
	clock, err := e.clock()
	if err != nil {
		return err
	}
	return contract.InitiateEpochChange(e.Tx, s, sys, treasury, clock)
}

// epochSyncDone speaks for all nodes: no shard of a fixed committee moves, so
// they are in sync at once.
func epochSyncDone(e *env) error {
	s, err := e.staking()
	if err != nil {
		return err
	}
	clock, err := e.clock()
	if err != nil {
		return err
	}
	inner, err := contract.StakingInner(e.Tx, s)
	if err != nil {
		return err
	}
	for _, member := range inner.Committee {
		nodeCap, err := e.nodeCap(inner, member.Key)
		if err != nil {
			return err
		}
		if err := contract.EpochSyncDone(e.Tx, s, nodeCap, inner.Epoch, clock); err != nil {
			return err
		}
	}
	return nil
}

// nodeCap borrows the capability of a node, which its pool names as the
// receiver of its commission.
func (e *env) nodeCap(inner *move.StakingInner, node move.ID) (*move.NodeCap, error) {
	pool, err := contract.Pool(e.Tx, inner, node)
	if err != nil {
		return nil, err
	}
	return overlay.BorrowMut[move.NodeCap](e.Tx, pool.CommissionReceiver.Address, e.Types.NodeCap())
}

// saveClock writes the clock down. The caller holds mu.
func (n *Net) saveClock(ctx context.Context) error {
	return n.update(ctx, func(tx *sql.Tx) error {
		return setMeta(ctx, tx, metaClock, uint64Bytes(n.clock.timeMS()))
	})
}
