package node

import (
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/move"
)

// syncShard answers a node that has got a shard. The header says who asks.
func (s *Server) syncShard(w http.ResponseWriter, q *request) error {
	text := q.Header.Get("Authorization")
	if text == "" {
		return &fault{text: "missing authorization header", plain: http.StatusUnauthorized}
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != len(q.node.public) {
		return &fault{text: "the authorization header is no public key in Base64", plain: http.StatusBadRequest}
	}
	if err := q.octets(); err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxSmallBody))
	if err != nil {
		return err
	}
	var signed signedBody
	if err := move.Unmarshal(body, &signed); err != nil {
		return refuse("INVALID_ARGUMENT", "INVALID_CONTENT_TYPE", "the body is no signed message")
	}
	slivers, err := q.node.SyncShard(q.Context(), [48]byte(key), signed.message, signed.signature)
	if err != nil {
		return err
	}
	raw, err := move.Marshal((*syncedBodies)(&slivers))
	if err != nil {
		return err
	}
	return succeedBCS(w, raw)
}

// wanted is the symbols that a query asks for.
type wanted struct {
	ids    []symbolID
	target *walrus.SliverID // or all that help to recover this one
	axes   []walrus.Axis    // of the slivers to cut them from, in order of preference
}

func (s *Server) recoverySymbols(w http.ResponseWriter, q *request) error {
	want, err := q.wanted()
	if err != nil {
		return err
	}
	if _, err := q.held(); errors.Is(err, ErrNotFound) {
		return refuse("NOT_FOUND", "SLIVER_NOT_FOUND", "the requested sliver was not found")
	} else if err != nil {
		return err
	}
	found := make(symbolBodies, 0)
	for _, cut := range q.cuts(want) {
		symbols, err := q.node.Symbols(q.Context(), cut.source, cut.targets)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		for i, symbol := range symbols {
			found = append(found, symbolBody{cut.source.Axis, cut.source.Index, uint16(cut.targets[i]), symbol.Data, symbol.Proof})
		}
	}
	if len(found) == 0 {
		return refuse("FAILED_PRECONDITION", "SYMBOL_NOT_PRESENT_AT_SHARDS", "no sliver with these symbols is stored here")
	}
	raw, err := move.Marshal(&found)
	if err != nil {
		return err
	}
	return succeedBCS(w, raw)
}

// wanted reads the query.
func (q *request) wanted() (*wanted, error) {
	want := &wanted{axes: []walrus.Axis{walrus.Primary, walrus.Secondary}}
	query := q.URL.Query()
	if text := query.Get("proofAxis"); text != "" {
		axis, err := parseAxis(text)
		if err != nil {
			return nil, err
		}
		want.axes = []walrus.Axis{axis}
	}
	shards := q.node.geometry.Shards
	if ids := query["id"]; len(ids) > 0 {
		if query.Has("targetSliver") || query.Has("targetType") || len(ids) > 2*shards {
			return nil, refuse("INVALID_ARGUMENT", "INVALID_FILTER", "the filter is of two kinds, or too long")
		}
		for _, text := range ids {
			id, err := parseSymbolID(text)
			if err != nil {
				return nil, err
			}
			if id.primary >= shards || id.secondary >= shards {
				return nil, refuse("INVALID_ARGUMENT", "RECOVERY_SYMBOL_OUT_OF_RANGE", "the requested symbol is out of range")
			}
			want.ids = append(want.ids, id)
		}
		return want, nil
	}
	if !query.Has("targetSliver") {
		return nil, refuse("FAILED_PRECONDITION", "NO_SYMBOLS_SPECIFIED", "the request names no symbols")
	}
	axis, err := parseAxis(query.Get("targetType"))
	if err != nil {
		return nil, err
	}
	index, err := strconv.ParseUint(query.Get("targetSliver"), 10, 16)
	if err != nil {
		return nil, refuse("INVALID_ARGUMENT", "INVALID_FILTER", "targetSliver is no index")
	}
	if int(index) >= shards {
		return nil, refuse("INVALID_ARGUMENT", "INDEX_OUT_OF_RANGE", "the requested index is out of range")
	}
	want.target = &walrus.SliverID{Blob: q.blob, Axis: axis, Index: uint16(index)}
	return want, nil
}

// parseAxis reads the type of a sliver in a query, which may be written large.
func parseAxis(text string) (walrus.Axis, error) {
	switch strings.ToLower(text) {
	case walrus.Primary.String():
		return walrus.Primary, nil
	case walrus.Secondary.String():
		return walrus.Secondary, nil
	}
	return 0, refuse("INVALID_ARGUMENT", "INVALID_FILTER", "the type of a sliver is primary or secondary")
}

func parseSymbolID(text string) (id symbolID, err error) {
	primary, secondary, ok := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(primary, 10, 16)
	b, errB := strconv.ParseUint(secondary, 10, 16)
	if !ok || errA != nil || errB != nil {
		return id, refuse("INVALID_ARGUMENT", "INVALID_FILTER", "an id of a symbol is two indices with a hyphen between")
	}
	return symbolID{int(a), int(b)}, nil
}

// cut is the symbols to be cut from one sliver.
type cut struct {
	source  walrus.SliverID
	targets []int
}

// cuts says from which slivers that are here the symbols come.
func (q *request) cuts(want *wanted) []cut {
	targets := make(map[walrus.SliverID][]int)
	if want.target != nil {
		axis := walrus.Secondary - want.target.Axis
		for index := range q.node.geometry.Shards {
			source := walrus.SliverID{Blob: q.blob, Axis: axis, Index: uint16(index)}
			if slices.Contains(want.axes, axis) && q.node.filled(q.Context(), source) == nil {
				targets[source] = []int{int(want.target.Index)}
			}
		}
	}
	for _, id := range want.ids {
		for _, axis := range want.axes {
			source, target := walrus.SliverID{Blob: q.blob, Axis: axis, Index: uint16(id.primary)}, id.secondary
			if axis == walrus.Secondary {
				source.Index, target = uint16(id.secondary), id.primary
			}
			if q.node.filled(q.Context(), source) == nil {
				if !slices.Contains(targets[source], target) {
					targets[source] = append(targets[source], target)
				}
				break
			}
		}
	}
	var all []cut
	for _, source := range slices.SortedFunc(maps.Keys(targets), compareSlivers) {
		all = append(all, cut{source, targets[source]})
	}
	return all
}
