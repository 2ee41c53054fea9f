package node

import (
	"fmt"
	"sync"

	"github.com/walfs/walfs/blobstore/walrus"
)

// maxReserve is in bytes: what a node leaves free on its disk, if 1 % of the disk is not less.
// It keeps the catalogue, which shares the disk, out of trouble.
const maxReserve = 64 << 20

// room counts what the blob files take.
type room struct {
	mu    sync.Mutex // guards the fields below
	blobs int
	bytes int64
	taken int64 // of files that are being allocated
}

func (r *room) used() (blobs int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.blobs, r.bytes
}

// add counts files in or out.
func (r *room) add(blobs int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs += blobs
	r.bytes += bytes
}

// take sets size bytes aside for a file that will be allocated until give is
// called, or returns ErrNoRoom.
func (n *Node) take(size int64) (give func(), err error) {
	total, free, err := n.os.space(n.cfg.Dir)
	if err != nil {
		return nil, err
	}
	r := &n.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if quota := n.cfg.Quota; quota > 0 && r.bytes+r.taken+size > quota {
		return nil, fmt.Errorf("%d bytes over a quota of %d: %w", r.bytes+r.taken+size-quota, quota, ErrNoRoom)
	}
	if reserve := min(total/100, maxReserve); free-r.taken-size < reserve {
		return nil, fmt.Errorf("%d bytes free: %w", free, ErrNoRoom)
	}
	r.taken += size
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.taken -= size
	}, nil
}

// locks gives each blob a lock of its own.
type locks struct {
	mu   sync.Mutex // guards held
	held map[walrus.BlobID]*blobLock
}

type blobLock struct {
	sync.Mutex
	users int
}

// lock waits for the lock of a blob and returns the function that gives it back.
func (l *locks) lock(blob walrus.BlobID) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[walrus.BlobID]*blobLock{}
	}
	b := l.held[blob]
	if b == nil {
		b = &blobLock{}
		l.held[blob] = b
	}
	b.users++
	l.mu.Unlock()
	b.Lock()
	return func() {
		b.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if b.users--; b.users == 0 {
			delete(l.held, blob)
		}
	}
}

// busy tells whether somebody has or wants the lock of a blob.
func (l *locks) busy(blob walrus.BlobID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[blob] != nil
}

// maxDurable bounds what durable remembers: forgetting costs two fsyncs of clean files.
const maxDurable = 1 << 14

// durable remembers which files this process has seen whole and has synced
// since, and for the shards of which epoch.
type durable struct {
	mu    sync.Mutex // guards since
	epoch map[walrus.BlobID]walrus.Epoch
}

func (d *durable) is(blob walrus.BlobID, epoch walrus.Epoch) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := d.epoch[blob]
	return ok && e == epoch
}

func (d *durable) add(blob walrus.BlobID, epoch walrus.Epoch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch == nil || len(d.epoch) >= maxDurable {
		d.epoch = map[walrus.BlobID]walrus.Epoch{}
	}
	d.epoch[blob] = epoch
}

func (d *durable) drop(blob walrus.BlobID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.epoch, blob)
}
