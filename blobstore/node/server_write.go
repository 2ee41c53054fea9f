package node

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/walfs/walfs/blobstore/redstuff"
)

func (s *Server) putMetadata(w http.ResponseWriter, q *request) error {
	if err := q.pending(); err != nil {
		return err
	}
	if err := q.octets(); err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxSmallBody))
	if err != nil {
		return err
	}
	md, err := redstuff.ParseMetadata(q.node.geometry, body)
	if err == nil {
		err = md.Verify(q.node.geometry, q.blob)
	}
	if err != nil {
		return err
	}
	_, err = q.held()
	if err == nil {
		return succeed(w, http.StatusOK, "metadata already stored")
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := q.node.Store(q.Context(), Handover{Blob: q.blob, Metadata: md}); err != nil {
		return err
	}
	return succeed(w, http.StatusCreated, "metadata successfully stored")
}

// octets checks that the body is not said to be anything but bytes.
func (q *request) octets() error {
	kind := q.Header.Get("Content-Type")
	if kind == "" {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "application/octet-stream" {
		return refuse("INVALID_ARGUMENT", "INVALID_CONTENT_TYPE", "the body has to be application/octet-stream")
	}
	return nil
}

// pending checks the query: there is one parameter, and no other.
func (q *request) pending() error {
	for name, values := range q.URL.Query() {
		if name != "pending" {
			return &fault{text: fmt.Sprintf("unknown query parameter %q", name), plain: http.StatusBadRequest}
		}
		for _, v := range values {
			if _, err := strconv.ParseBool(v); err != nil {
				return &fault{text: "pending is true or false", plain: http.StatusBadRequest}
			}
		}
	}
	return nil
}

func (s *Server) putSliver(w http.ResponseWriter, q *request) error {
	if err := q.pending(); err != nil {
		return err
	}
	id, err := q.sliver()
	if err != nil {
		return err
	}
	limit := int64(q.node.geometry.SourceSecondary())*maxSymbolSize + sliverExtra
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, limit))
	if err != nil {
		return err
	}
	data, _, index, err := redstuff.ParseSliver(body)
	if err != nil {
		return refuse("INVALID_ARGUMENT", "INVALID_CONTENT_TYPE", "the body is no sliver")
	}
	if index != int(id.Index) {
		return refuse("INVALID_ARGUMENT", "SLIVER_INDEX_MISMATCH", fmt.Sprintf("the sliver has index %d, the path asks for %d", index, id.Index))
	}
	if err := q.node.registered(q.Context(), q.blob, nil); err != nil {
		return err
	}
	md, err := q.node.Metadata(q.Context(), q.blob)
	if errors.Is(err, ErrNotFound) {
		return refuse("FAILED_PRECONDITION", "METADATA_NOT_FOUND", "the metadata of the blob is not stored here yet")
	}
	if err != nil {
		return err
	}
	slot, err := q.node.cfg.Codec.VerifySlot(md, id, data)
	if err != nil {
		return err
	}
	before := q.node.filled(q.Context(), id)
	if err := q.node.Store(q.Context(), Handover{Blob: q.blob, Metadata: md, Slots: []redstuff.Slot{slot}}); err != nil {
		return err
	}
	if before == nil {
		return succeed(w, http.StatusOK, "sliver already stored")
	}
	return succeed(w, http.StatusCreated, "sliver stored successfully")
}
