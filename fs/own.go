package fs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// Attributes under this prefix tell about a file, or ask something of the
// drive. They are not stored, and are not listed: programs that copy attributes
// would copy them. What is not known of a file has no attribute.
const (
	ownPrefix   = "user.walfs."
	ownState    = ownPrefix + "state"     // one of index.State
	ownBlobID   = ownPrefix + "blob_id"   // of each blob with its content, one a line; empty until it is certified
	ownObjectID = ownPrefix + "object_id" // of the ledger's objects of those blobs, one a line
	ownEndEpoch = ownPrefix + "end_epoch" // epoch, and about when it begins: until then storage is paid for
	ownProgress = ownPrefix + "progress"  // certified/all bytes of the newest version
	ownCached   = ownPrefix + "cached"    // bytes in staging/all bytes
	ownError    = ownPrefix + "error"     // why it is not certified, one line
	ownPin      = ownPrefix + "pin"       // 1 or 0; can be set and removed, and is inherited
	ownSync     = ownPrefix + "sync"      // set to anything: store what is there now, soon
	ownEvict    = ownPrefix + "evict"     // set to anything: drop the local copy
)

// Hooks are what requests ask of the rest of the drive. What is nil is not
// there: EOPNOTSUPP. None may wait for the network, since the kernel holds a
// lock meanwhile for which every stat of the file waits.
type Hooks struct {
	// Sync makes what is there now be certified soon, and returns at once.
	Sync func()
	// Evict drops the local copy of a file that nobody has open. ErrOnlyCopy
	// refuses one that is pinned, or not certified.
	Evict func(context.Context, index.Ino) error
	// Pins tells that something was pinned.
	Pins func()
	// EpochEnd returns about when an epoch begins, if that is known.
	EpochEnd func(walrus.Epoch) (time.Time, bool)
	// Files are those of VirtualDir; none: there is no such folder.
	Files []VirtualFile
}

// ErrOnlyCopy refuses to drop a local copy that nobody else has, or that is
// pinned or in use. Programs see EBUSY.
var ErrOnlyCopy = errors.New("local copy has to stay")

var (
	errOwn       = errors.New("attribute of the drive itself")
	errPinValue  = errors.New("a pin is 1 or 0")
	errNoSupport = errors.New("nobody does that here")
)

// IsOwnXattr reports whether an attribute tells about a file or asks something of the drive, and so is no
// part of the file.
func IsOwnXattr(name string) bool { return strings.HasPrefix(name, ownPrefix) }

// maxList is how many bytes the list of blobs of a file may take. Source:
// XATTR_SIZE_MAX of Linux.
const maxList = index.MaxXattrValue

// ownXattr makes an attribute that tells about a file.
func (fs *FS) ownXattr(ctx context.Context, ino index.Ino, name string) ([]byte, error) {
	if name == ownPin {
		pinned, err := fs.cfg.Index.Pinned(ctx, ino)
		if pinned {
			return []byte("1"), err
		}
		return []byte("0"), err
	}
	facts, err := fs.cfg.Index.Facts(ctx, ino)
	if err != nil {
		return nil, err
	}
	if f := fs.using(ino); f != nil {
		if f.unqueued() {
			facts.State, facts.Certified = index.StateDirty, 0
		}
		facts.Size, _ = f.live()
	}
	text, err := fs.describe(&facts, ino, name)
	return []byte(text), err
}

// describe returns the text of an attribute, or index.ErrNoAttr.
func (fs *FS) describe(facts *index.Facts, ino index.Ino, name string) (string, error) {
	switch {
	case name == ownState:
		return string(facts.State), nil
	case name == ownError:
		return oneLine(facts.Error, facts.Tries), nil
	case !facts.Regular:
		return "", index.ErrNoAttr
	case name == ownProgress:
		return fmt.Sprintf("%d/%d", min(facts.Certified, facts.Size), facts.Size), nil
	case name == ownCached:
		held, err := fs.held(ino)
		return fmt.Sprintf("%d/%d", min(held, facts.Size), facts.Size), err
	case name == ownBlobID:
		if !facts.State.Anchored() {
			return "", nil
		}
		return blobList(facts.Blobs, func(b index.StoredBlob) string { return b.ID.String() }), nil
	case name == ownObjectID && facts.State.Anchored():
		return blobList(facts.Blobs, func(b index.StoredBlob) string { return fmt.Sprintf("%#x", b.Object[:]) }), nil
	case name == ownEndEpoch && facts.EndEpoch != 0:
		text := fmt.Sprint(facts.EndEpoch)
		if fs.hooks.EpochEnd != nil {
			if at, ok := fs.hooks.EpochEnd(facts.EndEpoch); ok {
				text += " " + at.UTC().Format(time.RFC3339)
			}
		}
		return text, nil
	}
	return "", index.ErrNoAttr
}

// oneLine tells an error, and how often it came.
func oneLine(text string, tries int) string {
	text = strings.Join(strings.Fields(text), " ")
	if text != "" && tries > 1 {
		text += fmt.Sprintf(" (%d times)", tries)
	}
	return text
}

// blobList puts as many blobs one below the other as an attribute can hold.
func blobList(blobs []index.StoredBlob, text func(index.StoredBlob) string) string {
	var b strings.Builder
	for i, blob := range blobs {
		line := text(blob)
		if b.Len()+len(line)+32 > maxList {
			fmt.Fprintf(&b, "\nand %d more", len(blobs)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(line)
	}
	return b.String()
}

// held returns how many bytes of a file staging has.
func (fs *FS) held(ino index.Ino) (n int64, err error) {
	if !fs.cfg.Staging.Has(ino) {
		return 0, nil
	}
	local, ok, err := fs.cfg.Staging.Lookup(ino)
	if err != nil || !ok {
		return 0, err
	}
	defer local.Release()
	return local.HeldBytes(), nil
}

// setOwn does what setting an attribute asks for.
func (fs *FS) setOwn(ctx context.Context, ino index.Ino, name, value string) error {
	switch name {
	case ownPin:
		return fs.pin(ctx, ino, value)
	case ownSync:
		return fs.syncSoon(ctx, ino)
	case ownEvict:
		if fs.hooks.Evict == nil {
			return errNoSupport
		}
		return fs.evict(ctx, ino)
	}
	return errOwn
}

// removeOwn takes a pin away, so that those of folders above count again.
func (fs *FS) removeOwn(ctx context.Context, ino index.Ino, name string) error {
	if name != ownPin {
		return errOwn
	}
	return fs.cfg.Index.ClearPin(ctx, ino)
}

func (fs *FS) pin(ctx context.Context, ino index.Ino, value string) error {
	on := strings.TrimSpace(value) == "1"
	if !on && strings.TrimSpace(value) != "0" {
		return errPinValue
	}
	if err := fs.cfg.Index.SetPin(ctx, ino, on); err != nil {
		return err
	}
	if fs.hooks.Pins != nil {
		fs.hooks.Pins()
	}
	return nil
}

// evict drops the local copy of a regular file.
func (fs *FS) evict(ctx context.Context, ino index.Ino) error {
	attr, err := fs.cfg.Index.Get(ctx, ino)
	switch {
	case err != nil:
		return err
	case !attr.IsRegular():
		return index.ErrIsDir
	}
	if f := fs.using(ino); f != nil && f.unqueued() {
		return ErrOnlyCopy
	}
	return fs.hooks.Evict(ctx, ino)
}

// syncSoon queues what the file has and asks for all that waits to be stored.
func (fs *FS) syncSoon(ctx context.Context, ino index.Ino) error {
	if fs.hooks.Sync == nil {
		return errNoSupport
	}
	if f := fs.using(ino); f != nil {
		if err := f.queue(ctx); err != nil {
			return err
		}
	}
	fs.hooks.Sync()
	return nil
}

// fetchStep is how much is fetched at a time for a pinned file, in bytes.
const fetchStep = 1 << 20

// Hold fetches what is not here of a stored file, so that staging holds all of
// it, as a clean copy. It is there to be read meanwhile, and to be written.
func (fs *FS) Hold(ctx context.Context, ino index.Ino) (err error) {
	f, err := fs.acquire(ctx, ino)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.release(ctx)) }()
	if err := fs.take(0); err != nil {
		return err
	}
	local, err := f.stage(ctx)
	if err != nil {
		return err
	}
	for off := int64(0); off < local.Base(); off += fetchStep {
		if local.Holds(off, min(fetchStep, local.Base()-off)) {
			continue
		}
		if err := fs.take(fetchStep); err != nil {
			return err
		}
		if err := local.Fetch(ctx, off, fetchStep, f.fill); err != nil {
			return err
		}
	}
	if status, err := fs.cfg.Index.State(ctx, ino); err != nil || !status.State.Anchored() {
		return err // it is a copy once it is certified again
	}
	bytes, err := local.Footprint()
	if err != nil {
		return err
	}
	return fs.cfg.Index.CopyKeep(ctx, index.KeptCopy{Ino: ino, Bytes: bytes, Whole: local.Complete()})
}

// unqueued reports whether content changed that the index has not heard of.
func (f *file) unqueued() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.local != nil && !sameState(f.local.State(), f.queued)
}
