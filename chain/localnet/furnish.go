package localnet

import (
	"context"
	"errors"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/move"
)

// The calls that make what ledgers have beside storage and stake. A ledger that
// was made without them gets them when it is opened. The IDs of their objects
// derive from the calls, so that they are known without being written down.
const (
	governanceKind = "create_governance"
	exchangeKind   = "create_exchange"
)

// furniture is what furnish makes.
func (n *Net) furniture() []furniture {
	return []furniture{
		{governanceKind, n.slashing(), createGovernance},
		{exchangeKind, n.exchange(), createExchange},
	}
}

// furniture is a call, an object that it makes, and what it does.
type furniture struct {
	kind string
	made move.ID
	body func(*env) error
}

// madeBy is the ID of the object that a call makes as number so many, from 0.
func (n *Net) madeBy(kind string, number uint64) move.ID {
	return move.CreatedID(move.Digest(n.systemCall(kind, nil).tx), number)
}

// slashing is the ID of the SlashingManager.
func (n *Net) slashing() move.ID { return n.madeBy(governanceKind, 0) }

// upgrades is the ID of the UpgradeManager: behind the slashing table and the right to upgrade.
func (n *Net) upgrades() move.ID { return n.madeBy(governanceKind, 3) }

// exchange is the ID of the Exchange: behind the right to set its rate.
func (n *Net) exchange() move.ID { return n.madeBy(exchangeKind, 1) }

// createGovernance makes the SlashingManager and the UpgradeManager. The
// sender gets the right to upgrade without votes.
func createGovernance(e *env) error {
	sys, err := e.readSystem()
	if err != nil {
		return err
	}
	if _, err := contract.CreateSlashingManager(e.Tx); err != nil {
		return err
	}
	right := &move.UpgradeCap{ID: e.NewID(), Package: sys.PackageID, Version: sys.Version}
	if err := e.Hold(right, move.UpgradeCapType()); err != nil {
		return err
	}
	_, emergency, err := contract.CreateUpgradeManager(e.Tx, right)
	if err != nil {
		return err
	}
	return e.Transfer(emergency.ID, move.AddressOwner(e.Sender))
}

// exchangeFrost is what the exchange has to sell at first, unless that is more
// than a tenth of what the faucet has.
const exchangeFrost = 100_000_000 * chain.FrostPerWAL

// createExchange makes an exchange with some of the faucet's WAL.
func createExchange(e *env) error {
	x, admin, err := contract.CreateExchange(e.Tx)
	if err != nil {
		return err
	}
	purse, err := e.purse(e.Types.WALCoin())
	if err != nil {
		return err
	}
	const part = 10
	if err := contract.AddWAL(x, purse, min(exchangeFrost, purse.Balance/part)); err != nil {
		return err
	}
	return e.Transfer(admin.ID, move.AddressOwner(e.Sender))
}

// furnish makes what ledgers have today and this one lacks.
func (n *Net) furnish(ctx context.Context) error {
	if n.facts.faucet != chain.Address(n.house.address) {
		if err := n.execute(ctx, n.systemCall(handOverKind, n.handOver)); err != nil {
			return err
		}
	}
	for _, f := range n.furniture() {
		_, err := n.Object(ctx, f.made)
		if errors.Is(err, chain.ErrNotExist) {
			err = n.execute(ctx, n.systemCall(f.kind, f.body))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
