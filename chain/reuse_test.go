package chain_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

func reservation(id byte, size uint64, start, end walrus.Epoch) chain.OwnedObject {
	return chain.OwnedObject{Object: walrus.ObjectID{id}, StorageSize: size, StartEpoch: start, EndEpoch: end}
}

func TestPlanReuse(t *testing.T) {
	now := func(size uint64) chain.Need { return chain.Need{Size: size, From: 10, Until: 20} }
	for name, c := range map[string]struct {
		free  []chain.OwnedObject
		needs []chain.Need
		want  []string
	}{
		"nothing there":             {nil, []chain.Need{now(5)}, []string{""}},
		"the smallest that fits":    {[]chain.OwnedObject{reservation(1, 9, 1, 20), reservation(2, 5, 1, 20), reservation(3, 4, 1, 20)}, []chain.Need{now(5)}, []string{"2"}},
		"half of the time before":   {[]chain.OwnedObject{reservation(1, 5, 1, 14), reservation(2, 9, 1, 15)}, []chain.Need{now(5)}, []string{"2"}},
		"the longest of short ones": {[]chain.OwnedObject{reservation(1, 5, 1, 12), reservation(2, 9, 1, 13)}, []chain.Need{now(5)}, []string{"2"}},
		"one epoch is something":    {[]chain.OwnedObject{reservation(1, 5, 1, 11)}, []chain.Need{now(5)}, []string{"1"}},
		"over, or not begun":        {[]chain.OwnedObject{reservation(1, 5, 1, 10), reservation(2, 5, 11, 30)}, []chain.Need{now(5)}, []string{""}},
		"each once":                 {[]chain.OwnedObject{reservation(1, 5, 1, 20), reservation(2, 6, 1, 20)}, []chain.Need{now(5), now(5), now(5)}, []string{"1", "2", ""}},
		"put together":              {[]chain.OwnedObject{reservation(1, 2, 1, 20), reservation(2, 3, 5, 18), reservation(3, 1, 1, 19)}, []chain.Need{now(3)}, []string{"2"}},
		"the longest together":      {[]chain.OwnedObject{reservation(1, 2, 1, 20), reservation(2, 3, 5, 18), reservation(3, 1, 1, 19)}, []chain.Need{now(5)}, []string{"1 3 2"}},
		"too little together":       {[]chain.OwnedObject{reservation(1, 2, 1, 20), reservation(2, 2, 1, 20)}, []chain.Need{now(5)}, []string{""}},
		"an epoch ahead":            {[]chain.OwnedObject{reservation(1, 5, 1, 20), reservation(2, 5, 10, 21)}, []chain.Need{{Size: 5, From: 20, Until: 30}}, []string{"2"}},
		"nothing wanted":            {[]chain.OwnedObject{reservation(1, 5, 1, 20)}, []chain.Need{{Size: 5, From: 12, Until: 12}}, []string{""}},
	} {
		for i, ids := range chain.PlanReuse(c.free, c.needs, nil) {
			text := ""
			for j, id := range ids {
				if j > 0 {
					text += " "
				}
				text += fmt.Sprint(id[0])
			}
			if text != c.want[i] {
				t.Errorf("%s: need %d gets %q, want %q", name, i, text, c.want[i])
			}
		}
	}
	taken := func(id walrus.ObjectID) bool { return id[0] == 2 }
	if plan := chain.PlanReuse([]chain.OwnedObject{reservation(1, 9, 1, 20), reservation(2, 5, 1, 20)}, []chain.Need{now(5)}, taken); plan[0][0][0] != 1 {
		t.Errorf("took what another has: %v", plan)
	}
}

// TestPlanReuseFits plans at random: what is dealt is enough, covers the first epoch, and is dealt once.
func TestPlanReuseFits(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, 0))
	for round := range 300 {
		free := make([]chain.OwnedObject, rng.IntN(40))
		byID := map[walrus.ObjectID]chain.OwnedObject{}
		for i := range free {
			start := walrus.Epoch(rng.IntN(20))
			free[i] = reservation(byte(i), uint64(rng.IntN(10)), start, start+1+walrus.Epoch(rng.IntN(20)))
			byID[free[i].Object] = free[i]
		}
		needs := make([]chain.Need, rng.IntN(200))
		for i := range needs {
			from := walrus.Epoch(10 + rng.IntN(10))
			needs[i] = chain.Need{Size: uint64(rng.IntN(20)), From: from, Until: from + walrus.Epoch(rng.IntN(10))}
		}
		var seen []walrus.ObjectID
		for i, ids := range chain.PlanReuse(free, needs, nil) {
			size := uint64(0)
			for _, id := range ids {
				o := byID[id]
				if size += o.StorageSize; o.StartEpoch > needs[i].From || o.EndEpoch <= needs[i].From || slices.Contains(seen, id) {
					t.Fatalf("seed %d, round %d: %+v for %+v", seed, round, o, needs[i])
				}
				seen = append(seen, id)
			}
			if len(ids) > 0 && size < needs[i].Size {
				t.Fatalf("seed %d, round %d: %d bytes for %+v", seed, round, size, needs[i])
			}
		}
	}
}
