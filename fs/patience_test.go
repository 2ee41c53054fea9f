package fs

import (
	"context"
	"errors"
	"testing"
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
	never := &fetch{done: make(chan struct{}), timeout: time.Millisecond, late: func() { p.note(7) }, wanted: func() {}}
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
