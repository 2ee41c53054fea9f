package node

import (
	"net/http"
	"strconv"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Limits of bodies in bytes. Sources: Walrus, defaults of the storage node's server.
const (
	maxSmallBody  = 2 << 20
	maxSymbolSize = 65534 // an even uint16
	sliverExtra   = 128
)

// Server answers the HTTP routes of a Walrus storage node: metadata, slivers,
// confirmations, states. There is no credential on an upload: a blob is paid for on
// the ledger, and what does not match its ID is refused. Data is taken only for
// blobs that are registered: with pending=true too, nothing is kept in memory for later.
//
// Slivers of a shard are given in bulk only to the node that has it now, which
// signs for that. The routes for symbols without proofs and for proofs of
// inconsistency are not there.
type Server struct {
	use    func() (*Node, error)
	mux    *http.ServeMux
	cors   bool
	origin time.Time
}

// NewServer returns a server for the node that use returns. Use is asked at each
// request, and returns ErrUnavailable while the node is down. With cors the pages
// of any site may call the routes, as those of real nodes.
func NewServer(use func() (*Node, error), cors bool) *Server {
	s := &Server{use: use, mux: http.NewServeMux(), cors: cors, origin: time.Now()}
	const blob = "/v1/blobs/{blob}"
	s.route("GET "+blob+"/metadata", s.getMetadata)
	s.route("PUT "+blob+"/metadata", s.putMetadata)
	s.route("GET "+blob+"/metadata/status", s.metadataStatus)
	s.route("GET "+blob+"/slivers/{pair}/{axis}", s.getSliver)
	s.route("PUT "+blob+"/slivers/{pair}/{axis}", s.putSliver)
	s.route("GET "+blob+"/slivers/{pair}/{axis}/status", s.sliverStatus)
	s.route("GET "+blob+"/confirmation/permanent", s.confirmPermanent)
	s.route("GET "+blob+"/confirmation/deletable/{object}", s.confirmDeletable)
	s.route("GET "+blob+"/status", s.blobStatus)
	s.route("GET "+blob+"/recoverySymbols", s.recoverySymbols)
	s.route("POST /v1/migrate/sync_shard", s.syncShard)
	s.route("GET /v1/health", s.health)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.cors {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "*")
			w.Header().Set("Access-Control-Allow-Headers", "*")
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	s.mux.ServeHTTP(w, r)
}

// request is one request with what its path names.
type request struct {
	*http.Request
	node *Node
	blob walrus.BlobID
}

// route answers a pattern with what f returns: a fault, or the data of a success.
func (s *Server) route(pattern string, f func(http.ResponseWriter, *request) error) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		q := request{Request: r}
		if text := r.PathValue("blob"); text != "" {
			var err error
			if q.blob, err = walrus.ParseBlobID(text); err != nil {
				http.Error(w, "invalid blob ID", http.StatusBadRequest)
				return
			}
		}
		var err error
		if q.node, err = s.use(); err == nil {
			err = f(w, &q)
		}
		if err != nil {
			writeFault(w, faultOf(err))
		}
	})
}

// sliver returns the sliver that the path names by its pair, or a fault.
func (q *request) sliver() (walrus.SliverID, error) {
	id := walrus.SliverID{Blob: q.blob}
	switch q.PathValue("axis") {
	case "primary":
		id.Axis = walrus.Primary
	case "secondary":
		id.Axis = walrus.Secondary
	default:
		return id, &fault{text: "invalid sliver type", plain: http.StatusBadRequest}
	}
	pair, err := strconv.ParseUint(q.PathValue("pair"), 10, 16)
	if err != nil {
		return id, &fault{text: "invalid sliver pair index", plain: http.StatusBadRequest}
	}
	if int(pair) >= q.node.geometry.Shards {
		return id, refuse("INVALID_ARGUMENT", "INDEX_OUT_OF_RANGE", "the requested index is out of range")
	}
	id.Index = uint16(q.node.geometry.SliverIndex(int(pair), id.Axis))
	return id, nil
}
