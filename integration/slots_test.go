package integration

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultyShards is f at 100 shards: what a reader must be able to lose.
const faultyShards = 33

// TestRottenSlots damages the slots of f shards of every blob, once plainly,
// so that the node notices, and once with the checksum made to fit, so that
// only the client can. Reads stay right and the status names the bad slots.
func TestRottenSlots(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, how := range []string{"flip", "flip with a fitting checksum", "truncate", "swap"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			d := newDrive(t)
			d.mount()
			must(t, os.Mkdir(d.path("tree"), 0o755))
			makeTree(t, d.path("tree"), 200, seed)
			writeRandom(t, d.path("big"), 20<<20, seed)
			d.sync()
			want := readTree(t, d.mnt)
			d.untilStored()
			d.umount()
			d.forgetLocal()
			rng := rand.New(rand.NewPCG(seed, 3))
			damaged := d.damageSlots(rng, how)
			d.mount()
			diffTrees(t, "with rotten slots", want, readTree(t, d.mnt))
			d.checkNamed(damaged)
			d.umount()
		})
	}
}

// checkNamed looks that the status names bad slots, and no sound ones. Those that
// are healed already it only counts.
func (d *drive) checkNamed(damaged map[string]bool) {
	d.t.Helper()
	var s status
	waitFor(d.t, "a damaged slot to be named or healed", func() bool {
		s = d.status() // the healer looks at what a read has met a moment later
		return slices.ContainsFunc(s.Nodes, func(n node) bool { return n.HealedSlivers+len(n.BadSlivers) > 0 })
	})
	named, healed := 0, 0
	for _, nd := range s.Nodes {
		healed += nd.HealedSlivers
		for _, name := range nd.BadSlivers {
			named++
			if !damaged[name] {
				d.t.Errorf("status calls %s on %s bad, which it is not", name, nd.Name)
			}
			if !strings.Contains(strings.Join(s.Problems, "\n"), nd.Name) {
				d.t.Errorf("no problem speaks of %s, which has bad slots", nd.Name)
			}
		}
	}
	d.t.Logf("%d damaged slots: %d are named, %d healed", len(damaged), named, healed)
}

// damageSlots spoils the slots of f shards in each blob and returns the names
// of the slivers that are bad now, as the status spells them.
func (d *drive) damageSlots(rng *rand.Rand, how string) map[string]bool {
	d.t.Helper()
	damaged := map[string]bool{}
	shards := 0
	for i := 0; shards < faultyShards; i++ {
		n := min(10, faultyShards-shards) // a node of the default drive holds 10 shards
		for _, path := range d.nodeFiles(i) {
			f := openNodeFile(d.t, path)
			for _, s := range f.damage(rng, how, n) {
				damaged[f.blobID()+"/"+s.name] = true
			}
		}
		shards += n
	}
	return damaged
}

// nodeFile is one blob's file on a node, as ARCHITECTURE.md lays it out.
type nodeFile struct {
	t     *testing.T
	path  string
	bytes []byte
	slots []slot
}

// slot is where one sliver lies in the file; its mark and checksum follow it.
type slot struct {
	off, size int
	axis      byte
	name      string // axis/index
}

func openNodeFile(t *testing.T, path string) *nodeFile {
	t.Helper()
	f, err := readNodeFile(path)
	must(t, err)
	f.t = t
	return f
}

// readNodeFile reads a file that a node may just be making.
func readNodeFile(path string) (*nodeFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) < 80 || string(b[:8]) != "WALNODE1" {
		return nil, fmt.Errorf("%s: not a node file", path)
	}
	f := &nodeFile{path: path, bytes: b}
	u32 := func(off int) int { return int(binary.LittleEndian.Uint32(b[off:])) }
	n, symbol, count, meta := u32(12), u32(56), u32(60), u32(64)
	if len(b) < 80+4*count {
		return nil, fmt.Errorf("%s ends in its head", path)
	}
	faulty := (n - 1) / 3
	off := (80 + 4*count + meta + 4095) / 4096 * 4096
	for i := range count {
		axis := b[80+4*i+2]
		size, kind := (n-faulty)*symbol, "primary"
		if axis == 1 {
			size, kind = (n-2*faulty)*symbol, "secondary"
		}
		index := binary.LittleEndian.Uint16(b[80+4*i:])
		f.slots = append(f.slots, slot{off: off, size: size, axis: axis, name: fmt.Sprintf("%s/%d", kind, index)})
		off = (off + size + 8 + 63) / 64 * 64
	}
	return f, nil
}

func (f *nodeFile) blobID() string {
	return base64.RawURLEncoding.EncodeToString(f.bytes[16:48])
}

// damage spoils both slivers of the first pairs shards of the file, and returns
// the slots that are bad now.
func (f *nodeFile) damage(rng *rand.Rand, how string, pairs int) []slot {
	f.t.Helper()
	chosen := f.slots[:min(2*pairs, len(f.slots))]
	switch how {
	case "flip", "flip with a fitting checksum":
		for _, s := range chosen {
			f.bytes[s.off+rng.IntN(s.size)] ^= 1 << rng.IntN(8)
			if how != "flip" {
				f.fitChecksum(s)
			}
		}
	case "truncate":
		f.bytes = f.bytes[:chosen[0].off+chosen[0].size/2]
		chosen = f.slots
	case "swap":
		f.swap(chosen)
	}
	must(f.t, os.WriteFile(f.path, f.bytes, 0o600))
	return chosen
}

func (f *nodeFile) fitChecksum(s slot) {
	sum := crc32.Checksum(f.bytes[s.off:s.off+s.size], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(f.bytes[s.off+s.size+4:], sum)
}

// swap exchanges neighbours of one axis, checksums and all.
func (f *nodeFile) swap(chosen []slot) {
	for axis := range byte(2) {
		var last *slot
		for i := range chosen {
			s := &chosen[i]
			if s.axis != axis {
				continue
			}
			if last == nil {
				last = s
				continue
			}
			a, b := f.bytes[last.off:last.off+last.size+8], f.bytes[s.off:s.off+s.size+8]
			tmp := append([]byte(nil), a...)
			copy(a, b)
			copy(b, tmp)
			last = nil
		}
	}
}

// TestNodeFileFormat holds the layout that this file relies on against a real
// file: all slots are filled and their checksums fit.
func TestNodeFileFormat(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	writeRandom(t, d.path("file"), 1<<20, 5)
	d.sync()
	folders := make([]string, 10)
	for i := range folders {
		folders[i] = filepath.Join(d.home, "network", "nodes", fmt.Sprintf("node-%02d", i))
	}
	untilFilled(t, folders, blobsIn(t, folders))
	d.umount()
	files := d.nodeFiles(0)
	if len(files) == 0 {
		t.Fatal("node 0 holds no blob")
	}
	for _, path := range files {
		f := openNodeFile(t, path)
		if want := hex.EncodeToString(f.bytes[16:48]); filepath.Base(path) != want {
			t.Errorf("file %s holds blob %s", filepath.Base(path), want)
		}
		for i, s := range f.slots {
			if err := f.checkSlot(s); err != nil {
				t.Errorf("%s slot %d: %v", path, i, err)
			}
		}
	}
}

func (f *nodeFile) checkSlot(s slot) error {
	if s.off+s.size+8 > len(f.bytes) {
		return fmt.Errorf("ends at %d, file at %d", s.off+s.size+8, len(f.bytes))
	}
	tail := f.bytes[s.off+s.size:]
	if string(tail[:4]) != "SLOT" {
		return fmt.Errorf("mark is %q", tail[:4])
	}
	sum := crc32.Checksum(f.bytes[s.off:s.off+s.size], crc32.MakeTable(crc32.Castagnoli))
	if got := binary.LittleEndian.Uint32(tail[4:]); got != sum {
		return fmt.Errorf("checksum is %08x, want %08x", got, sum)
	}
	return nil
}

// blobsIn returns the blobs, as their files are named, of which some of the nodes' folders have something.
func blobsIn(t *testing.T, folders []string) map[string]bool {
	t.Helper()
	blobs := map[string]bool{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "blobs", "*", "*"))
		must(t, err)
		for _, file := range files {
			if name := filepath.Base(file); len(name) == hex.EncodedLen(32) {
				blobs[name] = true
			}
		}
	}
	return blobs
}

// untilFilled waits until each of the nodes' folders has all slots of the blobs: a sync waits for a quorum of nodes.
func untilFilled(t *testing.T, folders []string, blobs map[string]bool) {
	t.Helper()
	var lacks error
	defer func() {
		if lacks != nil {
			t.Log(lacks)
		}
	}()
	waitFor(t, "all slots to be filled", func() bool {
		lacks = checkFilled(folders, blobs)
		return lacks == nil
	})
}

func checkFilled(folders []string, blobs map[string]bool) error {
	for _, folder := range folders {
		for blob := range blobs {
			files, err := filepath.Glob(filepath.Join(folder, "blobs", "*", blob))
			if err != nil {
				return err
			}
			if len(files) != 1 {
				return fmt.Errorf("%s has %d files of %s", folder, len(files), blob)
			}
			f, err := readNodeFile(files[0])
			if err != nil {
				return err
			}
			for i, s := range f.slots {
				if err := f.checkSlot(s); err != nil {
					return fmt.Errorf("%s slot %d: %w", f.path, i, err)
				}
			}
		}
	}
	return nil
}
