package localnet

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/move"
)

// clockInterval is how often Run writes the clock down, so that a killed
// process loses no more of the ledger's time than this.
const clockInterval = time.Minute

// epochRetry is when a step is tried again that failed, as for a full disk, and shards are moved that could not be.
const epochRetry = 10 * time.Second

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
// the log when that has grown long, until ctx ends. What fails is tried again. It returns nil.
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
		if err != nil && ctx.Err() == nil {
			n.log.Warn("the ledger's time stands still", "op", "epoch", "err", err)
			wait = epochRetry
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
		if err := n.epochStep(ctx, staking); errors.Is(err, errMove) && ctx.Err() == nil {
			n.log.Warn("epoch waits for its shards", "op", "move", "epoch", staking.Epoch, "err", err)
			return epochRetry, nil
		} else if err != nil {
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
// Anybody may have done so meanwhile.
func (n *Net) epochStep(ctx context.Context, staking *move.StakingInner) error {
	step := n.votingEnd()
	switch staking.State.Kind {
	case move.StateSelected:
		step = n.initiateEpochChange()
	case move.StateSync:
		step = n.epochSyncDone()
		if err := n.moveShards(ctx, staking); err != nil {
			return err
		}
	}
	if err := n.submitOwn(ctx, step); err != nil {
		_, now, e := n.readStaking(ctx)
		if e != nil || now.Epoch == staking.Epoch && now.State.Kind == staking.State.Kind {
			return errors.Join(err, e)
		}
	}
	n.log.Info("epoch", "op", step.kind, "epoch", staking.Epoch)
	return nil
}

// step is a transaction of the house that depends on nothing.
func (n *Net) step(kind string, build func(d *draft)) own {
	return own{kind: kind, build: func(_ context.Context, _ *sql.Tx, d *draft) error {
		build(d)
		return nil
	}}
}

func (n *Net) votingEnd() own {
	return n.step("voting_end", func(d *draft) {
		d.call("staking", "voting_end", d.object(n.facts.staking), d.object(move.ClockID))
	})
}

func (n *Net) initiateEpochChange() own {
	return n.step("initiate_epoch_change_v2", func(d *draft) {
		d.call("staking", "initiate_epoch_change_v2", d.object(n.facts.staking), d.object(n.facts.system), d.object(n.facts.treasury),
			d.object(move.ClockID))
	})
}

// systemCall is a call that makes objects at genesis, or what a later genesis
// would have made. Its ID derives from its kind, so that it happens once.
func (n *Net) systemCall(kind string, body func(*env) error) call {
	id := blake2b.Sum256(binary.LittleEndian.AppendUint64(append(n.facts.chainID[:], kind...), 0))
	return call{tx: id, sender: chain.Address(n.house.address), request: systemRequest(kind), body: body}
}

var clockType = move.FrameworkType("clock", "Clock")

// saveClock writes the clock down. The caller holds mu.
func (n *Net) saveClock(ctx context.Context) error {
	return n.update(ctx, func(tx *sql.Tx) error {
		return setMeta(ctx, tx, metaClock, uint64Bytes(n.clock.timeMS()))
	})
}
