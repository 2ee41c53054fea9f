package main

import (
	"fmt"
	"time"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// undecidedAfter is how long a transaction may be on its way before that is a problem.
const undecidedAfter = 30 * time.Second

// undecided is the part of status that is about transactions which were sent, and of
// which the ledger has not said what became of them.
type undecided struct {
	Undecided      int    `json:"open_transactions"`
	UndecidedSince string `json:"open_transactions_since,omitempty"` // as RFC 3339
}

// addUndecided adds the transactions of which no outcome is known.
func (d *drive) addUndecided(s *status) {
	client, ok := d.ledger.(interface{ Undecided() (int, time.Time) })
	if !ok {
		return
	}
	n, since := client.Undecided()
	if s.Undecided = n; n == 0 {
		return
	}
	s.UndecidedSince = timeOf(since)
	if time.Since(since) > undecidedAfter {
		s.Problems = append(s.Problems, undecidedText(n, since))
	}
}

func undecidedText(n int, since time.Time) string {
	return fmt.Sprintf("%s without a known outcome, the first signed at %s: the next payment settles that first, and nothing is paid twice",
		ui.Plural(n, "transaction of the wallet is", "transactions of the wallet are"), since.Format(time.RFC3339))
}
