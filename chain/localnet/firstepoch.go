package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain/move"
)

// firstEpoch is what is done once the objects that all share are there: the
// nodes register and get their stake, and epoch 1 begins. All of it is
// transactions that anybody could send.
func (n *Net) firstEpoch(g *Genesis) []own {
	var all []own
	for i := range g.Nodes {
		all = append(all, n.registerNode(g, &g.Nodes[i]))
	}
	for from := 0; from < len(g.Nodes); from += stakesAtOnce {
		all = append(all, n.stakeWith(from, min(from+stakesAtOnce, len(g.Nodes))))
	}
	return append(all, n.votingEnd(), n.initiateEpochChange(), n.epochSyncDone())
}

// runOwn executes a transaction of the ledger's own before there is a log.
func (n *Net) runOwn(ctx context.Context, tx *sql.Tx, o own) error {
	e, out, err := n.executeOwn(ctx, tx, &o)
	if err == nil {
		_, err = n.keep(ctx, tx, e, out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.kind, err)
	}
	return nil
}

// registerNode registers one node. The house operates it.
func (n *Net) registerNode(g *Genesis, node *GenesisNode) own {
	perNode := uint64(g.Shards+len(g.Nodes)-1) / uint64(len(g.Nodes))
	return own{kind: "register_candidate", build: func(_ context.Context, _ *sql.Tx, d *draft) error {
		metadata := d.call("node_metadata", "new", d.text(""), d.text(""), d.text(""))
		held := d.call("staking", "register_candidate", d.object(n.facts.staking), d.text(node.Name), d.text(node.Address), metadata,
			d.bytes(node.PublicKey[:]), d.bytes(node.NetworkKey[:]), d.bytes(node.ProofOfPossession[:]), d.u16(0),
			d.u64(g.StoragePrice), d.u64(g.WritePrice), d.u64(capacityBytes/uint64(g.Shards)*perNode))
		d.transfer(d.Sender, held)
		return nil
	}}
}

// stakesAtOnce is with how many nodes one transaction stakes: far below what Sui allows.
const stakesAtOnce = 100

// stakeWith stakes the same with some of the nodes, counted as they registered.
func (n *Net) stakeWith(from, to int) own {
	return own{kind: "stake_with_pool", build: func(ctx context.Context, tx *sql.Tx, d *draft) error {
		nodes, err := n.pools(ctx, tx)
		if err != nil {
			return err
		}
		if len(nodes) < to {
			return fmt.Errorf("%d pools, want %d: %w", len(nodes), to, ErrDamaged)
		}
		purse, err := n.purse(ctx, tx, d, n.facts.packages.WALCoin(), uint64(to-from)*stakeFrost)
		if err != nil {
			return err
		}
		var receipts []move.Argument
		for _, node := range nodes[from:to] {
			receipts = append(receipts, d.call("staking", "stake_with_pool", d.object(n.facts.staking), d.split(purse, stakeFrost), d.id(node)))
		}
		d.transfer(d.Sender, receipts...)
		return nil
	}}
}

// pools lists the nodes that are registered, oldest first.
func (n *Net) pools(ctx context.Context, tx *sql.Tx) ([]move.ID, error) {
	rows, err := tx.QueryContext(ctx, `SELECT objects.id FROM objects JOIN types ON types.id = objects.type
		WHERE types.name = ? ORDER BY objects.rowid`, n.facts.packages.StakingPool().String())
	if err != nil {
		return nil, err
	}
	var ids []move.ID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		ids = append(ids, move.ID(id))
	}
	return ids, errors.Join(rows.Err(), rows.Close())
}
