package sui_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// numbered returns registrations of blobs that differ from those of other numbers.
func numbered(n, count int) []chain.Registration {
	batch := make([]chain.Registration, count)
	for i := range batch {
		var root [32]byte
		binary.BigEndian.PutUint64(root[:], uint64(n*count+i))
		batch[i] = chain.Registration{Blob: walrus.ComputeBlobID(root, 1000), Root: root, Size: 1000, EpochsAhead: 26, Deletable: true}
	}
	return batch
}

// numberedTx returns a transaction ID that is a kind and a number.
func numberedTx(kind byte, n int) (tx chain.TxID) {
	tx[0] = kind
	binary.BigEndian.PutUint64(tx[1:], uint64(n))
	return tx
}

// BenchmarkPairs registers and certifies blobs, one or many at a time, from the client
// through the pipe to the ledger. The certificates are made beforehand. A drive stores
// a blob of 8 MB with each pair: the processor time of one, by that of BenchmarkPut
// in blobstore, is what the ledger takes of a drain.
func BenchmarkPairs(b *testing.B) {
	for _, size := range []int{1, 4, 64} {
		b.Run(fmt.Sprintf("%d at a time", size), func(b *testing.B) { pairs(b, size) })
	}
}

func pairs(b *testing.B, batchSize int) {
	w := newTown(b, 10, 100)
	if err := w.net.Faucet(b.Context(), numberedTx('f', 0), wallet(b, 1).Address(), 1e17, 1e13); err != nil {
		b.Fatal(err)
	}
	c := w.client(wallet(b, 1))
	members := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	i := 0
	var spent, began time.Duration
	for b.Loop() {
		began = processorTime(b)
		batch := numbered(i, batchSize)
		out, err := c.Register(b.Context(), numberedTx('r', i), batch)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		spent += processorTime(b) - began
		certs := make([]chain.Certification, len(batch))
		for j, r := range batch {
			object := out.Registered[j].Object
			msg := walrus.ConfirmationMessage(w.net.Committee().Epoch, r.Blob, walrus.Persistence{Deletable: true, Object: object})
			certs[j] = chain.Certification{Object: object, Cert: w.sign(members, msg)}
		}
		began = processorTime(b)
		b.StartTimer()
		if _, err := c.Certify(b.Context(), numberedTx('c', i), certs, nil); err != nil {
			b.Fatal(err)
		}
		spent += processorTime(b) - began
		i++
	}
	b.ReportMetric(float64(i*batchSize)/b.Elapsed().Seconds(), "pairs/s")
	b.ReportMetric(spent.Seconds()*1000/float64(i*batchSize), "cpu-ms/pair")
}

// processorTime is what this process has taken of all processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
