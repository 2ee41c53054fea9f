package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/fs/commit"
)

// TestPaidOnce kills the daemon between every two steps of the transactions
// that register and certify: built, journalled, executed, told. What it
// stored is there afterwards, each segment was registered and paid for once, and no transaction is open.
func TestPaidOnce(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.bin = walfsBinary(t, "failpoint")
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mount()
	had := d.storage().Balance
	d.umount()
	want := map[string][]byte{}
	for _, step := range []string{"signed", "journalled", "sent", "closed"} {
		for transaction := 1; transaction <= 2; transaction++ { // the one that registers, the one that certifies
			point := fmt.Sprintf("%s:%d", step, transaction)
			d.env = []string{"WALFS_FAILPOINT=" + point}
			err := d.tryMount()
			d.env = nil
			if err != nil {
				if !strings.Contains(err.Error(), "signal: killed") {
					t.Fatal(err)
				}
				continue // what the crash before left behind came to the point at once
			}
			content := bytes.Repeat([]byte(point), 100)
			if err := os.WriteFile(d.path(point), content, 0o600); err == nil { // or it came to the point meanwhile
				want[point] = content
			}
			_ = exec.Command(d.bin, "--home", d.home, "sync").Run() // which ends with the daemon
			select {
			case <-d.exited:
				d.daemon = nil
			case <-time.After(patience):
				t.Fatalf("%s was not reached in time", point)
			}
		}
	}
	d.mount()
	d.sync()
	var s struct {
		Open int `json:"open_transactions"`
	}
	must(t, json.Unmarshal([]byte(d.mustRun("status", "--json")), &s))
	if s.Open != 0 {
		t.Errorf("%d transactions are open", s.Open)
	}
	paid := had - d.storage().Balance
	d.mustRun("cache", "clear")
	for name, content := range want {
		if got, err := os.ReadFile(d.path(name)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	d.umount()
	d.checkRegistrations()
	segments := len(d.query(filepath.Join(d.home, "index.db"), "SELECT number FROM segments"))
	prices := chain.State{StoragePrice: localnet.DefaultStoragePrice, WritePrice: localnet.DefaultWritePrice}
	if cost := uint64(segments) * prices.RegisterPrice(1, commit.DefaultEpochs); paid != cost { // each fits one unit
		t.Errorf("paid %d FROST for %d segments, want %d", paid, segments, cost)
	}
	if segments < 4 {
		t.Errorf("%d segments only", segments)
	}
}
