package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestCopyWhileWriting takes copies of the network folder with cp at random moments while
// the drive writes, and restores each: to some generation, in which every file is whole, and no older
// than what was certified before the copy began, unless the report says what is missing.
func TestCopyWhileWriting(t *testing.T) {
	t.Parallel()
	rounds := 2
	if soak() {
		rounds = 50
	}
	rng := seeded(t)
	d := newDrive(t)
	d.mount()
	must(t, os.Mkdir(d.path(folder), 0o755))
	certified := 0 // newest version of all files that a sync has returned for
	writeAll := func(version int) error {
		for i := range 8 {
			if err := saveVersion(d.path(folder), fmt.Sprintf("saved-%d", i), version); err != nil {
				return err
			}
		}
		return nil
	}
	must(t, writeAll(1))
	d.sync()
	certified = 1
	version := 1
	for round := range rounds {
		dir, err := os.MkdirTemp(filepath.Dir(d.home), "copied-")
		must(t, err)
		var stopping atomic.Bool
		done := make(chan error, 1)
		before := certified
		go func() {
			for !stopping.Load() {
				version++
				if err := writeAll(version); err != nil {
					done <- err
					return
				}
				if err := exec.Command(d.bin, "--home", d.home, "sync").Run(); err != nil {
					done <- fmt.Errorf("sync: %w", err)
					return
				}
				certified = version
			}
			done <- nil
		}()
		time.Sleep(time.Duration(rng.Int64N(int64(700 * time.Millisecond)))) // the copy begins at a moment that nothing announces
		network := filepath.Join(dir, "network")
		out, cerr := exec.Command("cp", "-a", filepath.Join(d.home, "network"), network).CombinedOutput()
		stopping.Store(true)
		must(t, <-done)
		if cerr != nil && !strings.Contains(string(out), "No such file") { // what is renamed meanwhile
			t.Fatalf("cp: %v: %s", cerr, out)
		}
		d.checkLiveCopy(fmt.Sprintf("round %d", round), dir, network, before, version)
		must(t, os.RemoveAll(dir))
	}
	d.umount()
}

// checkLiveCopy restores a copy of the network that was taken while the drive wrote.
func (d *drive) checkLiveCopy(what, dir, network string, before, newest int) {
	d.t.Helper()
	r := newDriveIn(d.t, dir)
	r.bin, r.env = d.bin, append(r.env, "XDG_STATE_HOME="+dir) // this is another machine
	out, stderr, code := r.run("restore", "--take-over", "--network", network, "--key-file", filepath.Join(d.home, "key.age"),
		"--identity", filepath.Join(d.home, "identity.txt"), "--wallet", filepath.Join(d.home, "wallet.age"))
	partial := code == 3
	if code != 0 && !partial {
		d.t.Fatalf("%s: restore ends with %d: %s%s", what, code, out, stderr)
	}
	d.t.Logf("%s: %s%s", what, out, stderr)
	r.mount()
	for i := range 8 {
		name := fmt.Sprintf("saved-%d", i)
		body, err := os.ReadFile(r.path(folder, name))
		if err != nil {
			d.t.Fatalf("%s: %v", what, err)
		}
		version, err := wholeVersion(name, body)
		if err != nil {
			d.t.Fatalf("%s: %v", what, err)
		}
		if version > newest || version < before && !partial {
			d.t.Errorf("%s: %s is version %d; all were certified in %d, and %d was begun", what, name, version, before, newest)
		}
	}
	r.umount()
	out, stderr, _ = r.run("check")
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "damage") && !strings.Contains(line, " nodes ") { // those are filled again
			d.t.Errorf("%s: check: %s%s", what, line, stderr)
		}
	}
}
