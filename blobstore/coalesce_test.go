package blobstore

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestGather lets Puts come to a coalescer after others have announced themselves: those
// who come soon share a batch, who comes late or never holds nobody up for long, and who is alone does not wait.
func TestGather(t *testing.T) {
	const never = -1
	for name, c := range map[string]struct {
		comes []time.Duration // after the first one was announced
		want  []int           // sizes of batches
		waits time.Duration   // of the first batch, from when its first member came
	}{
		"alone":         {[]time.Duration{0}, []int{1}, 0},
		"together":      {[]time.Duration{0, 30 * time.Millisecond, 60 * time.Millisecond}, []int{3}, 60 * time.Millisecond},
		"one is late":   {[]time.Duration{0, 30 * time.Millisecond, time.Hour}, []int{2, 1}, gatherFor},
		"one gives up":  {[]time.Duration{20 * time.Millisecond, never}, []int{1}, 30 * time.Millisecond},
		"all give up":   {[]time.Duration{never, never}, nil, 0},
		"two are quick": {[]time.Duration{0, 0}, []int{2}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sizes []int
				var at []time.Duration
				start := time.Now()
				q := newCoalescer(func(_ context.Context, batch []*ticket) {
					sizes, at = append(sizes, len(batch)), append(at, time.Since(start))
					settle(batch, nil)
				})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { q.loop(ctx); close(ended) }()
				first := time.Duration(1 << 62)
				puts := make([]put, len(c.comes))
				for i := range puts { // all, before one of them comes
					puts[i].announce(q)
				}
				for i, after := range c.comes {
					p := &puts[i]
					if after == never {
						time.AfterFunc(50*time.Millisecond, p.arrive)
						continue
					}
					first = min(first, after)
					time.AfterFunc(after, func() {
						if err := q.do(ctx, p); err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(2 * time.Hour)
				cancel()
				<-ended
				if !slices.Equal(sizes, c.want) {
					t.Fatalf("batches of %v, want %v", sizes, c.want)
				}
				if len(at) > 0 && at[0]-first != c.waits {
					t.Errorf("the first one waited %s, want %s", at[0]-first, c.waits)
				}
			})
		})
	}
}
