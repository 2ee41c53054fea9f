package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// TestBenchTable measures a mounted drive against a plain folder, and rsync
// against go-fuse's loopback example, interleaved in one run, and prints one
// table. It asserts no time. `make bench` runs it.
func TestBenchTable(t *testing.T) {
	if os.Getenv("WALFS_BENCH") == "" {
		t.Skip("a benchmark: run it with `make bench`")
	}
	needTool(t, "rsync", "strace")
	b := &bench{t: t, dir: t.TempDir(), runs: 3}
	b.row("machine", "%s, %d cores, %s", cpuModel(), runtime.NumCPU(), kernel())
	b.sequential()
	b.rsync()
	b.syncsPerByte()
	b.print()
}

// bench gathers the rows of the table.
type bench struct {
	t    *testing.T
	dir  string
	runs int
	rows [][2]string
}

func (b *bench) row(name, format string, args ...any) {
	b.rows = append(b.rows, [2]string{name, fmt.Sprintf(format, args...)})
	b.t.Logf("%s: %s", name, fmt.Sprintf(format, args...))
}

func (b *bench) print() {
	w := tabwriter.NewWriter(os.Stdout, 2, 4, 2, ' ', 0)
	for _, r := range b.rows {
		fmt.Fprintf(w, "%s\t%s\n", r[0], r[1])
	}
	_ = w.Flush()
}

// timed runs a shell line and returns how long it took.
func (b *bench) timed(format string, args ...any) time.Duration {
	b.t.Helper()
	syscall.Sync()
	start := time.Now()
	shell(b.t, format, args...)
	return time.Since(start)
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// sequential writes 1 GiB, drains it, and reads it back cold.
func (b *bench) sequential() {
	t := b.t
	const size = 1 << 30
	src := filepath.Join(b.dir, "random")
	writeRandom(t, src, size, 1)
	plain := filepath.Join(b.dir, "plain")
	must(t, os.Mkdir(plain, 0o755))
	d := newDriveIn(t, filepath.Join(b.dir, "seq"))
	d.mount()
	var disk, walfs, drain, whole []time.Duration
	for i := range b.runs {
		disk = append(disk, b.timed("dd if=%s of=%s bs=1M status=none", src, filepath.Join(plain, "copy")))
		must(t, os.Remove(filepath.Join(plain, "copy")))
		start := time.Now()
		walfs = append(walfs, b.timed("dd if=%s of=%s bs=1M status=none", src, d.path(fmt.Sprintf("copy-%d", i))))
		closed := time.Now()
		d.sync()
		drain, whole = append(drain, time.Since(closed)), append(whole, time.Since(start))
	}
	mbps := func(d time.Duration) float64 { return size / 1e6 / d.Seconds() }
	b.row("write 1 GiB, 1 MiB blocks, incl. close", "plain %.0f MB/s, walfs %.0f MB/s, ratio %.2f (wanted 0.5)",
		mbps(median(disk)), mbps(median(walfs)), median(disk).Seconds()/median(walfs).Seconds())
	b.row("drain of that GiB, n = 100", "%.0f MB/s after close, %.0f MB/s from the first write (wanted 40)", mbps(median(drain)), mbps(median(whole)))
	s := d.status()
	b.row("stored per byte", "%.2f", float64(s.StoredBytes)/float64(b.runs*size))
	b.row("peak memory of the daemon", "%d MiB (wanted at most 600)", d.peakMiB())
	b.cold(d, size)
	d.umount()
}

// cold reads one file back with nothing local, from nodes and then from the cache.
func (b *bench) cold(d *drive, size int64) {
	d.umount()
	d.forgetLocal()
	d.mount()
	dropCaches(b.t)
	cold := b.timed("cat %s > /dev/null", d.path("copy-0"))
	d.umount()
	d.mount()
	dropCaches(b.t)
	warm := b.timed("cat %s > /dev/null", d.path("copy-0"))
	b.row("read 1 GiB back", "from nodes %.0f MB/s, from the sliver cache %.0f MB/s",
		float64(size)/1e6/cold.Seconds(), float64(size)/1e6/warm.Seconds())
	b.row("peak memory while reading", "%d MiB", d.peakMiB())
}

func dropCaches(t *testing.T) {
	syscall.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		t.Logf("page cache not dropped: %v", err)
	}
}

// peakMiB is the daemon's largest resident size so far.
func (d *drive) peakMiB() int { return d.memoryMiB("VmHWM:") }

// rsync copies the Go source tree to a plain folder, to go-fuse's loopback and
// to walfs, and then again to see that nothing moves.
func (b *bench) rsync() {
	t := b.t
	src := goSource(t)
	loop := b.loopback()
	d := newDriveIn(t, filepath.Join(b.dir, "rsync"))
	d.mount()
	plain := filepath.Join(b.dir, "plain")
	var onPlain, onLoop, onWalfs, again []time.Duration
	for i := range b.runs {
		name := fmt.Sprintf("tree-%d", i)
		onPlain = append(onPlain, b.timed("rsync -a %s/ %s/", src, filepath.Join(plain, name)))
		onLoop = append(onLoop, b.timed("rsync -a %s/ %s/", src, filepath.Join(loop, name)))
		onWalfs = append(onWalfs, b.timed("rsync -a %s/ %s/", src, d.path(name)))
		start := time.Now()
		moved := shell(t, "rsync -a --stats %s/ %s/ | grep 'Number of regular files transferred'", src, d.path(name))
		again = append(again, time.Since(start))
		if !strings.HasSuffix(strings.TrimSpace(moved), " 0") {
			t.Errorf("second rsync: %s", moved)
		}
	}
	b.row("rsync -a of the Go tree", "plain %.1f s, loopback %.1f s, walfs %.1f s: %.2f of loopback (wanted at most 3)",
		median(onPlain).Seconds(), median(onLoop).Seconds(), median(onWalfs).Seconds(), median(onWalfs).Seconds()/median(onLoop).Seconds())
	b.row("second rsync", "0 files transferred, %.1f s", median(again).Seconds())
	start := time.Now()
	d.sync()
	b.row("drain of what is left of three trees", "%.1f s", time.Since(start).Seconds())
	b.row("peak memory of the daemon, small files", "%d MiB", d.peakMiB())
	d.umount()
}

// loopback builds and mounts go-fuse's loopback example over a plain folder.
func (b *bench) loopback() string {
	t := b.t
	bin, mnt, back := filepath.Join(b.dir, "loopback"), filepath.Join(b.dir, "loop"), filepath.Join(b.dir, "loop-back")
	shell(t, "go build -o %s github.com/hanwen/go-fuse/v2/example/loopback", bin)
	must(t, os.Mkdir(mnt, 0o755))
	must(t, os.Mkdir(back, 0o755))
	cmd := exec.Command(bin, mnt, back)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_, _ = shellErr("umount %s || umount -l %s", mnt, mnt)
		_ = cmd.Wait()
	})
	waitFor(t, "the loopback mount", func() bool { return mounted(mnt) })
	return mnt
}

// syncsPerByte counts what storing 256 MiB makes the daemon write and sync.
func (b *bench) syncsPerByte() {
	t := b.t
	const mib = 256
	d := newDriveIn(t, filepath.Join(b.dir, "count"))
	d.mount()
	trace := filepath.Join(b.dir, "syncs")
	tracer := exec.Command("strace", "-f", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", trace, "-p", fmt.Sprint(d.daemon.Process.Pid))
	must(t, tracer.Start())
	before := d.writtenBytes()
	writeRandom(t, d.path("file"), mib<<20, 3)
	d.sync()
	written := d.writtenBytes() - before
	_ = tracer.Process.Signal(os.Interrupt)
	_ = tracer.Wait()
	out, err := os.ReadFile(trace)
	must(t, err)
	syncs := 0
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "sync(") && !strings.Contains(line, "resumed>") {
			syncs++
		}
	}
	b.row("cost of storing 1 MiB", "%.2f MiB written by the daemon, %.2f fsyncs", float64(written)/(mib<<20), float64(syncs)/mib)
	d.umount()
}

// writtenBytes is what the daemon passed to write calls so far.
func (d *drive) writtenBytes() int64 {
	d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", d.daemon.Process.Pid))
	must(d.t, err)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			must(d.t, err)
			return n
		}
	}
	d.t.Fatal("no wchar in /proc")
	return 0
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown processor"
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown kernel"
	}
	return "Linux " + strings.TrimSpace(string(b))
}
