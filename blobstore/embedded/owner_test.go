package embedded_test

import (
	"errors"
	"testing"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
)

func someWallet(t *testing.T) *sui.Wallet {
	t.Helper()
	w, err := sui.WalletFromSeed([32]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func someBlob(n byte) []chain.Registration {
	root := [32]byte{n}
	return []chain.Registration{{Blob: walrus.ComputeBlobID(root, 10), Root: root, Size: 10, EpochsAhead: 3, Deletable: true}}
}

// TestGasNeverEnds lets an owner without SUI register: gas comes from the faucet, WAL does not.
func TestGasNeverEnds(t *testing.T) {
	ctx, wallet := t.Context(), someWallet(t)
	n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10})
	l, err := n.Owner(ctx, wallet, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Register(ctx, chain.TxID{1}, someBlob(1)); !errors.Is(err, chain.ErrNoFunds) || errors.Is(err, sui.ErrNoGas) {
		t.Errorf("without WAL: %v", err)
	}
	if err := n.Net().Faucet(ctx, chain.TxID{2}, wallet.Address(), chain.FrostPerWAL, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Register(ctx, chain.TxID{1}, someBlob(1)); err != nil {
		t.Errorf("with WAL: %v", err)
	}
}
