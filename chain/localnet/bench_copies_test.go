package localnet

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/chain"
)

// BenchmarkRegister8Copies is BenchmarkRegister8 with copies of the log in ten folders on one disk.
func BenchmarkRegister8Copies(b *testing.B) {
	g, _ := newGenesis(b, 10, 100)
	n := openNet(b, Config{Dir: b.TempDir(), Genesis: g})
	fund(b, n, chain.TxID{1}, alice, 1e17)
	root := b.TempDir()
	for i := range 10 {
		dir := filepath.Join(root, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		if err := n.Attach(dir); err != nil {
			b.Fatal(err)
		}
	}
	ledger := as(b, n, alice)
	start, i := n.home.tip.end, 0
	for b.Loop() {
		if _, err := ledger.Register(b.Context(), numberedBlobs(i, 8)); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(n.home.tip.end-start)/float64(i), "log-B/op")
}
