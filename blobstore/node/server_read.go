package node

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

func (s *Server) getMetadata(w http.ResponseWriter, q *request) error {
	md, err := q.held()
	if errors.Is(err, ErrNotFound) {
		return refuse("NOT_FOUND", "METADATA_NOT_FOUND", "the requested metadata was not found")
	}
	if err != nil {
		return err
	}
	raw, err := md.MarshalBinary()
	if err != nil {
		return err
	}
	return succeedBCS(w, append(q.blob[:len(q.blob):len(q.blob)], raw...))
}

// held returns the metadata of a blob that is registered, or ErrNotFound.
func (q *request) held() (*redstuff.Metadata, error) {
	if err := q.node.registered(q.Context(), q.blob, nil); errors.Is(err, ErrNotRegistered) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, err
	}
	return q.node.Metadata(q.Context(), q.blob)
}

func (s *Server) getSliver(w http.ResponseWriter, q *request) error {
	id, err := q.sliver()
	if err != nil {
		return err
	}
	md, err := q.held()
	var data []byte
	if err == nil {
		data, err = q.node.Sliver(q.Context(), id)
	}
	if errors.Is(err, ErrNotFound) {
		return refuse("NOT_FOUND", "SLIVER_NOT_FOUND", "the requested sliver was not found")
	}
	if err != nil {
		return err
	}
	size, err := q.node.geometry.SymbolSize(md.Size)
	if err != nil {
		return err
	}
	return succeedBCS(w, redstuff.MarshalSliver(size, int(id.Index), data))
}

// The stored status of metadata and slivers. The Rust client knows them in lower case only.
const (
	nonexistent = "nonexistent"
	stored      = "stored"
)

func (s *Server) metadataStatus(w http.ResponseWriter, q *request) error {
	_, err := q.node.Metadata(q.Context(), q.blob)
	return answerStatus(w, err)
}

func (s *Server) sliverStatus(w http.ResponseWriter, q *request) error {
	id, err := q.sliver()
	if err != nil {
		return err
	}
	return answerStatus(w, q.node.filled(q.Context(), id))
}

func answerStatus(w http.ResponseWriter, err error) error {
	switch {
	case err == nil:
		return succeed(w, http.StatusOK, stored)
	case errors.Is(err, ErrNotFound):
		return succeed(w, http.StatusOK, nonexistent)
	}
	return err
}

func (s *Server) confirmPermanent(w http.ResponseWriter, q *request) error {
	return s.confirm(w, q, walrus.Persistence{})
}

func (s *Server) confirmDeletable(w http.ResponseWriter, q *request) error {
	object, err := walrus.ParseObjectID(q.PathValue("object"))
	if err != nil {
		return &fault{text: "invalid object ID", plain: http.StatusBadRequest}
	}
	return s.confirm(w, q, walrus.Persistence{Deletable: true, Object: object})
}

// signedMessage is a message and the node's signature over it, in Base64.
type signedMessage struct {
	Message   string `json:"serializedMessage"`
	Signature string `json:"signature"`
}

func (s *Server) confirm(w http.ResponseWriter, q *request, p walrus.Persistence) error {
	c, err := q.node.Confirm(q.Context(), q.blob, p)
	if errors.Is(err, ErrNotFound) {
		return refuse("FAILED_PRECONDITION", "MISSING_SLIVERS", "slivers of the blob are missing at this node")
	}
	if err != nil {
		return err
	}
	text := base64.StdEncoding
	return succeed(w, http.StatusOK, map[string]any{"signed": signedMessage{text.EncodeToString(c.Message), text.EncodeToString(c.Signature[:])}})
}

// duration is one as Rust's serde writes it.
type duration struct {
	Secs  uint64 `json:"secs"`
	Nanos uint32 `json:"nanos"`
}

func (s *Server) health(w http.ResponseWriter, q *request) error {
	state, err := q.node.hear(q.Context())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	up := time.Since(s.origin)
	at, err := q.node.catalogue.cursor(q.Context())
	if err != nil {
		return err
	}
	owned, status := 0, "Standby"
	if i := q.node.member(&state.Committee); i >= 0 {
		owned, status = state.Committee.Weight(i), "Active"
	}
	public := q.node.PublicKey()
	return succeed(w, http.StatusOK, map[string]any{
		"uptime": duration{uint64(up / time.Second), uint32(up % time.Second)}, "epoch": state.Epoch,
		"publicKey": base64.StdEncoding.EncodeToString(public[:]), "nodeStatus": status,
		"eventProgress": map[string]any{"persisted": at.seq, "pending": 0, "highestFinishedEventIndex": at.seq},
		"shardSummary": map[string]any{"owned": owned, "readOnly": 0,
			"ownedShardStatus": map[string]int{"unknown": 0, "ready": owned, "inTransfer": 0, "inRecovery": 0}},
	})
}

// filled returns nil if a sliver is marked as written, and ErrNotFound if not.
func (n *Node) filled(ctx context.Context, id walrus.SliverID) error {
	return n.inFile(ctx, id.Blob, func(b *blobFile, err error) error {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		i := b.find(slotKey{id.Axis, id.Index})
		if i < 0 {
			return ErrNotFound
		}
		if _, err := b.mark(i); err != nil {
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		return nil
	})
}
