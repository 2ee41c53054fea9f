package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// probes is how many operations of each kind are timed at each size, and
// lists how many folders are listed.
const (
	probes = 1000
	lists  = 10
)

// growth is what operations cost while a drive grows.
type growth struct {
	b      *bench
	d      *drive
	making time.Duration
	sizes  []int                // numbers of files at which it was measured
	costs  map[string][]float64 // of an operation, in µs, at each size
	memory []float64            // resident MiB, at each size
}

// growthKinds are the operations, in the order of the chart's legend.
var growthKinds = []string{"create", "stat, cold", "list, per name", "rename"}

// grow makes files up to names, and measures at 1,000, 10,000, ... of them.
func (b *bench) grow(d *drive, names int) *growth {
	g := &growth{b: b, d: d, costs: map[string][]float64{}}
	folders := 0
	for size := perFolder; size <= names; size *= 10 {
		start := time.Now()
		d.makeFolders(folders, size/perFolder, "first")
		g.making += time.Since(start)
		folders = size / perFolder
		g.measure(size)
	}
	return g
}

// measure times a few operations on a drive of some size, in folders that are old and new.
func (g *growth) measure(size int) {
	t := g.b.t
	g.sizes = append(g.sizes, size)
	random := rand.New(rand.NewPCG(uint64(size), 1))
	folder := func(i int) string { return g.d.path(fmt.Sprintf("folder-%04d", i)) }
	file := func(i int) string { return fmt.Sprintf("a small file %04d", i) }
	extra := g.d.path("extra")
	must(t, os.MkdirAll(extra, 0o755))
	g.time("create", probes, func(i int) error {
		return os.WriteFile(filepath.Join(extra, file(i)), []byte("extra"), 0o644)
	})
	dropCaches(t)
	g.time("stat, cold", probes, func(int) error {
		_, err := os.Lstat(filepath.Join(folder(random.IntN(size/perFolder)), file(random.IntN(perFolder))))
		return err
	})
	dropCaches(t)
	g.time("list, per name", lists*perFolder, func(i int) error {
		if i%perFolder != 0 {
			return nil
		}
		_, err := os.ReadDir(folder(random.IntN(size / perFolder)))
		return err
	})
	g.time("rename", probes, func(i int) error {
		return os.Rename(filepath.Join(extra, file(i)), filepath.Join(extra, file(i)+" renamed"))
	})
	must(t, os.RemoveAll(extra))
	g.memory = append(g.memory, float64(g.d.residentMiB()))
}

// time runs an operation n times.
func (g *growth) time(kind string, n int, op func(int) error) {
	start := time.Now()
	for i := range n {
		must(g.b.t, op(i))
	}
	each := float64(time.Since(start).Microseconds()) / float64(n)
	g.costs[kind] = append(g.costs[kind], each)
	g.b.t.Logf("%d files: %s %.0f µs", g.sizes[len(g.sizes)-1], kind, each)
}

// report prints the figures, and writes them to growth.csv and memory.csv in
// the folder that WALFS_BENCH_OUT names.
func (g *growth) report() {
	growth, memory := "", ""
	for _, kind := range growthKinds {
		g.b.row(kind+", µs at 10^3, 10^4, ... files", "%s", values(g.costs[kind]))
		growth += g.lines(kind, g.costs[kind])
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
