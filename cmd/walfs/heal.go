package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/keep"
)

// healing is what a node lacks and what is done about it, in status and node list. Counts
// are of the time since the node came up under this mount.
type healing struct {
	State    blobstore.HealState `json:"healing,omitempty"` // "": the node is down, or nothing is mounted
	Lacking  int                 `json:"lacking_blobs"`     // certified blobs of which something is missing, as far as is known
	Hopeless int                 `json:"inconsistent_blobs,omitempty"`
	Blobs    int                 `json:"healed_blobs"`
	Slivers  int                 `json:"healed_slivers"`
	Bytes    int64               `json:"healed_bytes"`
	Read     int64               `json:"heal_read_bytes"` // that other nodes gave for it
	Error    string              `json:"heal_error,omitempty"`
}

// nodes returns the state of all nodes, with how they are healed.
func (d *drive) nodes() []nodeStatus {
	healed, _ := d.healer.Status()
	scrubs := d.scrubber.Status()
	var all []nodeStatus
	for _, n := range d.net.Nodes() {
		s := newNodeStatus(n)
		if i := slices.IndexFunc(healed, func(h blobstore.NodeHealing) bool { return h.Node == n.Name }); i >= 0 && n.State == "up" {
			s.healing = newHealing(healed[i])
		}
		s.Lacking = n.Lacking
		if i := slices.IndexFunc(scrubs, func(p keep.NodeScrub) bool { return p.Name == n.Name }); i >= 0 {
			s.Scrubbed = timeOf(scrubs[i].Ended)
		}
		all = append(all, s)
	}
	return all
}

func newHealing(h blobstore.NodeHealing) healing {
	s := healing{
		State: h.State, Hopeless: h.Hopeless,
		Blobs: h.Traffic.Blobs, Slivers: h.Traffic.Slivers, Bytes: h.Traffic.Rebuilt, Read: h.Traffic.Read,
	}
	if h.Err != nil {
		s.Error = h.Err.Error()
	}
	return s
}

// text says what a node lacks, "" if that is nothing.
func (h healing) text() string {
	switch {
	case h.Lacking == 0:
		return ""
	case h.State == blobstore.Healing:
		return fmt.Sprintf("healing, %s left", blobs(h.Lacking))
	case h.State == blobstore.Waiting:
		return fmt.Sprintf("lacks %s, waits for other nodes", blobs(h.Lacking))
	}
	return fmt.Sprintf("lacks %s", blobs(h.Lacking))
}

// problem says why a node cannot be healed, "" if it can.
func (h healing) problem() string {
	switch {
	case h.Lacking == 0:
		return ""
	case h.State == blobstore.Waiting && h.Error != "":
		return fmt.Sprintf("lacks %s, and cannot be healed now: %s", blobs(h.Lacking), h.Error)
	case h.State == blobstore.Abandoned:
		return fmt.Sprintf("lacks %s that nobody can rebuild: what was stored is no valid encoding", blobs(h.Lacking))
	}
	return ""
}

// scrubbed is what opNodeScrub tells while it works, and its answer.
type scrubbed struct {
	Name      string `json:"name"`
	Blobs     int    `json:"blobs"`
	Total     int    `json:"total_blobs"`
	ReadBytes int64  `json:"read_bytes"`
	Missing   int    `json:"bad_slots"` // absent or damaged
}

func (d *drive) answerNodeScrub(ctx context.Context, args nodeArgs, emit func(any) error) (scrubbed, error) {
	up := d.net.Up()
	i := slices.IndexFunc(up, func(n *node.Node) bool { return n.Status().Name == args.Name })
	if i < 0 {
		return scrubbed{}, ui.Errorf(ui.Failed, "no node %s is up", args.Name).WithHint("walfs node list shows which there are, and which are up")
	}
	answer := func(r blobstore.ScrubReport) scrubbed {
		return scrubbed{Name: args.Name, Blobs: r.Blobs, Total: r.Total, ReadBytes: r.Read, Missing: r.Missing}
	}
	r, err := d.healer.Scrub(ctx, up[i], blobstore.ScrubOptions{Progress: func(r blobstore.ScrubReport) {
		_ = emit(answer(r)) // nobody listens: the scrub goes on
	}})
	return answer(r), err
}
