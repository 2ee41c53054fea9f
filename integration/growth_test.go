package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// probes is how many operations of each kind are timed at each size, and
// lists how many folders are listed.
const (
	probes = 1000
	lists  = 10
)

// growth is what operations cost while a drive grows, and a plain folder beside it.
type growth struct {
	b       *bench
	d       *drive
	making  time.Duration
	storing time.Duration        // of what was made, until all of it was certified
	sizes   []int                // numbers of files at which it was measured
	costs   map[string][]float64 // of an operation, in µs, at each size
	memory  []float64            // resident MiB, at each size
}

// growthKinds are the operations, in the order of the chart's legend. Each is also timed on the plain folder.
var growthKinds = []string{"create", "stat, cold", "list, per name", "rename"}

// made is what it takes to make a file and to store it, of all that were made since the size before.
const made = "make and store"

// onPlain names an operation on the plain folder.
func onPlain(kind string) string { return kind + ", plain folder" }

// grow makes files up to names, and measures at 1,000, 10,000, ... of them. All are stored then: what is
// measured is what the number of files costs, not what is done beside it.
func (b *bench) grow(d *drive, names int) *growth {
	g := &growth{b: b, d: d, costs: map[string][]float64{}}
	plain := filepath.Join(b.dir, "plain")
	folders := 0
	for size := perFolder; size <= names; size *= 10 {
		start := time.Now()
		b.makeFolders(d.mnt, folders, size/perFolder, "first")
		making := time.Since(start)
		d.sync()
		took := time.Since(start)
		g.making += making
		g.storing += took - making
		g.sizes = append(g.sizes, size)
		g.cost(made, took, size-folders*perFolder)
		b.makeFolders(plain, folders, size/perFolder, "first")
		folders = size / perFolder
		g.measure(d.mnt, size, func(kind string) string { return kind })
		g.memory = append(g.memory, float64(g.d.residentMiB()))
		d.sync()
		g.measure(plain, size, onPlain)
	}
	unix.Sync() // what was written to the plain folder is no cost of what follows
	return g
}

// measure times a few operations below a folder with so many files, in folders that are old and new.
func (g *growth) measure(root string, size int, called func(kind string) string) {
	t := g.b.t
	random := rand.New(rand.NewPCG(uint64(size), 1))
	folder := func(i int) string { return filepath.Join(root, fmt.Sprintf("folder-%04d", i)) }
	file := func(i int) string { return fmt.Sprintf("a small file %04d", i) }
	extra := filepath.Join(root, "extra")
	must(t, os.MkdirAll(extra, 0o755))
	g.time(called("create"), probes, func(i int) error {
		return os.WriteFile(filepath.Join(extra, file(i)), []byte("extra"), 0o644)
	})
	dropCaches(t)
	g.time(called("stat, cold"), probes, func(int) error {
		_, err := os.Lstat(filepath.Join(folder(random.IntN(size/perFolder)), file(random.IntN(perFolder))))
		return err
	})
	dropCaches(t)
	g.time(called("list, per name"), lists*perFolder, func(i int) error {
		if i%perFolder != 0 {
			return nil
		}
		_, err := os.ReadDir(folder(random.IntN(size / perFolder)))
		return err
	})
	g.time(called("rename"), probes, func(i int) error {
		return os.Rename(filepath.Join(extra, file(i)), filepath.Join(extra, file(i)+" renamed"))
	})
	must(t, os.RemoveAll(extra))
}

// time runs an operation n times.
func (g *growth) time(kind string, n int, op func(int) error) {
	start := time.Now()
	for i := range n {
		must(g.b.t, op(i))
	}
	g.cost(kind, time.Since(start), n)
}

// cost notes what n operations took.
func (g *growth) cost(kind string, took time.Duration, n int) {
	each := float64(took.Microseconds()) / float64(n)
	g.costs[kind] = append(g.costs[kind], each)
	g.b.t.Logf("%d files: %s %.0f µs", g.sizes[len(g.sizes)-1], kind, each)
}

// report prints the figures, and writes them to growth.csv and memory.csv in
// the folder that WALFS_BENCH_OUT names.
func (g *growth) report() {
	growth, memory := "", ""
	g.b.row(made+" a file, µs at 10^3, 10^4, ... files", "%s", values(g.costs[made]))
	growth += g.lines(made, g.costs[made])
	for _, kind := range growthKinds {
		plain := g.costs[onPlain(kind)]
		g.b.row(kind+", µs at 10^3, 10^4, ... files", "%s; plain folder %s", values(g.costs[kind]), values(plain))
		growth += g.lines(kind, g.costs[kind]) + g.lines(onPlain(kind), plain)
	}
	g.b.row("resident memory, MiB at 10^3, 10^4, ... files", "%s", values(g.memory))
	memory = g.lines("resident", g.memory)
	if out := os.Getenv("WALFS_BENCH_OUT"); out != "" {
		must(g.b.t, os.WriteFile(filepath.Join(out, "growth.csv"), []byte(growth), 0o644))
		must(g.b.t, os.WriteFile(filepath.Join(out, "memory.csv"), []byte(memory), 0o644))
	}
}

func (g *growth) lines(kind string, costs []float64) string {
	var b strings.Builder
	for i, cost := range costs {
		fmt.Fprintf(&b, "%q,%d,%.1f\n", kind, g.sizes[i], cost)
	}
	return b.String()
}

func values(costs []float64) string {
	var s []string
	for _, cost := range costs {
		s = append(s, fmt.Sprintf("%.0f", cost))
	}
	return strings.Join(s, ", ")
}

// residentMiB is the daemon's resident size.
func (d *drive) residentMiB() int { return d.memoryMiB("VmRSS:") }

// memoryMiB reads a line of the daemon's status in /proc.
func (d *drive) memoryMiB(field string) int {
	d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.daemon.Process.Pid))
	must(d.t, err)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field {
			kib, err := strconv.Atoi(f[1])
			must(d.t, err)
			return kib / 1024
		}
	}
	d.t.Fatalf("no %s in /proc", field)
	return 0
}
