package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/rpc"
	"github.com/walfs/walfs/chain/sui"
)

// Owner returns the ledger as the owner of a wallet uses it: through the client
// that real networks are used with, over a connection within the process. What
// it signs goes to the journal in a folder, which is made when missing, before
// it is sent. Both end with the network. Owner is to be called once for each folder.
func (n *Network) Owner(ctx context.Context, wallet *sui.Wallet, journal string) (*Owner, error) {
	facts, err := n.ledger.Facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("open wallet: %w", err)
	}
	j, err := sui.OpenJournal(journal)
	if err != nil {
		return nil, fmt.Errorf("open wallet: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server == nil {
		n.server = rpc.New(n.ledger, rpc.Config{Log: n.cfg.Log})
	}
	profile := sui.Profile{Name: "localnet", Target: "passthrough:///localnet", System: facts.System, Staking: facts.Staking,
		Treasury: facts.Treasury, Slashing: facts.Slashing, Upgrades: facts.Upgrades}
	if !facts.Exchange.IsZero() {
		profile.Exchange = append(profile.Exchange, facts.Exchange)
	}
	client, err := sui.New(ctx, sui.Config{Profile: profile, Wallet: wallet, Journal: j, Chain: facts.ChainID, Complete: true,
		Dial: []grpc.DialOption{grpc.WithContextDialer(n.server.Pipe)}, Earlier: n.ledger.Earlier, Stage: n.cfg.Stage, Log: n.cfg.Log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open wallet: %w", err), j.Close())
	}
	n.owners = append(n.owners, client.Close, j.Close)
	return &Owner{client, n}, nil
}

// closeOwners ends the clients, and the server after them.
func (n *Network) closeOwners() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, end := range n.owners {
		errs = append(errs, end())
	}
	n.owners = nil
	if n.server != nil {
		errs = append(errs, n.server.Close())
		n.server = nil
	}
	return errors.Join(errs...)
}

// Owner is a client whose gas never ends: it costs nothing here, and nobody
// should have to think of it. That goes for the calls of chain.Ledger, and for
// those that Gassed makes.
type Owner struct {
	*sui.Client
	net *Network
}

// Gassed makes a call, and once more when the gas had run out.
func (o *Owner) Gassed(ctx context.Context, call func() error) error {
	err := call()
	if !errors.Is(err, sui.ErrNoGas) {
		return err
	}
	var tx chain.TxID
	_, _ = rand.Read(tx[:]) // never fails, by its documentation
	if e := o.net.ledger.Faucet(ctx, tx, o.Address(), 0, faucetMist); e != nil {
		return errors.Join(err, e)
	}
	return call()
}

func (o *Owner) gassed(ctx context.Context, call func() (*chain.Outcome, error)) (out *chain.Outcome, err error) {
	err = o.Gassed(ctx, func() error {
		out, err = call()
		return err
	})
	return out, err
}

// Register implements chain.Ledger.
func (o *Owner) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	return o.gassed(ctx, func() (*chain.Outcome, error) { return o.Client.Register(ctx, tx, batch) })
}

// Certify implements chain.Ledger.
func (o *Owner) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	return o.gassed(ctx, func() (*chain.Outcome, error) { return o.Client.Certify(ctx, tx, batch, anchor) })
}

// Extend implements chain.Ledger.
func (o *Owner) Extend(ctx context.Context, tx chain.TxID, batch []chain.Extension) (*chain.Outcome, error) {
	return o.gassed(ctx, func() (*chain.Outcome, error) { return o.Client.Extend(ctx, tx, batch) })
}

// Delete implements chain.Ledger.
func (o *Owner) Delete(ctx context.Context, tx chain.TxID, objects []walrus.ObjectID) (*chain.Outcome, error) {
	return o.gassed(ctx, func() (*chain.Outcome, error) { return o.Client.Delete(ctx, tx, objects) })
}
