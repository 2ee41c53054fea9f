package keep

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// A generation that cannot be read is a hole: what stands above it is not
// replayed, since a trailer tells differences only. Below it the walk goes on
// by segment numbers, as every segment says in its footer of which generation
// it is. The blobs of those that only the hole told are searched for among all
// that the wallet owns: nobody but the drive's key can have sealed a footer that
// names drive and number. A blob counts only if it is certified, if no other one
// claims its number, and if the writers of a row of generations never alternate:
// segments of a machine that had been taken over do not come in that way. What the
// writer of the anchor itself has sealed needs no other proof.

const (
	// maxSealed is above the length in bytes of any sealed segment.
	maxSealed = 1 << 40
	// searchParallel is how many blobs a search looks at together.
	searchParallel = 8
	// probes is how many other blobs are tried to find out whether nodes answer at all.
	probes = 3
)

// localError is trouble of this machine or with the ledger, not with a generation.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }

func (e *localError) Unwrap() error { return e.err }

// fatal reports whether an error ends the restore, rather than making a hole.
func fatal(ctx context.Context, err error) bool {
	var local *localError
	return ctx.Err() != nil || errors.As(err, &local) || errors.Is(err, seal.ErrUnknownKey) || errors.Is(err, blobstore.ErrClosed)
}

// nowhere stands for the blob of a segment that nothing tells.
func nowhere(drive [16]byte, number uint64) walrus.BlobID {
	return walrus.BlobID(sha256.Sum256(fmt.Appendf(nil, "walfs segment %d of %x, which nothing tells", number, drive)))
}

// passOver notes a hole, and returns the next generation below that may be read.
func (d *descent) passOver(ctx context.Context, g uint64, cause error) (uint64, error) {
	if fatal(ctx, cause) {
		return 0, fmt.Errorf("generation %d: %w", g, cause)
	}
	if !d.r.alive {
		ok, err := d.probe(ctx)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, fmt.Errorf("generation %d: %w", g, cause)
		}
	}
	d.pass(g, cause)
	return d.below(ctx, g)
}

// pass sets aside what was read above a hole.
func (d *descent) pass(g uint64, cause error) {
	d.above = append(d.above, d.list...)
	d.list = nil
	d.forget()
	if at := d.r.cfg.At.Generation; at > 0 && g > at {
		return // it is younger than what is asked for
	}
	d.r.cfg.Log.Info("generation is passed over", "op", "restore", "generation", g, "err", cause)
	d.passed = append(d.passed, Passed{Generation: g, Why: cause.Error(), err: cause})
}

// below returns the newest generation below g whose last segment can be found,
// or what is replayed already.
func (d *descent) below(ctx context.Context, g uint64) (uint64, error) {
	for n := g - 1; n > d.r.up; n-- {
		footer, err := d.footer(ctx, n)
		switch {
		case err != nil && fatal(ctx, err):
			return 0, fmt.Errorf("segment %d: %w", n, err)
		case errors.Is(err, errUntold):
			lower := d.lower(n)
			d.pass(n, fmt.Errorf("segments %d to %d: %w", lower+1, n, err))
			n = lower + 1
		case err != nil:
			d.pass(n, err)
		case footer.Part+1 == footer.Parts:
			return footer.Generation, nil
		default:
			d.pass(footer.Generation, fmt.Errorf("segment %d of it cannot be read: %w", n+1, index.ErrTrailer))
			n = footer.Generation
		}
	}
	return d.r.up, nil
}

// lower returns the highest number up to n, and above what is replayed, of which the blob is known.
func (d *descent) lower(n uint64) (best uint64) {
	best = d.r.up
	for number := range d.known {
		if number <= n {
			best = max(best, number)
		}
	}
	return best
}

func (d *descent) footer(ctx context.Context, number uint64) (index.Footer, error) {
	s, err := d.segment(ctx, number)
	if err != nil {
		return index.Footer{}, err
	}
	_, _, footer, err := d.r.footer(ctx, s)
	if err == nil && (footer.Number != number || footer.Drive != d.found.says.Drive) {
		err = fmt.Errorf("says segment %d of drive %x: %w", footer.Number, footer.Drive, index.ErrTrailer)
	}
	return footer, err
}

// errUntold reports a segment whose blob neither anchor nor trailers nor the wallet tell.
var errUntold = fmt.Errorf("nothing tells the blob: %w", index.ErrTrailer)

// segment returns what is known of a segment, after a search if nothing is.
func (d *descent) segment(ctx context.Context, number uint64) (segment, error) {
	s, ok := d.known[number]
	if !ok && !d.searched {
		if err := d.search(ctx); err != nil {
			return s, &localError{err}
		}
		s, ok = d.known[number]
	}
	if !ok {
		return s, errUntold
	}
	return s, nil
}

// strangers lists the certified blobs of the wallet of which nothing is known.
func (d *descent) strangers(ctx context.Context) (list []segment, err error) {
	owned, err := d.r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{})
	if err != nil {
		return nil, fmt.Errorf("list the wallet's blobs: %w", err)
	}
	told := make(map[walrus.BlobID]bool, len(d.known))
	for _, s := range d.known {
		told[s.blob] = true
	}
	for _, o := range owned {
		if o.Certified && !told[o.Blob] {
			told[o.Blob] = true
			list = append(list, segment{blob: o.Blob, object: o.Object, size: o.Size, endEpoch: o.EndEpoch, searched: true})
		}
	}
	return list, nil
}

// search looks among all blobs of the wallet for segments of the drive. That of
// a drive that is not encrypted proves nothing, and is not taken.
func (d *descent) search(ctx context.Context) error {
	d.searched = true
	list, err := d.strangers(ctx)
	if err != nil {
		return err
	}
	d.r.cfg.Log.Info("searching the wallet for segments", "op", "restore", "blobs", len(list))
	var mu sync.Mutex
	claims := map[uint64][]segment{}
	places := make(chan struct{}, searchParallel)
	var wait sync.WaitGroup
	for _, s := range list {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			header, _, footer, err := d.r.footer(ctx, s)
			if err != nil || header.Suite() == seal.SuitePlain || footer.Drive != d.found.says.Drive {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			claims[footer.Number] = append(claims[footer.Number], s)
		})
	}
	wait.Wait()
	for number, found := range claims {
		if _, told := d.known[number]; !told && len(found) == 1 {
			d.known[number] = found[0]
		}
	}
	return ctx.Err()
}

// probe reports whether any other blob can be read: if not, the nodes are away
// rather than a generation damaged.
func (d *descent) probe(ctx context.Context) (bool, error) {
	list, err := d.strangers(ctx)
	if err != nil {
		return false, &localError{err}
	}
	head := d.found.says.Head
	for _, s := range d.known {
		if s.blob != head {
			list = append(list, s)
		}
	}
	answers := make([]bool, min(len(list), probes))
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() {
			_, _, err := d.r.open(ctx, list[i])
			answers[i] = err == nil
		})
	}
	wait.Wait()
	for _, ok := range answers {
		d.r.alive = d.r.alive || ok
	}
	return d.r.alive, ctx.Err()
}

// follow checks that writers do not alternate in what was read in a row: a
// machine that was taken over never writes again. If this generation is of a
// writer that another one had followed, what stands above it does not.
func (d *descent) follow(f index.Footer) {
	if f.Writer == [8]byte{} || f.Writer == d.writer {
		return
	}
	if n := len(d.list); d.writers[f.Writer] && n > 0 {
		d.pass(d.list[n-1].number, fmt.Errorf("written by a machine that was not the writer any more: %w", index.ErrTrailer))
	}
	d.writers[f.Writer], d.writer = true, f.Writer
}

// proves reports whether a segment that was found by a search is of the history
// that the anchor tells: the machine that wrote the anchor has one only, and has
// been the writer ever since.
func (d *descent) proves(f index.Footer) bool {
	return f.Writer != [8]byte{} && f.Writer == [8]byte(d.found.says.Writer[:8])
}

// lead notes that what a search has found belongs to the drive as if a chain of IDs
// led there, if all of the generation proves it.
func (d *descent) lead(gen generation) {
	if gen.searched {
		return
	}
	for _, row := range gen.rows {
		s := d.known[row.Number]
		s.searched = false
		d.known[row.Number] = s
	}
}

// forget begins a new row of generations, below the anchor.
func (d *descent) forget() {
	d.writer = [8]byte(d.found.says.Writer[:8])
	d.writers = map[[8]byte]bool{d.writer: true}
}
