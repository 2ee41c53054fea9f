package integration

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// processesScript uses files from several processes at once.
const processesScript = "testdata/processes.py"

// TestProcesses locks, appends, maps, runs and talks through files of the
// drive, from several processes: a plain folder is the judge.
func TestProcesses(t *testing.T) {
	t.Parallel()
	needTool(t, "python3")
	d := newDrive(t)
	d.mount()
	reference := t.TempDir()
	want, got := runProcesses(t, reference), runProcesses(t, d.mnt)
	if got != want {
		t.Errorf("got\n%s\nwant, as in a plain folder,\n%s", got, want)
	}
	for _, line := range []string{
		"flock other process EAGAIN EAGAIN", "fcntl deadlock EDEADL", "append 900 900 ", "beyond the end signal 7", "run while written",
		"fifo b'through the fifo'", "removed ENOENT []",
	} {
		if !strings.Contains(want, line) {
			t.Errorf("the script says no %q in a plain folder:\n%s", line, want)
		}
	}
	d.umount()
}

func runProcesses(t *testing.T, dir string) string {
	t.Helper()
	path, err := filepath.Abs(processesScript)
	must(t, err)
	cmd := exec.Command("timeout", "600", "python3", path)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestProcessesAsUser is TestProcesses for an ordinary user.
func TestProcessesAsUser(t *testing.T) {
	t.Parallel()
	asOrdinaryUser(t, "^TestProcesses$")
}
