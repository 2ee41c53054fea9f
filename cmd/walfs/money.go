package main

import (
	"context"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// money is the part of status about what the wallet has, and how long that lasts.
type money struct {
	Wallet  string `json:"wallet"` // address that pays
	Balance uint64 `json:"wal_balance_frost"`
	SUI     uint64 `json:"sui_balance_mist"`
	Missing uint64 `json:"wal_missing_frost"` // for what waits to be stored or renewed
	// What an epoch costs: that all that is held is paid for longer, and what was stored in the last
	// days, as if that went on.
	Renewals uint64 `json:"renewals_frost_per_epoch"`
	Writes   uint64 `json:"writes_frost_per_epoch"`
	PerDay   uint64 `json:"burn_frost_per_day"` // of both
	Round    uint64 `json:"renewal_frost"`      // that renewing all of it once takes, when it is due
	// MoneyEnds is the first epoch in which something that is due cannot be paid; 0: none within sight.
	MoneyEnds    walrus.Epoch `json:"money_ends_epoch"`
	MoneyEndsOn  string       `json:"money_ends,omitempty"`  // when that epoch begins at the earliest, as RFC 3339
	RenewalShort uint64       `json:"renewal_missing_frost"` // for renewing everything once more
}

// addMoney adds how long the money lasts, and says loudly if not all can be renewed even once.
func (d *drive) addMoney(ctx context.Context, s *status, state *chain.State, balance chain.Balance) {
	s.Balance, s.SUI, s.Wallet = balance.WALFrost, balance.SUIMist, d.keys.wallet.Address().String()
	o, err := d.renewer.Outlook(ctx, state, balance.WALFrost)
	if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("how long the money lasts is not known: %v", err))
		return
	}
	s.Renewals, s.Writes, s.Round, s.RenewalShort, s.MoneyEnds = o.Renewals, o.Writes, o.Round, o.Short, o.Ends
	if state.EpochDuration > 0 {
		s.PerDay = uint64(float64(o.Renewals+o.Writes) * (24 * time.Hour).Seconds() / state.EpochDuration.Seconds())
	}
	if o.Ends != 0 {
		begins := state.EpochStart.Add(time.Duration(o.Ends-state.Epoch) * state.EpochDuration)
		s.MoneyEndsOn = timeOf(time.Now().Add(max(0, begins.Sub(state.Now))))
	}
	if o.Short > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("the money ends before all is renewed: that takes %s until epoch %d, the wallet has %s: pay %s to %s",
			wal(o.Round), o.RoundBy, wal(s.Balance), wal(o.Short), s.Wallet))
	}
}

// onDay says of a time as RFC 3339 on which day that is.
func onDay(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return ""
	}
	return ", " + t.Local().Format("2006-01-02")
}

// text is the line of status.
func (m *money) text() string {
	text := wal(m.Balance)
	if m.Renewals+m.Writes == 0 {
		return text
	}
	text += fmt.Sprintf("; %s an epoch, %s a day", wal(m.Renewals+m.Writes), wal(m.PerDay))
	if m.MoneyEnds == 0 {
		return text + ": lasts for long"
	}
	return text + fmt.Sprintf(": ends in epoch %d%s", m.MoneyEnds, onDay(m.MoneyEndsOn))
}
