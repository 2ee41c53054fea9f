package integration

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// Sizes of the workloads of TestBenchMount.
const (
	mountBytes  = 256 << 20 // of the file that is written and read
	mountFiles  = 10_000    // small files, of 4 KiB each
	mountSaves  = 300       // saves with fsync and rename
	mountRandom = 8192      // reads of 4 KiB
)

// TestBenchMount runs the same workloads on a plain folder, on go-fuse's
// loopback example, on a drive with and without kernel passthrough, and on
// gocryptfs and rclone mount where they are installed: interleaved, each in
// folders of its own, and prints one table of medians. It asserts no time.
// `make bench-mount` runs it.
func TestBenchMount(t *testing.T) {
	if os.Getenv("WALFS_BENCH") == "" {
		t.Skip("a benchmark: run it with `make bench-mount`")
	}
	needTool(t, "rsync")
	b := &mountBench{bench: bench{t: t, dir: t.TempDir(), runs: 3}, times: map[string]map[string][]time.Duration{}}
	t.Logf("%s, %d cores, %s", cpuModel(), runtime.NumCPU(), kernel())
	if n, err := strconv.Atoi(os.Getenv("WALFS_BENCH_RUNS")); err == nil {
		b.runs = n
	}
	b.source = goSource(t)
	b.addTargets()
	for round := range b.runs {
		for _, w := range b.workloads() {
			for _, target := range b.targets {
				b.run(round, w, target)
			}
		}
	}
	b.table()
}

// benchTarget is a folder that the workloads run in.
type benchTarget struct {
	name string
	dir  string
	rest func() // waits until what is done in the background is done; may be nil
}

// mountBench gathers how long each workload took on each target.
type mountBench struct {
	bench
	source  string // of rsync
	targets []benchTarget
	times   map[string]map[string][]time.Duration // by workload and target
}

// workload is one row of the table. Its folder stays for those that follow.
type workload struct {
	name   string
	cold   bool // the kernel's caches are dropped before
	wanted string
	run    func(dir string) error
}

func (b *mountBench) workloads() []workload {
	return []workload{
		{name: "write 256 MiB, blocks of 1 MiB", wanted: ">= 0.9 x loopback", run: func(d string) error { return writeBlocks(d+"/big", 1<<20) }},
		{name: "write 256 MiB, blocks of 4 KiB", wanted: ">= 0.9 x disk", run: func(d string) error { return writeBlocks(d+"/small", 4096) }},
		{name: "read it, cold page cache", cold: true, wanted: "disk", run: func(d string) error { return readBlocks(d + "/big") }},
		{name: "read it, warm", wanted: ">= 0.9 x disk", run: func(d string) error { return readBlocks(d + "/big") }},
		{name: "8,192 random reads of 4 KiB, cold", cold: true, wanted: ">= 0.9 x disk", run: func(d string) error { return readRandom(d + "/small") }},
		{name: "the same, warm", wanted: ">= 0.9 x disk", run: func(d string) error { return readRandom(d + "/small") }},
		{name: "create 10,000 files of 4 KiB", wanted: ">= loopback", run: createFiles},
		{name: "ls -lR of them, cold", cold: true, wanted: "<= loopback", run: command("ls -lR %s/files > /dev/null")},
		{name: "ls -lR of them, warm", wanted: "disk", run: command("ls -lR %s/files > /dev/null")},
		{name: "read all of them, cold", cold: true, wanted: "", run: command("cat %s/files/*/* > /dev/null")},
		{name: "300 saves: write, fsync, rename", wanted: "<= 1.3 x disk", run: saveFiles},
		{name: "rsync -a of the Go tree", wanted: "<= 0.7 x loopback", run: command("rsync -a " + b.source + "/ %s/tree/")},
		{name: "rsync -a of it again", wanted: "<= 2 x disk", run: command("rsync -a " + b.source + "/ %s/tree/")},
		{name: "rm -rf of the 10,000 and the tree", wanted: "<= loopback", run: command("rm -rf %[1]s/files %[1]s/tree")},
	}
}

// run runs one workload on one target, in the target's folder for the round.
func (b *mountBench) run(round int, w workload, target benchTarget) {
	b.t.Helper()
	dir := filepath.Join(target.dir, fmt.Sprint("round-", round))
	must(b.t, os.MkdirAll(dir, 0o755))
	if target.rest != nil {
		target.rest()
	}
	syscall.Sync()
	if w.cold {
		dropCaches(b.t)
	}
	start := time.Now()
	if err := w.run(dir); err != nil {
		b.t.Errorf("%s on %s: %v", w.name, target.name, err)
		return
	}
	took := time.Since(start)
	b.t.Logf("%s on %s: %.2f s", w.name, target.name, took.Seconds())
	if b.times[w.name] == nil {
		b.times[w.name] = map[string][]time.Duration{}
	}
	b.times[w.name][target.name] = append(b.times[w.name][target.name], took)
}

// table prints, for each workload, the seconds on the plain folder and how
// many times that it took elsewhere.
func (b *mountBench) table() {
	w := tabwriter.NewWriter(os.Stdout, 2, 4, 2, ' ', 0)
	fmt.Fprint(w, "workload\tdisk, s")
	for _, target := range b.targets[1:] {
		fmt.Fprintf(w, "\t%s", target.name)
	}
	fmt.Fprintln(w, "\twanted of speed")
	for _, row := range b.workloads() {
		plain := b.median(row.name, b.targets[0].name)
		fmt.Fprintf(w, "%s\t%.2f", row.name, plain)
		for _, target := range b.targets[1:] {
			fmt.Fprintf(w, "\t%.2f", b.median(row.name, target.name)/plain)
		}
		fmt.Fprintf(w, "\t%s\n", row.wanted)
	}
	fmt.Fprintln(w, "times the disk's time; medians of interleaved runs")
	_ = w.Flush()
}

func (b *mountBench) median(row, target string) float64 {
	times := b.times[row][target]
	if len(times) == 0 {
		return 0
	}
	return median(times).Seconds()
}

// addTargets mounts what there is to compare.
func (b *mountBench) addTargets() {
	plain := filepath.Join(b.dir, "plain")
	must(b.t, os.Mkdir(plain, 0o755))
	b.targets = append(b.targets, benchTarget{name: "disk", dir: plain}, benchTarget{name: "loopback", dir: b.loopback()})
	b.drive("walfs")
	b.drive("walfs, no passthrough", "-o", "passthrough=off")
	b.gocryptfs()
	b.rclone()
}

func (b *mountBench) drive(name string, args ...string) {
	d := newDriveIn(b.t, filepath.Join(b.dir, strings.NewReplacer(", ", "-", " ", "-").Replace(name)))
	d.mount(args...)
	b.targets = append(b.targets, benchTarget{name: name, dir: d.path(), rest: d.sync})
}

func (b *mountBench) gocryptfs() {
	if _, err := exec.LookPath("gocryptfs"); err != nil {
		b.t.Log("gocryptfs is not installed")
		return
	}
	mnt, back := b.folders("gocryptfs")
	shell(b.t, "gocryptfs -q -init -extpass 'echo a password' %s", back)
	b.peer("gocryptfs", mnt, "gocryptfs", "-q", "-fg", "-extpass", "echo a password", back, mnt)
}

func (b *mountBench) rclone() {
	if _, err := exec.LookPath("rclone"); err != nil {
		b.t.Log("rclone is not installed")
		return
	}
	mnt, back := b.folders("rclone")
	b.peer("rclone", mnt, "rclone", "mount", "--config", "", "--vfs-cache-mode", "full", "--cache-dir", filepath.Join(b.dir, "rclone-cache"), back, mnt)
}

func (b *mountBench) folders(name string) (mnt, back string) {
	mnt, back = filepath.Join(b.dir, name), filepath.Join(b.dir, name+"-back")
	must(b.t, os.Mkdir(mnt, 0o755))
	must(b.t, os.Mkdir(back, 0o755))
	return mnt, back
}

// peer mounts somebody else's file system, which stays in the foreground.
func (b *mountBench) peer(name, mnt string, argv ...string) {
	cmd := exec.Command(argv[0], argv[1:]...)
	must(b.t, cmd.Start())
	b.t.Cleanup(func() {
		_, _ = shellErr("umount %s || umount -l %s", mnt, mnt)
		_ = cmd.Wait()
	})
	waitFor(b.t, "the mount of "+name, func() bool { return mounted(mnt) })
	b.targets = append(b.targets, benchTarget{name: name, dir: mnt})
}

func command(format string) func(string) error {
	return func(dir string) error {
		_, err := shellErr(format, dir)
		return err
	}
}

func writeBlocks(path string, block int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644) // as cp, dd and rsync do
	if err != nil {
		return err
	}
	p := make([]byte, block)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(p)
	for i := range mountBytes / block {
		p[0], p[1], p[2] = byte(i), byte(i>>8), byte(i>>16) // no two blocks are equal
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

func readBlocks(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	if err == nil && n != mountBytes {
		err = fmt.Errorf("%d bytes read", n)
	}
	return err
}

func readRandom(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	p, random := make([]byte, 4096), rand.New(rand.NewPCG(1, 2))
	for range mountRandom {
		if _, err := f.ReadAt(p, random.Int64N(mountBytes/4096)*4096); err != nil {
			return err
		}
	}
	return nil
}

func createFiles(dir string) error {
	p := make([]byte, 4096)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(p)
	for i := range mountFiles {
		if i%100 == 0 {
			if err := os.MkdirAll(fmt.Sprintf("%s/files/%03d", dir, i/100), 0o755); err != nil {
				return err
			}
		}
		p[0], p[1] = byte(i), byte(i>>8)
		if err := os.WriteFile(fmt.Sprintf("%s/files/%03d/file %02d", dir, i/100, i%100), p, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func saveFiles(dir string) error {
	p := make([]byte, 16<<10)
	for i := range mountSaves {
		p[0], p[1] = byte(i), byte(i>>8)
		if err := saveFile(dir, p); err != nil {
			return err
		}
	}
	return nil
}

func saveFile(dir string, p []byte) error {
	f, err := os.Create(dir + "/document.new")
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(dir+"/document.new", dir+"/document")
}
