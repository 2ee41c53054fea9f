package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/fs/commit"
)

// spool keeps what blob put is to store until it is stored, so that a Put that was cut off can go
// on with the same bytes and pays once. It is a folder with two files for each content:
//
//	HASH.data   the bytes, as far as they have come
//	HASH.json   how far the Put has come
//
// HASH is the SHA-256 of the content, in hex.
type spool struct {
	dir string

	mu   sync.Mutex // guards busy
	busy map[string]bool
}

// spoolKept is how long a content lies there that nobody goes on with.
const spoolKept = 30 * 24 * time.Hour

// maxBlobPut is the largest blob that is put whole, in bytes: encoding it takes several times
// that in memory.
const maxBlobPut = 512 << 20

func (s *spool) data(hash string) string    { return filepath.Join(s.dir, hash+".data") }
func (s *spool) receipt(hash string) string { return filepath.Join(s.dir, hash+".json") }

// take reserves a content for one command.
func (s *spool) take(hash string) (giveBack func(), err error) {
	if raw, err := hex.DecodeString(hash); err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != hash {
		return nil, usagef("%q is no hash", hash)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[hash] {
		return nil, ui.Errorf(ui.Failed, "another command is storing the same content now")
	}
	if s.busy == nil {
		s.busy = map[string]bool{}
	}
	s.busy[hash] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, hash)
	}, os.MkdirAll(s.dir, 0o700)
}

// have returns how many bytes of a content are here.
func (s *spool) have(hash string) (int64, error) {
	info, err := os.Stat(s.data(hash))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// add writes the next part of a content.
func (s *spool) add(part blobPart) (err error) {
	have, err := s.have(part.Hash)
	if err != nil {
		return err
	}
	if part.Offset != have || have+int64(len(part.Data)) > maxBlobPut {
		return usagef("part at %d of a content that is here up to %d", part.Offset, have)
	}
	f, err := os.OpenFile(s.data(part.Hash), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(part.Data)
	return err
}

// load returns a content that is whole, on stable storage. One that is not what its hash says is dropped.
func (s *spool) load(hash string) (content []byte, err error) {
	f, err := os.Open(s.data(hash))
	if err != nil {
		return nil, err
	}
	content, err = io.ReadAll(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != hash {
		return nil, errors.Join(ui.Errorf(ui.Failed, "the content changed on its way: put it again"), s.drop(hash))
	}
	return content, syncFolder(s.dir)
}

// recall returns how far an earlier Put had come with a content; one with other terms is another Put.
func (s *spool) recall(q blobPutArgs) (walrus.Receipt, error) {
	text, err := os.ReadFile(s.receipt(q.Hash))
	if errors.Is(err, fs.ErrNotExist) {
		return walrus.Receipt{}, nil
	}
	var kept spooled
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return walrus.Receipt{}, fmt.Errorf("receipt of an earlier put: %w", err)
	}
	if kept.Permanent != q.Permanent {
		return walrus.Receipt{}, ui.Errorf(ui.Failed, "an earlier put of this content was not finished, and was to be %s", kindOf(kept.Permanent)).
			WithHint("finish that one first")
	}
	return kept.Receipt, nil
}

// spooled is the content of HASH.json.
type spooled struct {
	Permanent bool           `json:"permanent"`
	Receipt   walrus.Receipt `json:"receipt"`
}

func kindOf(permanent bool) string {
	if permanent {
		return "permanent"
	}
	return "deletable"
}

// drop forgets a content: the receipt last, as it is what keeps a repetition from paying again.
func (s *spool) drop(hash string) error {
	var errs []error
	for _, name := range []string{s.data(hash), s.receipt(hash)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// clean drops contents that nobody has gone on with for long.
func (s *spool) clean() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > spoolKept {
			err = os.Remove(filepath.Join(s.dir, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (d *drive) answerBlobPart(_ context.Context, part blobPart, _ func(any) error) (nothing, error) {
	giveBack, err := d.spool.take(part.Hash)
	if err != nil {
		return nothing{}, err
	}
	defer giveBack()
	return nothing{}, d.spool.add(part)
}

func (d *drive) answerBlobPut(ctx context.Context, q blobPutArgs, _ func(any) error) (s blobStored, err error) {
	for _, a := range q.Attributes {
		if err := freeKey(a.Key); err != nil {
			return s, err
		}
	}
	g := d.blobs.Geometry()
	if most := min(g.MaxBlobSize(), maxBlobPut); q.Size > most {
		return s, usagef("a blob has at most %s here: put it into the drive, which makes several", ui.Size(most))
	}
	if s.Encoded, err = g.EncodedSize(q.Size); err != nil {
		return s, err
	}
	giveBack, err := d.spool.take(q.Hash)
	if err != nil {
		return s, err
	}
	defer giveBack()
	if err := d.spool.clean(); err != nil {
		return s, err
	}
	if s.Missing, err = d.spool.have(q.Hash); err != nil {
		return s, err
	}
	if s.Missing > q.Size {
		return s, errors.Join(usagef("the content is longer than it was said to be"), d.spool.drop(q.Hash))
	}
	if s.Missing < q.Size {
		if err := d.room.refresh(ctx, roomStale); err != nil {
			return s, err
		}
		if q.Size > d.room.get().Free {
			return s, drivefs.ErrNoRoom
		}
		return s, nil
	}
	receipt, object, err := d.storeBlob(ctx, q)
	if err != nil {
		return s, err
	}
	s.BlobID, s.ObjectID, s.Size, s.End, s.Permanent = receipt.Blob.String(), receipt.Object.String(), q.Size, object.EndEpoch, !object.Deletable
	return s, d.spool.drop(q.Hash)
}

// storeBlob stores a content of the spool, or goes on with storing it.
func (d *drive) storeBlob(ctx context.Context, q blobPutArgs) (r walrus.Receipt, object chain.OwnedObject, err error) {
	var content []byte
	if q.Size > 0 {
		if content, err = d.spool.load(q.Hash); err != nil {
			return r, object, err
		}
	}
	o := blobstore.PutOptions{Epochs: q.Epochs, Deletable: !q.Permanent, Apart: true, Attributes: []chain.Attribute{{Key: keyPut, Value: "1"}}}
	for _, a := range q.Attributes {
		o.Attributes = append(o.Attributes, chain.Attribute(a))
	}
	if err := d.terms(ctx, q, &o); err != nil {
		return r, object, err
	}
	if o.Resume, err = d.spool.recall(q); err != nil {
		return r, object, err
	}
	o.Checkpoint = func(r walrus.Receipt) error {
		text, err := json.Marshal(spooled{Permanent: q.Permanent, Receipt: r})
		if err != nil {
			return err
		}
		return writeWhole(d.spool.receipt(q.Hash), text)
	}
	if r, err = d.blobs.Put(ctx, content, o); err != nil {
		return r, object, err
	}
	owned, err := d.ledger.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{r.Object}})
	if err == nil && len(owned) != 1 {
		err = fmt.Errorf("object %s: %w", r.Object, chain.ErrNotExist)
	}
	if err != nil {
		return r, object, err
	}
	return r, owned[0], d.complete(ctx, &owned[0], o.Attributes)
}

// terms finds out how long to pay, and with which storage.
func (d *drive) terms(ctx context.Context, q blobPutArgs, o *blobstore.PutOptions) error {
	state, err := d.ledger.State(ctx)
	if err != nil {
		return err
	}
	if o.Epochs == 0 {
		o.Epochs = min(commit.DefaultEpochs, state.MaxEpochsAhead)
	}
	if o.Epochs > state.MaxEpochsAhead {
		return usagef("--epochs %d: storage is sold for %d epochs ahead at most", o.Epochs, state.MaxEpochsAhead)
	}
	if q.Storage == "" {
		return nil
	}
	free, err := d.ledger.Owned(ctx, chain.OwnedQuery{Storage: true})
	if err == nil {
		free, err = pick(free, []string{q.Storage}, "free storage")
	}
	if err != nil {
		return err
	}
	o.Storage = free[0].Object
	return nil
}

// complete sets attributes that an object does not have, as one that an earlier Put had registered.
func (d *drive) complete(ctx context.Context, o *chain.OwnedObject, want []chain.Attribute) error {
	has := map[string]string{}
	for _, a := range o.Attributes {
		has[a.Key] = a.Value
	}
	var set []chain.Attribute
	for _, a := range want {
		if value, ok := has[a.Key]; !ok || value != a.Value {
			set = append(set, a)
		}
	}
	if len(set) == 0 {
		return nil
	}
	e, err := d.estate(ctx, d.keys.wallet)
	if err != nil {
		return err
	}
	return e.do(ctx, func(tx chain.TxID) (*sui.Result, error) { return e.SetAttributes(ctx, tx, o.Object, set, nil) })
}
