package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFsyncIsHonest counts system calls of the daemon: one fsync of a client is
// at least one fdatasync of staging and one sync of the index's log. The same
// count on a build without its syncs must find them missing, or it proves nothing.
func TestFsyncIsHonest(t *testing.T) {
	needFUSE(t)
	needTool(t, "strace")
	const calls = 20
	if err := countSyncs(t, walfsBinary(t), calls); err != nil {
		t.Error(err)
	}
	if err := countSyncs(t, walfsBinary(t, "nofsync"), calls); err == nil {
		t.Error("the build without fsync passes the same count: the test cannot fail")
	} else {
		t.Logf("without fsync, as it must be: %v", err)
	}
}

// TestReplacingIsSynced replaces files by symbolic links: what was there goes
// for good, so the index has to have it on the disk before.
func TestReplacingIsSynced(t *testing.T) {
	needFUSE(t)
	needTool(t, "strace")
	const calls = 20
	d := newDrive(t)
	d.mount()
	for i := range calls {
		must(t, os.WriteFile(d.path(fmt.Sprint("file", i)), []byte("safe"), 0o644))
		must(t, os.Symlink("elsewhere", d.path(fmt.Sprint("link", i))))
	}
	_, logged := traceSyncs(t, d, func() {
		for i := range calls {
			must(t, os.Rename(d.path(fmt.Sprint("link", i)), d.path(fmt.Sprint("file", i))))
		}
	})
	if logged < calls {
		t.Errorf("%d files were replaced with %d syncs of the index", calls, logged)
	}
}

// countSyncs mounts under strace, lets a client fsync calls times, one after
// the other, and reports what was synced too rarely.
func countSyncs(t *testing.T, bin string, calls int) error {
	t.Helper()
	d := newDrive(t)
	d.bin = bin
	d.mount()
	f, err := os.Create(d.path("file"))
	must(t, err)
	block := make([]byte, 4096)
	staged, logged := traceSyncs(t, d, func() {
		for i := range calls {
			block[0] = byte(i)
			_, err := f.WriteAt(block, int64(i)*4096)
			must(t, err)
			must(t, f.Sync())
		}
		must(t, f.Close())
	})
	t.Logf("%d client fsyncs: %d syncs of staging, %d of the index", calls, staged, logged)
	if staged < calls || logged < calls {
		return fmt.Errorf("%d client fsyncs gave %d syncs of staging and %d of the index", calls, staged, logged)
	}
	return nil
}

// traceSyncs counts the daemon's syncs of staging files and of the index while
// work runs, and kills the daemon.
func traceSyncs(t *testing.T, d *drive, work func()) (staged, logged int) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	tracer := exec.Command("strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", trace, "-p", fmt.Sprint(d.daemon.Process.Pid))
	must(t, tracer.Start())
	waitFor(t, 20*time.Second, "strace to attach", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.daemon.Process.Pid))
		return err == nil && !strings.Contains(string(status), "TracerPid:\t0\n")
	})
	work()
	_ = tracer.Process.Signal(os.Interrupt)
	_ = tracer.Wait()
	d.kill()
	staged, logged, err := readTrace(trace, d.home)
	must(t, err)
	return staged, logged
}

// readTrace counts the syncs of staging files and of the index's log.
func readTrace(path, home string) (staged, logged int, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		switch {
		case strings.Contains(line, "resumed>"): // the second half of a call already counted
		case strings.Contains(line, filepath.Join(home, "staging", "files")) && strings.Contains(line, ".data"):
			staged++
		case strings.Contains(line, filepath.Join(home, "index.db")):
			logged++
		}
	}
	return staged, logged, nil
}

// waitFor polls until ok, and fails the test after limit.
func waitFor(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited %s in vain for %s", limit, what)
}
