package fs

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns lets fetches of so many bytes go at a time, in the order in which they came.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		var done []func()
		for range fetchMemory / windowSize {
			done = append(done, turns.take(t.Context(), windowSize))
		}
		gone := make([]bool, 3)
		ctx, giveUp := context.WithCancel(t.Context())
		for i, n := range []int64{2 * windowSize, windowSize, 1} {
			who := t.Context()
			if i == 0 {
				who = ctx
			}
			go func() {
				turns.take(who, n)()
				gone[i] = true
			}()
			synctest.Wait()
		}
		if gone[0] || gone[1] || gone[2] {
			t.Fatalf("%v go with all memory taken", gone)
		}
		done[0]()
		done[0]() // counts once
		synctest.Wait()
		if gone[0] || gone[1] || gone[2] {
			t.Fatalf("%v go though the first of them lacks memory", gone)
		}
		giveUp()
		synctest.Wait()
		if !gone[0] || !gone[1] || !gone[2] {
			t.Fatalf("%v go once the first has given up", gone)
		}
		for _, f := range done {
			f()
		}
		if turns.used != 0 || turns.queue.Len() != 0 {
			t.Errorf("%d bytes are in use, and %d wait", turns.used, turns.queue.Len())
		}
	})
}

// TestStalledTurns lets others go when no fetch comes to its end, and only then.
func TestStalledTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		var late []func()
		for range fetchMemory / windowSize {
			late = append(late, turns.take(t.Context(), windowSize))
		}
		began := time.Now()
		for range 2 { // nothing holds up who comes once it is told
			turns.take(t.Context(), fetchMemory/2)()
		}
		if took := time.Since(began); took != stallsAfter {
			t.Errorf("others go after %s, want %s", took, stallsAfter)
		}
		for _, f := range late {
			f()
		}
		if turns.used != 0 {
			t.Errorf("%d bytes are in use", turns.used)
		}
		slow := turns.take(t.Context(), fetchMemory)
		var gone atomic.Int32
		for range 3 {
			go func() {
				defer turns.take(t.Context(), fetchMemory)()
				gone.Add(1)
				time.Sleep(stallsAfter * 3 / 4)
			}()
		}
		time.Sleep(stallsAfter / 2)
		slow()
		for want := 1; want <= 3; want++ {
			synctest.Wait()
			if gone := int(gone.Load()); gone != want {
				t.Fatalf("%d go at a time, want %d: each comes to its end in time", gone, want)
			}
			time.Sleep(stallsAfter * 3 / 4)
		}
	})
}

// TestWantedWindow reads a window that somebody waits for though those before it are late.
func TestWantedWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &FS{ahead: make(chan struct{}, windowsTogether)}
		never := make(chan struct{})
		for range windowsTogether {
			fs.windowTurn(t.Context(), never, windowSize)
		}
		wanted, begun := make(chan struct{}), false
		go func() {
			defer fs.windowTurn(t.Context(), wanted, windowSize)()
			begun = true
		}()
		synctest.Wait()
		if begun {
			t.Fatalf("more than %d windows are read ahead at a time", windowsTogether)
		}
		close(wanted)
		synctest.Wait()
		if !begun {
			t.Fatal("a window that somebody waits for is not read")
		}
		if fs.turns.used != 0 || len(fs.ahead) != windowsTogether {
			t.Errorf("%d bytes in use, %d windows", fs.turns.used, len(fs.ahead))
		}
	})
}

// TestWaitWants: who waits for a window tells it so.
func TestWaitWants(t *testing.T) {
	g := &fetch{done: make(chan struct{}), timeout: 1, late: func() {}}
	told := 0
	g.wanted = func() {
		told++
		close(g.done)
	}
	if err := g.wait(t.Context()); told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
}
