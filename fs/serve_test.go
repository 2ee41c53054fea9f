package fs_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

var ctx = context.Background()

// blobs are sealed segments in a folder; the network is the only thing here
// that is not real.
type blobs struct {
	dir   string
	fault atomic.Value // string: "", "broken", "hung", "corrupt"
	reads atomic.Int64
	bytes atomic.Int64                 // asked for
	far   atomic.Int64                 // end of the furthest read
	first atomic.Pointer[func() error] // happens before the next read
}

func (b *blobs) path(id walrus.BlobID) string {
	return filepath.Join(b.dir, strconv.FormatUint(binary.LittleEndian.Uint64(id[:]), 10))
}

func (b *blobs) ReadAt(ctx context.Context, id walrus.BlobID, p []byte, off int64) (int, error) {
	b.reads.Add(1)
	b.bytes.Add(int64(len(p)))
	for end := off + int64(len(p)); ; {
		if far := b.far.Load(); end <= far || b.far.CompareAndSwap(far, end) {
			break
		}
	}
	if f := b.first.Swap(nil); f != nil {
		if err := (*f)(); err != nil {
			return 0, err
		}
	}
	switch b.fault.Load() {
	case "broken":
		return 0, errors.New("too few nodes")
	case "hung":
		<-ctx.Done()
		return 0, ctx.Err()
	}
	f, err := os.Open(b.path(id))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := f.ReadAt(p, off)
	if b.fault.Load() == "corrupt" && n > 0 {
		p[n/2] ^= 1
	}
	return n, err
}

// server is what a mount needs, and a committer that is as simple as can be.
type server struct {
	db      *index.DB
	staging *staging.Dir
	blobs   *blobs
	keys    *seal.Keyring
	fs      *fs.FS
	room    atomic.Int64 // bytes that may still be staged; negative: no limit
	woken   atomic.Int64
	snapped *snapshot     // that waits to be published
	held    chan struct{} // a read of content waits until it is closed
	holds   chan struct{} // is closed when that read has come
	backing chan struct{} // closed files are taken back until it is closed
}

func serve(home string) (err error) {
	if err := limitFiles(); err != nil {
		return err
	}
	s, rebooted, err := openServer(home)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return err
	}
	return s.serve(rebooted)
}

// openServer opens the parts. They have to be closed after an error too.
func openServer(home string) (s *server, rebooted bool, err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s = &server{blobs: &blobs{dir: filepath.Join(home, "blobs")}}
	s.blobs.fault.Store("")
	s.room.Store(-1)
	if err := os.MkdirAll(s.blobs.dir, 0o700); err != nil {
		return s, false, err
	}
	if s.db, err = index.Open(ctx, index.Config{Path: filepath.Join(home, "index.db"), Log: log}); err != nil {
		return s, false, err
	}
	if _, err := s.db.Drive(ctx); errors.Is(err, index.ErrNoDrive) {
		err = s.db.Init(ctx, index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}})
		if err != nil {
			return s, false, err
		}
	}
	if rebooted, err = s.db.Boot(ctx, os.Getenv("WALFS_TEST_BOOT")); err != nil {
		return s, false, err
	}
	s.staging, err = staging.Open(staging.Config{
		Dir: filepath.Join(home, "staging"), Log: log, MarkDirty: s.db.MarkDirty, Unmark: s.db.Unmark,
		Version: func(ctx context.Context, ino index.Ino) (uint64, error) {
			attr, err := s.db.Get(ctx, ino)
			return attr.Version, err
		},
		Cut: func(ctx context.Context, h index.Held) error { return s.db.Barrier(ctx, []index.Held{h}) },
	})
	if err != nil {
		return s, false, err
	}
	s.keys = seal.NewKeyring(1, seal.Key{1, 2, 3})
	timeout := patience
	if os.Getenv("WALFS_TEST_TIMEOUT") != "" {
		if timeout, err = time.ParseDuration(os.Getenv("WALFS_TEST_TIMEOUT")); err != nil {
			return s, false, err
		}
	}
	s.fs, err = fs.New(fs.Config{
		Index: s.db, Staging: s.staging, Blobs: s.blobs, Keys: s.keys, Log: log, ReadTimeout: timeout,
		Wake: func() { s.woken.Add(1) }, Background: backgrounds[os.Getenv("WALFS_TEST_BACKGROUND")],
		Room: fs.Room{Take: s.take, Space: func() fs.Space { return fs.Space{Total: 1 << 40, Free: 1 << 39} }, Spare: s.spare},
	})
	return s, rebooted, err
}

func (s *server) close() (err error) {
	if s.staging != nil {
		err = s.staging.Close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

func (s *server) spare() int64 {
	if left := s.room.Load(); left >= 0 {
		return left
	}
	free, err := s.staging.Free()
	if err != nil {
		return 0
	}
	return free
}

func (s *server) take(n int64) error {
	for {
		left := s.room.Load()
		if left < 0 {
			return nil
		}
		if n > left || n == 0 && left == 0 {
			return fs.ErrNoRoom
		}
		if s.room.CompareAndSwap(left, left-n) {
			return nil
		}
	}
}

func (s *server) serve(rebooted bool) error {
	if os.Getenv("WALFS_TEST_FLUSH") == "never" {
		s.fs.NeverFlush()
	}
	found, err := s.fs.Recover(ctx, rebooted)
	if err != nil {
		return err
	}
	mount, err := s.fs.Mount(fs.MountOptions{
		Dir: os.Getenv("WALFS_TEST_MNT"), Name: "test", AllowOther: os.Geteuid() == 0, Pass: passMode(),
		Options: strings.Fields(os.Getenv("WALFS_TEST_OPTIONS")),
		Hooks:   fs.Hooks{Evict: func(context.Context, index.Ino) error { panic("a broken invariant") }},
	})
	if err != nil {
		return err
	}
	fmt.Printf("ok %+v\n", found)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		command, arg, _ := strings.Cut(lines.Text(), " ")
		if command == "unmount" {
			break
		}
		answer, err := s.do(command, arg)
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println("ok", answer)
	}
	if err := mount.Unmount(); err != nil {
		fmt.Println("error", err)
		return err
	}
	fmt.Println("ok")
	return nil
}

// passMode is how the server mounts: passthrough wherever it works, unless the environment says otherwise.
func passMode() fs.PassMode {
	return map[string]fs.PassMode{"": fs.PassAuto, "on": fs.PassOn, "off": fs.PassOff}[os.Getenv("WALFS_TEST_PASS")]
}

func (s *server) do(command, arg string) (answer any, err error) {
	switch command {
	case "snap":
		return "", s.snap()
	case "publish":
		return s.publish()
	case "certify":
		return "", s.certify()
	case "evict":
		return s.evict()
	case "blobs":
		s.blobs.fault.Store(arg)
		return "", nil
	case "reads":
		return s.blobs.reads.Load(), nil
	case "bytes":
		return s.blobs.bytes.Swap(0), nil
	case "far":
		return s.blobs.far.Load(), nil
	case "room":
		n, err := strconv.ParseInt(arg, 10, 64)
		s.room.Store(n)
		return "", err
	case "readonly":
		s.fs.SetReadOnly(arg == "on")
		return "", nil
	case "panics":
		return s.fs.Counts().Panics, nil
	case "requests":
		return s.fs.Counts().Requests[arg], nil
	case "staged":
		return len(s.staging.Inos()), nil
	case "held": // whether a barrier has written down what staging holds
		attr, err := s.db.Resolve(ctx, arg)
		if err == nil {
			_, err = s.db.HeldAt(ctx, attr.Ino)
		}
		if errors.Is(err, index.ErrNotExist) {
			return "no", nil
		}
		return "yes", err
	case "orphans":
		inos, err := s.db.Orphans(ctx)
		return len(inos), err
	case "check":
		problems, err := s.db.Check(ctx)
		return strings.Join(problems, "; "), err
	}
	return s.answer(command, arg)
}

// snapshot is all that was queued, on its way into one segment.
type snapshot struct {
	number uint64
	plain  []byte
	packed []index.Packed
	packs  []*staging.Pack
}

// snap takes a snapshot of all that is queued.
func (s *server) snap() (err error) {
	jobs, err := s.db.Claim(ctx, 1<<20, false)
	if err != nil {
		return err
	}
	snap := &snapshot{}
	if snap.number, err = s.db.NextSegment(ctx); err != nil {
		return err
	}
	for _, job := range jobs {
		p, err := s.pack(job, snap.number, &snap.plain)
		if errors.Is(err, index.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		snap.packs = append(snap.packs, p.pack)
		snap.packed = append(snap.packed, p.Packed)
	}
	s.snapped = snap
	return nil
}

// publish publishes the snapshot, or one that it takes.
func (s *server) publish() (int, error) {
	if s.snapped == nil {
		if err := s.snap(); err != nil {
			return 0, err
		}
	}
	snap := s.snapped
	s.snapped = nil
	if err := s.cut(snap.number, snap.plain, snap.packed); err != nil {
		return 0, err
	}
	for _, p := range snap.packs {
		if err := p.Commit(); err != nil {
			return 0, err
		}
	}
	return len(snap.packed), nil
}

type packed struct {
	index.Packed
	pack *staging.Pack
}

func (s *server) pack(job index.Job, number uint64, plain *[]byte) (*packed, error) {
	s.staging.Back(job.Ino)
	file, ok, err := s.staging.Lookup(job.Ino)
	if err != nil || !ok {
		return nil, err // deleted meanwhile
	}
	defer file.Release()
	p, err := file.Pack(ctx, file.Writers() > 0)
	if err != nil {
		return nil, err
	}
	out := &packed{index.Packed{Ino: job.Ino, Version: p.Version, Size: p.Size, Mtime: p.Mtime, Base: p.Base, Seq: p.Seq}, p}
	for _, r := range p.Ranges() {
		op := index.Op{Off: r.Off, Len: r.Len}
		if !r.Hole {
			b := make([]byte, r.Len)
			if n, err := p.ReadAt(b, r.Off); n < len(b) {
				p.Abort()
				return nil, err
			}
			op.Segment, op.Pos = number, int64(len(*plain))
			*plain = append(*plain, b...)
		}
		out.Ops = append(out.Ops, op)
	}
	if p.Moved() {
		p.Abort()
		return nil, nil
	}
	return out, nil
}

func (s *server) cut(number uint64, plain []byte, done []index.Packed, moves ...index.Move) error {
	trailer, err := s.db.CutTrailer(ctx, done, moves...)
	if err != nil {
		return err
	}
	sealed, err := s.keys.Seal(plain, seal.Options{})
	if err != nil {
		return err
	}
	header, err := seal.ParseHeader(sealed)
	if err != nil {
		return err
	}
	var id walrus.BlobID
	binary.LittleEndian.PutUint64(id[:], number)
	if err := os.WriteFile(s.blobs.path(id), sealed, 0o600); err != nil {
		return err
	}
	return s.db.CommitSegments(ctx, index.Commit{Trailer: trailer, Packed: done, Segments: []index.SegmentRow{{
		Number: number, Generation: number, Parts: 1, Blob: id, Size: int64(len(sealed)),
		Header: header, Stage: walrus.Encoded, PackedAt: time.Now(),
	}}})
}

// evict removes what staging holds of files that are published as they are.
// The kernel releases what was closed a moment later.
func (s *server) evict() (evicted int, err error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		gone, busy, err := s.evictOnce()
		if evicted += gone; err != nil || busy == 0 || time.Now().After(deadline) {
			return evicted, err
		}
	}
}

func (s *server) evictOnce() (evicted, busy int, err error) {
	for _, ino := range s.staging.Inos() {
		attr, err := s.db.Get(ctx, ino)
		if errors.Is(err, index.ErrNotExist) {
			continue // it is being deleted
		}
		if err != nil {
			return evicted, busy, err
		}
		if attr.Dirty {
			continue
		}
		err = s.staging.Remove(ino)
		if errors.Is(err, staging.ErrBusy) {
			busy++
			continue
		}
		if err != nil {
			return evicted, busy, err
		}
		evicted++
	}
	return evicted, busy, nil
}

// certify makes all segments certified and the anchor cover them.
func (s *server) certify() error {
	rows, err := s.db.Segments(ctx, index.SegmentFilter{Below: walrus.Certified})
	if err != nil {
		return err
	}
	var ids []walrus.BlobID
	for _, row := range rows {
		ids = append(ids, row.Blob)
	}
	anchor, err := s.db.NextAnchor(ctx, ids)
	if err != nil || anchor == nil {
		return err
	}
	for _, row := range rows {
		if err := s.db.Checkpoint(ctx, row.Number, walrus.Receipt{Stage: walrus.Certified, Blob: row.Blob}); err != nil {
			return err
		}
	}
	if err := s.db.AnchorMoved(ctx, *anchor, anchor.Generation); err != nil {
		return err
	}
	files, _, err := s.db.Finish(ctx)
	if err != nil {
		return err
	}
	for _, f := range files {
		file, ok, err := s.staging.Lookup(f.Ino)
		if err != nil || !ok {
			return err
		}
		err = file.Finished()
		file.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
