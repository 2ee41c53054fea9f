package integration

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ledgerFrames are the functions below which processor time counts as the ledger's: the
// client, the localnet with its contracts, and the wire between them.
const ledgerFrames = `walfs/chain|google\.golang\.org/(grpc|protobuf)|sui-go-sdk`

// TestBenchLedger drains 2 GiB through a mount and prints what the ledger took of it:
// transactions, blobs and commands in each, and the share of the processor time. It
// asserts no time. WALFS_BENCH_LEDGER_MIB drains less, WALFS_BENCH_OUT keeps the profile
// in a folder. `make bench` runs it.
func TestBenchLedger(t *testing.T) {
	if os.Getenv("WALFS_BENCH") == "" {
		t.Skip("a benchmark: run it with `make bench`")
	}
	mib := 2048
	if n, err := strconv.Atoi(os.Getenv("WALFS_BENCH_LEDGER_MIB")); err == nil {
		mib = n
	}
	b := &bench{t: t, dir: t.TempDir()}
	d := newDriveIn(t, filepath.Join(b.dir, "drive"))
	d.bin = walfsBinary(t, "profile")
	d.mount()
	d.umount() // what making a drive takes is no part of a drain
	samples := filepath.Join(cmp.Or(os.Getenv("WALFS_BENCH_OUT"), b.dir), "ledger.pprof")
	d.env = []string{"WALFS_PROFILE=" + samples}
	d.mount("-vv")
	d.env = nil // of the daemon alone
	start := time.Now()
	for i := range 8 {
		writeRandom(t, d.path(fmt.Sprintf("file-%d", i)), int64(mib)<<20/8, uint64(i+1))
	}
	d.sync()
	took, used := time.Since(start), d.cpuTime()
	d.umount()
	log, err := os.ReadFile(filepath.Join(filepath.Dir(d.home), "daemon.log"))
	must(t, err)
	b.row(fmt.Sprintf("write and drain of %d MiB", mib), "%.1f s, %.1f s of processors", took.Seconds(), used.Seconds())
	for _, kind := range []string{"registered", "certified"} {
		b.row("blobs "+kind, "%s", spread(logged(log, `msg="blobs `+kind+`".* blobs=(\d+)`)))
	}
	for _, op := range []string{"register", "certify"} {
		b.row("commands of a transaction to "+op, "%s", spread(logged(log, `msg="transaction executed" op=`+op+` commands=(\d+)`)))
	}
	ours, all := profiled(t, samples, ledgerFrames), profiled(t, samples, ".")
	b.row("the ledger's share of the processor time", "%.1f%%: %.2f of %.2f s (wanted below 5%%)", 100*ours/all, ours, all)
	for _, part := range []string{`walfs/chain/sui\.`, `SimulateTransaction_Handler`, `ExecuteTransaction_Handler`, `(ledgerService|stateService)\)`} {
		b.row("  below "+part, "%.2f s", profiled(t, samples, part))
	}
	b.print()
}

// logged returns the numbers in the lines of a log that match.
func logged(log []byte, pattern string) (list []int) {
	for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(log, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		list = append(list, n)
	}
	return list
}

// spread tells how many numbers there are, their sum, and how they spread.
func spread(list []int) string {
	if len(list) == 0 {
		return "none"
	}
	slices.Sort(list)
	sum := 0
	for _, n := range list {
		sum += n
	}
	return fmt.Sprintf("%d in %d transactions: median %d, at most %d, mean %.1f",
		sum, len(list), list[len(list)/2], list[len(list)-1], float64(sum)/float64(len(list)))
}

// profiled returns the seconds that a profile has below functions that match.
func profiled(t *testing.T, samples, functions string) float64 {
	t.Helper()
	out, err := exec.Command("go", "tool", "pprof", "-top", "-unit=s", "-nodefraction=0", "-nodecount=100000", "-focus="+functions, samples).Output()
	must(t, err)
	_, rest, _ := strings.Cut(string(out), "Showing nodes accounting for ")
	text, _, _ := strings.Cut(rest, "s,")
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0 // nothing matches
	}
	return seconds
}
