package localnet

import (
	"encoding/hex"
	"testing"
)

// TestStoredForms pins what ledgers hold of requests: with other bytes, a call
// could not be repeated after an update of the program.
func TestStoredForms(t *testing.T) {
	for want, r := range map[string]*request{"da60d708": faucetRequest([32]byte{1}, 1, 2), "0c7307fb": systemRequest(handOverKind)} {
		got, err := r.hash([32]byte{2})
		if err != nil || hex.EncodeToString(got[:4]) != want {
			t.Errorf("%s: got %x, %v, want %s", r.kind, got[:4], err, want)
		}
		if other, err := r.hash([32]byte{1}); err != nil || other == got {
			t.Errorf("%s: two senders, one hash", r.kind)
		}
	}
}
