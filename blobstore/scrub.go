package blobstore

import (
	"context"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
)

// ScrubOptions says how a node is scrubbed.
type ScrubOptions struct {
	Rate     int64             // bytes read in a second; 0 means no limit but foreground work
	Progress func(ScrubReport) // called after each blob; nil means nobody asks
}

// ScrubReport is what a scrub has seen so far.
type ScrubReport struct {
	Blobs   int
	Total   int // that the node held at the start
	Read    int64
	Missing int // slots that are absent or damaged
}

// Scrub reads everything that a node holds and compares it with checksums and
// metadata. What is damaged is noted by the node, and healed if Run runs.
func (h *Healer) Scrub(ctx context.Context, n *node.Node, o ScrubOptions) (r ScrubReport, err error) {
	r.Total = n.Status().Blobs
	began := time.Now()
	err = n.Survey(ctx, node.Hashes, walrus.BlobID{}, func(g node.Gap) error {
		r.Blobs++
		r.Read += g.Read
		r.Missing += len(g.Missing)
		if o.Progress != nil {
			o.Progress(r)
		}
		err := h.rest(ctx, time.Since(began), g.Read, o.Rate)
		began = time.Now()
		return err
	})
	if err != nil {
		return r, fmt.Errorf("scrub node %s: %w", n.Status().Name, err)
	}
	return r, nil
}
