package integration

import (
	"bytes"
	"context"
	"encoding/hex"
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
	"github.com/walfs/walfs/chain"
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

// transfer pays WAL between two addresses on the ledger of a drive that is not mounted.
func (d *drive) transfer(tx byte, from, to chain.Address, frost uint64) {
	d.t.Helper()
	ctx := context.Background()
	net, err := embedded.Open(ctx, embedded.Config{Dir: filepath.Join(d.home, "network")})
	must(d.t, err)
	must(d.t, errors.Join(net.Transfer(ctx, chain.TxID{0xee, tx}, from, to, frost), net.Close()))
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
	rich := d.storage()
	d.umount()
	owner, err := parseAddress(rich.Wallet)
	must(t, err)
	d.transfer(1, owner, chain.Address{0xff}, rich.Balance)
	d.mount()

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
	if _, err := os.ReadFile(d.path("lost")); !errors.Is(err, syscall.EIO) || time.Since(start) > 40*time.Second {
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
	rich := d.storage()
	d.umount()
	owner, err := parseAddress(rich.Wallet)
	must(t, err)
	d.transfer(1, owner, chain.Address{0xff}, rich.Balance)
	d.mount()
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

// restarted mounts the drive as after a restart of the machine, when copies
// are not trusted: the only one of a file is put aside, not removed.
func (d *drive) restarted(t *testing.T) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(d.home, "boot"), []byte("another"), 0o600))
	d.mount()
	shelf, err := filepath.Glob(filepath.Join(d.home, "staging", "lost+found", "*.data*"))
	must(t, err)
	if len(shelf) != 1 {
		t.Fatalf("on the shelf: %q", shelf)
	}
	if got, err := os.ReadFile(shelf[0]); err != nil || string(got) != "on this machine too" {
		t.Errorf("on the shelf: %q, %v", got, err)
	}
	d.umount()
}

// parseAddress reads 0x and 64 hex digits.
func parseAddress(text string) (a chain.Address, err error) {
	b, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	copy(a[:], b)
	return a, err
}
