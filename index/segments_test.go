package index_test

import (
	"errors"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// TestReceipts writes down every stage of a Put and reads it back.
func TestReceipts(t *testing.T) {
	db := open(t)
	unnamed := segment(1)
	unnamed.Blob = walrus.BlobID{}
	if err := db.CommitSegments(ctx, index.Commit{Trailer: must(db.CutTrailer(ctx, nil)), Segments: []index.SegmentRow{unnamed}}); err != nil {
		t.Fatal(err)
	}
	cert := walrus.Certificate{Bitmap: []byte{7}, Message: []byte("message")}
	cert.Signature[0] = 1
	r := must(db.Receipt(ctx, 1))
	if r.Stage != walrus.Encoded || !r.Blob.IsZero() || r.Size != 1<<20 {
		t.Errorf("first receipt %+v", r)
	}
	for _, change := range []func(){
		func() { r.Blob = blob(1) },
		func() { r.RegisterTx = [32]byte{1} },
		func() { r.Stage, r.Object, r.EndEpoch, r.Root = walrus.Registered, walrus.ObjectID{2}, 5, [32]byte{4} },
		func() { r.Stage, r.Cert = walrus.Stored, &cert },
		func() { r.CertifyTx = [32]byte{3} },
		func() { r.Stage = walrus.Certified },
	} {
		change()
		if err := db.Checkpoint(ctx, 1, r); err != nil {
			t.Fatal(err)
		}
		got := must(db.Receipt(ctx, 1))
		if got.Cert != nil && (string(got.Cert.Message) != "message" || got.Cert.Signature != cert.Signature) {
			t.Errorf("certificate %+v", got.Cert)
		}
		got.Cert = r.Cert
		if got != r {
			t.Errorf("got %+v, want %+v", got, r)
		}
	}
	if err := db.SegmentFailed(ctx, 1, errors.New("refused"), time.Unix(9, 0)); err != nil {
		t.Fatal(err)
	}
	s := must(db.Segments(ctx, index.SegmentFilter{}))[0]
	if s.Error != "refused" || s.Tries != 1 || !s.Next.Equal(time.Unix(9, 0)) || s.CertifiedAt.IsZero() {
		t.Errorf("segment %+v", s)
	}
	for _, f := range []index.SegmentFilter{{Number: 2}, {After: 1}, {Below: walrus.Certified}, {Due: time.Unix(8, 0)}} {
		if got := must(db.Segments(ctx, f)); len(got) != 0 {
			t.Errorf("filter %+v selects %+v", f, got)
		}
	}
	for _, f := range []index.SegmentFilter{{Number: 1}, {Below: index.Finished, Max: 1}, {Due: time.Unix(9, 0)}} {
		if got := must(db.Segments(ctx, f)); len(got) != 1 {
			t.Errorf("filter %+v selects %+v", f, got)
		}
	}
	if _, err := db.Receipt(ctx, 2); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("missing segment: %v", err)
	}
}
