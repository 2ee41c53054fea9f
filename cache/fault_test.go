package cache_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cache"
)

// helperVar names, in the environment of a child, what it is to do.
const helperVar = "WALFS_CACHE_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(helperVar) {
	case "":
		os.Exit(m.Run())
	case "writer":
		os.Exit(writeForEver(os.Args[1]))
	case "full":
		os.Exit(fillTmpfs(os.Args[1]))
	}
	os.Exit(2)
}

// helper returns the command that runs this test program as a child.
func helper(t *testing.T, what string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), helperVar+"="+what)
	cmd.Stderr = os.Stderr
	return cmd
}

// The killed writer's slivers are long, so that most of its time goes into
// writing; 40 of them are more than its budget.
const (
	bigSliver = 2 << 20
	bigCount  = 40
	bigBudget = 60 << 20
)

// bigSlivers returns a function that makes the i-th of them in one buffer.
func bigSlivers() func(i int) []byte {
	b := sliver(0, bigSliver)
	return func(i int) []byte {
		b[0], b[len(b)-1] = byte(i), byte(i)
		return b
	}
}

// writeForEver stores slivers until it is killed and counts aloud.
func writeForEver(dir string) int {
	c, err := cache.Open(cache.Config{Dir: dir, Budget: bigBudget, MinFree: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	big := bigSlivers()
	for i := 0; ; i++ {
		if err := c.Put(context.Background(), sliverID(i%bigCount), big(i%bigCount)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(i)
	}
}

// TestKilledWriter kills a process in the middle of its writes: the next one
// finds whole slivers or none.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	halves := 0
	for round := range 6 {
		killWriter(t, dir, 25+3*round)
		for path := range files(t, dir) {
			if strings.HasPrefix(filepath.Base(path), "tmp-") {
				halves++
			}
		}
	}
	if halves == 0 {
		t.Error("no kill met a write, so nothing was tried")
	}
	c := open(t, cache.Config{Dir: dir, Budget: bigBudget})
	big := bigSlivers()
	found := 0
	for i := range bigCount {
		if !c.Has(sliverID(i)) {
			continue
		}
		found++
		if got, err := c.Get(t.Context(), sliverID(i), noFill(t)); err != nil || !bytes.Equal(got, big(i)) {
			t.Errorf("sliver %d: %v", i, err)
		}
	}
	if found < 20 || c.Stats().Corrupt != 0 {
		t.Errorf("%d slivers survived, stats %+v", found, c.Stats())
	}
	for path := range files(t, dir) {
		if strings.HasPrefix(filepath.Base(path), "tmp-") {
			t.Errorf("%s is left after Open", path)
		}
	}
}

// killWriter lets a writer store some slivers and kills it in the next one.
func killWriter(t *testing.T, dir string, slivers int) {
	t.Helper()
	cmd := helper(t, "writer", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; n < slivers && lines.Scan(); n++ {
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the child
	waitFor(t, "a write to be under way", func() bool {
		freeze(t, cmd.Process) // else it may be done before the kill
		half, _ := filepath.Glob(filepath.Join(dir, "*", "tmp-*"))
		if len(half) > 0 {
			return true
		}
		if err := cmd.Process.Signal(unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		return false
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// freeze stops a child. It returns when none of its threads runs any more.
func freeze(t *testing.T, child *os.Process) {
	t.Helper()
	if err := child.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(child.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the child is not stopped but %#x, %v", uint32(status), err)
	}
}

// fillTmpfs uses a cache with a large budget on a file system of 1 MiB.
func fillTmpfs(dir string) int {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		fmt.Println("skip: mount tmpfs:", err)
		return 0
	}
	var log bytes.Buffer
	c, err := cache.Open(cache.Config{Dir: dir, Budget: 1 << 30, MinFree: -1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var calls atomic.Int64
	for i := range 40 {
		want := sliver(i, 100000)
		got, err := c.Get(context.Background(), sliverID(i), filler(want, &calls))
		if err != nil || !bytes.Equal(got, want) {
			fmt.Println("Get on a full disk:", err)
			return 1
		}
		if err := c.Put(context.Background(), sliverID(100+i), want); err != nil {
			fmt.Println("Put on a full disk:", err)
			return 1
		}
	}
	if err := c.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", "tmp-*"))
	if len(left) > 0 || c.Used() < 300000 || c.Used() > 1<<20 || !strings.Contains(log.String(), "no space left") {
		fmt.Println("leftovers", left, "used", c.Used(), "log", log.String())
		return 1
	}
	return 0
}

func TestFullDisk(t *testing.T) {
	cmd := helper(t, "full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs the right to make a mount namespace")
	}
	if strings.HasPrefix(string(out), "skip") {
		t.Skip(string(out))
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFloorOfFreeSpace(t *testing.T) {
	dir := t.TempDir()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	c := open(t, cache.Config{Dir: dir, Budget: 10 * block})
	for i := range 10 {
		put(t, c, i, 100)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// A floor of everything that the disk has is a disk that is too full.
	floor := int64(st.Blocks) * int64(st.Bsize)
	c = open(t, cache.Config{Dir: dir, Budget: 10 * block, MinFree: floor})
	var calls atomic.Int64
	if _, err := c.Get(t.Context(), sliverID(50), filler(sliver(50, 100), &calls)); err != nil {
		t.Errorf("Get below the floor: %v", err)
	}
	if err := c.Put(t.Context(), sliverID(51), sliver(51, 100)); err != nil {
		t.Errorf("Put below the floor: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c.Has(sliverID(50)) || c.Has(sliverID(51)) || c.Used() != 0 {
		t.Errorf("below the floor: added %v %v, %d bytes have not given way", c.Has(sliverID(50)), c.Has(sliverID(51)), c.Used())
	}
}

// TestBrokenFolder puts a file where the cache needs a folder: Get works on,
// Put says so, and nothing is counted.
func TestBrokenFolder(t *testing.T) {
	dir := t.TempDir()
	id := sliverID(7)
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%x", id.Blob[:1])), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	var calls atomic.Int64
	if got, err := c.Get(t.Context(), id, filler([]byte("x"), &calls)); err != nil || string(got) != "x" {
		t.Errorf("Get: %q, %v", got, err)
	}
	waitFor(t, "the failed write", func() bool { return c.Used() == 0 })
	if err := c.Put(t.Context(), id, []byte("x")); err == nil {
		t.Error("Put into a broken folder said nothing")
	}
	if c.Used() != 0 || c.Has(id) {
		t.Errorf("used %d, has %v", c.Used(), c.Has(id))
	}
}

// TestLinksAreNotFollowed plants a link in place of a folder.
func TestLinksAreNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	id := sliverID(7)
	if err := os.Symlink(outside, filepath.Join(dir, fmt.Sprintf("%x", id.Blob[:1]))); err != nil {
		t.Fatal(err)
	}
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	if err := c.Put(t.Context(), id, []byte("x")); err == nil || len(files(t, outside)) > 0 {
		t.Errorf("Put through a planted link: %v, files %v", err, files(t, outside))
	}
}

// TestNoDescriptors runs out of file descriptors: the sliver is read from its
// node and its good file stays.
func TestNoDescriptors(t *testing.T) {
	dir := t.TempDir()
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	put(t, c, 1, 1000)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	highest := 0
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			highest = max(highest, n)
		}
	}
	var held []*os.File // fill the gaps below the limit
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(highest + 1), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		held = append(held, f)
	}
	var calls atomic.Int64
	want := sliver(1, 1000)
	got, err := c.Get(t.Context(), sliverID(1), filler(want, &calls))
	for _, f := range held {
		f.Close()
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err != nil || !bytes.Equal(got, want) || calls.Load() != 1 {
		t.Errorf("Get without descriptors: %v, %d fills", err, calls.Load())
	}
	if got, err := c.Get(t.Context(), sliverID(1), noFill(t)); err != nil || !bytes.Equal(got, want) || c.Stats().Corrupt != 0 {
		t.Errorf("Get with descriptors again: %v, stats %+v", err, c.Stats())
	}
}
