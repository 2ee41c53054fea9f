package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// walfs returns the command in a process of its own: this test binary under another name.
func walfs(t *testing.T, home string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = append([]string{"walfs", "--home", home}, args...)
	return cmd
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args[1:], err, out)
	}
	return string(out)
}

// balance asks a drive what its wallet holds.
func balance(t *testing.T, home string) uint64 {
	t.Helper()
	var s status
	if err := json.Unmarshal([]byte(output(t, walfs(t, home, "status", "--json"))), &s); err != nil {
		t.Fatal(err)
	}
	return s.Balance
}

// TestInitAfterCrash kills init at different moments. Running it again makes a whole
// drive, and the faucet and the anchor are paid once.
func TestInitAfterCrash(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "home")
	start := time.Now()
	output(t, walfs(t, whole, "init"))
	took := time.Since(start)
	want := balance(t, whole)
	const moments = 8
	for i := range moments {
		h := home{dir: filepath.Join(t.TempDir(), "home"), given: true}
		crashed := walfs(t, h.dir, "init")
		if err := crashed.Start(); err != nil {
			t.Fatal(err)
		}
		moment := took * time.Duration(i+1) / (moments + 1)
		killed := time.AfterFunc(moment, func() { _ = crashed.Process.Kill() })
		_ = crashed.Wait() // killed, or done before
		killed.Stop()
		if !h.exists() || h.begun() {
			output(t, walfs(t, h.dir, "init"))
		}
		if got := balance(t, h.dir); got != want {
			t.Errorf("killed after %s: the wallet holds %d FROST, want %d", moment, got, want)
		}
	}
}

// TestInitGoesOn begins init again from a journal and some of the files.
func TestInitGoesOn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "home")
	a := newApp(os.Stdout, os.Stderr)
	h := home{dir: dir, given: true}
	if err := h.make(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b, err := beginBirth(h, config{}, initOptions{})
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := a.recipients(ctx, h, config{}, initOptions{})
	if err != nil {
		t.Fatal(err)
	}
	k, err := a.makeKeys(ctx, h, config{}, recipients, b)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // and here it is interrupted
	if _, err := a.openDrive(t.Context(), h, a.Logger()); err == nil {
		t.Fatal("half a drive was opened")
	}
	made, err := a.initDrive(t.Context(), h, initOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.openDrive(t.Context(), h, a.Logger())
	if err != nil {
		t.Fatal(err)
	}
	if d.about.ID != b.Drive || d.keys.wallet.Address() != k.wallet.Address() {
		t.Errorf("drive %x with wallet %s, want the ones that were begun: %x, %s", d.about.ID, d.keys.wallet.Address(), b.Drive, k.wallet.Address())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if made.Identity == "" || unix.Access(made.Identity, unix.R_OK) != nil {
		t.Errorf("identity %q is not there", made.Identity)
	}
}
