package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// The operations on a ledger.
const (
	opBalance  = "wallet.balance"
	opSend     = "wallet.send"
	opExchange = "wallet.exchange"
	opHistory  = "wallet.history"
	opNodeInfo = "stake.nodes"
	opStakes   = "stake.list"
	opStake    = "stake.add"
	opStakeDo  = "stake.do"
	opPolls    = "gov.status"
	opVote     = "gov.vote"
)

// ledgerOps are the operations on a ledger, in the name of an account: what a drive that is
// mounted answers below opLedger, and what a command does itself where there is none. Names
// and fields are an interface: additions only.
func ledgerOps() map[string]ledgerOp {
	return map[string]ledgerOp{
		opBalance:  onLedger((*account).balance),
		opSend:     onLedger((*account).pay),
		opExchange: onLedger((*account).exchange),
		opHistory:  onLedger((*account).history),
		opNodeInfo: onLedger((*account).nodeInfo),
		opStakes:   onLedger((*account).stakes),
		opStake:    onLedger((*account).stake),
		opStakeDo:  onLedger((*account).stakeDo),
		opPolls:    onLedger((*account).polls),
		opVote:     onLedger((*account).vote),
	}
}

// ledgerOp is an operation in the name of an account.
type ledgerOp func(*account) control.Handler

// onLedger makes an operation of a method of account.
func onLedger[A, R any](f func(acc *account, ctx context.Context, args A) (R, error)) ledgerOp {
	return func(acc *account) control.Handler {
		return answer(func(ctx context.Context, args A, _ func(any) error) (R, error) {
			result, err := f(acc, ctx, args)
			return result, acc.explain(err)
		})
	}
}

// ledgerArgs is the question of opLedger.
type ledgerArgs struct {
	Op     string          `json:"op"`
	Wallet string          `json:"wallet,omitempty"` // secret key of another account than the drive's owner
	Args   json.RawMessage `json:"args,omitempty"`
}

// ledgerFlags say which ledger a command asks, and in whose name. Without them
// it is the drive's, in the name of the drive's owner.
type ledgerFlags struct {
	rpc     string
	profile string
	wallet  string
}

// add adds the flags to a command and those below it.
func (f *ledgerFlags) add(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.rpc, "rpc", "", "`URL` of a running walfs localnet serve; with --profile, of another full node of that network")
	flags.StringVar(&f.profile, "profile", "", "`NETWORK`: localnet, testnet, mainnet, or a FILE of JSON with rpc_url, system_object and staking_object")
	flags.StringVar(&f.wallet, "wallet", "", "`FILE` of another wallet than the drive's, or the NAME of one that walfs wallet list shows")
}

// away reports whether the ledger is not the drive's own.
func (f *ledgerFlags) away() bool { return f.rpc != "" || f.profile != "" }

// ledgerLine is a way to a ledger. Its operations are those of ledgerOps.
type ledgerLine struct {
	call  func(ctx context.Context, op string, args, result any) error
	close func() error
}

// onLedger reaches the ledger that the flags name for one operation. What it changes it
// changes once, although it is asked again when the drive ended meanwhile.
func (a *app) onLedger(ctx context.Context, f *ledgerFlags, op string, args, result any) error {
	h, err := a.home()
	if err != nil {
		return err
	}
	err = a.onLedgerOnce(ctx, f, op, args, result)
	if errors.Is(err, control.ErrLost) && waitUnlocked(ctx, h) == nil { // the mount was being killed
		return a.onLedgerOnce(ctx, f, op, args, result)
	}
	return err
}

func (a *app) onLedgerOnce(ctx context.Context, f *ledgerFlags, op string, args, result any) (err error) {
	l, err := a.reachLedger(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	return l.call(ctx, op, args, result)
}

// reachLedger opens a way to the ledger that the flags name.
func (a *app) reachLedger(ctx context.Context, f *ledgerFlags) (*ledgerLine, error) {
	if f.away() {
		acc, err := a.openAccount(ctx, f)
		if err != nil {
			return nil, err
		}
		return acc.line(), nil
	}
	secret := ""
	if f.wallet != "" {
		w, err := a.openWallet(ctx, f)
		if err != nil {
			return nil, err
		}
		secret = w.Text()
	}
	l, err := a.reach(ctx, false)
	if err != nil {
		return nil, err
	}
	return &ledgerLine{
		call: func(ctx context.Context, op string, args, result any) error {
			raw, err := json.Marshal(args)
			if err != nil {
				return err
			}
			return l.call(ctx, opLedger, ledgerArgs{Op: op, Wallet: secret, Args: raw}, nil, result)
		},
		close: l.close,
	}, nil
}

// account is the owner of a wallet on a ledger.
type account struct {
	*sui.Client
	// gassed makes a call, and once more with gas from the faucet where that is play money.
	gassed func(ctx context.Context, call func() error) error
	faucet string                                                          // how to get money; a hint
	house  func() (*sui.Wallet, error)                                     // who votes for the drive's own nodes; nil: there are none
	other  func(ctx context.Context, wallet *sui.Wallet) (*account, error) // the account of another wallet on the same ledger
	end    func() error
}

// line returns a way to the ledger of an account that this process opened.
func (acc *account) line() *ledgerLine {
	ops := ledgerOps()
	return &ledgerLine{
		call: func(ctx context.Context, op string, args, result any) error {
			return callHere(ctx, ops[op](acc), args, nil, result)
		},
		close: acc.end,
	}
}

// answerLedger does an operation on the drive's ledger.
func (d *drive) answerLedger(ctx context.Context, args ledgerArgs, emit func(any) error) (any, error) {
	op := ledgerOps()[args.Op]
	if op == nil {
		return nil, usagef("the drive does not know %q", args.Op)
	}
	wallet := d.keys.wallet
	if args.Wallet != "" {
		var err error
		if wallet, err = sui.WalletFromText(args.Wallet); err != nil {
			return nil, err
		}
	}
	acc, err := d.account(ctx, wallet)
	if err != nil {
		return nil, err
	}
	return op(acc)(ctx, args.Args, emit)
}

// account returns the account of a wallet on the drive's ledger. It ends with the drive.
func (d *drive) account(ctx context.Context, wallet *sui.Wallet) (*account, error) {
	d.accountsMu.Lock()
	defer d.accountsMu.Unlock()
	if acc := d.accounts[wallet.Address()]; acc != nil {
		return acc, nil
	}
	owner := d.owner
	if wallet.Address() != owner.Address() {
		var err error
		if owner, err = d.net.Owner(ctx, wallet, d.home.journalOf("embedded", wallet)); err != nil {
			return nil, err
		}
	}
	acc := &account{
		Client: owner.Client, gassed: owner.Gassed, faucet: "walfs localnet faucet pays play money into the drive's wallet, and walfs wallet send on from there",
		house: d.net.House, other: d.account, end: func() error { return nil },
	}
	if d.accounts == nil {
		d.accounts = make(map[chain.Address]*account)
	}
	d.accounts[wallet.Address()] = acc
	return acc, nil
}

// journalOf returns where is written down what a wallet other than the drive's owner signed on a network.
func (h home) journalOf(network string, wallet *sui.Wallet) string {
	return filepath.Join(h.journals(), network+"-"+wallet.Address().String()[2:])
}

// order is the part of a question that is about a transaction.
type order struct {
	Tx  string `json:"tx"` // 64 hex digits that the caller chose: it is executed once
	Dry bool   `json:"dry_run,omitempty"`
}

// newOrder makes the order of a new transaction.
func newOrder() order {
	var tx chain.TxID
	_, _ = rand.Read(tx[:]) // never fails, by its documentation
	return order{Tx: hex.EncodeToString(tx[:])}
}

// receipt is the part of an answer that is about a transaction.
type receipt struct {
	Digest string `json:"digest"`
	Dry    bool   `json:"dry_run,omitempty"` // nothing was sent
	// Gas is what was or would be paid for gas; less than nothing when more came back.
	Gas      int64    `json:"gas_mist,string"`
	Commands []string `json:"commands,omitempty"` // of a dry run
}

// txID reads the transaction ID of an order.
func (o *order) txID() (tx chain.TxID, err error) {
	raw, err := hex.DecodeString(o.Tx)
	if err != nil || len(raw) != len(tx) {
		return tx, usagef("transaction ID %q: want %d hex digits", o.Tx, 2*len(tx))
	}
	return chain.TxID(raw), nil
}

// done returns what an order did that was executed before, nil when it was not.
func (acc *account) done(ctx context.Context, o order) (*sui.Result, error) {
	tx, err := o.txID()
	if err != nil {
		return nil, err
	}
	return acc.Done(ctx, tx)
}

// send executes an order, or tries it out. Call gets the client to do it with.
func (acc *account) send(ctx context.Context, o order, call func(c *sui.Client, tx chain.TxID) (*sui.Result, error)) (r receipt, err error) {
	tx, err := o.txID()
	if err != nil {
		return r, err
	}
	client := acc.Client
	if o.Dry {
		client = acc.Dry()
	}
	var done *sui.Result
	err = acc.gassed(ctx, func() error {
		done, err = call(client, tx)
		return err
	})
	var dry *sui.DryRun
	if errors.As(err, &dry) {
		return receipt{Digest: dry.Draft.Digest.String(), Dry: true, Gas: dry.Draft.GasMist, Commands: dry.Draft.Describe()}, nil
	}
	if err != nil {
		return r, acc.explain(err)
	}
	return receipt{Digest: done.Digest.String(), Gas: done.GasMist}, nil
}

// ungassed makes a call once: gas costs money.
func ungassed(_ context.Context, call func() error) error { return call() }

// explain says what is missing, and where to get it.
func (acc *account) explain(err error) error {
	var said *ui.Error
	var short *sui.FundsError
	if err == nil || errors.As(err, &said) || !errors.Is(err, chain.ErrNoFunds) {
		return err
	}
	if !errors.As(err, &short) { // the ledger says so, and not how much
		return ui.Errorf(ui.Chain, "%w", err).WithHint("%s", acc.faucet)
	}
	kind := coinWAL
	if short.SUI {
		kind = coinSUI
	}
	return ui.Errorf(ui.Chain, "%s are needed, %s has %s: %s are missing", formatAmount(short.Need, kind), acc.Address(),
		formatAmount(short.Have, kind), formatAmount(short.Need-min(short.Need, short.Have), kind)).WithHint("%s", acc.faucet)
}
