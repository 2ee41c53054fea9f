package localnet

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// numbered returns a transaction ID, or a root, that is a number.
func numbered(kind byte, n int) (id [32]byte) {
	id[0] = kind
	binary.BigEndian.PutUint64(id[1:], uint64(n))
	return id
}

// numberedBlobs returns registrations of blobs that differ from those of other numbers.
func numberedBlobs(n, count int) []chain.Registration {
	batch := make([]chain.Registration, count)
	for i := range batch {
		root := numbered('r', n*count+i)
		batch[i] = chain.Registration{Blob: walrus.ComputeBlobID(root, 1000), Root: root, Size: 1000, EpochsAhead: 26, Deletable: true}
	}
	return batch
}

func BenchmarkRegister8(b *testing.B) {
	g, _ := newGenesis(b, 10, 100)
	n := openNet(b, Config{Dir: b.TempDir(), Genesis: g})
	fund(b, n, chain.TxID{1}, alice, 1e17)
	ledger := as(b, n, alice)
	i := 0
	for b.Loop() {
		if _, err := ledger.Register(context.Background(), numberedBlobs(i, 8)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkCertify(b *testing.B) {
	g, keys := newGenesis(b, 10, 100)
	n := openNet(b, Config{Dir: b.TempDir(), Genesis: g})
	fund(b, n, chain.TxID{1}, alice, 1e17)
	ledger := as(b, n, alice)
	members := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	i := 0
	for b.Loop() {
		b.StopTimer()
		batch := numberedBlobs(i, 1)
		out, err := ledger.Register(context.Background(), batch)
		if err != nil {
			b.Fatal(err)
		}
		object := out.Registered[0].Object
		msg := confirmation(1, batch[0], out.Registered[0])
		cert := keys.sign(b, n.Committee(), members, msg)
		b.StartTimer()
		if _, err := ledger.Certify(context.Background(), []chain.Certification{{Object: object, Cert: cert}}, nil); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkState(b *testing.B) {
	g, _ := newGenesis(b, 10, 100)
	n := openNet(b, Config{Dir: b.TempDir(), Genesis: g})
	for b.Loop() {
		if _, err := n.State(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
