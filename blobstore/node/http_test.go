package node

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

// The errors of a node are the same through HTTP.
func TestHTTPClientErrors(t *testing.T) {
	b := newBench(t)
	var down error
	n := b.open(disk())
	server := httptest.NewServer(NewServer(func() (*Node, error) { return n, down }, false))
	defer server.Close()
	c := NewHTTPClient(HTTPConfig{URL: server.URL + "/", Geometry: walrus.Geometry{Shards: shards}, Member: 1})
	s := b.sample(1, 5000)
	h := s.handover()
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := c.Metadata(t.Context(), h.Blob)
	check("no metadata", err, ErrNotFound)
	_, err = c.Sliver(t.Context(), idOf(h, h.Slots[0]))
	check("no sliver", err, ErrNotFound)
	_, err = c.Confirm(t.Context(), h.Blob, permanent)
	check("nothing to confirm", err, ErrNotFound)
	_, err = c.Confirm(t.Context(), walrus.BlobID{1}, permanent)
	check("confirm a stranger", err, ErrNotRegistered)
	check("slots of another node", c.Store(t.Context(), s.handover(1)), ErrRefused)
	if err := c.Store(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	conf, err := c.Confirm(t.Context(), h.Blob, permanent)
	if err != nil {
		t.Fatal(err)
	}
	if err := conf.Verify(&walrus.Committee{Epoch: 5, Members: b.ledger.state.Committee.Members}); err != nil {
		t.Error(err)
	}
	for _, slot := range h.Slots {
		want, err := n.Symbols(t.Context(), idOf(h, slot), []int{1, 9, 4})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Symbols(t.Context(), idOf(h, slot), []int{1, 9, 4}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("symbols %v, %v, want %v", got, err, want)
		}
	}
	foreign := s.handover(1)
	_, err = c.Symbols(t.Context(), idOf(foreign, foreign.Slots[0]), []int{1})
	check("symbols of another node", err, ErrNotFound)
	_, err = c.Symbols(t.Context(), walrus.SliverID{Blob: walrus.BlobID{1}}, []int{1})
	check("symbols of a stranger", err, ErrNotFound)
	_, err = c.Symbols(t.Context(), idOf(h, h.Slots[0]), []int{shards})
	check("symbol out of range", err, ErrRefused)
	down = ErrUnavailable
	_, err = c.Metadata(t.Context(), h.Blob)
	check("node is down", err, ErrUnavailable)
	server.Close()
	_, err = c.Metadata(t.Context(), h.Blob)
	check("nobody there", err, ErrUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Metadata(ctx, h.Blob)
	check("call is over", err, context.Canceled)
}

// A node that lies is refused, and cannot fill the memory.
func TestHTTPClientDoubts(t *testing.T) {
	b := newBench(t)
	s, other := b.sample(1, 5000), b.sample(2, 5000)
	raw, err := other.Metadata().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	blob := other.Blob()
	slot := s.handover().Slots[2]
	answers := map[string][]byte{
		"/metadata":               append(blob[:], raw...),
		"/slivers":                sliverBody(s, slot),
		"/confirmation/permanent": []byte(`{"success":{"data":{"signed":{"serializedMessage":"AA==","signature":"AA=="}}}}`),
	}
	endless := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for endless {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
		for part, answer := range answers {
			if strings.Contains(r.URL.Path, part) {
				_, _ = w.Write(answer)
			}
		}
	}))
	defer server.Close()
	c := NewHTTPClient(HTTPConfig{URL: server.URL, Geometry: walrus.Geometry{Shards: shards}})
	for _, endless = range []bool{false, true} {
		if _, err := c.Metadata(t.Context(), s.Blob()); !errors.Is(err, ErrRefused) {
			t.Errorf("endless %v: metadata of another blob: %v", endless, err)
		}
		if _, err := c.Sliver(t.Context(), idOf(s.handover(), s.handover().Slots[0])); !errors.Is(err, ErrRefused) {
			t.Errorf("endless %v: another sliver: %v", endless, err)
		}
		if _, err := c.Confirm(t.Context(), s.Blob(), permanent); !errors.Is(err, ErrRefused) {
			t.Errorf("endless %v: short signature: %v", endless, err)
		}
	}
}
