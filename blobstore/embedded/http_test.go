package embedded_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
)

// overHTTP returns a client that knows the nodes of a network by their routes alone.
func overHTTP(t *testing.T, n *embedded.Network) *blobstore.Client {
	t.Helper()
	committee := n.Net().Committee()
	dial := func(m walrus.Member) (*node.Client, error) {
		handler, err := n.Handler(m.Name, false)
		if err != nil {
			return nil, err
		}
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		place := slices.IndexFunc(committee.Members, func(o walrus.Member) bool { return o.ID == m.ID })
		return node.NewHTTPClient(node.HTTPConfig{URL: server.URL, Geometry: n.Codec().Geometry(), Member: place, Client: new(http.Client)}), nil
	}
	c, err := blobstore.New(blobstore.Config{Ledger: rich(t, n), Dial: dial, Codec: n.Codec(), ReadTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What is put over HTTP is read in the process, and the other way round, also with nodes down.
func TestOverHTTP(t *testing.T) {
	n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 10, Shards: 10})
	web, local := overHTTP(t, n), client(t, n)
	sent := put(t, web, "sent over HTTP")
	read(t, local, sent, "sent over HTTP")
	read(t, web, put(t, local, "put in the process"), "put in the process")
	for _, name := range []string{"node-01", "node-04", "node-07"} {
		if err := n.Stop(name); err != nil {
			t.Fatal(err)
		}
	}
	down := put(t, web, "with three nodes down")
	read(t, overHTTP(t, n), sent, "sent over HTTP")
	read(t, overHTTP(t, n), down, "with three nodes down")
	if _, err := n.Handler("node-99", false); !errors.Is(err, embedded.ErrUnknown) {
		t.Errorf("handler of no node: %v, want ErrUnknown", err)
	}
}
