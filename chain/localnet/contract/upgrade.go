package contract

import (
	"slices"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// digestSize is the length of a package's digest in bytes. Source: module upgrade.
const digestSize = 32

// CreateUpgradeManager makes and shares the object that holds the right to
// upgrade, and returns the right to do so without votes: upgrade::new.
func CreateUpgradeManager(tx *overlay.Tx, right *move.UpgradeCap) (*move.UpgradeManager, *move.EmergencyUpgradeCap, error) {
	m := &move.UpgradeManager{ID: tx.NewID(), Cap: *right, Proposals: move.Table{ID: tx.NewID()}}
	if err := tx.Wrap(right.ID); err != nil {
		return nil, nil, err
	}
	if err := tx.Hold(m, tx.Types.UpgradeManager()); err != nil {
		return nil, nil, err
	}
	emergency := &move.EmergencyUpgradeCap{ID: tx.NewID(), Manager: m.ID}
	if err := tx.Hold(emergency, tx.Types.EmergencyUpgradeCap()); err != nil {
		return nil, nil, err
	}
	return m, emergency, tx.Share(m.ID)
}

func checkDigest(digest []byte, function string) error {
	if len(digest) != digestSize {
		return upgradeDigest.in(function)
	}
	return nil
}

func proposalFor(tx *overlay.Tx, m *move.UpgradeManager, digest []byte) (*move.UpgradeProposal, error) {
	return tableGet[move.UpgradeProposal](tx, &m.Proposals, tx.Types.PackageDigestKey(digest), tx.Types.UpgradeProposal())
}

func dropProposal(tx *overlay.Tx, m *move.UpgradeManager, digest []byte) error {
	_, err := tableRemove[move.UpgradeProposal](tx, &m.Proposals, tx.Types.PackageDigestKey(digest), tx.Types.UpgradeProposal())
	return err
}

// VoteForUpgrade is a node's vote for a package, for this epoch: upgrade::vote_for_upgrade.
func VoteForUpgrade(tx *overlay.Tx, m *move.UpgradeManager, s *move.Staking, auth Authenticated, node move.ID, digest []byte) error {
	const function = "vote_for_upgrade"
	inner, pool, err := poolOf(tx, s, node)
	if err != nil {
		return err
	}
	weight, err := voterWeight(inner, pool, auth, upgradeNotAuthorized, function)
	if err != nil {
		return err
	}
	if err := checkDigest(digest, function); err != nil {
		return err
	}
	proposal, err := currentProposal(tx, m, inner.Epoch, digest)
	if err != nil {
		return err
	}
	if slices.Contains(proposal.Voters, node) {
		return upgradeDuplicate.in("add_vote")
	}
	proposal.Voters = append(proposal.Voters, node)
	proposal.Weight += weight
	if isQuorum(uint64(proposal.Weight), inner.Shards) {
		return tx.Emit(&move.ContractUpgradeQuorumReached{Epoch: inner.Epoch, Digest: digest})
	}
	return nil
}

// currentProposal returns the proposal of this epoch for a package, a new one if need be.
func currentProposal(tx *overlay.Tx, m *move.UpgradeManager, epoch uint32, digest []byte) (*move.UpgradeProposal, error) {
	version, err := add("upgrade", "vote_for_upgrade", m.Cap.Version, 1)
	if err != nil {
		return nil, err
	}
	proposal, err := proposalFor(tx, m, digest)
	if err != nil || proposal != nil && proposal.Epoch == epoch && proposal.Version == version {
		return proposal, err
	}
	if err := tx.Emit(&move.ContractUpgradeProposed{Epoch: epoch, Digest: digest}); err != nil {
		return nil, err
	}
	fresh := move.UpgradeProposal{Epoch: epoch, Digest: slices.Clone(digest), Version: version}
	if proposal != nil {
		*proposal = fresh
		return proposal, nil
	}
	return &fresh, tableAdd(tx, &m.Proposals, tx.Types.PackageDigestKey(digest), tx.Types.UpgradeProposal(), &fresh)
}

// UpgradeTicket is the permission to upgrade a package, to be used in the same
// transaction: 0x2::package::UpgradeTicket.
type UpgradeTicket struct {
	Cap, Package move.ID
	Policy       uint8
	Digest       []byte
}

// BCS is the layout.
func (v *UpgradeTicket) BCS(c *move.Codec) {
	c.ID(&v.Cap)
	c.ID(&v.Package)
	c.U8(&v.Policy)
	c.Bytes(&v.Digest)
}

// UpgradeReceipt tells which package an upgrade made: 0x2::package::UpgradeReceipt.
type UpgradeReceipt struct{ Cap, Package move.ID }

// BCS is the layout.
func (v *UpgradeReceipt) BCS(c *move.Codec) {
	c.ID(&v.Cap)
	c.ID(&v.Package)
}

// AuthorizeUpgrade permits an upgrade that a quorum voted for in this epoch: upgrade::authorize_upgrade.
func AuthorizeUpgrade(tx *overlay.Tx, m *move.UpgradeManager, s *move.Staking, digest []byte) (*UpgradeTicket, error) {
	const function = "authorize_upgrade"
	if err := checkDigest(digest, function); err != nil {
		return nil, err
	}
	proposal, err := proposalFor(tx, m, digest)
	if err != nil {
		return nil, err
	}
	if proposal == nil {
		return nil, upgradeNoProposal.in(function)
	}
	if err := dropProposal(tx, m, digest); err != nil {
		return nil, err
	}
	inner, err := StakingInner(tx, s)
	switch {
	case err != nil:
		return nil, err
	case proposal.Epoch != inner.Epoch:
		return nil, upgradeWrongEpoch.in(function)
	case !isQuorum(uint64(proposal.Weight), inner.Shards):
		return nil, upgradeNotEnough.in(function)
	case proposal.Version != m.Cap.Version+1:
		return nil, upgradeWrongVersion.in(function)
	}
	return authorize(&m.Cap, digest)
}

// AuthorizeEmergencyUpgrade permits an upgrade without votes: upgrade::authorize_emergency_upgrade.
func AuthorizeEmergencyUpgrade(m *move.UpgradeManager, emergency *move.EmergencyUpgradeCap, digest []byte) (*UpgradeTicket, error) {
	if emergency.Manager != m.ID {
		return nil, upgradeManager.in("authorize_emergency_upgrade")
	}
	return authorize(&m.Cap, digest)
}

// authorize is 0x2::package::authorize_upgrade with the policy of the right itself.
func authorize(right *move.UpgradeCap, digest []byte) (*UpgradeTicket, error) {
	if right.Package.IsZero() {
		return nil, packageAuthorized.in("authorize_upgrade")
	}
	ticket := &UpgradeTicket{Cap: right.ID, Package: right.Package, Policy: right.Policy, Digest: slices.Clone(digest)}
	right.Package = move.ID{}
	return ticket, nil
}

// Upgrade is what the command Upgrade does with a ticket: it makes the next
// version of the Walrus package. Here packages have no code, so that all
// versions follow the same rules, and differ in the version that System and
// Staking have to be of.
func Upgrade(tx *overlay.Tx, ticket *UpgradeTicket, version uint64) (*UpgradeReceipt, error) {
	p := &move.Package{ID: tx.NewID(), Version: version, Original: tx.Types.Walrus, Previous: ticket.Package, Digest: ticket.Digest}
	if err := tx.Hold(p, move.PackageType()); err != nil {
		return nil, err
	}
	return &UpgradeReceipt{Cap: ticket.Cap, Package: p.ID}, tx.Transfer(p.ID, move.Owner{Kind: move.OwnerImmutable})
}

// CommitUpgrade names the new package in System and Staking, from where Migrate takes it: upgrade::commit_upgrade.
func CommitUpgrade(m *move.UpgradeManager, s *move.Staking, sys *move.System, receipt UpgradeReceipt) error {
	const function = "commit_upgrade"
	s.NewPackageID, sys.NewPackageID = &receipt.Package, &receipt.Package
	if m.Cap.ID != receipt.Cap {
		return packageWrongCap.in(function)
	}
	if !m.Cap.Package.IsZero() {
		return packageNotAuthorized.in(function)
	}
	m.Cap.Package = receipt.Package
	m.Cap.Version++
	return nil
}

// CleanupUpgradeProposals removes those of past epochs and versions: upgrade::cleanup_upgrade_proposals.
func CleanupUpgradeProposals(tx *overlay.Tx, m *move.UpgradeManager, s *move.Staking, digests [][]byte) error {
	for _, digest := range digests {
		if err := checkDigest(digest, "cleanup_upgrade_proposals"); err != nil {
			return err
		}
		proposal, err := proposalFor(tx, m, digest)
		if err != nil {
			return err
		}
		if proposal == nil {
			continue
		}
		inner, err := StakingInner(tx, s)
		if err != nil {
			return err
		}
		if proposal.Version <= m.Cap.Version || proposal.Epoch < inner.Epoch {
			if err := dropProposal(tx, m, digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// BurnEmergencyUpgradeCap gives the right to upgrade without votes up: upgrade::burn_emergency_upgrade_cap.
func BurnEmergencyUpgradeCap(tx *overlay.Tx, emergency *move.EmergencyUpgradeCap) error {
	return tx.Delete(emergency.ID)
}
