package keep_test

import (
	"context"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// free stores blobs of some sizes that the drive knows nothing of and deletes them, so that their
// storage is free.
func (m *renewed) free(seed byte, epochs uint32, sizes ...int64) {
	m.Helper()
	ctx := context.Background()
	var batch []chain.Registration
	for i, size := range sizes {
		root := [32]byte{seed, byte(i)}
		batch = append(batch, chain.Registration{Blob: walrus.ComputeBlobID(root, size), Root: root, Size: size, EpochsAhead: epochs, Deletable: true})
	}
	out, err := m.ledger.Register(ctx, chain.TxID{0xf0, seed}, batch)
	m.must(err)
	var objects []walrus.ObjectID
	for _, r := range out.Registered {
		objects = append(objects, r.Object)
	}
	_, err = m.ledger.Delete(ctx, chain.TxID{0xf1, seed}, objects)
	m.must(err)
}

// stillFree is what is free for longer than now, in bytes.
func (m *renewed) stillFree(now walrus.Epoch) (bytes uint64) {
	m.Helper()
	list, err := m.ledger.Owned(context.Background(), chain.OwnedQuery{Storage: true})
	m.must(err)
	for _, o := range list {
		if o.EndEpoch > now {
			bytes += o.StorageSize
		}
	}
	return bytes
}

// TestRenewReuses renews three segments of a unit each while there is free storage: one large
// reservation that is cut, and small ones that are fused. What they cover is not paid for.
func TestRenewReuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sizes  []int64
		epochs uint32 // that the free storage lasts
		left   uint64 // epochs that are bought for each segment, of 20
	}{
		"none":                    {nil, 0, 20},
		"as long as it is wanted": {[]int64{100_000}, ahead, 0},
		"for a part of the time":  {[]int64{100_000}, ahead - 5, 5},
		"small ones":              {slices.Repeat([]int64{2000}, 12), ahead, 0},
		"over before":             {[]int64{100_000}, 5, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newRenewed(t)
			ctx := context.Background()
			first, _ := m.ends()
			m.until(first[0] - ahead/4)
			state, err := m.ledger.State(ctx)
			m.must(err)
			if len(c.sizes) > 0 {
				m.free(1, c.epochs, c.sizes...)
			}
			before := m.balance()
			m.must(m.r.Renew(ctx))
			m.wantEnds(state.Epoch + ahead)
			want := uint64(len(first)) * c.left * state.StoragePrice
			if paid := before - m.balance(); paid != want || m.r.Found().Frost != want {
				t.Errorf("paid %d, told %d, want %d", paid, m.r.Found().Frost, want)
			}
		})
	}
}

// TestRenewWithoutReuse lets reservations go between the look and the renewal: all is bought then.
func TestRenewWithoutReuse(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	first, _ := m.ends()
	m.until(first[0] - ahead/4)
	m.free(1, ahead, 100_000)
	had := m.stillFree(first[0])
	m.ledger.before = func(batch []chain.Extension) error {
		if len(batch[0].Reuse) > 0 {
			return chain.ErrNotExist
		}
		return nil
	}
	m.must(m.r.Renew(ctx))
	m.wantEnds(first[0] - ahead/4 + ahead)
	if m.ledger.calls != 3 || m.stillFree(first[0]) != had {
		t.Errorf("%d transactions, %d bytes are free, want %d", m.ledger.calls, m.stillFree(first[0]), had)
	}
}
