package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestUmountElsewhere unmounts a drive that a mount namespace of somebody else still has, as a
// container does: umount waits, and says for whom. No other test runs meanwhile: the namespace
// has all mounts that there are.
func TestUmountElsewhere(t *testing.T) {
	needTool(t, "unshare")
	d := newDrive(t)
	if os.Geteuid() != 0 {
		t.Skip("only root makes mount namespaces of its own")
	}
	d.mount()
	holder := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo here; exec sleep 600")
	said, err := holder.StdoutPipe()
	must(t, err)
	must(t, holder.Start())
	ended := make(chan bool)
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	_, err = said.Read(make([]byte, 10)) // it has its namespace
	must(t, err)
	out, err := os.CreateTemp(t.TempDir(), "said")
	must(t, err)
	defer out.Close()
	umount := exec.Command(d.bin, "--home", d.home, "umount")
	umount.Env, umount.Stderr = d.environ(), out
	must(t, umount.Start())
	go func() {
		defer close(ended)
		if err := umount.Wait(); err != nil {
			t.Errorf("umount: %v", err)
		}
	}()
	want := fmt.Sprintf("process %d (sleep) has the drive mounted at %s", holder.Process.Pid, d.mnt)
	waitFor(t, "umount to say what it waits for", func() bool {
		text, err := os.ReadFile(out.Name())
		must(t, err)
		return strings.Contains(string(text), want)
	})
	select {
	case <-ended:
		t.Error("it did not wait")
	default:
	}
	must(t, holder.Process.Kill())
	<-ended
	d.waitExit()
	if text, err := os.ReadFile(out.Name()); err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("umount said %q, %v", text, err)
	}
}
