package node

import (
	"context"
	"errors"
	"math/big"
	"net/http"
	"slices"
	"strconv"

	"github.com/walfs/walfs/blobstore/walrus"
)

// registration is what the ledger said of one blob object.
type registration struct {
	end       walrus.Epoch
	deletable bool
	certified *walrus.Epoch // first; nil: not yet
	tx        []byte        // of the event that told the latest of it
	place     uint32        // of that event in its transaction
}

// registrations returns all live registrations of a blob, by object.
func (c *catalogue) registrations(ctx context.Context, blob walrus.BlobID) (all []registration, err error) {
	rows, err := c.db.QueryContext(ctx, "SELECT end_epoch, deletable, certified, tx, place FROM registration WHERE blob = ? ORDER BY object", blob[:])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r registration
		if err := rows.Scan(&r.end, &r.deletable, &r.certified, &r.tx, &r.place); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// eventID names an event on Sui.
type eventID struct {
	Digest string `json:"txDigest"`
	Seq    string `json:"eventSeq"`
}

// deletableCounts are the two names that Walrus writes with underscores.
type deletableCounts struct {
	Total     uint32 `json:"count_deletable_total"`
	Certified uint32 `json:"count_deletable_certified"`
}

// permanentStatus is the state of a blob that stays until its end.
type permanentStatus struct {
	EndEpoch         walrus.Epoch    `json:"endEpoch"`
	IsCertified      bool            `json:"isCertified"`
	StatusEvent      eventID         `json:"statusEvent"`
	Counts           deletableCounts `json:"deletableCounts"`
	InitialCertified *walrus.Epoch   `json:"initialCertifiedEpoch"`
}

// deletableStatus is the state of a blob whose owners may delete it.
type deletableStatus struct {
	InitialCertified *walrus.Epoch   `json:"initialCertifiedEpoch"`
	Counts           deletableCounts `json:"deletableCounts"`
}

func (s *Server) blobStatus(w http.ResponseWriter, q *request) error {
	// Clients compare the answers of many nodes: one that is a moment behind would spoil their count.
	if err := q.node.Sync(q.Context()); err != nil {
		return err
	}
	all, err := q.node.catalogue.registrations(q.Context(), q.blob)
	if err != nil {
		return err
	}
	return succeed(w, http.StatusOK, statusOf(all))
}

// statusOf picks the state to tell: a permanent registration that is certified,
// else a permanent one, else the deletable ones.
func statusOf(all []registration) any {
	var counts deletableCounts
	var first *walrus.Epoch
	for _, r := range all {
		if r.certified != nil && (first == nil || *r.certified < *first) {
			first = r.certified
		}
		if !r.deletable {
			continue
		}
		counts.Total++
		if r.certified != nil {
			counts.Certified++
		}
	}
	permanent := slices.DeleteFunc(all, func(r registration) bool { return r.deletable })
	if len(permanent) == 0 {
		if counts.Total == 0 {
			return nonexistent
		}
		return map[string]any{"deletable": deletableStatus{first, counts}}
	}
	best := slices.MaxFunc(permanent, func(a, b registration) int {
		if (a.certified != nil) != (b.certified != nil) {
			return map[bool]int{true: 1, false: -1}[a.certified != nil]
		}
		return int(a.end) - int(b.end)
	})
	return map[string]any{"permanent": permanentStatus{
		best.end, best.certified != nil, eventID{base58(best.tx), strconv.FormatUint(uint64(best.place), 10)}, counts, first,
	}}
}

// base58 returns the text of a digest.
func base58(b []byte) string {
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	var text []byte
	n, radix, digit := new(big.Int).SetBytes(b), big.NewInt(58), new(big.Int)
	for n.Sign() > 0 {
		n.DivMod(n, radix, digit)
		text = append(text, alphabet[digit.Int64()])
	}
	for i := 0; i < len(b) && b[i] == 0; i++ {
		text = append(text, alphabet[0])
	}
	slices.Reverse(text)
	return string(text)
}
