package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// drive is one walfs drive: a home of its own, a mount point, and the daemon
// that serves it in a process of its own.
type drive struct {
	t    *testing.T
	bin  string
	home string
	mnt  string
	env  []string
	opts []string // of each mount

	daemon *exec.Cmd
	exited chan error
}

// status is what `walfs status --json` is relied on for.
type status struct {
	Mounted        bool     `json:"mounted"`
	DirtyBytes     int64    `json:"dirty_bytes"`
	StagedBytes    int64    `json:"staged_bytes"`
	CertifiedBytes int64    `json:"certified_bytes"`
	StoredBytes    int64    `json:"stored_bytes"`
	PendingJobs    int      `json:"pending_jobs"`
	CacheBytes     int64    `json:"cache_bytes"`
	Nodes          []node   `json:"nodes"`
	Epoch          uint32   `json:"epoch"`
	Balance        uint64   `json:"wal_balance_frost"`
	Blobs          int      `json:"blobs"`
	Problems       []string `json:"problems"`
}

type node struct {
	Name        string `json:"name"`
	State       string `json:"state"`
	Shards      int    `json:"shards"`
	SliverReads int64  `json:"sliver_reads"`

	BadSlivers []string `json:"bad_slivers"`

	Healing       string `json:"healing"`
	Lacking       int    `json:"lacking_blobs"`
	HealedBlobs   int    `json:"healed_blobs"`
	HealedSlivers int    `json:"healed_slivers"`
	HealedBytes   int64  `json:"healed_bytes"`
	HealRead      int64  `json:"heal_read_bytes"`
}

// newDrive prepares an empty home and mount point; nothing runs yet.
func newDrive(t *testing.T) *drive {
	t.Helper()
	return newDriveIn(t, t.TempDir())
}

func newDriveIn(t *testing.T, dir string) *drive {
	t.Helper()
	needFUSE(t)
	d := &drive{t: t, bin: walfsBinary(t), home: filepath.Join(dir, "home"), mnt: filepath.Join(dir, "mnt")}
	if err := os.MkdirAll(d.mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cleanup)
	return d
}

// environ is what walfs runs in: each drive has a machine of its own.
func (d *drive) environ() []string {
	return append(append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(filepath.Dir(d.home), "state")), d.env...)
}

// cleanup ends the daemon, whatever state it is in, and takes the mount away.
func (d *drive) cleanup() {
	if d.t.Failed() {
		log := filepath.Join(filepath.Dir(d.home), "daemon.log")
		d.t.Logf("daemon log:\n%s%s", crash(log), tail(log, 60))
	}
	if d.daemon != nil {
		d.kill()
	}
	for range 5 {
		if !mounted(d.mnt) {
			return
		}
		if os.Geteuid() == 0 {
			_ = syscall.Unmount(d.mnt, syscall.MNT_DETACH)
		} else {
			_ = exec.Command("fusermount3", "-u", "-z", d.mnt).Run()
		}
	}
}

// mount starts the daemon in the foreground and waits until the kernel uses it.
func (d *drive) mount(args ...string) {
	d.t.Helper()
	if err := d.tryMount(args...); err != nil {
		d.t.Fatal(err)
	}
}

func (d *drive) tryMount(args ...string) error {
	if d.daemon != nil {
		return errors.New("daemon runs already")
	}
	log, err := os.OpenFile(filepath.Join(filepath.Dir(d.home), "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	cmd := exec.Command(d.bin, slices.Concat([]string{"--home", d.home, "mount", d.mnt}, d.opts, args)...)
	cmd.Env = d.environ()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			return fmt.Errorf("mount ended at once: %w\n%s", orExit0(err), tail(log.Name(), 20))
		case <-deadline:
			_ = cmd.Process.Kill()
			<-exited
			return fmt.Errorf("no mount within %s\n%s", patience, tail(log.Name(), 20))
		case <-tick.C:
			if answers(d.mnt) && said(log.Name(), before, "mounted") { // the second comes once commands are answered too
				d.daemon, d.exited = cmd, exited
				return nil
			}
		}
	}
}

// said tells whether a text stands in a file behind an offset.
func said(path string, off int64, text string) bool {
	b, err := os.ReadFile(path)
	return err == nil && int64(len(b)) > off && bytes.Contains(b[off:], []byte(text))
}

func orExit0(err error) error {
	if err == nil {
		return errors.New("exit 0")
	}
	return err
}

// umount asks for a clean unmount and waits for the daemon.
func (d *drive) umount() {
	d.t.Helper()
	d.mustRun("umount", d.mnt)
	d.waitExit()
}

// kill ends the daemon with SIGKILL; the mount stays behind, dead.
func (d *drive) kill() {
	if d.daemon == nil {
		return
	}
	_ = d.daemon.Process.Kill()
	<-d.exited
	d.daemon = nil
}

func (d *drive) waitExit() {
	d.t.Helper()
	select {
	case err := <-d.exited:
		d.daemon = nil
		if err != nil {
			d.t.Fatalf("daemon ended with %v", err)
		}
	case <-time.After(patience):
		d.t.Fatalf("daemon still runs after %s", patience)
	}
}

// run runs a walfs command on this drive.
func (d *drive) run(args ...string) (stdout, stderr string, code int) {
	d.t.Helper()
	if slices.Contains(args, "umount") {
		betweenForks(func() {}) // else a child has files of the mount open that this process has closed
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.bin, append([]string{"--home", d.home}, args...)...)
	cmd.Env = d.environ()
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.ExitCode()
	default:
		d.t.Fatalf("walfs %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errb.String(), code
}

func (d *drive) mustRun(args ...string) string {
	d.t.Helper()
	out, errb, code := d.run(args...)
	if code != 0 {
		d.t.Fatalf("walfs %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errb)
	}
	return out
}

func (d *drive) sync() {
	d.t.Helper()
	d.mustRun("sync")
}

func (d *drive) status() status {
	d.t.Helper()
	var s status
	out := d.mustRun("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		d.t.Fatalf("status --json: %v\n%s", err, out)
	}
	return s
}

// sliverReads is the number of slivers that all nodes together have answered.
func (d *drive) sliverReads() int64 {
	d.t.Helper()
	var n int64
	for _, nd := range d.status().Nodes {
		n += nd.SliverReads
	}
	return n
}

// stopNodes takes the first n nodes down that are up, leaving down those that are.
func (d *drive) stopNodes(n int) {
	d.t.Helper()
	down := 0
	for _, nd := range d.status().Nodes {
		if nd.State == "down" {
			down++
		}
	}
	for _, nd := range d.status().Nodes {
		if down >= n {
			return
		}
		if nd.State != "down" {
			d.mustRun("node", "stop", nd.Name)
			down++
		}
	}
}

func (d *drive) startNodes() {
	d.t.Helper()
	for _, nd := range d.status().Nodes {
		if nd.State == "down" {
			d.mustRun("node", "start", nd.Name)
		}
	}
}

// forgetLocal removes the sliver cache and every clean local copy. The drive
// must be unmounted and synced; what is left can only come from the nodes.
func (d *drive) forgetLocal() {
	d.t.Helper()
	if d.daemon != nil {
		d.t.Fatal("forgetLocal on a mounted drive")
	}
	for _, dir := range []string{filepath.Join(d.home, "cache"), filepath.Join(d.home, "staging", "files")} {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			d.t.Fatal(err)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

func (d *drive) path(names ...string) string {
	return filepath.Join(append([]string{d.mnt}, names...)...)
}
