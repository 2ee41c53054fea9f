package commit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/walfs/walfs/fs/commit"
)

// TestCrowd has many files come in quickly: no segment is made of them before they fill
// many, or before they come slower.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const fill = 100_000
	r := newRig(t, options{idle: true, policy: commit.Policy{Quiet: time.Hour, MaxAge: time.Hour, Fill: fill}})
	ctx := t.Context()
	crowd := func() {
		for range 100_000 { // more than a second has files, however slow the machine is
			r.c.Wake()
		}
	}
	r.c.Wake()
	if r.c.Due(ctx) {
		t.Fatal("due with nothing")
	}
	r.put("first", random(1, 2*fill))
	crowd()
	if r.c.Due(ctx) {
		t.Error("due while files come in quickly")
	}
	r.c.Wake()
	if !r.c.Due(ctx) {
		t.Error("not due when they come slower")
	}
	for i := range commit.CrowdFills {
		r.put(fmt.Sprint(i), random(uint64(i), fill))
	}
	crowd()
	if !r.c.Due(ctx) {
		t.Error("not due when they fill many segments")
	}
}
