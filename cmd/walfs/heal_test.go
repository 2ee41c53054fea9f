package main

import (
	"errors"
	"testing"

	"github.com/walfs/walfs/blobstore"
)

func TestHealingText(t *testing.T) {
	lost := errors.New("3 of 34 slivers or symbols")
	for _, x := range []struct {
		h             blobstore.NodeHealing
		text, problem string
	}{
		{blobstore.NodeHealing{State: blobstore.Healthy}, "", ""},
		{blobstore.NodeHealing{State: blobstore.Surveyed}, "", ""},
		{blobstore.NodeHealing{Left: 1}, "lacks 1 blob", ""},
		{blobstore.NodeHealing{State: blobstore.Healing, Left: 12}, "healing, 12 blobs left", ""},
		{blobstore.NodeHealing{State: blobstore.Waiting, Left: 2, Err: lost}, "lacks 2 blobs, waits for other nodes",
			"lacks 2 blobs, and cannot be healed now: 3 of 34 slivers or symbols"},
		{blobstore.NodeHealing{State: blobstore.Abandoned, Left: 1, Hopeless: 1}, "lacks 1 blob",
			"lacks 1 blob that nobody can rebuild: what was stored is no valid encoding"},
	} {
		h := newHealing(x.h)
		h.Lacking = x.h.Left
		if h.text() != x.text || h.problem() != x.problem {
			t.Errorf("%+v: %q and %q, want %q and %q", x.h, h.text(), h.problem(), x.text, x.problem)
		}
	}
}
