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
	t.Parallel()
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
	t.Parallel()
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
	waitFor(t, "strace to attach to every thread", func() bool { return traced(d.daemon.Process.Pid) })
	work()
	_ = tracer.Process.Signal(os.Interrupt)
	_ = tracer.Wait()
	d.kill()
	staged, logged, err := readTrace(trace, d.home)
	must(t, err)
	return staged, logged
}

// traced reports whether a tracer holds every thread of a process. strace takes
// one after the other, and what a thread calls before its turn is not counted.
func traced(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		return false
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil || strings.Contains(string(status), "TracerPid:\t0\n") {
			return false
		}
	}
	return true
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

// patience is how long a test waits for what has to come, on a machine that does much else.
const patience = 2 * time.Minute

// waitFor polls until ok, and fails the test when its patience ends.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	pause := 5 * time.Millisecond // ok may start a process
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pause) {
		if ok() {
			return
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
	t.Fatalf("waited %s in vain for %s", patience, what)
}
