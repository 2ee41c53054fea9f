package sui

import (
	"context"
	"errors"
	"fmt"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walfs/walfs/chain/move"
)

// Draft is a transaction that was built and tried out, but not signed.
type Draft struct {
	Digest     move.Digest
	Raw        []byte // BCS
	Tx         *move.Transaction
	CostFrost  uint64 // for storage and writing, by the prices of the moment
	GasMist    int64  // what gas would cost; less than nothing when deleted objects give more back
	BudgetMist uint64 // what is reserved for gas
	shape      shape
	wal        move.StructTag
	tried      bool // its gas is what it took when it was tried out
}

// DryRun is the error of a call that would have sent Draft. See Config.DryRun.
type DryRun struct{ Draft Draft }

func (d *DryRun) Error() string {
	return fmt.Sprintf("dry run: transaction %s of %d commands would pay %d FROST and %d MIST for gas",
		d.Draft.Digest, len(d.Draft.Tx.Commands), d.Draft.CostFrost, d.Draft.GasMist)
}

// errStaleRead reports a draft that the ledger refused because it names
// objects that have moved on since they were read.
var errStaleRead = errors.New("objects changed while the transaction was built")

const (
	// maxBudget is the most gas that a transaction may reserve, in MIST. Source: Sui, max_tx_gas.
	maxBudget = 50_000_000_000
	// tryBudget is what trying out reserves at first, in MIST.
	tryBudget = 1_000_000_000
	// minUnits is the least gas that a transaction pays for, in units of the gas price. Source: Sui, base_tx_cost_fixed.
	minUnits = 1000
)

// draft builds a transaction and tries it out: that tells its gas, and most
// of what could go wrong, before anything is signed or paid. A routine one that
// is like one before is not tried out, unless it is to be made fresh.
func (c *Client) draft(ctx context.Context, v call, fresh bool) (*Draft, error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, err
	}
	s := &session{builder: newBuilder(), world: w, me: c.me(), fresh: fresh}
	price, err := c.surroundings(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := v.build(ctx, s); err != nil {
		return nil, err
	}
	if s.routine && !fresh && !c.dryRun {
		if d, err := c.draftLike(s, price); d != nil || err != nil {
			return d, err
		}
	}
	return c.tryOut(ctx, s, price)
}

// draftLike makes a draft with what the last transaction of its shape took for gas. It returns
// nil when there was none, or the wallet does not cover what is reserved to be sure.
func (c *Client) draftLike(s *session, price uint64) (*Draft, error) {
	use, ok := c.gas.of(shapeOf(s.commands))
	if !ok {
		return nil, nil
	}
	_, raw, err := s.finish(s.me, nil, price, 0)
	if err != nil {
		return nil, err
	}
	d := &Draft{CostFrost: s.shape.CostFrost, GasMist: use.net, BudgetMist: budgetLike(use, len(raw), price), shape: s.shape, wal: s.world.types.WALType()}
	if err := d.seal(s, price); errors.Is(err, ErrNoGas) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return d, nil
}

// seal picks the coins for gas and puts the transaction together.
func (d *Draft) seal(s *session, price uint64) error {
	refs, err := gas(s.money, s.builder, d.BudgetMist+s.spend)
	if err != nil {
		return err
	}
	if d.Tx, d.Raw, err = s.finish(s.me, refs, price, d.BudgetMist); err != nil {
		return err
	}
	d.Digest = move.TransactionDigest(d.Raw)
	return nil
}

// tryOut lets the ledger simulate a transaction, and makes a draft with what it took.
func (c *Client) tryOut(ctx context.Context, s *session, price uint64) (*Draft, error) {
	// What fits the wallet is enough to try with; how much is needed then stands in the answer.
	most := min(maxBudget, total(s.money)-min(total(s.money), s.spend))
	budget := max(minUnits*price, min(tryBudget, most))
	var used *pb.GasCostSummary
	for {
		refs, err := gas(s.money, s.builder, budget+s.spend)
		if err != nil {
			return nil, err
		}
		_, raw, err := s.finish(s.me, refs, price, budget)
		if err != nil {
			return nil, err
		}
		used, err = c.simulate(ctx, raw)
		if errors.Is(err, ErrNoGas) && budget < most {
			budget = min(10*budget, most)
			continue
		}
		if err != nil {
			return nil, err
		}
		break
	}
	d := &Draft{CostFrost: s.shape.CostFrost, GasMist: netGas(used), BudgetMist: budgetFor(used, price), shape: s.shape,
		wal: s.world.types.WALType(), tried: true}
	if err := d.seal(s, price); err != nil {
		return nil, err
	}
	return d, nil
}

// budgetFor is what to reserve for gas: what it took when tried out, and a fifth more.
func budgetFor(used *pb.GasCostSummary, price uint64) uint64 {
	need := max(int64(used.GetComputationCost()), netGas(used), 0)
	return max(uint64(need)+uint64(need)/5, minUnits*price)
}

// surroundings reads what every transaction needs: coins for gas and the price
// of gas. It refuses a full node of another chain.
func (c *Client) surroundings(ctx context.Context, s *session) (price uint64, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		info, err := c.serviceInfo(ctx)
		if err != nil {
			return err
		}
		pinned, err := c.journal.pin(info.chain)
		if err == nil && pinned != info.chain {
			err = fmt.Errorf("journal is of chain %s, full node %s of %s: %w", pinned, c.profile.Target, info.chain, ErrOtherChain)
		}
		return err
	})
	group.Go(func() (err error) {
		s.money, err = c.coins(ctx, move.CoinType(move.SUI))
		return err
	})
	group.Go(func() (err error) {
		price, err = c.gasPrice(ctx, s.fresh)
		return err
	})
	return price, group.Wait()
}

// simulate tries a transaction out and returns its gas.
func (c *Client) simulate(ctx context.Context, raw []byte) (*pb.GasCostSummary, error) {
	name, no := "TransactionData", false
	enabled := pb.SimulateTransactionRequest_ENABLED
	answer, err := ask(ctx, c.conn, c.conn.execution.SimulateTransaction, &pb.SimulateTransactionRequest{
		Transaction:    &pb.Transaction{Bcs: &pb.Bcs{Name: &name, Value: raw}},
		ReadMask:       mask("transaction.effects.status", "transaction.effects.gas_used"),
		Checks:         &enabled,
		DoGasSelection: &no,
	})
	switch status.Code(err) {
	case codes.OK:
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.Aborted:
		return nil, fmt.Errorf("try transaction out: %w: %w", errStaleRead, err)
	default:
		return nil, fmt.Errorf("try transaction out: %w", err)
	}
	effects := answer.GetTransaction().GetEffects()
	if effects.GetStatus() == nil || effects.GetStatus().Success == nil {
		return nil, fmt.Errorf("trial without a status: %w", ErrAnswer)
	}
	if !effects.GetStatus().GetSuccess() {
		return nil, failure(effects.GetStatus().GetError())
	}
	return effects.GetGasUsed(), nil
}
