package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/move"
)

// httpUploads is how many slivers go to one node at a time. Source: Walrus, 10 requests in flight per node.
const httpUploads = 10

// maxAnswer is the longest answer that is not a sliver, in bytes.
const maxAnswer = 8 << 20

// HTTPConfig says where a node is. All of it but Client is required.
type HTTPConfig struct {
	URL      string // scheme, host and port, without a path
	Geometry walrus.Geometry
	Member   int          // the node's place in the committee, for its confirmations
	Client   *http.Client // nil means http.DefaultClient
}

// NewHTTPClient returns a client of a node behind Walrus's HTTP routes.
func NewHTTPClient(cfg HTTPConfig) *Client {
	if cfg.Client == nil {
		cfg.Client = http.DefaultClient
	}
	c := &httpClient{cfg}
	return NewClient(Calls{Store: c.store, Confirm: c.confirm, Metadata: c.metadata, Sliver: c.sliver, Symbols: c.symbols, SyncShard: c.syncShard})
}

type httpClient struct{ HTTPConfig }

// do sends a request for a blob and returns the body of a success, at most limit bytes of it.
func (c *httpClient) do(ctx context.Context, method string, blob walrus.BlobID, path string, body []byte, limit int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+"/v1/blobs/"+blob.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.send(ctx, r, limit)
}

// send sends a request and returns the body of a success, at most limit bytes of it.
func (c *httpClient) send(ctx context.Context, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > 0 {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	answer, err := c.Client.Do(r)
	if err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%w: %w", ErrUnavailable, err))
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil:
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%w: %w", ErrUnavailable, err))
	case answer.StatusCode/100 != 2:
		return nil, refusal(answer.StatusCode, raw)
	case int64(len(raw)) > limit:
		return nil, fmt.Errorf("answer is longer than %d bytes: %w", limit, ErrRefused)
	}
	return raw, nil
}

// refusal returns the error that an answer stands for.
func refusal(code int, raw []byte) error {
	var envelope struct {
		Error struct {
			Message string      `json:"message"`
			Details []errorInfo `json:"details"`
		} `json:"error"`
	}
	reason := ""
	if json.Unmarshal(raw, &envelope) == nil && len(envelope.Error.Details) > 0 {
		reason = envelope.Error.Details[0].Reason
	}
	kind := ErrRefused
	switch {
	case reason == "NOT_REGISTERED":
		kind = ErrNotRegistered
	case reason == "NO_ROOM":
		kind = ErrNoRoom
	case reason == "MISSING_SLIVERS", reason == "SYMBOL_NOT_PRESENT_AT_SHARDS", code == http.StatusNotFound:
		kind = ErrNotFound
	case code == http.StatusTooManyRequests, code >= 500:
		kind = ErrUnavailable
	}
	return fmt.Errorf("HTTP %d %s %s: %w", code, reason, envelope.Error.Message, kind)
}

func (c *httpClient) metadata(ctx context.Context, blob walrus.BlobID) (*redstuff.Metadata, error) {
	raw, err := c.do(ctx, http.MethodGet, blob, "/metadata", nil, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", blob, err)
	}
	rest, ok := bytes.CutPrefix(raw, blob[:])
	if !ok {
		return nil, fmt.Errorf("metadata of %s: answer is about another blob: %w", blob, ErrRefused)
	}
	return redstuff.ParseMetadata(c.Geometry, rest)
}

// path names a sliver by its pair.
func (c *httpClient) path(axis walrus.Axis, index int) string {
	return "/slivers/" + strconv.Itoa(c.Geometry.PairOf(axis, index)) + "/" + axis.String()
}

func (c *httpClient) sliver(ctx context.Context, id walrus.SliverID) ([]byte, error) {
	limit := int64(c.Geometry.SliverSize(id.Axis, maxSymbolSize)) + sliverExtra
	raw, err := c.do(ctx, http.MethodGet, id.Blob, c.path(id.Axis, int(id.Index)), nil, limit)
	if err != nil {
		return nil, fmt.Errorf("sliver %s: %w", id, err)
	}
	data, _, index, err := redstuff.ParseSliver(raw)
	if err == nil && index != int(id.Index) {
		err = fmt.Errorf("answer is sliver %d: %w", index, ErrRefused)
	}
	if err != nil {
		return nil, fmt.Errorf("sliver %s: %w", id, err)
	}
	return data, nil
}

// store sends the metadata, then the slivers.
func (c *httpClient) store(ctx context.Context, h Handover) error {
	raw, err := h.Metadata.MarshalBinary()
	if err != nil {
		return err
	}
	size, err := c.Geometry.SymbolSize(h.Metadata.Size)
	if err != nil {
		return err
	}
	if _, err := c.do(ctx, http.MethodPut, h.Blob, "/metadata", raw, maxAnswer); err != nil {
		return fmt.Errorf("store metadata of %s: %w", h.Blob, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(httpUploads)
	for slot := range slices.Values(h.Slots) {
		group.Go(func() error {
			body := redstuff.MarshalSliver(size, slot.Index(), slot.Data())
			if _, err := c.do(ctx, http.MethodPut, h.Blob, c.path(slot.Axis(), slot.Index()), body, maxAnswer); err != nil {
				return fmt.Errorf("store %s sliver %d of %s: %w", slot.Axis(), slot.Index(), h.Blob, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (c *httpClient) confirm(ctx context.Context, blob walrus.BlobID, p walrus.Persistence) (conf walrus.Confirmation, err error) {
	path := "/confirmation/permanent"
	if p.Deletable {
		path = "/confirmation/deletable/" + p.Object.String()
	}
	raw, err := c.do(ctx, http.MethodGet, blob, path, nil, maxAnswer)
	if err != nil {
		return conf, fmt.Errorf("confirm %s: %w", blob, err)
	}
	var envelope struct {
		Success struct {
			Data struct {
				Signed signedMessage `json:"signed"`
			} `json:"data"`
		} `json:"success"`
	}
	err = json.Unmarshal(raw, &envelope)
	signed := envelope.Success.Data.Signed
	if err == nil {
		conf.Message, err = base64.StdEncoding.DecodeString(signed.Message)
	}
	var signature []byte
	if err == nil {
		signature, err = base64.StdEncoding.DecodeString(signed.Signature)
	}
	if err == nil && copy(conf.Signature[:], signature) != len(signature) || len(signature) != len(conf.Signature) {
		err = errors.Join(err, fmt.Errorf("signature of %d bytes", len(signature)))
	}
	if err != nil {
		return conf, fmt.Errorf("confirm %s: %w: %w", blob, ErrRefused, err)
	}
	conf.Member = c.Member
	return conf, nil
}

// symbols asks for symbols with proofs on the axis of their source.
func (c *httpClient) symbols(ctx context.Context, source walrus.SliverID, targets []int) ([]redstuff.Symbol, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	query := url.Values{"proofAxis": {source.Axis.String()}}
	for _, target := range targets {
		id := symbolID{int(source.Index), target}
		if source.Axis == walrus.Secondary {
			id = symbolID{target, int(source.Index)}
		}
		query.Add("id", id.String())
	}
	limit := int64(len(targets))*(maxSymbolSize+maxProofBytes) + sliverExtra
	raw, err := c.do(ctx, http.MethodGet, source.Blob, "/recoverySymbols?"+query.Encode(), nil, limit)
	var found symbolBodies
	if err == nil {
		if err = move.Unmarshal(raw, &found); err != nil {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("symbols of %s: %w", source, err)
	}
	all := make([]redstuff.Symbol, 0, len(targets))
	for _, target := range targets {
		i := slices.IndexFunc(found, func(s symbolBody) bool {
			return s.axis == source.Axis && s.source == source.Index && int(s.target) == target
		})
		if i < 0 {
			return nil, fmt.Errorf("symbols of %s: none for %d: %w", source, target, ErrRefused)
		}
		all = append(all, redstuff.Symbol{Source: int(source.Index), Data: found[i].data, Proof: found[i].proof})
	}
	return all, nil
}

// maxProofBytes is more than a proof takes: 16 hashes, each with its kind, and lengths.
const maxProofBytes = 16*33 + 16

// syncShard asks for slivers of a shard.
func (c *httpClient) syncShard(ctx context.Context, key [48]byte, message []byte, signature [96]byte) ([]Synced, error) {
	body, err := move.Marshal(&signedBody{message, signature})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/v1/migrate/sync_shard", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", base64.StdEncoding.EncodeToString(key[:]))
	// Whoever answers may add one sliver to what is enough.
	limit := maxSyncBytes + int64(c.Geometry.SliverSize(walrus.Primary, maxSymbolSize)) + sliverExtra*requestCount
	raw, err := c.send(ctx, r, limit)
	var slivers syncedBodies
	if err == nil {
		if err = move.Unmarshal(raw, &slivers); err != nil {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("slivers of a shard: %w", err)
	}
	return slivers, nil
}
