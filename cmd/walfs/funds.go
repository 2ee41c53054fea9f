package main

import (
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/commit"
)

// addFunds adds how much WAL what waits takes, when the wallet does not have it.
func (d *drive) addFunds(s *status, state *chain.State, at commit.Status) {
	need := d.renewer.Found().Need
	unpaid := d.committer.Unpaid()
	if len(unpaid) == 0 && need == 0 {
		return
	}
	for _, size := range append(unpaid, d.unpacked(at)...) {
		if encoded, err := d.blobs.Geometry().EncodedSize(size); err == nil {
			need += state.RegisterPrice(encoded, commit.DefaultEpochs)
		}
	}
	if need <= s.Balance {
		return // it goes on by itself
	}
	s.Missing = need - s.Balance
	s.Problems = append(s.Problems, fmt.Sprintf("what waits costs %s, the wallet has %s: pay %s to %s",
		wal(need), wal(s.Balance), wal(s.Missing), s.Wallet))
}

// unpacked returns the sizes of the segments that the files that wait will make, about.
func (d *drive) unpacked(at commit.Status) (sizes []int64) {
	full := commit.Capacity(d.blobs.Geometry())
	for left := at.Dirty + at.Staged; left > 0; left -= full {
		sizes = append(sizes, min(left, full))
	}
	return sizes
}
