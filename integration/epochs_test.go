package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
)

// storage is what status tells of what is paid for.
type storage struct {
	Epoch     uint32
	Ended     int    `json:"ended_blobs"`
	LostFiles int    `json:"lost_files"`
	Wallet    string `json:"wallet"`
	Balance   uint64 `json:"wal_balance_frost"`
	Missing   uint64 `json:"wal_missing_frost"`
	Nearest   uint32 `json:"nearest_end_epoch"`
	Problems  []string
}

func (d *drive) storage() (s storage) {
	d.t.Helper()
	must(d.t, json.Unmarshal([]byte(d.mustRun("status", "--json")), &s))
	return s
}

// ownerOf opens the wallet of a drive that is not mounted, on its network.
func ownerOf(t *testing.T, home string, net *embedded.Network) chain.Ledger {
	t.Helper()
	ids, err := seal.ReadIdentityFile(filepath.Join(home, "identity.txt"), nil)
	must(t, err)
	text, err := seal.ReadSecret(filepath.Join(home, "wallet.age"), ids)
	must(t, err)
	wallet, err := sui.WalletFromText(strings.TrimSpace(string(text)))
	must(t, err)
	owner, err := net.Owner(t.Context(), wallet, filepath.Join(home, "transactions"))
	must(t, err)
	return owner
}

// emptyWallet gives all that the wallet of a mounted drive has away, and returns how it stood before.
// The kernel tells late of what was closed, and a file can be stored once more for that: it is paid before.
func (d *drive) emptyWallet() storage {
	d.t.Helper()
	d.umount()
	d.mount()
	d.sync()
	rich := d.storage()
	d.umount()
	net, err := embedded.Open(d.t.Context(), embedded.Config{Dir: filepath.Join(d.home, "network")})
	must(d.t, err)
	owner := ownerOf(d.t, d.home, net)
	balance, err := owner.Balance(d.t.Context()) // the drive may have paid since its status
	must(d.t, err)
	payer := owner.(interface {
		SendWAL(ctx context.Context, tx chain.TxID, to chain.Address, frost uint64) (*sui.Result, error)
	})
	_, err = payer.SendWAL(d.t.Context(), chain.TxID{0xee, 1}, chain.Address{0xff}, balance.WALFrost)
	must(d.t, errors.Join(err, net.Close()))
	d.mount()
	return rich
}

// TestEpochs lets more time pass than is bought ahead, with the
// daemon killed in between: all is renewed and can be read from the nodes.
func TestEpochs(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	body := make([]byte, 100_000)
	_, _ = randomBytes(1).Read(body)
	must(t, os.WriteFile(d.path("file"), body, 0o600))
	d.sync()
	before := d.storage()
	d.mustRun("localnet", "advance-epoch", "--count", "30")
	d.kill()
	stopped := time.Now()
	d.mount()
	after := d.storage()
	if after.Epoch != before.Epoch+30 || after.Nearest <= after.Epoch+6 || len(after.Problems) != len(before.Problems) {
		t.Errorf("after 30 epochs and %s: %+v", time.Since(stopped), after)
	}
	d.mustRun("localnet", "advance-epoch", "--count", "5")
	d.mustRun("cache", "clear")
	if got, err := os.ReadFile(d.path("file")); err != nil || !bytes.Equal(got, body) {
		t.Errorf("after 35 epochs: %d bytes, %v", len(got), err)
	}
	if s := d.state("/file"); s != "certified" {
		t.Errorf("the file is %s", s)
	}
	d.umount()
}

// TestExpired empties the wallet until storage ends: that is told in time, a
// read of what is lost is EIO and does not hang, and what is here stays.
func TestExpired(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	must(t, os.WriteFile(d.path("lost"), []byte("nowhere else"), 0o600))
	d.sync()
	d.mustRun("cache", "clear")
	must(t, os.WriteFile(d.path("here"), []byte("on this machine too"), 0o600))
	d.sync()
	rich := d.emptyWallet()

	for d.storage().Epoch < rich.Nearest-6 {
		d.mustRun("localnet", "advance-epoch")
	}
	s := d.storage()
	if p := strings.Join(s.Problems, "\n"); !strings.Contains(p, "cannot be renewed now") || !strings.Contains(p, "pay ") || s.Missing == 0 {
		t.Errorf("a quarter before the end: missing %d, %q", s.Missing, s.Problems)
	}
	for d.storage().Epoch < rich.Nearest-1 {
		d.mustRun("localnet", "advance-epoch")
	}
	if p := strings.Join(d.storage().Problems, "\n"); !strings.Contains(p, "ends in epoch") || d.state("/lost") != "expiring" {
		t.Errorf("before the end: %s, %q", d.state("/lost"), p)
	}
	d.refuse(t, refusal{"the last epoch", []string{"localnet", "advance-epoch"}, 14, "--expire"})
	d.mustRun("localnet", "advance-epoch", "--expire")

	start := time.Now()
	if _, err := os.ReadFile(d.path("lost")); !errors.Is(err, syscall.EIO) || time.Since(start) > patience {
		t.Errorf("read of a lost file: %v after %s", err, time.Since(start))
	}
	if got, err := os.ReadFile(d.path("here")); err != nil || string(got) != "on this machine too" {
		t.Errorf("read of the only copy: %q, %v", got, err)
	}
	if s := d.storage(); s.LostFiles != 1 || s.Ended == 0 {
		t.Errorf("after the end: %+v", s)
	}
	if lost, here := d.state("/lost"), d.state("/here"); lost != "lost" || here != "expiring" {
		t.Errorf("states %s, %s", lost, here)
	}
	d.umount()
	d.restarted(t)
}

// TestStoredAnew lets storage end while the wallet is empty. Once it is filled
// a check stores what is on this machine anew.
func TestStoredAnew(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	content := []byte("on this machine too")
	must(t, os.WriteFile(d.path("here"), content, 0o644))
	d.sync()
	rich := d.emptyWallet()
	d.mustRun("localnet", "advance-epoch", "--expire", "--count", strconv.Itoa(int(rich.Nearest-rich.Epoch)))
	if s := d.state("/here"); s != "expiring" {
		t.Fatalf("after the end: %s", s)
	}
	d.mustRun("localnet", "faucet")
	if _, said, code := d.run("check", "--repair"); code != 0 && code != 3 {
		t.Errorf("check ends with %d: %s", code, said)
	}
	d.sync()
	if s := d.state("/here"); s != "certified" {
		t.Errorf("after the repair: %s", s)
	}
	d.umount()
	d.forgetLocal()
	d.mount()
	if got, err := os.ReadFile(d.path("here")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("from the nodes: %q, %v", got, err)
	}
	d.umount()
}

// restarted mounts the drive as after a restart of the machine, when copies are
// trusted only if they were on stable storage by then, which takes some seconds:
// the only one of a file stays, or is put aside, and is not removed.
func (d *drive) restarted(t *testing.T) {
	t.Helper()
	trusted := d.query(filepath.Join(d.home, "index.db"), "SELECT count(*) FROM copies WHERE synced > 0")[0] != "0"
	must(t, os.WriteFile(filepath.Join(d.home, "boot"), []byte("another"), 0o600))
	d.mount()
	copies, err := filepath.Glob(filepath.Join(d.home, "staging", "lost+found", "*.data*"))
	must(t, err)
	if trusted {
		copies = append(copies, d.path("here"))
	}
	if len(copies) != 1 {
		t.Fatalf("only copies: %q", copies)
	}
	if got, err := os.ReadFile(copies[0]); err != nil || string(got) != "on this machine too" {
		t.Errorf("%s: %q, %v", copies[0], got, err)
	}
	d.umount()
}
