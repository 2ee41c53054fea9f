package commit_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walfs/walfs/index"
)

// stepClock is a machine's clock that is set forward and back.
type stepClock struct{ off atomic.Int64 }

func (c *stepClock) now() time.Time { return time.Now().Add(time.Duration(c.off.Load())).Round(0) }

func (c *stepClock) step(d time.Duration) { c.off.Add(int64(d)) }

const year = 365 * 24 * time.Hour

// TestClockSteps sets the clock forward and back by an hour and by ten years
// at each point of the way: everything is certified as soon as before, once,
// and what was written is read back.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]time.Duration{"-10y": -10 * year, "-1h": -time.Hour, "+1h": time.Hour, "+10y": 10 * year} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := new(stepClock)
			policy := quick
			policy.OpenAge = 50 * time.Millisecond
			r := newRig(t, options{now: clock.now, policy: policy})
			want := map[string][]byte{}
			for i, back := range []time.Duration{step, -step, step} {
				name := string(rune('a' + i))
				want[name] = random(uint64(i), 5000)
				open := r.file(index.Root, "open")
				r.writeAt(open, random(uint64(10+i), 3000), 0)
				r.must(r.db.Queue(context.Background(), open.Ino(), index.Queued{Size: open.Size(), Mtime: open.Mtime()}))
				r.put(name, want[name])
				clock.step(back)
				r.awaitPublished("open")
				r.drain()
				r.done(open)
			}
			r.drain()
			for blob, n := range r.registrations() {
				if n != 1 {
					t.Errorf("blob %s was registered %d times", blob, n)
				}
			}
			got := r.restored()
			got.same("/open", random(12, 3000))
			for name, content := range want {
				got.same("/"+name, content)
			}
		})
	}
}

// awaitPublished waits until all that was written to a file is packed, although nobody asks.
func (r *rig) awaitPublished(name string) {
	r.Helper()
	r.c.Wake()
	r.await(name+" to be packed while it is open", func() bool {
		attr, err := r.db.Lookup(context.Background(), index.Root, []byte(name))
		r.must(err)
		return attr.PubVersion == attr.Version
	})
}
