package localnet

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// TestStoredForms pins what ledgers hold of requests and outcomes: with other
// bytes, a call could not be repeated after an update of the program.
func TestStoredForms(t *testing.T) {
	attributes := []chain.Attribute{{Key: "k", Value: "v"}}
	id := walrus.ObjectID{31: 7}
	requests := map[string]*request{
		"ad01f57f": registerRequest([]chain.Registration{{Blob: walrus.BlobID{1}, Root: [32]byte{2}, Size: 3, EpochsAhead: 4,
			Deletable: true, Storage: id, Attributes: attributes}}),
		"4052c3ec": certifyRequest([]chain.Certification{{Object: id, Cert: walrus.Certificate{Signature: [96]byte{5}, Bitmap: []byte{6},
			Message: []byte{7, 8}}}}, &chain.AnchorUpdate{Object: id, Version: 9, Attributes: attributes}),
		"5a372369": certifyRequest([]chain.Certification{{Object: id}}, nil),
		"1fc59491": extendRequest([]chain.Extension{{Object: id, Epochs: 2}}),
		"b49686bf": deleteRequest([]walrus.ObjectID{id}),
		"da60d708": faucetRequest(alice, 1, 2),
		"0d83b240": systemRequest("voting_end", 3),
	}
	for want, r := range requests {
		got, err := r.hash(bob)
		if err != nil || hex.EncodeToString(got[:4]) != want {
			t.Errorf("%s: got %x, %v, want %s", r.kind, got[:4], err, want)
		}
		if other, err := r.hash(alice); err != nil || other == got {
			t.Errorf("%s: two senders, one hash", r.kind)
		}
	}
	out := &outcome{Registered: []chain.Registered{{Object: id, EndEpoch: 2}}, Certified: []walrus.ObjectID{id},
		Extended: []chain.Registered{{Object: id, EndEpoch: 3}}, Freed: []walrus.ObjectID{id}, AnchorVersion: 4, CostFrost: 5}
	object := "0000000000000000000000000000000000000000000000000000000000000007"
	want := "01" + object + "02000000" + "01" + object + "01" + object + "03000000" + "01" + object + "0400000000000000" + "0500000000000000"
	got, err := move.Marshal(out)
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("outcome: %v\n got %x\nwant %s", err, got, want)
	}
	var back outcome
	if err := move.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(&back, out) {
		t.Errorf("outcome: read %+v, %v", back, err)
	}
}
