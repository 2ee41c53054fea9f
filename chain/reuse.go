package chain

import (
	"cmp"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Need is storage that is wanted: Size bytes of encoded size, from one epoch to before another.
type Need struct {
	Size        uint64
	From, Until walrus.Epoch
}

// maxFused is how many free reservations are fused for one need, and maxReused for a whole batch: each
// takes a few of the commands that a transaction may have. Source: Sui allows 1024.
const (
	maxFused  = 8
	maxReused = 64
)

// enoughTime says which part of the time that is wanted a reservation has to cover to be preferred
// to one that fits better in size.
const enoughTime = 2

// PlanReuse deals free reservations to needs, as Registration.Reuse and Extension.Reuse take them: for
// each need the IDs of those to use, none where nothing fits. No reservation is dealt twice, nor
// one that taken refuses; nil refuses none.
//
// Of those that are large enough alone the smallest one is used that lasts for half of the time or more, else
// the one that lasts longest. Where none is large enough some are put together.
func PlanReuse(free []OwnedObject, needs []Need, taken func(walrus.ObjectID) bool) [][]walrus.ObjectID {
	used, total := map[walrus.ObjectID]bool{}, 0
	plan := make([][]walrus.ObjectID, len(needs))
	for i, need := range needs {
		if need.Size == 0 || need.Until <= need.From || total >= maxReused {
			continue
		}
		var fit []*OwnedObject
		for j := range free {
			o := &free[j]
			if o.StorageSize > 0 && o.StartEpoch <= need.From && o.EndEpoch > need.From && !used[o.Object] && (taken == nil || !taken(o.Object)) {
				fit = append(fit, o)
			}
		}
		plan[i] = need.choose(fit)
		for _, id := range plan[i] {
			used[id] = true
		}
		total += len(plan[i])
	}
	return plan
}

// covers returns how many epochs of the need a reservation covers.
func (n Need) covers(o *OwnedObject) walrus.Epoch { return min(o.EndEpoch, n.Until) - n.From }

func (n Need) choose(fit []*OwnedObject) []walrus.ObjectID {
	var best *OwnedObject
	for _, o := range fit {
		if o.StorageSize >= n.Size && (best == nil || n.better(o, best)) {
			best = o
		}
	}
	if best != nil {
		return []walrus.ObjectID{best.Object}
	}
	slices.SortStableFunc(fit, func(a, b *OwnedObject) int {
		return cmp.Or(cmp.Compare(n.covers(b), n.covers(a)), cmp.Compare(b.StorageSize, a.StorageSize))
	})
	var ids []walrus.ObjectID
	size := uint64(0)
	for _, o := range fit[:min(len(fit), maxFused)] {
		ids = append(ids, o.Object)
		if size += o.StorageSize; size >= n.Size {
			return ids
		}
	}
	return nil
}

// better tells which of two reservations that are large enough is used first.
func (n Need) better(a, b *OwnedObject) bool {
	enough := (n.Until - n.From + enoughTime - 1) / enoughTime
	longA, longB := n.covers(a) >= enough, n.covers(b) >= enough
	switch {
	case longA != longB:
		return longA
	case longA && a.StorageSize != b.StorageSize:
		return a.StorageSize < b.StorageSize
	case n.covers(a) != n.covers(b):
		return n.covers(a) > n.covers(b)
	}
	return a.StorageSize < b.StorageSize
}
