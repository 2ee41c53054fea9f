package commit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// cutTrailer asks the index for the trailer of the open segment. It returns nil
// when neither content nor rows wait to be published.
func (p *packer) cutTrailer(ctx context.Context) (*index.Trailer, []byte, error) {
	full := p.c.wantFull.Load()
	if len(p.plain) == 0 && len(p.done) == 0 && !full {
		if waiting, err := p.c.cfg.Index.Pending(ctx); err != nil || !waiting.Names {
			return nil, nil, err
		}
	}
	if err := p.begin(ctx); err != nil {
		return nil, nil, err
	}
	completed := make([]index.Packed, len(p.done))
	for i, par := range p.done {
		completed[i] = par.packed()
	}
	for {
		flying := p.c.flights.count()
		trailer, err := p.c.cfg.Index.CutTrailer(ctx, completed, p.moves...)
		if errors.Is(err, index.ErrInFlight) {
			if err := p.c.flights.below(ctx, index.MaxInFlight); err != nil {
				return nil, nil, err
			}
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("cut segment %d: %w", p.number, err)
		}
		if len(p.plain) == p.moved && len(trailer.Names)+len(trailer.Inodes)+len(trailer.Contents) == 0 && (!full || trailer.Previous == 0) {
			p.unload() // nothing of it is where it was any more
			return nil, nil, nil
		}
		encoded, err := p.encode(ctx, trailer)
		if err != nil {
			return nil, nil, fmt.Errorf("cut segment %d: %w", p.number, err)
		}
		parts := p.parts(len(encoded))
		if parts > index.MaxWindow {
			return nil, nil, fmt.Errorf("%d segments: %w", parts, ErrTrailerTooLong)
		}
		if flying+parts <= index.MaxWindow {
			return trailer, encoded, nil
		}
		// The anchor must be able to list what was in flight at the cut and
		// all parts. A cut that is not committed is repeated by the next.
		if err := p.c.flights.below(ctx, index.MaxWindow-parts+1); err != nil {
			return nil, nil, err
		}
	}
}

// parts returns how many segments an encoded trailer needs, the open one included.
func (p *packer) parts(encoded int) int {
	most := int(p.c.capacity) - index.FooterSize
	rest := encoded - (most - len(p.plain))
	return 1 + max(0, (rest+most-1)/most)
}

// seal makes the segments that carry the open segment's data and the trailer,
// and puts them into the outbox.
func (p *packer) seal(trailer *index.Trailer, encoded []byte) ([]index.SegmentRow, error) {
	footer := index.Footer{
		Drive: p.c.drive.ID, Generation: p.number,
		Parts: p.parts(len(encoded)), Size: len(encoded), Sum: index.TrailerSum(encoded), Writer: p.c.tag(),
	}
	rows := make([]index.SegmentRow, footer.Parts)
	data := p.plain
	for i := range rows {
		n := min(len(encoded), int(p.c.capacity)-index.FooterSize-len(data))
		footer.Number, footer.Part, footer.PartSize = p.number+uint64(i), i, n
		end, err := footer.Marshal()
		if err != nil {
			return nil, fmt.Errorf("footer of segment %d: %w", footer.Number, err)
		}
		plain := append(append(data, encoded[:n]...), end[:]...)
		if rows[i], err = p.c.sealOne(footer, plain); err != nil {
			return nil, err
		}
		encoded, data = encoded[n:], plain[:0]
	}
	return rows, nil
}

// tag is what footers say of the machine that wrote them.
func (c *Committer) tag() [8]byte { return [8]byte(c.drive.Writer[:8]) }

// sealOne seals one segment and puts it into the outbox.
func (c *Committer) sealOne(footer index.Footer, plain []byte) (index.SegmentRow, error) {
	sealed, header, err := c.sealed(plain, nil)
	if err == nil {
		err = c.keep(footer.Number, sealed)
	}
	if err != nil {
		return index.SegmentRow{}, fmt.Errorf("segment %d: %w", footer.Number, err)
	}
	return index.SegmentRow{
		Number: footer.Number, Generation: footer.Generation, Part: footer.Part, Parts: footer.Parts,
		Size: int64(len(sealed)), Header: header, Stage: walrus.Encoded, PackedAt: time.Now(),
	}, nil
}

// sealed seals the plaintext of a segment under a salt of its own. The bytes
// never change afterwards: they may be on the nodes. Gaps are written to.
func (c *Committer) sealed(plain []byte, gaps []seal.Gap) (sealed []byte, header seal.Header, err error) {
	if sealed, err = c.cfg.Keys.Seal(plain, seal.Options{Suite: c.suite, Gaps: gaps}); err != nil {
		return nil, header, err
	}
	header, err = seal.ParseHeader(sealed)
	return sealed, header, err
}

// keep puts a sealed segment into the outbox.
func (c *Committer) keep(number uint64, sealed []byte) error {
	c.stage("before-outbox")
	if err := c.cfg.Staging.PutOutbox(number, sealed); err != nil {
		return err
	}
	c.stage("after-outbox")
	return nil
}

// commit publishes the open segment in the index, tells staging, and lets the
// segments fly. It does not if a segment was rebuilt since the pass began.
func (p *packer) commit(ctx context.Context, trailer *index.Trailer, encoded []byte, segments []index.SegmentRow) error {
	p.c.rebuilds.mu.Lock()
	defer p.c.rebuilds.mu.Unlock()
	if p.c.rebuilds.done != p.rebuilt {
		return errRebuilt
	}
	commit := index.Commit{Trailer: trailer, Encoded: encoded, Segments: segments}
	for _, par := range p.done {
		commit.Packed = append(commit.Packed, par.packed())
	}
	if p.open != nil {
		commit.Partials = p.open.fresh
	}
	if err := p.c.cfg.Index.CommitSegments(ctx, commit); err != nil {
		return fmt.Errorf("commit segment %d: %w", p.number, err)
	}
	p.c.stage("after-commit")
	if trailer.Full > 0 {
		p.c.wantFull.Store(false)
	}
	p.c.drains.packed(p, trailer.Generation)
	p.c.flights.launch(segments)
	for _, par := range p.done {
		if err := par.published(); err != nil {
			// Its blocks stay dirty and go out once more, which costs room and no data.
			p.c.log.Warn("staging did not note a packed version", "ino", par.job.Ino, "err", err)
		}
		delete(p.seen, par.job.Ino)
	}
	p.c.log.Debug("segment packed", "op", "commit", "generation", trailer.Generation,
		"segments", len(segments), "size", len(p.plain), "files", len(p.done), "names", len(trailer.Names))
	p.end()
	p.c.changed.raise()
	return nil
}
