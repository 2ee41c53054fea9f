package fs_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/index"
)

// unmounted opens a file system that no kernel knows.
func unmounted(t *testing.T, home string) *server {
	t.Helper()
	s, rebooted, err := openServer(home)
	if err == nil {
		_, err = s.fs.Recover(ctx, rebooted)
	}
	if err != nil {
		t.Fatal(errors.Join(err, s.close()))
	}
	return s
}

func (s *server) shut(t *testing.T) {
	t.Helper()
	if err := errors.Join(s.fs.Close(ctx), s.close()); err != nil {
		t.Error(err)
	}
}

// write makes a file without the kernel.
func (s *server) write(t *testing.T, name string, text []byte) {
	t.Helper()
	c, err := s.fs.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte(name), Mode: 0o100600, UID: 7, GID: 8})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteAt(ctx, text, 0); err != nil {
		t.Fatal(err)
	}
	mode, mtime := uint32(0o640), int64(1_000_000_006)
	if err := errors.Join(c.Finish(ctx, index.Change{Mode: &mode, Mtime: &mtime}), c.Close(ctx)); err != nil {
		t.Fatal(err)
	}
}

func (s *server) read(t *testing.T, name string) []byte {
	t.Helper()
	attr, err := s.db.Lookup(ctx, index.Root, []byte(name))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.fs.Open(ctx, attr.Ino)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, attr.Size+1)
	n, err := c.ReadAt(ctx, text, 0)
	if !errors.Is(err, io.EOF) {
		t.Errorf("read to the end: %v, want EOF", err)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	return text[:n]
}

func TestContent(t *testing.T) {
	home := t.TempDir()
	s := unmounted(t, home)
	old, text := []byte("old"), bytes.Repeat([]byte("walfs"), 300_000)
	s.write(t, "file", old)
	s.write(t, "temp", text)
	if _, err := s.fs.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("temp"), Mode: 0o100600}); !errors.Is(err, index.ErrExist) {
		t.Errorf("Create over a file: %v, want ErrExist", err)
	}
	displaced, err := s.db.Lookup(ctx, index.Root, []byte("file"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.fs.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte("temp"), NewParent: index.Root, NewName: []byte("file")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Get(ctx, displaced.Ino); !errors.Is(err, index.ErrNotExist) || s.staging.Has(displaced.Ino) {
		t.Errorf("what the rename displaced is still there: %v", err)
	}
	if got := s.read(t, "file"); !bytes.Equal(got, text) {
		t.Errorf("%d bytes differ from the %d that were written", len(got), len(text))
	}
	s.shut(t)

	s = unmounted(t, home)
	defer s.shut(t)
	if got := s.read(t, "file"); !bytes.Equal(got, text) {
		t.Errorf("after opening again: %d bytes differ from the %d that were written", len(got), len(text))
	}
	attr, err := s.db.Lookup(ctx, index.Root, []byte("file"))
	if err != nil || attr.Mode != 0o100640 || attr.Mtime != 1_000_000_006 || attr.UID != 7 || attr.GID != 8 || attr.Size != int64(len(text)) {
		t.Errorf("attributes %+v, %v", attr, err)
	}
	if err := s.fs.Remove(ctx, index.Root, []byte("file")); err != nil || s.staging.Has(attr.Ino) {
		t.Errorf("Remove: %v, staged: %v", err, s.staging.Has(attr.Ino))
	}
}

func TestContentRefused(t *testing.T) {
	s := unmounted(t, t.TempDir())
	defer s.shut(t)
	s.write(t, "file", []byte("x"))
	s.room.Store(10)
	c, err := s.fs.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("large"), Mode: 0o100600})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteAt(ctx, make([]byte, 11), 0); !errors.Is(err, fs.ErrNoRoom) {
		t.Errorf("WriteAt without room: %v, want ErrNoRoom", err)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	s.fs.SetReadOnly(true)
	_, err = s.fs.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("new"), Mode: 0o100600})
	for what, err := range map[string]error{
		"Create": err,
		"Remove": s.fs.Remove(ctx, index.Root, []byte("file")),
		"Rename": s.fs.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte("file"), NewParent: index.Root, NewName: []byte("new")}),
	} {
		if !errors.Is(err, fs.ErrReadOnly) {
			t.Errorf("%s on a read-only drive: %v, want ErrReadOnly", what, err)
		}
	}
}

// TestReadWhileMoved reads content that is moved into another segment, and
// deleted where it was, after the read has looked up where it lies.
func TestReadWhileMoved(t *testing.T) {
	s := unmounted(t, t.TempDir())
	defer s.shut(t)
	text := bytes.Repeat([]byte("walfs"), 100_000)
	s.write(t, "file", text)
	if _, err := s.publish(); err != nil {
		t.Fatal(err)
	}
	if err := s.certify(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.evict(); n != 1 || err != nil {
		t.Fatalf("evicted %d, %v", n, err)
	}
	move := func() error {
		rows, err := s.db.Segments(ctx, index.SegmentFilter{})
		if err != nil {
			return err
		}
		old := rows[len(rows)-1]
		_, moves, err := s.db.Movable(ctx, old.Number)
		if err != nil {
			return err
		}
		at := int64(1000)
		plain := append(make([]byte, at), text...)
		for i := range moves {
			moves[i].To, moves[i].ToPos = old.Number+1, at+moves[i].Off
		}
		return errors.Join(s.cut(old.Number+1, plain, nil, moves...), os.Remove(s.blobs.path(old.Blob)))
	}
	s.blobs.first.Store(&move)
	if got := s.read(t, "file"); !bytes.Equal(got, text) {
		t.Errorf("%d bytes differ from the %d that were written", len(got), len(text))
	}
	if s.blobs.first.Load() != nil {
		t.Error("nothing was read from blobs")
	}
}

// TestWindowIsOneRead reads a cold file from the front to the back, in steps: what
// is read ahead comes in one read for each window, though it begins inside of a
// chunk, and not much more than the file is asked for.
func TestWindowIsOneRead(t *testing.T) {
	s := unmounted(t, t.TempDir())
	defer s.shut(t)
	const step, windows = 128 << 10, 5
	text := bytes.Repeat([]byte("sixteen bytes of"), windows<<20/16)
	s.write(t, "before", []byte("so that the file begins inside of a chunk"))
	s.write(t, "file", text)
	if _, err := s.publish(); err != nil {
		t.Fatal(err)
	}
	if err := s.certify(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.evict(); n != 2 || err != nil {
		t.Fatalf("evicted %d, %v", n, err)
	}
	attr, err := s.db.Lookup(ctx, index.Root, []byte("file"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.fs.Open(ctx, attr.Ino)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, step)
	for off := 0; off < len(text); off += step {
		if _, err := c.ReadAt(ctx, p, int64(off)); err != nil || !bytes.Equal(p, text[off:off+step]) {
			t.Fatalf("at %d: other bytes, %v", off, err)
		}
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	reads, asked := s.blobs.reads.Load(), s.blobs.bytes.Load()
	const before = 2 // steps, until it is known that they are a row
	if most := int64(before + windows); reads > most {
		t.Errorf("%d reads, want at most %d", reads, most)
	}
	if most := int64(len(text) + before*step + (before+windows)*(1<<20/seal.ChunkSize*seal.Overhead+2*seal.ChunkSize)); asked > most {
		t.Errorf("%d bytes asked for, want at most %d", asked, most)
	}
}

// TestContentHoles: what was not written between two writes, and up to the length that is set, is
// a hole, and the file has another name when it got one.
func TestContentHoles(t *testing.T) {
	s := unmounted(t, t.TempDir())
	defer s.shut(t)
	c, err := s.fs.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("file"), Mode: 0o100600})
	if err != nil {
		t.Fatal(err)
	}
	const middle, size = 1 << 20, 4<<20 + 1
	for _, off := range []int64{0, middle} {
		if _, err := c.WriteAt(ctx, []byte("data"), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Truncate(ctx, size), c.Truncate(ctx, size), c.Finish(ctx, index.Change{}), c.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	attr, err := s.db.Lookup(ctx, index.Root, []byte("file"))
	if err != nil || attr.Size != size {
		t.Fatalf("size %d, want %d, %v", attr.Size, size, err)
	}
	if err := s.fs.Link(ctx, attr.Ino, index.Root, []byte("again")); err != nil {
		t.Fatal(err)
	}
	if again, err := s.db.Lookup(ctx, index.Root, []byte("again")); again.Ino != attr.Ino || again.Nlink != 2 {
		t.Errorf("the other name has inode %d with %d links, want %d with 2, %v", again.Ino, again.Nlink, attr.Ino, err)
	}
	if c, err = s.fs.Open(ctx, attr.Ino); err != nil {
		t.Fatal(err)
	}
	var got [][2]int64
	for off := int64(0); ; {
		from, to, err := c.Data(ctx, off)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, [2]int64{from, to})
		if off = to; from == to {
			break
		}
	}
	if want := [][2]int64{{0, 4096}, {middle, middle + 4096}, {size, size}}; !slices.Equal(got, want) {
		t.Errorf("data at %v, want %v", got, want)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestRecoverCounts: what staging holds is counted when a drive is opened again, also what was packed
// and is no copy yet.
func TestRecoverCounts(t *testing.T) {
	home := t.TempDir()
	s := unmounted(t, home)
	s.write(t, "packed", make([]byte, 100_000))
	if n, err := s.publish(); n != 1 || err != nil {
		t.Fatalf("%d files are packed, %v", n, err)
	}
	s.write(t, "new", make([]byte, 100_000))
	want := s.staging.Bytes()
	if want < 200_000 {
		t.Fatalf("%d bytes are counted", want)
	}
	s.shut(t)
	s = unmounted(t, home)
	defer s.shut(t)
	if got := s.staging.Bytes(); got != want {
		t.Errorf("%d bytes are counted, want %d", got, want)
	}
}
