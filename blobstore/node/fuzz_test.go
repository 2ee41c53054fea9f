package node

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

// FuzzServer sends any request to a node's server: each has an answer, and no failure of the node's own.
func FuzzServer(f *testing.F) {
	blob := walrus.BlobID{1}.String()
	for _, path := range []string{"/v1/health", "/v1/blobs/" + blob + "/metadata", "/v1/blobs/" + blob + "/metadata/status", "/v1/blobs/" + blob + "/slivers/3/primary",
		"/v1/blobs/" + blob + "/slivers/0/secondary", "/v1/blobs/" + blob + "/confirmation/permanent", "/v1/blobs/" + blob + "/status",
		"/v1/blobs/" + blob + "/recoverySymbols?id=1-2", "/v1/blobs/x/metadata", "/v1/blobs//slivers"} {
		f.Add(http.MethodGet, path, []byte(nil))
		f.Add(http.MethodPut, path, []byte("body"))
	}
	b := newBench(f)
	n := b.open(disk())
	server := NewServer(func() (*Node, error) { return n, nil }, false)
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		where, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", bytes.NewReader(body))
		r.Method, r.URL = method, where
		r.Header.Set("Content-Type", "application/octet-stream")
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, r)
		if answer.Code < 200 || answer.Code >= 500 {
			t.Errorf("%s %s with %x: %d %s", method, path, body, answer.Code, answer.Body)
		}
	})
}
