package fs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestImpatientAtOnce: whoever waited for content in vain and asks again at
// once, as the kernel does, waits only shortly, also when the fetch has not
// noticed yet that its time is over.
func TestImpatientAtOnce(t *testing.T) {
	var p patience
	const whole = time.Hour
	if got := p.of(7, whole); got != whole {
		t.Fatalf("patience %s, want %s", got, whole)
	}
	never := &fetch{done: make(chan struct{}), timeout: time.Millisecond, late: func() { p.note(7, whole) }, wanted: func() {}}
	if err := never.wait(context.Background()); !errors.Is(err, errTimeout) {
		t.Fatalf("got %v", err)
	}
	if got := p.of(7, whole); got != shortPatience {
		t.Errorf("patience %s, want %s", got, shortPatience)
	}
	if got := p.of(8, whole); got != whole {
		t.Errorf("patience for another file %s, want %s", got, whole)
	}
}

// TestPatienceReturns asks again at once, after an outage, on a line that takes three seconds, and
// where nothing ever comes: the one is served, and the other does not wait the whole time each time.
func TestPatienceReturns(t *testing.T) {
	const whole = 30 * time.Second
	for name, line := range map[string]time.Duration{"slow line": 3 * time.Second, "dead line": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p patience
				time.Sleep(whole)
				p.note(7, whole)
				begun, waits, longest := time.Now(), 0, 0
				for time.Since(begun) < 10*time.Minute {
					got := p.of(7, whole)
					waits++
					if line <= got {
						if took := time.Since(begun); took > longestSpell+impatientFor {
							t.Errorf("served after %s", took)
						}
						return
					}
					if got == whole {
						longest++
					}
					time.Sleep(got)
					p.note(7, got)
				}
				if line < whole {
					t.Errorf("asked %d times, and never served", waits)
				}
				if longest == 0 || longest > 10 {
					t.Errorf("waited the whole time %d times of %d in ten minutes", longest, waits)
				}
			})
		})
	}
}

// TestHope asks again when a node has come back: the whole time is given again, and fetches that
// began before do not take it away.
func TestHope(t *testing.T) {
	const whole = time.Hour
	var p patience
	before := p.noting(7, shortPatience)
	p.noting(7, whole)()
	if got := p.of(7, whole); got != shortPatience {
		t.Fatalf("patience %s, want %s", got, shortPatience)
	}
	p.hope()
	before()
	if got := p.of(7, whole); got != whole {
		t.Errorf("patience %s with a node back, want %s", got, whole)
	}
	p.noting(7, whole)()
	if got := p.of(7, whole); got != shortPatience {
		t.Errorf("patience %s after another wait in vain, want %s", got, shortPatience)
	}
}
