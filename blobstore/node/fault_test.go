package node

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

// watch returns a layer that reports each call before it is made, and fails
// it when the report does.
func watch(report func(op string, f *os.File, name string) error) layer {
	under := disk()
	l := under
	l.allocate = func(f *os.File, size int64) error {
		if err := report("allocate", f, f.Name()); err != nil {
			return err
		}
		return under.allocate(f, size)
	}
	l.writeAt = func(f *os.File, p []byte, off int64) (int, error) {
		if err := report("write", f, f.Name()); err != nil {
			return 0, err
		}
		return under.writeAt(f, p, off)
	}
	l.sync = func(f *os.File) error {
		if err := report("sync", f, f.Name()); err != nil {
			return err
		}
		return under.sync(f)
	}
	l.syncDir = func(dir string) error {
		if err := report("syncdir", nil, dir); err != nil {
			return err
		}
		return under.syncDir(dir)
	}
	l.rename = func(from, to string) error {
		if err := report("rename", nil, to); err != nil {
			return err
		}
		return under.rename(from, to)
	}
	l.remove = func(name string) error {
		if err := report("remove", nil, name); err != nil {
			return err
		}
		return under.remove(name)
	}
	return l
}

// The order on which the promise rests: room, bytes, file, folder, answer.
func TestSyncBeforeAnswer(t *testing.T) {
	b := newBench(t)
	var ops []string
	n := b.open(watch(func(op string, _ *os.File, name string) error {
		if len(ops) == 0 || ops[len(ops)-1] != op {
			ops = append(ops, op)
		}
		return nil
	}))
	s := b.sample(1, 50_000)
	ops = nil
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"allocate", "write", "sync", "syncdir"}; !slices.Equal(ops, want) {
		t.Errorf("store did %v, want %v", ops, want)
	}
	ops = nil
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil || len(ops) != 0 {
		t.Errorf("confirm of what this process has synced: %v, did %v", err, ops)
	}
	n.Close()
	// Another process cannot know whether the first one came to sync.
	n = b.open(watch(func(op string, _ *os.File, name string) error { ops = append(ops, op); return nil }))
	ops = nil
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync", "syncdir"}; !slices.Equal(ops, want) {
		t.Errorf("confirm after a restart did %v, want %v", ops, want)
	}
}

// image is what a disk holds for certain: the bytes of files as of their last
// sync, and the names in folders as of theirs.
type image struct {
	bytes map[uint64][]byte // by inode
	names map[string]uint64 // path -> inode
}

func inode(info os.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

func (m *image) sync(t *testing.T, f *os.File) {
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m.bytes[inode(info)] = contents(t, f.Name())
}

func (m *image) syncDir(t *testing.T, dir string) {
	for name := range m.names {
		if filepath.Dir(name) == dir {
			delete(m.names, name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			m.names[filepath.Join(dir, e.Name())] = inode(info)
		}
	}
}

// restore lays the blob files out in another folder as a power cut may leave
// them: what was synced is there; of the rest, each file and each page of it is
// there or not as r decides.
func (m *image) restore(t *testing.T, from, to string, r *rand.Rand) {
	now := map[string]uint64{}
	err := filepath.WalkDir(filepath.Join(from, "blobs"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			now[path] = inode(info)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for path := range now {
		paths[path] = true
	}
	for path := range m.names {
		if strings.HasPrefix(path, filepath.Join(from, "blobs")) {
			paths[path] = true
		}
	}
	for path := range paths {
		durable, isDurable := m.names[path]
		current, exists := now[path]
		node := durable
		if exists && (!isDurable || r.IntN(2) == 0) {
			node = current
		}
		if !isDurable && r.IntN(2) == 0 {
			continue
		}
		data := slices.Clone(m.bytes[node])
		if exists && node == current {
			data = mixPages(data, contents(t, path), r)
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// mixPages takes each page from the synced or from the newer bytes.
func mixPages(synced, newer []byte, r *rand.Rand) []byte {
	out := slices.Clone(synced)
	if len(newer) > len(out) && r.IntN(2) == 0 {
		out = append(out, make([]byte, len(newer)-len(out))...)
	}
	for at := 0; at < min(len(out), len(newer)); at += 4096 {
		if r.IntN(2) == 0 {
			copy(out[at:min(at+4096, len(out))], newer[at:])
		}
	}
	return out
}

func contents(t *testing.T, path string) []byte {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var errCut = errors.New("the power is gone")

// The power goes at each operation in turn. What was confirmed before must be
// there afterwards, whole, however little of the rest reached the disk.
func TestPowerCut(t *testing.T) {
	step := 3
	if os.Getenv("WALFS_SOAK") != "" {
		step = 1
	}
	for at := 0; ; at += step {
		if !powerCut(t, at) {
			if at == 0 {
				t.Fatal("no operation was cut")
			}
			return
		}
	}
}

// powerCut runs a node until its operation number at, and reports whether it came to it.
func powerCut(t *testing.T, at int) (cut bool) {
	b := newBench(t)
	r := rand.New(rand.NewPCG(uint64(at), 99))
	m := image{bytes: map[uint64][]byte{}, names: map[string]uint64{}}
	var mu sync.Mutex
	count := 0
	under := watch(func(string, *os.File, string) error {
		mu.Lock()
		defer mu.Unlock()
		if count++; count > at {
			cut = true
			return errCut
		}
		return nil
	})
	l := under
	l.sync = func(f *os.File) error {
		err := under.sync(f)
		if err == nil {
			m.sync(t, f)
		}
		return err
	}
	l.syncDir = func(dir string) error {
		err := under.syncDir(dir)
		if err == nil {
			m.syncDir(t, dir)
		}
		return err
	}
	confirmed := map[walrus.BlobID]Handover{}
	if n, err := b.tryOpen(l); err == nil {
		for i := range uint64(3) {
			s := b.sample(i+1, 9000)
			parts := [][]uint16{{0, 3, 7}}
			if i == 1 {
				parts = [][]uint16{{7}, {0, 3, 7}}
			}
			for _, part := range parts {
				_ = n.Store(t.Context(), s.handover(part...))
			}
			if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err == nil {
				confirmed[s.Blob()] = s.handover()
			}
		}
		n.Close()
	}
	for range 3 {
		after := *b
		after.dir = t.TempDir()
		m.restore(t, b.dir, after.dir, r)
		n := after.open(disk())
		for _, h := range confirmed {
			after.held(n, h)
			if _, err := n.Confirm(t.Context(), h.Blob, permanent); err != nil {
				t.Errorf("cut at %d: %v", at, err)
			}
		}
		n.Close()
	}
	if t.Failed() {
		t.FailNow()
	}
	return cut
}

// Each operation fails in turn, with the disk full or broken. The node says so,
// confirms nothing that it lacks, and works again afterwards.
func TestEveryOperationFails(t *testing.T) {
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO} {
		for at := 0; ; at++ {
			failed, op := failAt(t, at, failure)
			if !failed {
				break
			}
			if t.Failed() {
				t.Fatalf("%v at operation %d, %s", failure, at, op)
			}
		}
	}
}

func failAt(t *testing.T, at int, failure error) (failed bool, what string) {
	b := newBench(t)
	count, armed := 0, false
	n := b.open(watch(func(op string, _ *os.File, name string) error {
		if !armed || op == "remove" {
			return nil
		}
		if count++; count == at+1 {
			failed, what = true, op
			return failure
		}
		return nil
	}))
	s := b.sample(1, 20_000)
	armed = true
	err := n.Store(t.Context(), s.handover(0))
	if err == nil {
		err = n.Store(t.Context(), s.handover())
	}
	if failed == (err == nil) {
		t.Errorf("store: %v", err)
	}
	if failed && errors.Is(failure, syscall.ENOSPC) && !errors.Is(err, ErrNoRoom) {
		t.Errorf("store on a full disk: %v, want ErrNoRoom", err)
	}
	// The second folder sync is the last step; Confirm makes up for it.
	_, err = n.Confirm(t.Context(), s.Blob(), permanent)
	if err == nil {
		b.held(n, s.handover())
	}
	if failed == (err == nil) && what != "syncdir" {
		t.Errorf("confirm: %v", err)
	}
	armed = false
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Errorf("store after the failure: %v", err)
	}
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
		t.Errorf("confirm after the failure: %v", err)
	}
	b.held(n, s.handover())
	if st := n.Status(); st.Blobs != 1 || len(st.BadSlots) != 0 {
		t.Errorf("status %+v", st)
	}
	return failed, what
}

// After a failed fsync the kernel calls the pages clean. The slots must be
// written again, not believed.
func TestFailedSyncIsNotBelieved(t *testing.T) {
	b := newBench(t)
	failing, writes := false, 0
	n := b.open(watch(func(op string, _ *os.File, name string) error {
		if op == "write" {
			writes++
		}
		if op == "sync" && failing {
			return syscall.EIO
		}
		return nil
	}))
	s := b.sample(1, 20_000)
	if err := n.Store(t.Context(), s.handover(0)); err != nil {
		t.Fatal(err)
	}
	failing = true
	if err := n.Store(t.Context(), s.handover()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("store: %v, want EIO", err)
	}
	failing, writes = false, 0
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); !errors.Is(err, ErrNotFound) {
		t.Fatalf("confirm: %v, want ErrNotFound", err)
	}
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	if writes < 4 {
		t.Errorf("%d writes for four slots that the disk may lack", writes)
	}
	b.held(n, s.handover())
}

func TestRoom(t *testing.T) {
	b := newBench(t)
	first, second := b.sample(1, 50_000), b.sample(2, 50_000)
	n := b.open(disk())
	if err := n.Store(t.Context(), first.handover()); err != nil {
		t.Fatal(err)
	}
	size := n.Status().Bytes
	n.Close()

	b.quota = 2*size - 1
	n = b.open(disk())
	if err := n.Store(t.Context(), second.handover()); !errors.Is(err, ErrNoRoom) {
		t.Errorf("store over the quota: %v, want ErrNoRoom", err)
	}
	if err := n.Store(t.Context(), first.handover()); err != nil {
		t.Errorf("store of what is there, near the quota: %v", err)
	}
	n.Close()

	b.quota = 2 * size
	for _, test := range []struct {
		total, free int64
		want        error
	}{
		{100 << 30, 64<<20 + size - 1, ErrNoRoom},
		{100 << 20, 1<<20 + size - 1, ErrNoRoom},
		{100 << 20, 1<<20 + size, nil},
	} {
		l := disk()
		l.space = func(string) (int64, int64, error) { return test.total, test.free, nil }
		n = b.open(l)
		if err := n.Store(t.Context(), second.handover()); !errors.Is(err, test.want) {
			t.Errorf("store with %d of %d bytes free: %v, want %v", test.free, test.total, err, test.want)
		}
		n.Close()
	}
}

func TestDamage(t *testing.T) {
	slot := walrus.Primary
	tests := map[string]struct {
		damage func(t *testing.T, path string, l *layout)
		slots  int // that are bad then
		head   bool
	}{
		"bit of a sliver": {flip(func(l *layout) int64 { return l.offsets[0] + 11 }), 1, false},
		"checksum":        {flip(func(l *layout) int64 { return l.offsets[1] + int64(l.sliverSize(slot)) + 4 }), 1, false},
		"mark":            {flip(func(l *layout) int64 { return l.offsets[2] + int64(l.sliverSize(slot)) }), 1, false},
		"zeroed slot": {func(t *testing.T, path string, l *layout) {
			overwrite(t, path, l.offsets[3], make([]byte, l.offsets[4]-l.offsets[3]))
		}, 1, false},
		"truncated in the last slot": {truncate(func(l *layout) int64 { return l.offsets[5] + 3 }), 1, false},
		"truncated in the first":     {truncate(func(l *layout) int64 { return l.offsets[0] + 3 }), 6, false},
		"truncated to nothing":       {truncate(func(*layout) int64 { return 0 }), 6, true},
		"swapped slots": {func(t *testing.T, path string, l *layout) {
			a, size := l.offsets[0], l.sliverSize(slot)
			data := contents(t, path)
			overwrite(t, path, a, slices.Clone(data[l.offsets[1]:][:size]))
			overwrite(t, path, l.offsets[1], slices.Clone(data[a:][:size]))
		}, 2, false},
		"magic":       {flip(func(*layout) int64 { return 3 }), 6, true},
		"slot table":  {flip(func(*layout) int64 { return 81 }), 6, true},
		"metadata":    {flip(func(l *layout) int64 { return l.metadataOffset() + 100 }), 0, true},
		"symbol size": {flip(func(*layout) int64 { return 56 }), 6, true},
		"removed": {func(t *testing.T, path string, _ *layout) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, 6, true},
		"other blob's file": {func(t *testing.T, path string, l *layout) {
			others, err := filepath.Glob(filepath.Join(filepath.Dir(path), "../*/*"))
			if err != nil || len(others) != 2 {
				t.Fatalf("%v, %v", others, err)
			}
			for _, other := range others {
				if other != path {
					overwrite(t, path, 0, contents(t, other))
				}
			}
		}, 6, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			n := b.open(disk())
			s, other := b.sample(1, 30_000), b.sample(2, 30_000)
			h := s.handover()
			for _, h := range []Handover{h, other.handover()} {
				if err := n.Store(t.Context(), h); err != nil {
					t.Fatal(err)
				}
			}
			f, err := openBlob(n.path(s.Blob()), s.Blob(), os.O_RDONLY)
			if err != nil {
				t.Fatal(err)
			}
			l := f.layout
			f.f.Close()
			test.damage(t, n.path(s.Blob()), l)

			bad := 0
			for _, slot := range h.Slots {
				if _, err := n.Sliver(t.Context(), idOf(h, slot)); errors.Is(err, ErrNotFound) {
					bad++
				} else if err != nil {
					t.Error(err)
				}
			}
			if bad != test.slots {
				t.Errorf("%d slots not found, want %d", bad, test.slots)
			}
			if _, err := n.Metadata(t.Context(), s.Blob()); errors.Is(err, ErrNotFound) != test.head {
				t.Errorf("metadata: %v, want not found %t", err, test.head)
			}
			want := test.slots
			if test.head {
				want++
			}
			if got := n.Status().BadSlots; len(got) != want {
				t.Errorf("%d bad slots in %v, want %d", len(got), got, want)
			}
			if _, err := n.Confirm(t.Context(), s.Blob(), permanent); !errors.Is(err, ErrNotFound) {
				t.Errorf("confirm: %v, want ErrNotFound", err)
			}
			n.Close()
			n = b.open(disk())
			if got := n.Status().BadSlots; len(got) < want {
				t.Errorf("after a restart %d bad slots, want %d", len(got), want)
			}
			if err := n.Store(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			b.held(n, h)
			b.held(n, other.handover())
			if got := n.Status(); len(got.BadSlots) != 0 || got.Blobs != 2 {
				t.Errorf("status after storing again %+v", got)
			}
			if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
				t.Error(err)
			}
		})
	}
}

func flip(where func(*layout) int64) func(*testing.T, string, *layout) {
	return func(t *testing.T, path string, l *layout) {
		at := where(l)
		overwrite(t, path, at, []byte{contents(t, path)[at] ^ 0x10})
	}
}

func truncate(where func(*layout) int64) func(*testing.T, string, *layout) {
	return func(t *testing.T, path string, l *layout) {
		if err := os.Truncate(path, where(l)); err != nil {
			t.Fatal(err)
		}
	}
}

func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(data, at)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(fmt.Errorf("damage %s: %w", path, err))
	}
}
