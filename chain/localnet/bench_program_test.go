package localnet

import (
	"context"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// registerMany builds a transaction that registers blobs.
func (w *wallet) registerMany(batch []chain.Registration) *build {
	b := w.build()
	var blobs []move.Argument
	for _, r := range batch {
		blobs = append(blobs, b.register(r))
	}
	b.transfer(w.address(), blobs...)
	return b
}

// certifyMany builds a transaction that certifies the blobs which another one registered.
func (w *wallet) certifyMany(keys testNodes, batch []chain.Registration, registered move.Digest) *build {
	w.t.Helper()
	b := w.build()
	members := make([]int, len(keys))
	for i := range members {
		members[i] = i
	}
	for i, r := range batch {
		object := move.CreatedID(registered, uint64(2*i+1))
		msg := confirmation(w.net.Committee().Epoch, r, chain.Registered{Object: walrus.ObjectID(object)})
		cert := keys.sign(w.t, w.net.Committee(), members, msg)
		b.call("system", "certify_blob", b.object(w.net.facts.system), b.object(object), b.bytes(cert.Signature[:]), b.bytes(cert.Bitmap), b.bytes(cert.Message))
	}
	return b
}

// BenchmarkPairs registers and certifies 64 blobs at a time. The certificates are made beforehand.
func BenchmarkPairs(b *testing.B) {
	const batchSize = 64
	g, keys := newGenesis(b, 10, 100)
	n := openNet(b, Config{Dir: b.TempDir(), Genesis: g})
	w := newWallet(b, n, 1)
	i := 0
	for b.Loop() {
		b.StopTimer()
		batch := numberedBlobs(i, batchSize)
		bcs, signatures := w.sign(w.resolve(w.registerMany(batch)))
		b.StartTimer()
		e, err := n.Execute(context.Background(), bcs, signatures)
		if err != nil || e.Effects.Status.Failure != nil {
			b.Fatal(err, e)
		}
		b.StopTimer()
		bcs, signatures = w.sign(w.resolve(w.certifyMany(keys, batch, e.Digest)))
		b.StartTimer()
		e, err = n.Execute(context.Background(), bcs, signatures)
		if err != nil || e.Effects.Status.Failure != nil {
			b.Fatal(err, e)
		}
		i++
	}
	b.ReportMetric(float64(i*batchSize)/b.Elapsed().Seconds(), "pairs/s")
}
