package main

import (
	"strings"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
)

// waitingLedger is a ledger client that has sent something and not heard of it.
type waitingLedger struct {
	chain.Ledger
	n     int
	since time.Time
}

func (w *waitingLedger) Undecided() (int, time.Time) { return w.n, w.since }

// TestUndecided tells of open transactions at once, and calls them a problem once they take long.
func TestUndecided(t *testing.T) {
	for _, c := range []struct {
		n       int
		age     time.Duration
		problem string
	}{{0, 0, ""}, {1, 0, ""}, {1, time.Hour, "1 transaction of the wallet is"}, {2, time.Hour, "2 transactions of the wallet are"}} {
		var s status
		d := &drive{ledger: &waitingLedger{n: c.n, since: time.Now().Add(-c.age)}}
		d.addUndecided(&s)
		problems := strings.Join(s.Problems, "; ")
		if s.Undecided != c.n || (s.UndecidedSince == "") != (c.n == 0) || (problems == "") != (c.problem == "") || !strings.HasPrefix(problems, c.problem) {
			t.Errorf("%d for %s: %d since %q, %q", c.n, c.age, s.Undecided, s.UndecidedSince, problems)
		}
	}
}
