package localnet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/walfs/walfs/chain"
)

// TestEarlier asks for what was executed under an ID that the caller chose: it is told
// to who asks for the same, and to nobody else.
func TestEarlier(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	tx := chain.TxID{7}
	fund(t, n, tx, alice, 5)
	n.mu.Lock()
	out, asked, err := n.lookup(t.Context(), n.store.reader, tx)
	n.mu.Unlock()
	if err != nil || !bytes.Equal(out, noOutcome) || asked == ([32]byte{}) {
		t.Fatalf("kept: %x for %x, %v", out, asked, err)
	}
	for name, c := range map[string]struct {
		tx      chain.TxID
		request [32]byte
		want    error
	}{
		"the outcome alone":  {tx, [32]byte{}, nil},
		"the same request":   {tx, asked, nil},
		"another request":    {tx, [32]byte{1}, chain.ErrTxReused},
		"an ID that is new":  {chain.TxID{8}, asked, chain.ErrNotExist},
		"new, outcome alone": {chain.TxID{8}, [32]byte{}, chain.ErrNotExist},
	} {
		if got, err := n.Earlier(t.Context(), c.tx, c.request); !errors.Is(err, c.want) || c.want == nil && !bytes.Equal(got, noOutcome) {
			t.Errorf("%s: %x, %v, want %v", name, got, err, c.want)
		}
	}
}
