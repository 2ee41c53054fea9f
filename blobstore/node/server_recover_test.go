package node

import (
	"net/http"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/move"
)

// TestServerRecoverySymbols asks for symbols in each way, and recovers a sliver
// of another node from what comes, as far as that suffices.
func TestServerRecoverySymbols(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	c := b.serve(n)
	s := b.sample(1, 5000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	path := "/v1/blobs/" + s.Blob().String() + "/recoverySymbols"
	ask := func(query string) symbolBodies {
		t.Helper()
		code, raw := c.do("GET", path+query, nil)
		var all symbolBodies
		if err := move.Unmarshal(raw, &all); code != http.StatusOK || err != nil {
			t.Fatalf("%s: %d, %v: %s", query, code, err, raw)
		}
		for _, got := range all {
			target := walrus.SliverID{Blob: s.Blob(), Axis: walrus.Secondary - got.axis, Index: got.target}
			if err := b.codec.VerifySymbol(s.Metadata(), target, redstuff.Symbol{Source: int(got.source), Data: got.data, Proof: got.proof}); err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
		return all
	}
	// The node has three slivers of each axis: each of them crosses the target.
	for _, kind := range []string{"primary", "Secondary"} {
		if got := ask("?targetSliver=2&targetType=" + kind); len(got) != 3 {
			t.Errorf("%d symbols for %s sliver 2, want 3", len(got), kind)
		}
	}
	own := s.handover().Slots[0] // a primary one
	id := symbolID{own.Index(), 4}
	if got := ask("?id=" + id.String() + "&id=" + id.String()); len(got) != 1 || got[0].axis != walrus.Primary || int(got[0].source) != own.Index() || got[0].target != 4 {
		t.Errorf("symbol %s: %+v", id, got)
	}
	second := s.handover().Slots[1]
	both := symbolID{own.Index(), second.Index()}
	for axis, name := range map[walrus.Axis]string{walrus.Primary: "primary", walrus.Secondary: "secondary"} {
		if got := ask("?proofAxis=" + name + "&id=" + both.String()); len(got) != 1 || got[0].axis != axis {
			t.Errorf("symbol %s with a proof on %s: %+v", both, name, got)
		}
	}
	foreign := s.handover(1).Slots
	neither := symbolID{foreign[0].Index(), foreign[1].Index()}
	for query, reason := range map[string]string{
		"":                                    "NO_SYMBOLS_SPECIFIED",
		"?id=1":                               "INVALID_FILTER",
		"?id=1-x":                             "INVALID_FILTER",
		"?id=1-2&targetSliver=1":              "INVALID_FILTER",
		"?targetSliver=1":                     "INVALID_FILTER",
		"?targetSliver=x&targetType=primary":  "INVALID_FILTER",
		"?id=1-2&proofAxis=third":             "INVALID_FILTER",
		"?id=1-10":                            "RECOVERY_SYMBOL_OUT_OF_RANGE",
		"?targetSliver=10&targetType=primary": "INDEX_OUT_OF_RANGE",
		"?id=" + neither.String():             "SYMBOL_NOT_PRESENT_AT_SHARDS",
	} {
		c.fails("GET", path+query, nil, http.StatusBadRequest, reason)
	}
	c.fails("GET", "/v1/blobs/"+walrus.BlobID{5}.String()+"/recoverySymbols?id=1-2", nil, http.StatusNotFound, "SLIVER_NOT_FOUND")
}
