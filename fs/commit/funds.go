package commit

import (
	"context"
	"errors"
	"time"

	"github.com/walfs/walfs/chain"
)

// fundsEvery is how often the wallet is looked at while segments wait to be paid for.
const fundsEvery = 15 * time.Second

// awaitFunds lets segments go that could not be paid for, once there is more in the wallet.
func (c *Committer) awaitFunds(ctx context.Context) error {
	var had chain.Balance
	for looked := false; ; {
		changed := c.flights.changed.wait()
		if !c.flights.isBroke() {
			looked = false
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		if err := pause(ctx, fundsEvery); err != nil {
			return err
		}
		if !c.flights.isBroke() {
			continue
		}
		balance, err := c.cfg.Ledger.Balance(ctx)
		if err != nil {
			continue
		}
		// What was in it when they were refused is not known at first.
		if !looked || balance.WALFrost > had.WALFrost || balance.SUIMist > had.SUIMist {
			c.flights.funded()
		}
		had, looked = balance, true
	}
}

// isBroke reports whether segments wait to be paid for.
func (f *flights) isBroke() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.open {
		if !fl.flying && errors.Is(fl.err, chain.ErrNoFunds) {
			return true
		}
	}
	return false
}

// funded lets segments go at once that could not be paid for.
func (f *flights) funded() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.open {
		if errors.Is(fl.err, chain.ErrNoFunds) {
			fl.next = time.Time{}
		}
	}
	f.changed.raise()
}

// Unpaid returns the sealed sizes of the segments that could not be paid for.
func (c *Committer) Unpaid() (sizes []int64) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	for _, fl := range c.flights.open {
		if errors.Is(fl.err, chain.ErrNoFunds) {
			sizes = append(sizes, fl.size)
		}
	}
	return sizes
}
