package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain/sui"
)

// holding is a line of walfs stake list.
type holding struct {
	ID         string `json:"stake_id"`
	Node       string `json:"node_id"`
	NodeName   string `json:"node_name"`
	Principal  uint64 `json:"principal_frost,string"`
	Rewards    uint64 `json:"rewards_frost,string"` // so far, by the exchange rate of the node's pool
	State      string `json:"state"`                // pending, active, withdrawing or withdrawable
	Activation uint32 `json:"activation_epoch"`
	// Free is the epoch from which on it can be withdrawn, if that was asked for or is asked for now.
	Free  uint32 `json:"withdrawable_epoch"`
	Early bool   `json:"early"` // without rewards: it was never at work
}

// holdings is the answer of opStakes.
type holdings struct {
	Address   string    `json:"address"`
	Epoch     uint32    `json:"epoch"`
	Principal uint64    `json:"principal_frost,string"`
	Rewards   uint64    `json:"rewards_frost,string"`
	Stakes    []holding `json:"stakes"`
}

func newStakesCommand(a *app, f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the stakes of a wallet, and what they have earned so far",
		Long: "List shows the wallet's stakes with what each has earned so far, by the exchange rate of its node's pool, how far\n" +
			"it is, and from which epoch on it can be withdrawn: when that was asked for, or would be now.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var h holdings
			if err := a.onLedger(cmd.Context(), f, opStakes, nothing{}, &h); err != nil {
				return err
			}
			return a.result("stakes", h, func() error { return a.showHoldings(h) })
		},
	}
}

func (a *app) showHoldings(h holdings) error {
	if len(h.Stakes) == 0 {
		return a.Print("%s has no stakes", h.Address)
	}
	if err := a.Print("epoch %d: %s staked, %s earned so far", h.Epoch, wal(h.Principal), wal(h.Rewards)); err != nil {
		return err
	}
	t := a.Table("STAKE", "NODE", "PRINCIPAL", "REWARDS", "STATE", "ACTIVE FROM", "FREE FROM")
	for _, s := range h.Stakes {
		t.Row(s.ID, s.NodeName, wal(s.Principal), wal(s.Rewards), s.State, fmt.Sprintf("epoch %d", s.Activation), freeFrom(&s, h.Epoch))
	}
	return t.Flush()
}

// freeFrom says when a stake can be had.
func freeFrom(s *holding, epoch uint32) string {
	if s.Free <= epoch {
		return "now"
	}
	return fmt.Sprintf("epoch %d", s.Free)
}

func (acc *account) stakes(ctx context.Context, _ nothing) (h holdings, err error) {
	h = holdings{Address: acc.Address().String(), Stakes: []holding{}}
	state, err := acc.State(ctx)
	if err != nil {
		return h, err
	}
	h.Epoch = uint32(state.Epoch)
	list, err := acc.Holdings(ctx)
	for i := range list {
		h.Stakes = append(h.Stakes, holdingOf(&list[i]))
		h.Principal += list[i].Principal
		h.Rewards += list[i].RewardsFrost
	}
	return h, err
}

func holdingOf(s *sui.Holding) holding {
	return holding{ID: s.ID.String(), Node: s.Node.String(), NodeName: s.NodeName, Principal: s.Principal, Rewards: s.RewardsFrost,
		State: s.State(), Activation: s.ActivationEpoch, Free: s.Free, Early: s.Early}
}
