package main

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// ledgerDrive is as much of a drive as its ledger needs.
func ledgerDrive(t *testing.T) *drive {
	t.Helper()
	dir := t.TempDir()
	network, err := embedded.Open(t.Context(), embedded.Config{Dir: filepath.Join(dir, "network"), Nodes: 4, Shards: 4})
	must(t, err)
	t.Cleanup(func() { must(t, network.Close()) })
	w, err := sui.WalletFromSeed([32]byte{1})
	must(t, err)
	d := &drive{home: home{dir: dir}, net: network, keys: keys{wallet: w}}
	d.owner, err = network.Owner(t.Context(), w, d.home.journal())
	must(t, err)
	must(t, network.Faucet(t.Context(), chain.TxID{1}, w.Address()))
	return d
}

// askLedger does an operation as the socket does.
func (d *drive) askLedger(ctx context.Context, op, wallet string, args, result any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	return callHere(ctx, answer(d.answerLedger), ledgerArgs{Op: op, Wallet: wallet, Args: raw}, nil, result)
}

// TestOrderHappensOnce repeats orders, as after a lost answer: each is done once, and answered again.
func TestOrderHappensOnce(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), ledgerDrive(t)
	heir, err := sui.WalletFromSeed([32]byte{2})
	must(t, err)
	pay := sendArgs{order: newOrder(), To: heir.Address().String(), Amount: 50 * chain.FrostPerWAL, Coin: coinWAL}
	var first, again sending
	must(t, d.askLedger(ctx, opSend, "", pay, &first))
	must(t, d.askLedger(ctx, opSend, "", pay, &again))
	if first.Digest == "" || again.Digest != first.Digest {
		t.Errorf("answered %+v, then %+v", first, again)
	}
	var has funds
	if must(t, d.askLedger(ctx, opBalance, heir.Text(), nothing{}, &has)); has.WAL != 50*chain.FrostPerWAL || has.Address != heir.Address().String() {
		t.Errorf("the heir has %+v", has)
	}
	pay.Amount++
	if err := d.askLedger(ctx, opSend, "", pay, &again); !strings.Contains(err.Error(), chain.ErrTxReused.Error()) {
		t.Errorf("another payment under the same ID: %v", err)
	}
	var in staked
	must(t, d.askLedger(ctx, opStake, heir.Text(), stakeArgs{newOrder(), "node-02", 20 * chain.FrostPerWAL}, &in))
	out := stakeDoArgs{order: newOrder(), Do: stakeWithdraw, Stake: in.Stake}
	var back, backAgain stakeDone
	must(t, d.askLedger(ctx, opStakeDo, heir.Text(), out, &back))
	must(t, d.askLedger(ctx, opStakeDo, heir.Text(), out, &backAgain))
	if back.Paid != 20*chain.FrostPerWAL || backAgain.Paid != back.Paid || backAgain.Digest != back.Digest {
		t.Errorf("came back %+v, then %+v", back, backAgain)
	}
}

// TestWrongOrders sends what no command sends: it is refused, and no secret is in the answer.
func TestWrongOrders(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), ledgerDrive(t)
	to := "0x" + strings.Repeat("5", 64)
	for name, c := range map[string]struct {
		op, wallet string
		args       any
	}{
		"operation":    {"wallet.empty", "", nothing{}},
		"wallet":       {opBalance, "suiprivkey1nonsense", nothing{}},
		"no ID":        {opSend, "", sendArgs{To: to, Amount: 1, Coin: coinWAL}},
		"long ID":      {opSend, "", sendArgs{order: order{Tx: strings.Repeat("ab", 40)}, To: to, Amount: 1, Coin: coinWAL}},
		"coin":         {opSend, "", sendArgs{order: newOrder(), To: to, Amount: 1, Coin: "BTC"}},
		"short to":     {opSend, "", sendArgs{order: newOrder(), To: "0x5", Amount: 1, Coin: coinWAL}},
		"unknown do":   {opStakeDo, "", stakeDoArgs{order: newOrder(), Do: "burn", Stake: to}},
		"empty vote":   {opVote, "", voteArgs{order: newOrder(), Node: "node-00"}},
		"odd digest":   {opVote, "", voteArgs{order: newOrder(), Node: "node-00", Upgrade: "07"}},
		"wrong fields": {opBalance, "", map[string]int{"x": 1}},
	} {
		err := d.askLedger(ctx, c.op, c.wallet, c.args, nil)
		if err == nil || strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFakeWAL tells the real WAL from a coin that only calls itself that.
func TestFakeWAL(t *testing.T) {
	t.Parallel()
	acc, err := ledgerDrive(t).account(t.Context(), mustWallet(t, 1))
	must(t, err)
	real, err := acc.WALType(t.Context())
	must(t, err)
	fake := real
	fake.Address[0]++
	if coinOf(real, real) != coinWAL || coinOf(fake, real) != "" {
		t.Errorf("the real one is %q, the fake %q", coinOf(real, real), coinOf(fake, real))
	}
}

func mustWallet(t *testing.T, n byte) *sui.Wallet {
	t.Helper()
	w, err := sui.WalletFromSeed([32]byte{n})
	must(t, err)
	return w
}

// TestFindNode finds nodes by name, ID and the beginning of one, and names the candidates otherwise.
func TestFindNode(t *testing.T) {
	nodes := []sui.Node{{ID: [32]byte{1}, Name: "a"}, {ID: [32]byte{1, 2}, Name: "b"}, {ID: [32]byte{3}, Name: "b"}}
	for name, want := range map[string]int{"a": 0, nodes[1].ID.String(): 1, "0x0102": 1, "0x03": 2} {
		if n, err := findNode(nodes, name); err != nil || n != &nodes[want] {
			t.Errorf("%q: got %+v, %v", name, n, err)
		}
	}
	for _, name := range []string{"", "0x", "b", "c", "0x01", "0x04"} {
		_, err := findNode(nodes, name)
		var said *ui.Error
		if !errors.As(err, &said) || said.Code != ui.Usage || !strings.Contains(said.Hint, "there are ") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
