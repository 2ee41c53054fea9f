package node

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/walfs/walfs/blobstore/redstuff"
)

// Where an error comes from. Source: Walrus, ErrorInfo domains.
const (
	domainStorage = "storage.walrus.space"
	domainGlobal  = "global"
)

// statusCodes are the HTTP codes of the status names. Source: AIP-193 as Walrus uses it.
var statusCodes = map[string]int{
	"INVALID_ARGUMENT": http.StatusBadRequest, "FAILED_PRECONDITION": http.StatusBadRequest, "NOT_FOUND": http.StatusNotFound,
	"INTERNAL": http.StatusInternalServerError, "UNAVAILABLE": http.StatusServiceUnavailable, "RESOURCE_EXHAUSTED": http.StatusTooManyRequests,
	"PERMISSION_DENIED": http.StatusForbidden,
}

// fault is an answer that is no success.
type fault struct {
	status, reason, text string
	metadata             map[string]string
	plain                int // not 0: a plain text with this code instead
}

// Error returns the text.
func (f *fault) Error() string { return f.text }

func refuse(status, reason, text string) *fault {
	return &fault{status: status, reason: reason, text: text}
}

// faultOf says how an error of a node is answered, where a route says nothing else.
func faultOf(err error) *fault {
	var f *fault
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &long):
		return &fault{text: "length limit exceeded", plain: http.StatusRequestEntityTooLarge}
	case errors.Is(err, ErrNotRegistered):
		return refuse("FAILED_PRECONDITION", "NOT_REGISTERED", "the blob is not registered")
	case errors.Is(err, redstuff.ErrSliver):
		return refuse("INVALID_ARGUMENT", "INVALID_SLIVER", err.Error())
	case errors.Is(err, redstuff.ErrMetadata):
		return refuse("INVALID_ARGUMENT", "INVALID_METADATA", err.Error())
	case errors.Is(err, ErrRefused):
		return refuse("FAILED_PRECONDITION", "SHARD_NOT_ASSIGNED", "the requested sliver is not stored at this node")
	case errors.Is(err, ErrNoRoom):
		return refuse("RESOURCE_EXHAUSTED", "NO_ROOM", "the node has no room")
	case errors.Is(err, ErrUnavailable):
		return refuse("UNAVAILABLE", "UNAVAILABLE", "the node does not answer now")
	}
	return refuse("INTERNAL", "INTERNAL_ERROR", "the node cannot answer: "+err.Error())
}

// errorInfo is the first of the details. TypeScript clients look at its reason alone.
type errorInfo struct {
	Type     string            `json:"@type"`
	Reason   string            `json:"reason"`
	Domain   string            `json:"domain"`
	Metadata map[string]string `json:"metadata"`
}

func writeFault(w http.ResponseWriter, f *fault) {
	if f.plain != 0 {
		http.Error(w, f.text, f.plain)
		return
	}
	domain := domainStorage
	if f.status == "INTERNAL" || f.status == "UNAVAILABLE" {
		domain = domainGlobal
	}
	code := statusCodes[f.status]
	metadata := f.metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	writeJSON(w, code, map[string]any{"error": map[string]any{
		"status": f.status, "code": code, "message": f.text,
		"details": []errorInfo{{Type: "ErrorInfo", Reason: f.reason, Domain: domain, Metadata: metadata}},
	}})
}

// succeed answers with data in the envelope of a success.
func succeed(w http.ResponseWriter, code int, data any) error {
	writeJSON(w, code, map[string]any{"success": map[string]any{"code": code, "data": data}})
	return nil
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The client is gone if this fails: nobody is left to be told.
	_ = json.NewEncoder(w).Encode(v)
}

// succeedBCS answers with bytes.
func succeedBCS(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(body)
	return nil
}
