package commit

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/walfs/walfs/blobstore"
)

// away is how segments wait for a ledger that does not answer: together. One of
// them asks now and then, and once there is an answer all go on. So a ledger
// that is away is asked as seldom for many segments as for one.
type away struct {
	misses int       // in a row; 0: it answers
	next   time.Time // not to be asked before
	asking uint64    // segment that asks, 0 none
}

// maxAway bounds the pause between questions to a ledger that is away.
const maxAway = time.Minute

// rest returns how long no segment may be tried, 0 if one may now.
func (a *away) rest(now time.Time) time.Duration {
	switch {
	case a.misses == 0:
		return 0
	case a.asking != 0:
		return maxAway // its answer wakes who waits
	}
	return max(0, a.next.Sub(now))
}

// ask notes that a segment is tried, alone if the ledger is away.
func (a *away) ask(number uint64) {
	if a.misses > 0 {
		a.asking = number
	}
}

// answered notes how the try of a segment ended. The pause is longest at most.
func (a *away) answered(number uint64, err error, now time.Time, longest time.Duration) {
	asked := a.asking == number
	if asked {
		a.asking = 0
	}
	switch {
	case !errors.Is(err, blobstore.ErrLedger):
		*a = away{}
	case asked || a.misses == 0:
		pause := min(maxAway, longest, firstPause<<min(a.misses, 10))
		a.misses++
		a.next = now.Add(pause*3/4 + rand.N(pause/2))
	}
}
