package sui

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walfs/walfs/chain/move"
)

// Past is a transaction that the owner sent, or that paid or was paid by him.
type Past struct {
	Digest     move.Digest
	Time       time.Time
	Checkpoint uint64 // 0 while it is in none
	Sender     move.Address
	Calls      []string // what its commands do, as Draft.Describe has it
	GasMist    int64    // that the sender paid
	Failed     string   // why it failed; it paid its gas all the same
	Journalled bool     // the owner's journal has it
	Open       bool     // it was signed, and nothing is known of it on the ledger
	Changes    []BalanceChange
}

// BalanceChange is by how much the owner's coins of a currency rose, or fell.
type BalanceChange struct {
	Currency move.StructTag
	Amount   *big.Int
}

// HistoryQuery says how far History looks.
type HistoryQuery struct {
	Most        int    // transactions
	Checkpoints uint64 // to look through, newest first; full nodes do not find transactions by address
}

// History is past transactions.
type History struct {
	Past     []Past // newest first
	Complete bool   // all of the ledger was looked through
}

// historyMask is what is asked for of a transaction of the past.
var historyMask = []string{"digest", "transaction.sender", "transaction.bcs", "effects.status", "effects.gas_used", "checkpoint", "timestamp", "balance_changes"}

// History lists the newest transactions of the owner: those of the journal,
// those in the newest checkpoints, and those that left the coins and receipts
// that the owner has now.
func (c *Client) History(ctx context.Context, q HistoryQuery) (h History, err error) {
	found := map[move.Digest]*Past{}
	if h.Complete, err = c.scanHistory(ctx, q, found); err != nil {
		return h, fmt.Errorf("history: %w", err)
	}
	records, err := c.journal.newest(c.Address(), q.Most)
	if err != nil {
		return h, fmt.Errorf("history: %w", err)
	}
	var ask []move.Digest
	for _, r := range records {
		ask = append(ask, r.Digest)
	}
	left, err := c.leftBy(ctx)
	if err != nil {
		return h, fmt.Errorf("history: %w", err)
	}
	for _, digest := range unique(append(ask, left...)) {
		if found[digest] != nil {
			continue
		}
		if found[digest], err = c.past(ctx, digest); err != nil {
			return h, fmt.Errorf("history: %w", err)
		}
	}
	for _, r := range records {
		p := found[r.Digest]
		if p == nil { // the ledger does not have it, or not any more
			p = &Past{Digest: r.Digest, Time: time.UnixMilli(int64(r.TimeMS)), Sender: c.me(), Open: r.Kind == recordSigned}
			found[r.Digest] = p
		}
		p.Journalled = true
	}
	for _, p := range found {
		if p != nil {
			h.Past = append(h.Past, *p)
		}
	}
	slices.SortFunc(h.Past, func(a, b Past) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Checkpoint, a.Checkpoint), slices.Compare(a.Digest[:], b.Digest[:]))
	})
	h.Past = h.Past[:min(len(h.Past), q.Most)]
	return h, nil
}

// scanHistory looks through the newest checkpoints, and reports whether there are no others.
func (c *Client) scanHistory(ctx context.Context, q HistoryQuery, found map[move.Digest]*Past) (complete bool, err error) {
	info, err := c.serviceInfo(ctx)
	if err != nil {
		return false, err
	}
	paths := []string{"sequence_number"}
	for _, p := range historyMask {
		paths = append(paths, "transactions."+p)
	}
	lowest := max(info.lowest, 1)
	for next, left := info.height, q.Checkpoints; len(found) < q.Most; {
		if next < lowest {
			return info.lowest <= 1, nil
		}
		if left == 0 {
			return false, nil
		}
		count := min(callsAtOnce, left, next-lowest+1)
		list, err := c.checkpoints(ctx, next-count+1, count, paths)
		if err != nil {
			return false, err
		}
		for _, checkpoint := range list {
			for _, tx := range checkpoint.GetTransactions() {
				p, err := c.readPast(tx)
				if err != nil {
					return false, err
				}
				if p.Sender == c.me() || len(p.Changes) > 0 {
					p.Checkpoint = checkpoint.GetSequenceNumber()
					found[p.Digest] = p
				}
			}
		}
		next, left = next-count, left-count
	}
	return false, nil
}

// leftBy names the transactions that made the owner's coins and receipts what they are.
func (c *Client) leftBy(ctx context.Context) (list []move.Digest, err error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, tag := range []move.StructTag{move.CoinType(move.SUI), w.types.WALCoin(), w.types.StakedWAL()} {
		size, owner, kind := uint32(objectsPerPage), c.me().String(), tag.String()
		answer, err := ask(ctx, c.conn, c.conn.state.ListOwnedObjects,
			&pb.ListOwnedObjectsRequest{Owner: &owner, ObjectType: &kind, PageSize: &size, ReadMask: mask("previous_transaction")})
		if err != nil {
			return nil, err
		}
		for _, o := range answer.GetObjects() {
			if digest, err := move.ParseDigest(o.GetPreviousTransaction()); err == nil {
				list = append(list, digest)
			}
		}
	}
	return list, nil
}

// past reads one transaction, nil when the full node does not have it.
func (c *Client) past(ctx context.Context, digest move.Digest) (*Past, error) {
	text := digest.String()
	answer, err := ask(ctx, c.conn, c.conn.ledger.GetTransaction, &pb.GetTransactionRequest{Digest: &text, ReadMask: mask(historyMask...)})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("transaction %s: %w", digest, err)
	}
	return c.readPast(answer.GetTransaction())
}

// readPast reads what the owner wants to know of a transaction.
func (c *Client) readPast(tx *pb.ExecutedTransaction) (*Past, error) {
	p := &Past{Checkpoint: tx.GetCheckpoint(), GasMist: netGas(tx.GetEffects().GetGasUsed())}
	if tx.GetTimestamp() != nil {
		p.Time = tx.GetTimestamp().AsTime()
	}
	var err error
	if p.Digest, err = move.ParseDigest(tx.GetDigest()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if sender := tx.GetTransaction().GetSender(); sender != "" { // a localnet may have lost the transaction itself
		if p.Sender, err = move.ParseAddress(sender); err != nil {
			return nil, fmt.Errorf("transaction %s: %w: %w", p.Digest, ErrAnswer, err)
		}
	}
	if raw := tx.GetTransaction().GetBcs().GetValue(); len(raw) > 0 {
		var v move.Transaction
		if move.Unmarshal(raw, &v) == nil { // what is no programmable transaction has no commands
			p.Calls = describe(v.Commands)
		}
	}
	if s := tx.GetEffects().GetStatus(); s != nil && !s.GetSuccess() {
		p.Failed = clip(failure(s.GetError()).Error())
	}
	for _, b := range tx.GetBalanceChanges() {
		owner, err := move.ParseAddress(b.GetAddress())
		if err != nil || owner != c.me() {
			continue
		}
		change := BalanceChange{Amount: new(big.Int)}
		if change.Currency, err = move.ParseStructTag(b.GetCoinType()); err != nil {
			return nil, fmt.Errorf("transaction %s: %w: %w", p.Digest, ErrAnswer, err)
		}
		if _, ok := change.Amount.SetString(b.GetAmount(), 10); !ok {
			return nil, fmt.Errorf("transaction %s: balance change %q: %w", p.Digest, b.GetAmount(), ErrAnswer)
		}
		p.Changes = append(p.Changes, change)
	}
	return p, nil
}
