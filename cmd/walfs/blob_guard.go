package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// The attributes of the drive begin so, and are no person's to set.
const ownAttributes = "walfs."

// keyPut marks blobs that blob put stored: no drive needs them.
const keyPut = ownAttributes + "put"

// use is what a drive needs a blob object for.
type use struct {
	Kind       string `json:"use"` // segment, anchor, or other: the drive does not use it
	Segment    uint64 `json:"segment,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	Drive      string `json:"drive,omitempty"` // of an anchor
}

// The kinds of use.
const (
	useSegment = "segment"
	useAnchor  = "anchor"
	useOther   = "other"
)

func (u *use) text() string {
	switch u.Kind {
	case useSegment:
		return fmt.Sprintf("segment %d, generation %d", u.Segment, u.Generation)
	case useAnchor:
		return "anchor of drive " + u.Drive
	}
	return u.Kind
}

// uses tells what the drive that is known here needs.
type uses struct {
	anchor walrus.ObjectID
	blobs  map[walrus.BlobID]use
}

// uses asks the index. It is to be asked after the ledger: what a Put registers meanwhile the
// index knows by its blob ID before the ledger does.
func (e *estate) uses(ctx context.Context) (*uses, error) {
	u := &uses{blobs: map[walrus.BlobID]use{}}
	if e.index == nil {
		return u, nil
	}
	rows, err := e.index.Segments(ctx, index.SegmentFilter{})
	if err != nil {
		return nil, err
	}
	for i := range rows {
		s := &rows[i]
		if !s.Blob.IsZero() {
			u.blobs[s.Blob] = use{Kind: useSegment, Segment: s.Number, Generation: s.Generation}
		}
	}
	at, err := e.index.Anchored(ctx)
	if err != nil {
		return nil, fmt.Errorf("recorded anchor: %w", err)
	}
	u.anchor = at.Object
	return u, nil
}

// of returns what an object is used for. Whatever looks like an anchor counts as one, of any
// drive; so does every object of a blob that the drive has: no second one is worth the doubt.
func (u *uses) of(o *chain.OwnedObject) use {
	drive, anchor := "", o.Object == u.anchor
	for _, a := range o.Attributes {
		anchor = anchor || a.Key == index.KeyAnchor
		if a.Key == index.KeyDrive {
			drive = a.Value
		}
	}
	if anchor {
		return use{Kind: useAnchor, Drive: drive}
	}
	if is, ok := u.blobs[o.Blob]; ok {
		return is
	}
	return use{Kind: useOther}
}

// guard refuses to give up what a drive or a restore of it needs. Blobs that no index here tells
// anything of may be those of another drive that the wallet pays for, of a newer state of this
// one, or what was given up with --accept-loss: then only those go that blob put has stored.
func (e *estate) guard(ctx context.Context, list []chain.OwnedObject, now walrus.Epoch) error {
	anchors, err := e.Owned(ctx, chain.OwnedQuery{Key: index.KeyAnchor})
	if err != nil {
		return err
	}
	uses, err := e.uses(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		o := &list[i]
		switch is := uses.of(o); is.Kind {
		case useAnchor:
			return ui.Errorf(ui.Failed, "%s is the %s: without it the drive is lost", o.Object, is.text())
		case useSegment:
			return ui.Errorf(ui.Failed, "%s is %s of the drive, which needs it", o.Object, is.text()).
				WithHint("walfs gc frees what no file and no restore needs any more")
		}
		if isPut(o) {
			continue
		}
		for j := range anchors {
			if is := uses.of(&anchors[j]); anchors[j].Object != uses.anchor {
				return ui.Errorf(ui.Failed, "the wallet also has the %s, which may need %s", is.text(), o.Object).
					WithHint("where that drive's state folder is, walfs blob knows: --home names it")
			}
		}
		if err := e.known(ctx, o, now); err != nil {
			return err
		}
	}
	return nil
}

// known refuses an object of which the index may not know that the drive needs it.
func (e *estate) known(ctx context.Context, o *chain.OwnedObject, now walrus.Epoch) error {
	if e.writer != nil {
		if err := e.writer(ctx); err != nil {
			return ui.Errorf(ui.CodeOf(explain(err)), "whether the drive needs %s is not known here: %w", o.Object, err).
				WithHint("%s", ui.HintOf(explain(err)))
		}
	}
	if e.read == nil || !o.Certified || o.EndEpoch <= now {
		return nil
	}
	start := make([]byte, seal.HeaderSize)
	n, err := e.read(ctx, o.Blob, start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ui.Errorf(ui.CodeOf(explain(err)), "whether %s is a segment of a drive cannot be told: %w", o.Object, err).
			WithHint("try again when its nodes answer; it ends by itself in epoch %d", o.EndEpoch)
	}
	if _, err := seal.ParseHeader(start[:n]); err == nil || errors.Is(err, seal.ErrVersion) {
		return ui.Errorf(ui.Failed, "%s is a segment that the drive here does not know: of another one, or of what was given up", o.Object).
			WithHint("a restore may yet read it; it ends by itself in epoch %d", o.EndEpoch)
	}
	return nil
}

// isPut reports whether blob put has stored an object.
func isPut(o *chain.OwnedObject) bool {
	for _, a := range o.Attributes {
		if a.Key == keyPut {
			return true
		}
	}
	return false
}
