package contract

import (
	"bytes"
	"testing"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// assembly is an economy whose nodes vote.
type assembly struct {
	*economy
	slashing, upgrades, emergency move.ID
}

func newAssembly(t *testing.T) *assembly {
	t.Helper()
	a := &assembly{economy: newEconomy(t, 4, 10)}
	a.do(func(tx *overlay.Tx, _ *shared) error {
		m, err := CreateSlashingManager(tx)
		if err != nil {
			return err
		}
		right := &move.UpgradeCap{ID: tx.NewID(), Package: move.ID{9}, Version: Version}
		if err := tx.Hold(right, move.UpgradeCapType()); err != nil {
			return err
		}
		u, emergency, err := CreateUpgradeManager(tx, right)
		if err != nil {
			return err
		}
		a.slashing, a.upgrades, a.emergency = m.ID, u.ID, emergency.ID
		return tx.Transfer(emergency.ID, move.AddressOwner(tx.Sender))
	})
	a.advance()
	return a
}

func (a *assembly) manager(tx *overlay.Tx) *move.SlashingManager {
	a.t.Helper()
	m, err := overlay.BorrowMut[move.SlashingManager](tx, a.slashing, a.types.SlashingManager())
	a.must(err)
	return m
}

func (a *assembly) upgrader(tx *overlay.Tx) *move.UpgradeManager {
	a.t.Helper()
	m, err := overlay.BorrowMut[move.UpgradeManager](tx, a.upgrades, a.types.UpgradeManager())
	a.must(err)
	return m
}

// node returns the ID of a node by its place among those that registered.
func (e *economy) node(i int) move.ID {
	e.t.Helper()
	return e.nodeCap(e.begin(), i).Node
}

// against is the vote of one node to slash another.
func (a *assembly) against(voter, candidate int) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		return VoteForSlashing(tx, a.manager(tx), o.staking, AuthenticateSender(tx), a.node(voter), a.node(candidate))
	}
}

func (a *assembly) slash(candidate int) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		return ExecuteSlashing(tx, a.manager(tx), o.staking, o.treasury, a.node(candidate))
	}
}

// commission returns what a node has, blocked or not.
func (e *economy) commission(i int) uint64 {
	e.t.Helper()
	tx := e.begin()
	pool, err := Pool(tx, e.stakingInner(tx, e.open(tx)), e.node(i))
	e.must(err)
	return pool.Commission
}

// TestSlashing votes a node's commission away.
func TestSlashing(t *testing.T) {
	a := newAssembly(t)
	a.reward()
	a.advance()
	lost := a.commission(3)
	if lost == 0 {
		t.Fatal("no commission to lose")
	}
	wantAbort(t, "nobody voted", a.try(a.slash(3)), slashingNoProposal)
	a.do(a.against(0, 3))
	wantAbort(t, "vote twice", a.try(a.against(0, 3)), slashingDuplicate)
	a.do(a.against(1, 3))
	wantAbort(t, "6 of 10 shards", a.try(a.slash(3)), slashingNotEnough)
	a.do(a.against(2, 3))
	_, before := a.held()
	a.do(a.slash(3))
	if _, after := a.held(); before-after != lost || a.commission(3) != 0 {
		t.Errorf("burnt %d of %d, %d left", before-after, lost, a.commission(3))
	}
	a.balanced()
	wantAbort(t, "twice", a.try(a.slash(3)), slashingNoProposal)
	for voter := range 3 {
		a.do(a.against(voter, 2))
	}
	a.advance()
	wantAbort(t, "votes of another epoch", a.try(a.slash(2)), slashingWrongEpoch)
	a.do(a.against(0, 2)) // begins anew
	wantAbort(t, "one vote of this epoch", a.try(a.slash(2)), slashingNotEnough)
	a.advance()
	a.do(func(tx *overlay.Tx, o *shared) error {
		return CleanupSlashingProposals(tx, a.manager(tx), o.staking, []move.ID{a.node(1), a.node(2)})
	})
	wantAbort(t, "cleaned up", a.try(a.slash(2)), slashingNoProposal)
	if m := a.manager(a.begin()); m.Candidates.Size != 0 {
		t.Errorf("%d proposals", m.Candidates.Size)
	}
}

func (a *assembly) forUpgrade(voter int, digest []byte) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		return VoteForUpgrade(tx, a.upgrader(tx), o.staking, AuthenticateSender(tx), a.node(voter), digest)
	}
}

// upgrades to what was voted for, as one transaction does.
func (a *assembly) upgrade(digest []byte) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		ticket, err := AuthorizeUpgrade(tx, a.upgrader(tx), o.staking, digest)
		if err != nil {
			return err
		}
		receipt, err := Upgrade(tx, ticket, Version+1)
		if err != nil {
			return err
		}
		return CommitUpgrade(a.upgrader(tx), o.staking, o.system, *receipt)
	}
}

// migrating calls the new package.
func migrating(tx *overlay.Tx, o *shared) error {
	tx.PackageVersion = Version + 1
	return Migrate(tx, o.staking, o.system)
}

// TestUpgrade votes for a package, moves to it, and finds the old one shut.
func TestUpgrade(t *testing.T) {
	a := newAssembly(t)
	digest := bytes.Repeat([]byte{7}, digestSize)
	wantAbort(t, "nobody voted", a.try(a.upgrade(digest)), upgradeNoProposal)
	if got := a.do(a.forUpgrade(0, digest)).Events; len(got) != 1 || got[0].Type.Name != "ContractUpgradeProposed" {
		t.Errorf("events of the first vote: %v", got)
	}
	wantAbort(t, "vote twice", a.try(a.forUpgrade(0, digest)), upgradeDuplicate)
	if got := a.do(a.forUpgrade(1, digest)).Events; len(got) != 0 {
		t.Errorf("events of the second vote: %v", got)
	}
	wantAbort(t, "6 of 10 shards", a.try(a.upgrade(digest)), upgradeNotEnough)
	if got := a.do(a.forUpgrade(2, digest)).Events; len(got) != 1 || got[0].Type.Name != "ContractUpgradeQuorumReached" {
		t.Errorf("events of the vote that makes the quorum: %v", got)
	}
	wantAbort(t, "migrate before the upgrade", a.try(migrating), stakingMigration)
	a.do(a.upgrade(digest))
	wantAbort(t, "upgrade twice", a.try(a.upgrade(digest)), upgradeNoProposal)
	if got := a.do(migrating).Events; len(got) != 1 || got[0].Type.Name != "ContractUpgraded" {
		t.Errorf("events of the migration: %v", got)
	}
	wantAbort(t, "call of the old package", a.try(votingEnds), stakingWrongVersion)
	wantAbort(t, "migrate twice", a.try(migrating), stakingMigration)
	tx := a.begin()
	tx.PackageVersion = Version + 1
	o := a.open(tx)
	if inner, err := SystemInner(tx, o.system); err != nil || inner.Committee.Epoch != 1 || o.system.PackageID == (move.ID{9}) {
		t.Errorf("after the migration: %v, package %s", err, o.system.PackageID)
	}
}

// voting runs something among nodes that vote.
func voting(do func(a *assembly, tx *overlay.Tx, o *shared) error) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, _ *overlay.Tx) error {
		a := newAssembly(r.t)
		return a.try(func(tx *overlay.Tx, o *shared) error { return do(a, tx, o) })
	}
}

// proposed runs something on a proposal that a quorum voted for, once it is changed.
func proposed(change func(p *move.UpgradeProposal, m *move.UpgradeManager)) func(r *reference, tx *overlay.Tx) error {
	return voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		digest := make([]byte, digestSize)
		for voter := range 3 {
			a.must(a.forUpgrade(voter, digest)(tx, o))
		}
		m := a.upgrader(tx)
		p, err := proposalFor(tx, m, digest)
		a.must(err)
		change(p, m)
		return a.upgrade(digest)(tx, o)
	})
}

var voteAborts = []abortCase{
	{"slash for another", slashingNotAuthorized, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		return VoteForSlashing(tx, a.manager(tx), o.staking, stranger, a.node(0), a.node(1))
	})},
	{"slash from outside the committee", stakingNotInvolved, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		inner := a.stakingInner(tx, o)
		inner.Committee.Remove(a.node(0))
		return a.against(0, 1)(tx, o)
	})},
	{"slash twice", slashingDuplicate, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		a.must(a.against(0, 1)(tx, o))
		return a.against(0, 1)(tx, o)
	})},
	{"slash without votes", slashingNoProposal, voting(func(a *assembly, tx *overlay.Tx, o *shared) error { return a.slash(0)(tx, o) })},
	{"slash with one vote", slashingNotEnough, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		a.must(a.against(0, 1)(tx, o))
		return a.slash(1)(tx, o)
	})},
	{"slash an epoch later", slashingWrongEpoch, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		a.must(a.against(0, 1)(tx, o))
		a.stakingInner(tx, o).Epoch++
		return a.slash(1)(tx, o)
	})},
	{"upgrade for another", upgradeNotAuthorized, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		return VoteForUpgrade(tx, a.upgrader(tx), o.staking, stranger, a.node(0), nil)
	})},
	{"upgrade twice", upgradeDuplicate, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		a.must(a.forUpgrade(0, make([]byte, digestSize))(tx, o))
		return a.forUpgrade(0, make([]byte, digestSize))(tx, o)
	})},
	{"digest too short", upgradeDigest, voting(func(a *assembly, tx *overlay.Tx, o *shared) error { return a.forUpgrade(0, make([]byte, 31))(tx, o) })},
	{"upgrade without votes", upgradeNoProposal, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		return a.upgrade(make([]byte, digestSize))(tx, o)
	})},
	{"upgrade an epoch later", upgradeWrongEpoch, proposed(func(p *move.UpgradeProposal, _ *move.UpgradeManager) { p.Epoch-- })},
	{"upgrade with few votes", upgradeNotEnough, proposed(func(p *move.UpgradeProposal, _ *move.UpgradeManager) { p.Weight = 6 })},
	{"upgrade to another version", upgradeWrongVersion, proposed(func(p *move.UpgradeProposal, _ *move.UpgradeManager) { p.Version++ })},
	{"upgrade during another", packageAuthorized, proposed(func(_ *move.UpgradeProposal, m *move.UpgradeManager) { m.Cap.Package = move.ID{} })},
	{"emergency of another package", upgradeManager, voting(func(a *assembly, tx *overlay.Tx, _ *shared) error {
		_, err := AuthorizeEmergencyUpgrade(a.upgrader(tx), &move.EmergencyUpgradeCap{}, nil)
		return err
	})},
	{"commit what was not authorized", packageNotAuthorized, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		m := a.upgrader(tx)
		return CommitUpgrade(m, o.staking, o.system, UpgradeReceipt{Cap: m.Cap.ID})
	})},
	{"commit for another package", packageWrongCap, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		return CommitUpgrade(a.upgrader(tx), o.staking, o.system, UpgradeReceipt{})
	})},
	{"migrate to the same version", stakingMigration, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		return Migrate(tx, o.staking, o.system)
	})},
	{"migrate without an upgrade", stakingMigration, voting(func(a *assembly, tx *overlay.Tx, o *shared) error { return migrating(tx, o) })},
	{"note an epoch for the same version", stakingMigration, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		return SetMigrationEpoch(tx, o.staking)
	})},
	{"migrate System alone", systemMigration, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		o.staking.NewPackageID = &move.ID{7}
		return migrating(tx, o)
	})},
	{"migrate to two packages", initMigration, voting(func(a *assembly, tx *overlay.Tx, o *shared) error {
		o.staking.NewPackageID, o.system.NewPackageID = &move.ID{7}, &move.ID{8}
		return migrating(tx, o)
	})},
	{"epoch change of before", stakingDeprecated, func(*reference, *overlay.Tx) error { return InitiateEpochChangeWithoutBurn() }},
}
