package embedded_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// settled waits until there are no more goroutines and descriptors than before.
func settled(t *testing.T, goroutines, descriptors int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		g, d := runtime.NumGoroutine(), descriptorsOf(t)
		if g <= goroutines && d <= descriptors {
			return
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d descriptors, before %d and %d\n%s", g, d, goroutines, descriptors, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func descriptorsOf(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// TestNetworkLeavesNothing opens a network with an owner again and again, and closes it, now and
// then twice: it leaves no goroutine and no descriptor behind. WALFS_SOAK=1 does so 1,000 times.
func TestNetworkLeavesNothing(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	once := func() {
		n, err := embedded.Open(ctx, embedded.Config{Dir: filepath.Join(dir, "net"), Nodes: 4, Shards: 10})
		if err != nil {
			t.Fatal(err)
		}
		l, err := n.Owner(ctx, someWallet(t), filepath.Join(dir, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.State(ctx); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := n.Owner(ctx, someWallet(t), filepath.Join(dir, "journal")); err == nil {
			t.Fatal("a network that is closed has owners")
		}
		if _, err := l.State(ctx); err == nil {
			t.Fatal("a ledger that is closed answers")
		}
	}
	once()
	goroutines, descriptors := runtime.NumGoroutine(), descriptorsOf(t)
	times := 10
	if os.Getenv("WALFS_SOAK") != "" {
		times = 1000
	}
	for range times {
		once()
	}
	settled(t, goroutines, descriptors)
}

// TestNetworkClosesDuringCalls closes a network while its owner registers blobs from several sides.
// Each call comes back, and what was answered is there when it is opened again.
func TestNetworkClosesDuringCalls(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	goroutines, descriptors := runtime.NumGoroutine(), descriptorsOf(t)
	var answered sync.Map
	cfg := embedded.Config{Dir: filepath.Join(dir, "net"), Nodes: 4, Shards: 10}
	for round := range 5 {
		n, err := embedded.Open(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Faucet(ctx, chain.TxID{9}, someWallet(t).Address()); err != nil {
			t.Fatal(err)
		}
		l, err := n.Owner(ctx, someWallet(t), filepath.Join(dir, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		begun := make(chan struct{}, 4)
		for i := range 4 {
			calls.Go(func() {
				for j := range 200 {
					out, err := l.Register(ctx, chain.TxID{byte(round), byte(i), byte(j)}, someBlob(byte(i+1)))
					if j == 0 {
						begun <- struct{}{}
					}
					if err != nil {
						return
					}
					answered.Store(out.Registered[0].Object, true)
				}
			})
		}
		for range 4 {
			<-begun
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		calls.Wait()
	}
	n, err := embedded.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := n.Owner(ctx, someWallet(t), filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	owned, err := l.Owned(ctx, chain.OwnedQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range owned {
		answered.Delete(o.Object)
	}
	answered.Range(func(object, _ any) bool {
		t.Errorf("%v was registered, and is not there", object)
		return true
	})
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	settled(t, goroutines, descriptors)
}

// TestCallsGiveUp ends the contexts of registrations at all moments. Asked again, each has happened once.
func TestCallsGiveUp(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	n := start(t, embedded.Config{Dir: filepath.Join(dir, "net"), Nodes: 4, Shards: 10})
	l := rich(t, n)
	if _, err := l.Register(ctx, chain.TxID{1}, someBlob(1)); err != nil {
		t.Fatal(err)
	}
	goroutines := runtime.NumGoroutine()
	const calls = 60
	gaveUp := 0
	for i := range calls {
		ctx, cancel := context.WithCancel(ctx)
		if i == 0 {
			cancel()
		}
		stop := time.AfterFunc(time.Duration(i)*200*time.Microsecond, cancel)
		_, err := l.Register(ctx, chain.TxID{2, byte(i)}, someBlob(2))
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v", i, err)
		} else if err != nil {
			gaveUp++
		}
		stop.Stop()
		cancel()
	}
	if gaveUp == 0 {
		t.Error("no call gave up")
	}
	for i := range calls {
		if _, err := l.Register(ctx, chain.TxID{2, byte(i)}, someBlob(2)); err != nil {
			t.Errorf("call %d again: %v", i, err)
		}
	}
	if owned, err := l.Owned(ctx, chain.OwnedQuery{Blobs: []walrus.BlobID{someBlob(2)[0].Blob}}); err != nil || len(owned) != calls {
		t.Errorf("%d objects, %v, want %d", len(owned), err, calls)
	}
	settled(t, goroutines, descriptorsOf(t))
}
