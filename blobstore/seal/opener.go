package seal

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// Source reads len(p) sealed bytes at off into p, like io.ReaderAt: fewer come
// with an error, and io.EOF with all of them is no error.
type Source func(ctx context.Context, p []byte, off int64) (int, error)

// batchChunks is how many chunks one call of a Source fetches at most: those that
// a megabyte touches, the longest read of the kernel, wherever it begins.
const batchChunks = 17

// fewChunks is how many chunks a range of 128 KiB touches at most, which is how the
// kernel reads unless it was told otherwise.
const fewChunks = 3

// buffers holds the sealed bytes of a batch while they are opened, fewBuffers those of a
// short one.
var (
	buffers    = sync.Pool{New: func() any { return newBuffer(batchChunks) }}
	fewBuffers = sync.Pool{New: func() any { return newBuffer(fewChunks) }}
)

func newBuffer(chunks int) *[]byte {
	b := make([]byte, chunks*(ChunkSize+Overhead))
	return &b
}

// buffersFor returns where to take a buffer for the chunks of n bytes at off.
func buffersFor(off int64, n int) *sync.Pool {
	if (off+int64(n)-1)/ChunkSize-off/ChunkSize < fewChunks {
		return &fewBuffers
	}
	return &buffers
}

// Opener reads ranges of one segment. It is safe for concurrent use.
type Opener struct {
	header Header
	aead   cipher.AEAD // nil: plain
	plain  int64       // size of the plaintext
	chunks int64

	// ended is set once the last chunk was opened, which proves the size.
	ended atomic.Bool

	gaps atomic.Pointer[[]Gap] // nil: not read yet
}

// Open returns an Opener for the segment that starts with h and is sealedSize
// bytes long. It returns ErrCorrupt if the header or the size is impossible,
// and ErrUnknownKey if the keyring lacks the drive key.
func (k *Keyring) Open(h Header, sealedSize int64) (*Opener, error) {
	if h.Suite() == SuitePlain {
		return OpenSegment(Key{}, h, sealedSize)
	}
	key, err := k.SegmentKey(h)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return OpenSegment(key, h, sealedSize)
}

// OpenSegment is Keyring.Open with the key of this one segment, as SegmentKey
// gave it to a share.
func OpenSegment(key Key, h Header, sealedSize int64) (*Opener, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	plain, err := h.PlainSize(sealedSize)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	if err := h.checkGapList(plain); err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	o := &Opener{header: h, plain: plain, chunks: chunksOf(plain)}
	if s := h.Suite(); s != SuitePlain {
		o.aead = newAEAD(s, key)
	}
	return o, nil
}

// PlainSize returns the length of the plaintext in bytes. It follows from the
// sealed size and is proved by the first ReadAt that returns io.EOF.
func (o *Opener) PlainSize() int64 { return o.plain }

// ReadAt fills p with the plaintext at off, reading sealed bytes from src. As
// with io.ReaderAt an error comes with fewer than len(p) bytes; the n bytes
// before it are good. Past the end the error is io.EOF, and only after the last
// chunk was checked, so that a segment cut short is never taken for a whole one.
// Damage gives an error that is ErrCorrupt, and a gap one that is ErrGap.
func (o *Opener) ReadAt(ctx context.Context, src Source, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read segment: offset %d is negative", off)
	}
	want := p[:max(0, min(int64(len(p)), o.plain-off))]
	gap := false
	if o.header.Gapped() && len(want) > 0 {
		good, err := o.beforeGap(ctx, src, len(want), off)
		if err != nil {
			return 0, err
		}
		gap = good < len(want)
		want = want[:good]
	}
	n, err := o.readInside(ctx, src, want, off)
	if err == nil && gap {
		return n, fmt.Errorf("at %d: %w", off+int64(n), ErrGap)
	}
	if err == nil && n < len(p) {
		if err = o.proveEnd(ctx, src); err == nil {
			err = io.EOF
		}
	}
	return n, err
}

// readInside fills p, which lies inside the plaintext, also from gaps.
func (o *Opener) readInside(ctx context.Context, src Source, p []byte, off int64) (int, error) {
	if o.aead == nil {
		return readFull(ctx, src, p, HeaderSize+off)
	}
	return o.open(ctx, src, p, off)
}

// open fills p, which lies inside the plaintext, batch by batch.
func (o *Opener) open(ctx context.Context, src Source, p []byte, off int64) (int, error) {
	pool := buffersFor(off, len(p))
	buf := pool.Get().(*[]byte)
	defer pool.Put(buf)
	done := 0
	for done < len(p) {
		pos := off + int64(done)
		first := pos / ChunkSize
		last := min((off+int64(len(p))-1)/ChunkSize, first+batchChunks-1)
		n, err := o.openBatch(ctx, src, (*buf)[:0], p[done:], pos, first, last)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// openBatch opens chunks first to last, which hold the plaintext at pos, and
// copies from there into p.
func (o *Opener) openBatch(ctx context.Context, src Source, buf, p []byte, pos, first, last int64) (int, error) {
	const step = ChunkSize + Overhead
	end := min((last+1)*step, o.plain+o.chunks*Overhead)
	buf = buf[:end-first*step]
	if _, err := readFull(ctx, src, buf, HeaderSize+first*step); err != nil {
		return 0, err
	}
	done := 0
	for i := first; i <= last; i++ {
		sealed := buf[:min(len(buf), step)]
		buf = buf[len(sealed):]
		skip := int(max(0, pos-i*ChunkSize))
		n, err := o.openChunk(i, sealed, p[done:], skip)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// openChunk opens chunk i and copies its plaintext from skip on into p. A chunk
// that fits is opened in place there.
func (o *Opener) openChunk(i int64, sealed, p []byte, skip int) (int, error) {
	var b [chacha20poly1305.NonceSizeX]byte
	last := i == o.chunks-1
	nonce := setNonce(b[:o.aead.NonceSize()], i, last)
	size := len(sealed) - Overhead
	dst := sealed[:0]
	direct := skip == 0 && size <= len(p)
	if direct {
		dst = p[:0:size]
	}
	plain, err := o.aead.Open(dst, nonce, sealed, o.header[:])
	if err != nil {
		return 0, fmt.Errorf("chunk %d of %d: %w", i, o.chunks, ErrCorrupt)
	}
	if last {
		o.ended.Store(true)
	}
	if direct {
		return size, nil
	}
	return copy(p, plain[skip:]), nil
}

// proveEnd opens the last chunk unless that was done before. Its nonce says
// that it is the last, so the size of the segment is right.
func (o *Opener) proveEnd(ctx context.Context, src Source) error {
	if o.aead == nil || o.ended.Load() {
		return nil
	}
	buf := fewBuffers.Get().(*[]byte)
	defer fewBuffers.Put(buf)
	last := o.chunks - 1
	_, err := o.openBatch(ctx, src, (*buf)[:0], nil, last*ChunkSize, last, last)
	return err
}

// readFull fills p from src at off or returns an error. The end of src within
// p is damage, since the size of the segment is known.
func readFull(ctx context.Context, src Source, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := src(ctx, p, off)
	if n == len(p) {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("sealed bytes end at %d, want %d: %w", off+int64(n), off+int64(len(p)), ErrCorrupt)
	}
	return n, err
}
