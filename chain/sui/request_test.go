package sui

import (
	"context"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// TestStoredForms pins what journals and ledgers hold of requests and outcomes: with other
// bytes, a call could not be repeated after an update of the program, and would be refused or paid again.
func TestStoredForms(t *testing.T) {
	attributes := []chain.Attribute{{Key: "k", Value: "v"}}
	id := walrus.ObjectID{31: 7}
	registration := chain.Registration{Blob: walrus.BlobID{1}, Root: [32]byte{2}, Size: 3, EpochsAhead: 4, Deletable: true, Attributes: attributes}
	stored, reused := registration, registration
	stored.Storage, reused.Reuse = id, []walrus.ObjectID{id}
	for want, r := range map[string]*request{
		"ad01f57f": registerRequest([]chain.Registration{stored}),
		"fb00a587": registerRequest([]chain.Registration{reused}),
		"4052c3ec": certifyRequest([]chain.Certification{{Object: id, Cert: walrus.Certificate{Signature: [96]byte{5}, Bitmap: []byte{6},
			Message: []byte{7, 8}}}}, &chain.AnchorUpdate{Object: id, Version: 9, Attributes: attributes}),
		"5a372369": certifyRequest([]chain.Certification{{Object: id}}, nil),
		"1fc59491": extendRequest([]chain.Extension{{Object: id, Epochs: 2}}),
		"c568235d": extendRequest([]chain.Extension{{Object: id, Epochs: 2, Reuse: []walrus.ObjectID{id}}}),
		"b49686bf": deleteRequest([]walrus.ObjectID{id}),
	} {
		got, err := r.hash([32]byte{2})
		if err != nil || hex.EncodeToString(got[:4]) != want {
			t.Errorf("%s: got %x, %v, want %s", r.kind, got[:4], err, want)
		}
		if other, err := r.hash([32]byte{1}); err != nil || other == got {
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

// TestEarlier lets a ledger know a transaction ID from the time before the journal.
func TestEarlier(t *testing.T) {
	kept, err := move.Marshal(&outcome{Certified: []walrus.ObjectID{{9}}, AnchorVersion: 4})
	if err != nil {
		t.Fatal(err)
	}
	asked := [32]byte{5}
	for name, c := range map[string]struct {
		kept []byte
		err  error
		want error
	}{
		"known":                   {kept, nil, nil},
		"known of something else": {nil, chain.ErrTxReused, chain.ErrTxReused},
		"not known":               {nil, chain.ErrNotExist, nil},
		"damaged":                 {kept[:3], nil, move.ErrEncoding},
	} {
		client := &Client{journal: openJournal(t, t.TempDir()), earlier: func(_ context.Context, tx chain.TxID, request [32]byte) ([]byte, error) {
			if tx != (chain.TxID{1}) || request != asked {
				t.Errorf("%s: asked for %x, %x", name, tx, request)
			}
			return c.kept, c.err
		}}
		out, err := client.executed(t.Context(), chain.TxID{1}, asked)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if known := c.err == nil && c.want == nil; known != (out != nil) || known && (out.AnchorVersion != 4 || out.Certified[0] != walrus.ObjectID{9}) {
			t.Errorf("%s: %+v", name, out)
		}
	}
}
