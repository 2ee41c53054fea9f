package integration

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// forger has the keys of a drive, as somebody has who hands one to another.
type forger struct {
	t     *testing.T
	d     *drive
	drive [16]byte
	ring  *seal.Keyring
}

// newForger makes an empty drive and takes its keys.
func newForger(t *testing.T) *forger {
	t.Helper()
	f := &forger{t: t, d: newDrive(t)}
	f.d.mustRun("init")
	ids, err := seal.ReadIdentityFile(filepath.Join(f.d.home, "identity.txt"), nil)
	must(t, err)
	file, err := seal.ReadKeyFile(filepath.Join(f.d.home, "key.age"), ids)
	must(t, err)
	f.drive = file.Drive
	f.ring, err = file.Keyring()
	must(t, err)
	return f
}

// publish stores data and an encoded trailer as segment 1, and makes the anchor name it as a generation.
func (f *forger) publish(data, encoded []byte, generation uint64) {
	t, ctx := f.t, context.Background()
	t.Helper()
	net, err := embedded.Open(ctx, embedded.Config{Dir: filepath.Join(f.d.home, "network")})
	must(t, err)
	running, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { _ = net.Run(running) })
	defer func() {
		stop()
		wait.Wait()
		must(t, net.Close())
	}()
	ledger := ownerOf(t, f.d.home, net)
	blobs, err := blobstore.New(blobstore.Config{Ledger: ledger, Dial: net.Dial, Codec: net.Codec()})
	must(t, err)
	defer func() { must(t, blobs.Close()) }()

	end, err := index.Footer{
		Drive: f.drive, Number: 1, Generation: 1, Parts: 1, PartSize: len(encoded), Size: len(encoded), Sum: index.TrailerSum(encoded),
	}.Marshal()
	must(t, err)
	sealed, err := f.ring.Seal(slices.Concat(data, encoded, end[:]), seal.Options{})
	must(t, err)
	receipt, err := blobs.Put(ctx, sealed, blobstore.PutOptions{Epochs: 10, Deletable: true})
	must(t, err)
	owned, err := ledger.Owned(ctx, chain.OwnedQuery{Key: index.KeyAnchor})
	must(t, err)
	if len(owned) != 1 {
		t.Fatalf("%d anchors", len(owned))
	}
	secret := f.ring.Derive("anchor")
	signed, err := index.Anchor{
		Drive: f.drive, Generation: generation, Head: receipt.Blob, Window: []index.NumberedBlob{{Number: 1, Blob: receipt.Blob}},
	}.Attributes(ed25519.NewKeyFromSeed(secret[:]))
	must(t, err)
	update := &chain.AnchorUpdate{Object: owned[0].Object, Version: owned[0].Version}
	for _, a := range signed {
		update.Attributes = append(update.Attributes, chain.Attribute(a))
	}
	_, err = ledger.Certify(ctx, chain.TxID(receipt.Blob), nil, update)
	must(t, err)
}

// restore restores the forged drive on another machine, and returns with what
// it says how much memory it took at most, in bytes.
func (f *forger) restore() (r *drive, out, stderr string, code int, peak int64) {
	t := f.t
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(f.d.home), "victim-")
	must(t, err)
	r = newDriveIn(t, dir)
	cmd := exec.Command(r.bin, "--home", r.home, "--json", "restore", "--take-over", "--network", filepath.Join(f.d.home, "network"),
		"--key-file", filepath.Join(f.d.home, "key.age"), "--identity", filepath.Join(f.d.home, "identity.txt"))
	var o, e strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr = r.environ(), &o, &e
	_ = cmd.Run() // the exit code is looked at
	return r, o.String(), e.String(), cmd.ProcessState.ExitCode(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// TestHostileDrive restores and mounts a drive that its own key forged: what
// makes no sense is refused and listed, and the rest can be used without harm.
func TestHostileDrive(t *testing.T) {
	if !apart(t) { // what this process took before counts as its children's peak
		return
	}
	const (
		dir, file, link, device = 0o40755, 0o100644, 0o120777, 0o20666
		count                   = 5 // files and folders that are left, and the root
	)
	f := newForger(t)
	node := func(ino index.Ino, mode uint32, change ...func(*index.InodeRow)) index.InodeRow {
		row := index.InodeRow{Ino: ino, Mode: mode, Version: 1}
		for _, c := range change {
			c(&row)
		}
		return row
	}
	content := func(ino index.Ino, size int64, ops ...index.Op) index.ContentRow {
		return index.ContentRow{Ino: ino, Version: 1, Size: size, Ops: ops}
	}
	name := func(parent index.Ino, name string, ino index.Ino) index.NameRow {
		return index.NameRow{Parent: parent, Name: []byte(name), Ino: ino}
	}
	trailer := &index.Trailer{
		Drive: f.drive, Generation: 1, NextIno: 100,
		Inodes: []index.InodeRow{
			node(2, dir),
			node(3, 0o106755, func(r *index.InodeRow) {
				r.Xattrs = []index.Xattr{{Name: "security.capability", Value: []byte{1, 0, 0, 2, 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0}}}
			}),
			node(4, device, func(r *index.InodeRow) { r.Rdev = 1<<8 | 3 }), // as /dev/null
			node(5, link, func(r *index.InodeRow) { r.Target = []byte("../../../../../etc/passwd") }),
			node(6, dir), node(7, dir), node(8, dir), // a circle, and a folder in itself
			node(9, file), node(10, file), node(11, file), node(12, file), node(13, file), node(14, file),
			node(15, 0o644), node(16, 0o160000|0o644), // no type, and one that is none
		},
		Contents: []index.ContentRow{
			content(3, 10, index.Op{Len: 10, Segment: 1}),
			content(9, math.MaxInt64), content(10, math.MaxInt64), // together more than fits
			content(11, 10, index.Op{Len: 10, Segment: 1, Pos: 1 << 40}),
			content(12, 10, index.Op{Len: 8, Segment: 1}, index.Op{Off: 4, Len: 6, Segment: 1, Pos: 100}), // overlapping
			content(13, 10, index.Op{Len: 10, Segment: 99}),
			content(14, 10, index.Op{Off: math.MaxInt64 - 2, Len: 10, Segment: 1}),
		},
		Names: []index.NameRow{
			name(1, "", 3), name(1, ".", 2), name(1, "..", 2), name(1, "NUL\x00", 3), name(1, "a/../../b", 3), name(1, "a/b", 3),
			name(1, "device", 4), name(1, "dir", 2), name(1, "far", 11), name(1, "huge", 9), name(1, "huge2", 10), name(1, "link", 5),
			name(1, "nothing", 77), name(1, "overlap", 12), name(1, "root", 1), name(1, "segment99", 13), name(1, "suid", 3),
			name(1, "typeless", 15), name(1, "wrap", 14), name(1, strings.Repeat("x", 256), 3),
			name(2, "again", 2), name(2, "root", 1), name(3, "below a file", 2), name(6, "a", 7), name(7, "b", 6), name(8, "self", 8),
		},
	}
	encoded, err := index.MarshalTrailer(trailer)
	must(t, err)
	data := make([]byte, 4096)
	for i := range data {
		data[i] = byte('a' + i/64%26)
	}
	f.publish(data, encoded, 1)
	r, out, stderr, code, peak := f.restore()
	if code != 3 || peak > 400<<20 {
		t.Fatalf("exit %d with %d MiB\n%s\n%s", code, peak>>20, out, stderr)
	}
	var said struct {
		Inodes   int      `json:"inodes"`
		Problems []string `json:"problems"`
	}
	must(t, json.Unmarshal([]byte(out), &said))
	for _, want := range []string{`name "" of`, `name "." of`, `name ".." of`, `name "NUL\x00" of`, `name "a/../../b" of`, `name "a/b" of`,
		`name "xxxx`, "content of inode 11", "content of inode 13", "content of inode 14", "inode 15 with mode", "inode 16 with mode",
		`name "again" of inode 2`, `name "nothing" of`, `name "root" of inode 1 in 1 `, `name "root" of inode 1 in 2 `, "names in 6", "names in 7", "names in 8", "names in 3"} {
		if !slices.ContainsFunc(said.Problems, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("no problem tells of %s: %q", want, said.Problems)
		}
	}
	r.mount()
	var names []string
	must(t, filepath.WalkDir(r.mnt, func(path string, de os.DirEntry, err error) error {
		names = append(names, strings.TrimPrefix(path, r.mnt))
		return err
	}))
	if want := []string{"", "/device", "/dir", "/huge", "/huge2", "/link", "/overlap", "/suid"}; !slices.Equal(names, want) {
		t.Errorf("found %q, want %q", names, want)
	}
	if got, err := os.ReadFile(r.path("overlap")); err != nil || string(got) != "aaaabbbbbb" {
		t.Errorf("overlap: %q, %v", got, err)
	}
	for _, huge := range []string{"huge", "huge2"} {
		h, err := os.Open(r.path(huge))
		must(t, err)
		b := make([]byte, 1000)
		if n, err := h.ReadAt(b, math.MaxInt64-1000); n != 1000 || err != nil && err != io.EOF {
			t.Errorf("end of %s: %d, %v", huge, n, err)
		}
		must(t, h.Close())
	}
	if _, err := os.Open(r.path("device")); err == nil {
		t.Error("the device node can be opened")
	}
	var st syscall.Statfs_t
	must(t, syscall.Statfs(r.mnt, &st))
	if st.Flags&syscall.MS_NOSUID == 0 || st.Flags&syscall.MS_NODEV == 0 {
		t.Errorf("mounted with flags %#x, without nosuid or nodev", st.Flags)
	}
	r.status()
	r.mustRun("ls", "-R", "-l")
	must(t, os.WriteFile(r.path("mine"), []byte("mine"), 0o600))
	r.sync()
	r.kill()
	r.mount()
	r.status()
	r.umount()
}

// TestHostileLengths: trailers that claim to be large do not fill the memory.
func TestHostileLengths(t *testing.T) {
	if !apart(t) {
		return
	}
	rows := func(drive [16]byte, counts ...uint64) []byte {
		b := append([]byte("WTRL\x01"), drive[:]...)
		for _, n := range append([]uint64{1, 0, 0, 5}, counts...) { // generation, before, time, next inode
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	most := int64(400 << 20)
	if raceDetector {
		most *= 2 // the race detector keeps as much again
	}
	f := newForger(t)
	for name, tt := range map[string]struct {
		generation uint64
		rows       func(drive [16]byte) []byte
	}{
		"a bomb":                     {1, func(drive [16]byte) []byte { return rows(drive, 1<<40) }},
		"more segments than bytes":   {1, func(drive [16]byte) []byte { return rows(drive, 1<<60) }},
		"more inodes than bytes":     {1, func(drive [16]byte) []byte { return rows(drive, 0, 1<<60) }},
		"more names than bytes":      {1, func(drive [16]byte) []byte { return rows(drive, 0, 0, 0, 1<<60) }},
		"a generation of the future": {1 << 62, func(drive [16]byte) []byte { return rows(drive, 0, 0, 0, 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			f.publish(nil, compress(t, tt.rows(f.drive), name == "a bomb"), tt.generation)
			_, out, stderr, code, peak := f.restore()
			if code != 1 || peak > most || !strings.Contains(stderr, "malformed trailer") {
				t.Errorf("exit %d with %d MiB\n%s\n%s", code, peak>>20, out, stderr)
			}
		})
	}
}

// compress makes a zstd frame, and a bomb of two gigabytes if that is wanted. It
// takes little memory, since that of a process counts for its children too.
func compress(t *testing.T, rows []byte, bomb bool) []byte {
	t.Helper()
	var frame bytes.Buffer
	w, err := zstd.NewWriter(&frame, zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1))
	must(t, err)
	_, err = w.Write(rows)
	must(t, err)
	if zeros := make([]byte, 1<<20); bomb {
		for range 2 << 10 {
			_, err = w.Write(zeros)
			must(t, err)
		}
	}
	must(t, w.Close())
	return frame.Bytes()
}
