package blobstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
)

// ScrubOptions says how a node is scrubbed.
type ScrubOptions struct {
	Rate     int64             // bytes read in a second; 0 means no limit but foreground work
	After    walrus.BlobID     // go on behind this blob; zero: from the first
	Limit    int64             // stop once so many bytes were read; 0 means at the end
	Progress func(ScrubReport) // called after each blob; nil means nobody asks
}

// ScrubReport is what a scrub has seen so far.
type ScrubReport struct {
	Blobs   int
	Total   int // that the node held at the start
	Read    int64
	Missing int           // slots that are absent or damaged
	Last    walrus.BlobID // that was looked at
	Done    bool          // the end was reached
}

// errEnough ends a scrub at its limit.
var errEnough = errors.New("enough for now")

// Scrub reads everything that a node holds and compares it with checksums and
// metadata. What is damaged is noted by the node, and healed if Run runs.
func (h *Healer) Scrub(ctx context.Context, n *node.Node, o ScrubOptions) (r ScrubReport, err error) {
	r.Total = n.Status().Blobs
	began := time.Now()
	err = n.Survey(ctx, node.Hashes, o.After, func(g node.Gap) error {
		r.Blobs++
		r.Read += g.Read
		r.Missing += len(g.Missing)
		r.Last = g.Blob
		if o.Progress != nil {
			o.Progress(r)
		}
		err := h.rest(ctx, time.Since(began), g.Read, o.Rate)
		began = time.Now()
		if err == nil && o.Limit > 0 && r.Read >= o.Limit {
			err = errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return r, nil
	}
	if r.Done = err == nil; err != nil {
		return r, fmt.Errorf("scrub node %s: %w", n.Status().Name, err)
	}
	return r, nil
}
