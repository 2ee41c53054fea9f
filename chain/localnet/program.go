package localnet

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// submitted is a transaction on its way.
type submitted struct {
	tx         *move.Transaction
	digest     move.Digest
	bcs        []byte
	signatures [][]byte
}

// Execute checks and executes a signed transaction, once: bytes that were
// executed before give what they did then. A transaction that fails is
// executed, too, and costs gas; its Effects say so. What is not executed gives
// a RefusedError.
func (n *Net) Execute(ctx context.Context, bcs []byte, signatures [][]byte) (*Executed, error) {
	tx, err := ptb.Decode(bcs)
	if err != nil {
		return nil, err
	}
	if err := checkSignatures(tx, bcs, signatures); err != nil {
		return nil, err
	}
	return n.submit(ctx, &submitted{tx, move.TransactionDigest(bcs), bytes.Clone(bcs), signatures})
}

// submit executes a transaction whose sender is known.
func (n *Net) submit(ctx context.Context, s *submitted) (*Executed, error) {
	if done, err := n.Transaction(ctx, s.digest); err == nil {
		return done, nil
	}
	if err := n.verifyAhead(ctx, s.tx); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// From here on the call is carried through: half of it would be undone anyway.
	ctx = context.WithoutCancel(ctx)
	e, err := n.submitLogged(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("transaction %s: %w", s.digest, err)
	}
	return e, nil
}

// verifyAhead checks the certificates of a transaction, several at a time,
// while others are executed.
func (n *Net) verifyAhead(ctx context.Context, tx *move.Transaction) error {
	versions, err := n.versions(ctx, n.store.reader)
	if err != nil {
		return err
	}
	return n.verifySigned(ctx, n.table.Signed(versions, tx))
}

// verifySigned checks what the committee of now should have signed.
func (n *Net) verifySigned(ctx context.Context, signed []contract.Signed) error {
	if len(signed) < 2 { // nothing is gained
		return nil
	}
	system, _, err := n.readStaking(ctx)
	if err != nil {
		return err
	}
	contract.VerifyAhead(&system.Committee, signed)
	return nil
}

// submitLogged executes a signed transaction. The caller holds mu.
func (n *Net) submitLogged(ctx context.Context, s *submitted) (done *Executed, err error) {
	err = n.logTransaction(ctx, func(tx *sql.Tx) (*Executed, *ptb.Outcome, error) {
		if done, err = n.transaction(ctx, tx, s.digest); done != nil || err != nil { // somebody was faster
			return nil, nil, err
		}
		env, err := n.env(ctx, tx)
		if err != nil {
			return nil, nil, err
		}
		out, err := env.Execute(s.tx, s.digest, ptb.Options{})
		if err != nil {
			return nil, nil, err
		}
		done = s.executed(out, env.TimeMS)
		return done, out, nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// logTransaction executes something so that database and log both know it, or
// neither. When execute returns nil there is nothing to know. The caller holds mu.
func (n *Net) logTransaction(ctx context.Context, execute func(tx *sql.Tx) (*Executed, *ptb.Outcome, error)) (err error) {
	if n.doubt != nil {
		return n.doubt
	}
	tx, err := n.store.writer.BeginTx(ctx, nil)
	if err != nil {
		return n.store.named(err)
	}
	defer func() {
		if err != nil {
			err = n.store.named(errors.Join(err, ignoreDone(tx.Rollback())))
		}
	}()
	e, out, err := execute(tx)
	if err != nil {
		return err
	}
	if e == nil {
		return tx.Rollback()
	}
	r, err := n.keep(ctx, tx, e, out)
	if err != nil {
		return err
	}
	payload, err := programPayload(r, out.Result)
	if err != nil {
		return err
	}
	b, after, err := n.home.next(kindProgram, n.home.tip.era, r.timeMS, payload)
	if err != nil {
		return err
	}
	if err := n.commitLogged(ctx, tx, b, after); err != nil {
		return err
	}
	return n.committed(ctx, e)
}

// keep writes an executed transaction and numbers it.
func (n *Net) keep(ctx context.Context, tx *sql.Tx, e *Executed, out *ptb.Outcome) (record, error) {
	r, err := e.record()
	if err != nil {
		return r, err
	}
	w := &writer{n.store, tx, &n.facts.packages}
	e.Seq, err = w.commit(ctx, r, out.Result)
	return r, err
}

// committed tells those who wait for it that a transaction is there. The caller holds mu.
func (n *Net) committed(ctx context.Context, e *Executed) error {
	n.news.tell()
	for i := range e.Events {
		if e.Events[i].Type.Name == "EpochChangeStart" {
			return n.loadCommittee(ctx)
		}
	}
	return nil
}

// programPayload is the payload of a record of kindProgram: what the
// transaction changed, and then the transaction.
func programPayload(r record, result *overlay.Result) ([]byte, error) {
	changed, err := move.Marshal(logged(r, result))
	if err != nil {
		return nil, err
	}
	kept, err := move.Marshal(r.program)
	return append(changed, kept...), err
}

// env is the ledger as a transaction finds it now.
func (n *Net) env(ctx context.Context, q queryer) (*ptb.Env, error) {
	source := func(id move.ID) (*move.Object, error) { return n.store.object(ctx, q, id) }
	versions, err := n.versions(ctx, q)
	if err != nil {
		return nil, err
	}
	now := n.clock.timeMS()
	epoch, _ := n.suiEpoch(now)
	return &ptb.Env{Table: n.table, Source: source, Versions: versions, TimeMS: now, Epoch: epoch,
		FixedCommittee: n.mover == nil, ChainID: move.Digest(n.facts.chainID)}, nil
}

// readSystem reads the System object.
func (n *Net) readSystem(ctx context.Context, q queryer) (system move.System, err error) {
	o, err := n.store.object(ctx, q, n.facts.system)
	if err == nil && o == nil {
		err = ErrDamaged
	}
	if err == nil {
		err = move.Unmarshal(o.Contents, &system)
	}
	if err != nil {
		err = fmt.Errorf("object %s: %w", n.facts.system, err)
	}
	return system, err
}

// suiEpochMS is the length of an epoch of Sui, as on mainnet.
const suiEpochMS = uint64(24 * time.Hour / time.Millisecond)

// suiEpoch returns Sui's epoch at a time and when it began: a day, counted from the first transaction.
func (n *Net) suiEpoch(nowMS uint64) (epoch, startMS uint64) {
	if nowMS < n.firstMS {
		return 0, n.firstMS
	}
	epoch = (nowMS - n.firstMS) / suiEpochMS
	return epoch, n.firstMS + epoch*suiEpochMS
}

// executed gives an outcome the form in which it is told.
func (s *submitted) executed(out *ptb.Outcome, timeMS uint64) *Executed {
	e := &Executed{Digest: s.digest, Transaction: s.tx, BCS: s.bcs, Signatures: s.signatures, Effects: out.Effects,
		Events: out.Events, TimeMS: timeMS, Abort: out.Abort, Results: out.Values}
	for i := range out.Result.Changes {
		c := &out.Result.Changes[i]
		e.Changes = append(e.Changes, Change{ID: c.ID, Type: c.Type, Before: c.Before, After: c.Object})
	}
	e.Balances = balanceChanges(e.Changes)
	return e
}

// record is what is written of a transaction.
func (e *Executed) record() (record, error) {
	r := record{digest: e.Digest, sender: e.Transaction.Sender, timeMS: e.TimeMS, program: &program{bcs: e.BCS, signatures: e.Signatures}}
	if e.key != (chain.TxID{}) {
		r.request, r.outcome = e.key, append(e.asked[:], noOutcome...)
	}
	for i := range e.Events {
		r.program.origins = append(r.program.origins, origin{e.Events[i].Package, e.Events[i].Module})
	}
	var err error
	if r.program.effects, err = move.Marshal(e.Effects); err != nil {
		return r, err
	}
	d := details{balances: e.Balances, abort: e.Abort}
	for i := range e.Changes {
		d.types = append(d.types, e.Changes[i].Type)
	}
	r.program.details, err = move.Marshal(&d)
	return r, err
}

// purse is one address and one currency.
type purse struct {
	owner    move.Address
	currency string
}

// balanceChanges adds up what became of coins.
func balanceChanges(changes []Change) []BalanceChange {
	sums := make(map[purse]*BalanceChange)
	add := func(o *move.Object, sign int) {
		if o == nil || o.Owner.Kind != move.OwnerAddress || !isCoin(&o.Type) {
			return
		}
		var coin move.Coin
		if move.Unmarshal(o.Contents, &coin) != nil {
			return // it is a coin by its type: this does not happen
		}
		key := purse{o.Owner.Address, o.Type.Params[0].String()}
		if sums[key] == nil {
			sums[key] = &BalanceChange{Owner: o.Owner.Address, Currency: o.Type.Params[0], Amount: new(big.Int)}
		}
		amount := new(big.Int).SetUint64(coin.Balance)
		sums[key].Amount.Add(sums[key].Amount, amount.Mul(amount, big.NewInt(int64(sign))))
	}
	for i := range changes {
		add(changes[i].Before, -1)
		add(changes[i].After, 1)
	}
	var all []BalanceChange
	for _, b := range sums {
		if b.Amount.Sign() != 0 {
			all = append(all, *b)
		}
	}
	slices.SortFunc(all, func(a, b BalanceChange) int {
		return cmp.Or(bytes.Compare(a.Owner[:], b.Owner[:]), cmp.Compare(a.Currency.String(), b.Currency.String()))
	})
	return all
}

// isCoin reports whether a type is that of a coin.
func isCoin(t *move.StructTag) bool {
	return t.Address == move.Framework && t.Module == "coin" && t.Name == "Coin" && len(t.Params) == 1
}

// transaction reads an executed transaction, or nil when there is none.
func (n *Net) transaction(ctx context.Context, q queryer, digest move.Digest) (*Executed, error) {
	return n.readExecuted(ctx, q, "digest = ?", digest[:])
}

// Transaction returns an executed transaction. It returns chain.ErrNotExist when it was never executed.
func (n *Net) Transaction(ctx context.Context, digest move.Digest) (e *Executed, err error) {
	err = n.view(ctx, func(tx *sql.Tx) error {
		e, err = n.transaction(ctx, tx, digest)
		return err
	})
	if err == nil && e == nil {
		err = errNone
	}
	if err != nil {
		return nil, fmt.Errorf("transaction %s: %w", digest, err)
	}
	return e, nil
}
