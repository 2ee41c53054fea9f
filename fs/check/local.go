package check

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// index looks for damage in the database and for rows that contradict each other.
func (c *check) index(ctx context.Context) error {
	problems, err := c.cfg.Index.Check(ctx)
	if err != nil && !errors.Is(err, index.ErrCorrupt) {
		return err
	}
	if err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 && c.opt.Repair {
		done, err := c.cfg.Index.Repair(ctx)
		if err != nil {
			done = nil
		}
		for _, what := range done {
			if err := c.find(Finding{Part: "index", Kind: Repaired, What: "numbers did not fit the rows", Done: what}); err != nil {
				return err
			}
		}
		if problems, err = c.cfg.Index.Check(ctx); err != nil {
			problems = []string{err.Error()}
		}
	}
	for _, p := range problems {
		hint := hintRepair
		if c.opt.Repair {
			hint = "walfs umount, then walfs check --repair --rebuild-index makes a new index from the network and keeps what is staged"
		}
		if err := c.damaged("index", "", hint, "%s", p); err != nil {
			return err
		}
	}
	return nil
}

// staging compares block maps and local files with the index.
func (c *check) staging(ctx context.Context) error {
	inos := c.cfg.Staging.Inos()
	for i, ino := range inos {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.stagingFile(ctx, ino); err != nil {
			return err
		}
		c.opt.Progress(Progress{Step: "staging", Done: int64(i + 1), Total: int64(len(inos))})
	}
	dirties, err := c.cfg.Index.Dirties(ctx)
	if err != nil {
		return err
	}
	for _, attr := range dirties {
		if err := c.dirty(ctx, attr); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) stagingFile(ctx context.Context, ino index.Ino) error {
	orphan, err := persists(ctx, func() (bool, error) {
		_, err := c.cfg.Index.Get(ctx, ino)
		if err != nil && !errors.Is(err, index.ErrNotExist) {
			return false, err
		}
		return err != nil && c.cfg.Staging.Has(ino), nil
	})
	if err != nil {
		return err
	}
	if orphan {
		f := Finding{Part: "staging", What: fmt.Sprintf("local content of inode %d, which the index does not know", ino)}
		return c.repair(f, "moved to "+c.cfg.Staging.Lost(), func() error { return c.cfg.Staging.Shelve(ino) })
	}
	local, ok, err := c.cfg.Staging.Lookup(ino)
	if errors.Is(err, staging.ErrCorrupt) {
		return c.brokenMap(ctx, ino, err)
	}
	if err != nil {
		return c.damaged("staging", c.path(ctx, ino), "", "local content cannot be opened: %v", err)
	}
	if !ok {
		return nil
	}
	defer local.Release()
	wrong, err := persists(ctx, func() (bool, error) {
		attr, err := c.cfg.Index.Get(ctx, ino)
		if err != nil {
			return false, ignoreGone(err)
		}
		return !attr.Dirty && attr.Nlink > 0 && local.Writers() == 0 && attr.Size != local.Size(), nil
	})
	if err != nil || !wrong {
		return err
	}
	f := Finding{Part: "staging", Path: c.path(ctx, ino), What: fmt.Sprintf("the local copy has %d bytes, which is not the length of the file: it is damaged", local.Size())}
	return c.repair(f, doneDropped, func() error {
		local.Release()
		defer func() { local, _, _ = c.cfg.Staging.Lookup(ino) }()
		return c.dropCopy(ctx, ino)
	})
}

const doneDropped = "the local copy was moved to lost+found of staging; reads come from the nodes, and from the outbox what they have not got yet"

func ignoreGone(err error) error {
	if errors.Is(err, index.ErrNotExist) {
		return nil
	}
	return err
}

// brokenMap deals with a block map that is damaged. Of a file that was never published
// the data file is all there is; a clean file has its content on the nodes; what
// else there is stands in what the last barrier wrote.
func (c *check) brokenMap(ctx context.Context, ino index.Ino, why error) error {
	attr, err := c.cfg.Index.Get(ctx, ino)
	if err != nil {
		return ignoreGone(err)
	}
	f := Finding{Part: "staging", Path: c.path(ctx, ino), What: fmt.Sprintf("the map of local blocks is damaged, so that the file cannot be read: %v", why)}
	switch {
	case attr.PubVersion == 0:
		return c.repair(f, "the map was dropped: all content is local, and whole", func() error { return c.cfg.Staging.Adopt(ino) })
	case !attr.Dirty:
		return c.repair(f, doneDropped, func() error { return c.dropCopy(ctx, ino) })
	}
	held, err := c.cfg.Index.HeldAt(ctx, ino)
	if errors.Is(err, index.ErrNotExist) {
		return c.repair(f, "no barrier tells which blocks are newer than what is certified: local content was moved to lost+found of staging, the certified version stands", func() error {
			return c.cfg.Staging.ShelveNamed(ino, c.path(ctx, ino))
		})
	}
	if err != nil {
		return err
	}
	return c.repair(f, "local content is what it was at the last sync; a copy of all of it is in lost+found of staging", func() error {
		if err := c.cfg.Staging.Keep(ino); err != nil {
			return err
		}
		return c.cfg.Staging.Restrict(held)
	})
}

// dropCopy gives up the local copy of a file that has none but published content, which
// is certified, or was read whole just now.
// It goes to lost+found: what is damaged is not thrown away before a person has seen it.
func (c *check) dropCopy(ctx context.Context, ino index.Ino) error {
	status, err := c.cfg.Index.State(ctx, ino)
	if err == nil && status.State == index.StateStoring {
		status, err = c.readStored(ctx, ino, status)
	}
	if err != nil {
		return err
	}
	if status.State != index.StateCertified && status.State != index.StateStoring {
		return fmt.Errorf("it is %s, not certified", status.State)
	}
	if err := c.cfg.Index.CopyDrop(ctx, ino); err != nil {
		return err
	}
	return c.cfg.Staging.ShelveNamed(ino, c.path(ctx, ino))
}

// readStored reads all of a file that is on its way to the nodes from where it would be read
// without a local copy, and returns its status after that.
func (c *check) readStored(ctx context.Context, ino index.Ino, before index.Status) (index.Status, error) {
	attr, err := c.cfg.Index.Get(ctx, ino)
	if err != nil {
		return before, err
	}
	p := make([]byte, min(readSize, attr.PubSize))
	for off := int64(0); off < attr.PubSize; off += readSize {
		if err := c.published(ctx, ino, p[:min(readSize, attr.PubSize-off)], off); err != nil {
			return before, fmt.Errorf("it is not certified yet, and cannot be read without the local copy: %w; repair again when all nodes are up, or when it is certified", err)
		}
	}
	status, err := c.cfg.Index.State(ctx, ino)
	if err == nil && !slices.Equal(status.Extents, before.Extents) {
		err = errors.New("it is being written")
	}
	return status, err
}

// dirty looks at a file that is not packed yet: whether its content is here, and a job.
func (c *check) dirty(ctx context.Context, attr index.Attr) error {
	if attr.Nlink == 0 {
		return nil
	}
	gone, err := persists(ctx, func() (bool, error) {
		now, err := c.cfg.Index.Get(ctx, attr.Ino)
		if err != nil {
			return false, ignoreGone(err)
		}
		return now.Dirty && now.Size > now.PubSize && !c.cfg.Staging.Has(attr.Ino), nil
	})
	if err != nil {
		return err
	}
	if gone {
		return c.damaged("staging", c.path(ctx, attr.Ino), "look for a copy in lost+found of staging and in .trash; what was certified before can be had with walfs restore --at",
			"content that was not certified is gone: reads of it fail")
	}
	local, ok, err := c.cfg.Staging.Lookup(attr.Ino)
	if err != nil || !ok {
		return nil // reported above, or certified meanwhile
	}
	defer local.Release()
	idle, err := persists(ctx, func() (bool, error) {
		if local.Writers() > 0 {
			return false, nil
		}
		now, err := c.cfg.Index.Get(ctx, attr.Ino)
		if err != nil || !now.Dirty {
			return false, ignoreGone(err)
		}
		queued, err := c.cfg.Index.HasJob(ctx, attr.Ino)
		return !queued, err
	})
	if err != nil || !idle {
		return err
	}
	f := Finding{Part: "staging", Path: c.path(ctx, attr.Ino), What: "changes wait for nothing: they would not be stored"}
	return c.repair(f, "queued", func() error {
		defer c.cfg.Wake()
		return c.cfg.Index.Queue(ctx, attr.Ino, local.State())
	})
}

// outbox compares sealed segments with their rows.
func (c *check) outbox(ctx context.Context) error {
	kept, err := c.cfg.Staging.ListOutbox()
	if err != nil {
		return err
	}
	for _, number := range kept {
		orphan, err := persists(ctx, func() (bool, error) {
			rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Number: number})
			if err != nil {
				return false, err
			}
			boxes, err := c.cfg.Staging.ListOutbox()
			return len(rows) == 0 && slices.Contains(boxes, number), err
		})
		if err != nil {
			return err
		}
		if !orphan {
			continue
		}
		if err := c.damaged("outbox", "", "the next mount removes it: it was never registered", "sealed segment %d, which no row knows", number); err != nil {
			return err
		}
	}
	for _, row := range c.segs {
		if row.Stage >= walrus.Certified {
			continue
		}
		why, err := c.sealedSegment(ctx, row.Number)
		if err != nil {
			return err
		}
		if why == nil {
			continue
		}
		if err := c.damaged("outbox", "", "the segment is made again from what staging holds when it is stored", "sealed segment %d is not what was packed: %v", row.Number, why); err != nil {
			return err
		}
	}
	return nil
}

// sealedSegment opens a segment of the outbox from end to end and returns what is wrong with it.
func (c *check) sealedSegment(ctx context.Context, number uint64) (why, err error) {
	wrong, err := persists(ctx, func() (bool, error) {
		why = nil
		rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Number: number})
		if err != nil || len(rows) == 0 || rows[0].Stage >= walrus.Certified {
			return false, err
		}
		why = c.openSealed(ctx, rows[0])
		return why != nil, nil
	})
	if err != nil || !wrong {
		return nil, err
	}
	return why, nil
}

func (c *check) openSealed(ctx context.Context, row index.SegmentRow) error {
	sealed, err := c.cfg.Staging.Outbox(row.Number)
	if err != nil {
		return err
	}
	header, err := seal.ParseHeader(sealed)
	if err != nil {
		return err
	}
	if header != seal.Header(row.Header) || int64(len(sealed)) != row.Size {
		return errors.New("header or length differ from its row")
	}
	opener, err := c.cfg.Keys.Open(header, row.Size)
	if err != nil {
		return err
	}
	source := func(_ context.Context, p []byte, off int64) (int, error) { return copy(p, sealed[off:]), nil }
	return opener.Check(ctx, source)
}

// extents looks that all content lies in the plaintext of its segment.
func (c *check) extents(ctx context.Context) error {
	list, err := c.cfg.Index.Reaches(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		row, ok := c.segs[r.Segment]
		if !ok { // it was packed since
			rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Number: r.Segment})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				continue // a rule of the index tells
			}
			row = rows[0]
		}
		size, err := seal.Header(row.Header).PlainSize(row.Size)
		if err != nil {
			err = c.damaged("extents", "", hintRebuild, "segment %d has an impossible length: %v", r.Segment, err)
		} else if r.End > size-index.FooterSize {
			err = c.damaged("extents", c.path(ctx, r.Ino), hintRebuild, "content is said to lie at %d of segment %d, which has %d bytes: reads of it fail", r.End, r.Segment, size)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const hintRebuild = "walfs umount, then walfs check --repair --rebuild-index makes a new index from the network and keeps what is staged"
