package localnet

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Many nodes follow at once, more than there are connections: none may wait for another while it has one.
func TestEventsOfManyFollowers(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for range 8 * maxReaders {
		group.Go(func() {
			for range 20 {
				events, err := n.Events(ctx, 1, 3)
				if err != nil || len(events) == 0 {
					t.Errorf("%d events, %v", len(events), err)
					return
				}
			}
		})
	}
	group.Wait()
}
