package keep

import (
	"context"
	"fmt"
	"math/bits"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// Outlook says how long the money in a wallet lasts, at the prices of now. Free storage that renewals will
// use, and what is deleted meanwhile, make it last longer.
type Outlook struct {
	Renewals uint64       // FROST for an epoch more of all that is held
	Writes   uint64       // FROST that was paid in an epoch for what was stored lately
	Round    uint64       // FROST to renew everything once more, when it is due
	RoundBy  walrus.Epoch // when all of that is paid; 0: nothing is held
	// Ends is the first epoch in which something cannot be paid, 0 when none is within sight. What is
	// due then has a quarter of its time left.
	Ends walrus.Epoch
	// Short is what the wallet lacks to renew everything once more, in FROST, with nothing written
	// until then; 0: it does not.
	Short uint64
}

const (
	// recently is how far back what was stored counts as written lately.
	recently = 7 * 24 * time.Hour
	// sight is how many epochs ahead an Outlook looks.
	sight = 2000
)

// Outlook foresees the payments of the time to come. Geometry is that of the ledger's committee.
func (r *Renewer) Outlook(ctx context.Context, state *chain.State, balance uint64) (Outlook, error) {
	held, err := r.cfg.Index.Lifetimes(ctx, r.cfg.Now().Add(-recently))
	if err != nil {
		return Outlook{}, fmt.Errorf("until when is paid: %w", err)
	}
	return foresee(held, state, min(r.cfg.Ahead, state.MaxEpochsAhead), balance)
}

// foresee is Outlook for segments that are known.
func foresee(held []index.Lifetime, state *chain.State, ahead uint32, balance uint64) (o Outlook, err error) {
	units := map[walrus.Epoch]uint64{} // by the end of what is paid for
	written := uint64(0)
	g := state.Committee.Geometry()
	for _, l := range held {
		encoded, err := g.EncodedSize(l.Size)
		if err != nil {
			return o, err
		}
		n := chain.Units(encoded)
		written += uint64(l.Fresh) * state.RegisterPrice(encoded, ahead)
		if l.End > state.Epoch { // what has ended is not renewed
			units[l.End] += uint64(l.Segments) * n
			o.Renewals += uint64(l.Segments) * n * state.StoragePrice
		}
	}
	if state.EpochDuration > 0 {
		o.Writes = share(written, uint64(state.EpochDuration), uint64(recently))
	}
	o.walk(units, state, ahead, balance)
	return o, nil
}

// walk goes through the epochs and pays what is due in each, as the Renewer does.
func (o *Outlook) walk(units map[walrus.Epoch]uint64, state *chain.State, ahead uint32, balance uint64) {
	lead := walrus.Epoch(ahead / renewLeft)
	cost := func(end, now walrus.Epoch) uint64 { // of renewing in an epoch what ends in another
		return units[end] * state.StoragePrice * uint64(now+walrus.Epoch(ahead)-end)
	}
	for end := range units {
		due := max(state.Epoch, end-min(end, lead))
		o.Round += cost(end, due)
		o.RoundBy = max(o.RoundBy, due)
	}
	o.Short = o.Round - min(o.Round, balance)
	spent := uint64(0)
	for now := state.Epoch; now < state.Epoch+sight && o.Ends == 0; now++ {
		if now > state.Epoch {
			spent += o.Writes
		}
		for end := range units {
			if end <= now+lead {
				spent += cost(end, now)
				units[now+walrus.Epoch(ahead)] += units[end]
				delete(units, end)
			}
		}
		if spent > balance {
			o.Ends = now
		}
	}
}

// share returns a*b/c, or the largest number when that does not fit.
func share(a, b, c uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high >= c {
		return ^uint64(0)
	}
	q, _ := bits.Div64(high, low, c)
	return q
}
