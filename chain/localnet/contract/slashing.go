package contract

import (
	"slices"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// CreateSlashingManager makes and shares the object that holds the proposals: slashing::new.
func CreateSlashingManager(tx *overlay.Tx) (*move.SlashingManager, error) {
	m := &move.SlashingManager{ID: tx.NewID(), Candidates: move.Table{ID: tx.NewID()}}
	if err := tx.Hold(m, tx.Types.SlashingManager()); err != nil {
		return nil, err
	}
	return m, tx.Share(m.ID)
}

// voterWeight returns the shards that a node votes with. It aborts when the
// caller may not vote for it, or when it is not in the committee:
// staking::check_governance_authorization and get_current_node_weight.
func voterWeight(inner *move.StakingInner, pool *move.StakingPool, auth Authenticated, refused code, function string) (uint16, error) {
	if !auth.matches(pool.GovernanceAuthorized) {
		return 0, refused.in(function)
	}
	shards, ok := inner.Committee.Get(pool.ID)
	if !ok {
		return 0, stakingNotInvolved.in("get_current_node_weight")
	}
	return uint16(len(shards)), nil
}

// VoteForSlashing is a node's vote to burn the commission of another one, for
// this epoch: slashing::vote_for_slashing.
func VoteForSlashing(tx *overlay.Tx, m *move.SlashingManager, s *move.Staking, auth Authenticated, voter, candidate move.ID) error {
	const function = "vote_for_slashing"
	inner, pool, err := poolOf(tx, s, voter)
	if err != nil {
		return err
	}
	weight, err := voterWeight(inner, pool, auth, slashingNotAuthorized, function)
	if err != nil {
		return err
	}
	fresh := move.SlashingProposal{Epoch: inner.Epoch, Node: candidate}
	proposal, err := tableGet[move.SlashingProposal](tx, &m.Candidates, move.IDKey(candidate), tx.Types.SlashingProposal())
	if err != nil {
		return err
	}
	if proposal == nil {
		proposal = &fresh
		if err := tableAdd(tx, &m.Candidates, move.IDKey(candidate), tx.Types.SlashingProposal(), proposal); err != nil {
			return err
		}
	}
	if proposal.Epoch != inner.Epoch {
		*proposal = fresh
	}
	if slices.Contains(proposal.Voters, voter) {
		return slashingDuplicate.in("add_vote")
	}
	proposal.Voters = append(proposal.Voters, voter)
	proposal.Weight += weight
	return nil
}

// ExecuteSlashing burns the commission of a node that a quorum voted against
// in this epoch; anybody may call it: slashing::execute_slashing.
func ExecuteSlashing(tx *overlay.Tx, m *move.SlashingManager, s *move.Staking, treasury *move.Treasury, candidate move.ID) error {
	const function = "execute_slashing"
	proposal, err := tableGet[move.SlashingProposal](tx, &m.Candidates, move.IDKey(candidate), tx.Types.SlashingProposal())
	if err != nil {
		return err
	}
	if proposal == nil {
		return slashingNoProposal.in(function)
	}
	if proposal, err = removeProposal(tx, m, candidate); err != nil {
		return err
	}
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	if proposal.Epoch != inner.Epoch {
		return slashingWrongEpoch.in(function)
	}
	if !isQuorum(uint64(proposal.Weight), inner.Shards) {
		return slashingNotEnough.in(function)
	}
	pool, err := Pool(tx, inner, candidate)
	if err != nil {
		return err
	}
	return burnCommission(tx, pool, treasury)
}

func removeProposal(tx *overlay.Tx, m *move.SlashingManager, candidate move.ID) (*move.SlashingProposal, error) {
	return tableRemove[move.SlashingProposal](tx, &m.Candidates, move.IDKey(candidate), tx.Types.SlashingProposal())
}

// burnCommission is staking::burn_commission.
func burnCommission(tx *overlay.Tx, pool *move.StakingPool, treasury *move.Treasury) error {
	amount, err := commissionToBurn(tx, pool)
	if err != nil {
		return err
	}
	coin, err := NewCoin(tx, tx.Types.WALCoin(), amount)
	if err != nil {
		return err
	}
	return BurnWAL(tx, treasury, coin)
}

// CleanupSlashingProposals removes those of past epochs: slashing::cleanup_slashing_proposals.
func CleanupSlashingProposals(tx *overlay.Tx, m *move.SlashingManager, s *move.Staking, nodes []move.ID) error {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		proposal, err := tableGet[move.SlashingProposal](tx, &m.Candidates, move.IDKey(node), tx.Types.SlashingProposal())
		if err != nil {
			return err
		}
		if proposal == nil || proposal.Epoch >= inner.Epoch {
			continue
		}
		if _, err := removeProposal(tx, m, node); err != nil {
			return err
		}
	}
	return nil
}
