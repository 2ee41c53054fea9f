package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// found is a file that a listing came upon.
type found struct {
	ino   uint64
	bytes int64 // on the disk
}

// filesIn lists the regular files below some folders. Files come and go meanwhile.
func filesIn(dirs ...string) map[string]found {
	list := map[string]found{}
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			var st syscall.Stat_t
			if err == nil && e.Type().IsRegular() && syscall.Lstat(path, &st) == nil {
				list[path] = found{st.Ino, st.Blocks * 512}
			}
			return nil
		})
	}
	return list
}

// bothHave adds up the bytes of the files that two listings have in common: those were
// there together, between the end of the first and the beginning of the second.
func bothHave(before, after map[string]found) (n int64) {
	for path, f := range before {
		if again := after[path]; again.ino == f.ino {
			n += min(f.bytes, again.bytes)
		}
	}
	return n
}

// TestCacheBudget reads, rewrites and certifies far more than the budget: what
// slivers take never exceeds it, and with nothing left to store nothing but
// the budget is taken by both kinds of copies.
func TestCacheBudget(t *testing.T) {
	const budget = 8 << 20
	d := newDrive(t)
	d.env = append(d.env, "WALFS_CACHE_BUDGET=8MiB")
	d.mount()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const files, length = 24, 1 << 20
	versions := make([]uint64, files)
	write := func(i int, version uint64) {
		versions[i] = version
		must(t, os.WriteFile(d.path(fmt.Sprint(i)), random(length, version), 0o644))
	}
	for i := range files {
		write(i, seed+uint64(i))
	}
	d.sync()
	slivers, staged := filepath.Join(d.home, "cache"), filepath.Join(d.home, "staging", "files")
	var stop atomic.Bool
	defer stop.Store(true)
	var group sync.WaitGroup
	most := int64(0)
	group.Go(func() {
		for last := filesIn(slivers); !stop.Load(); {
			now := filesIn(slivers)
			most = max(most, bothHave(last, now))
			last = now
		}
	})
	rng := rand.New(rand.NewPCG(seed, 2))
	var readers sync.WaitGroup
	for round := range 3 {
		for r := range 3 {
			order := rng.Perm(files)
			readers.Go(func() {
				for _, i := range order {
					if i%3 == r && round > 0 {
						continue
					}
					b, err := os.ReadFile(d.path(fmt.Sprint(i)))
					if err != nil || len(b) != length {
						t.Errorf("read %d: %d bytes, %v", i, len(b), err)
					}
				}
			})
		}
		readers.Wait()
		for range 4 {
			i := rng.IntN(files)
			write(i, rng.Uint64())
		}
		d.sync()
	}
	stop.Store(true)
	group.Wait()
	if most > budget || most < budget/8 {
		t.Errorf("slivers took %d bytes of %d at most", most, int64(budget))
	}
	waitFor(t, "everything to fit the budget", func() bool {
		list := filesIn(slivers, staged)
		return bothHave(list, list) <= budget
	})
	for i := range files {
		if b, err := os.ReadFile(d.path(fmt.Sprint(i))); err != nil || !bytes.Equal(b, random(length, versions[i])) {
			t.Errorf("file %d is not what was written, %v", i, err)
		}
	}
	d.umount()
}

// random returns n bytes that belong to a seed.
func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), byte(seed >> 32), byte(seed >> 40), byte(seed >> 48), byte(seed >> 56)})
	_, _ = rng.Read(b)
	return b
}

// sourceSlivers is how many slivers the content of a blob is read from at n = 100.
const sourceSlivers = 34

// untilCached waits until the cache has the slivers that a blob was read from, and lists
// them. The bytes are with the reader before they are on the disk.
func (d *drive) untilCached() (list []string) {
	d.t.Helper()
	waitFor(d.t, "all source slivers to be on the disk", func() bool {
		var err error
		list, err = filepath.Glob(filepath.Join(d.home, "cache", "??", "*-0-*"))
		return err == nil && len(list) >= sourceSlivers
	})
	return list
}

// TestRestartKeepsCache reads a file again after the daemon ended, cleanly and
// by kill -9: no node is asked.
func TestRestartKeepsCache(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	want := random(3<<20, 1)
	must(t, os.WriteFile(d.path("f"), want, 0o644))
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	d.untilStored() // healing reads from nodes too
	same := func() {
		t.Helper()
		if b, err := os.ReadFile(d.path("f")); err != nil || !bytes.Equal(b, want) {
			t.Fatalf("%d bytes that differ, %v", len(b), err)
		}
	}
	same()
	if d.sliverReads() == 0 {
		t.Fatal("the nodes were not asked although nothing was here")
	}
	d.untilCached()
	for _, end := range []func(){d.umount, d.kill} {
		end()
		d.mount()
		same()
		if n := d.sliverReads(); n != 0 {
			t.Errorf("%d slivers were read from nodes after a restart", n)
		}
	}
	d.umount()
}

// TestSyncedCopies cuts the power over clean copies. Those that the index calls
// synced are read without asking a node and are right; the others are not trusted.
func TestSyncedCopies(t *testing.T) {
	if !apartAlone(t) {
		return
	}
	if wrong, reads := cutCopies(t, walfsBinary(t)); wrong != "" || reads != 0 {
		t.Errorf("%s; %d slivers read for what was synced", wrong, reads)
	}
}

// cutCopies returns what is wrong after a power cut, and how many slivers were
// read for files whose copies were synced.
func cutCopies(t *testing.T, bin string) (wrong string, reads int64) {
	t.Helper()
	needTool(t, "sqlite3")
	disk := newImage(t, 1500, lazyDisk)
	d := newDriveIn(t, t.TempDir())
	d.bin, d.home = bin, filepath.Join(disk.mnt, "home")
	d.mount()
	name := func(kind string, i int) string { return d.path(fmt.Sprintf("%s%d", kind, i)) }
	const files = 12
	fill := func(kind string, seed uint64) {
		for i := range files {
			must(t, os.WriteFile(name(kind, i), random(50_000, seed+uint64(i)), 0o644))
		}
		d.sync()
	}
	fill("synced", 100)
	copies := func(where string, want int) func() bool {
		return func() bool { // the index may be locked for a moment
			out, err := shellErr("sqlite3 -readonly %s 'SELECT count(*) FROM copies WHERE synced %s'", filepath.Join(d.home, "index.db"), where)
			return err == nil && strings.TrimSpace(out) == strconv.Itoa(want)
		}
	}
	waitFor(t, "copies to be synced", copies("> 0", files))
	// A rewrite of one that was synced is not; it takes a barrier to forget that it was.
	must(t, os.WriteFile(name("synced", 0), random(50_000, 300), 0o644))
	fill("late", 200)
	disk.cut(d, "another boot", func() {})
	if err := d.tryMount(); err != nil {
		return err.Error(), 0
	}
	same := func(path string, seeds ...uint64) {
		b, err := os.ReadFile(path)
		for _, seed := range seeds {
			if err == nil && bytes.Equal(b, random(50_000, seed)) {
				return
			}
		}
		wrong += fmt.Sprintf("%s is not what was written, %v; ", filepath.Base(path), err)
	}
	d.untilStored() // healing reads from nodes too
	before := d.sliverReads()
	for i := 1; i < files; i++ {
		same(name("synced", i), 100+uint64(i))
	}
	reads = d.sliverReads() - before
	same(name("synced", 0), 300)
	for i := range files {
		same(name("late", i), 200+uint64(i))
	}
	waitFor(t, "copies in doubt to go", copies("= -1", 0))
	d.kill()
	if err := d.tryMount(); err != nil { // again, without a power cut
		return err.Error(), reads
	}
	for i := range files {
		same(name("late", i), 200+uint64(i))
	}
	d.umount()
	return wrong, reads
}

// TestQuota fills a drive with a quota: EDQUOT, and what takes nothing more goes on.
func TestQuota(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--quota", "4MiB")
	d.mount()
	must(t, os.WriteFile(d.path("a"), random(3<<20, 1), 0o644))
	free := func() int64 {
		var st syscall.Statfs_t
		must(t, syscall.Statfs(d.mnt, &st))
		if st.Blocks*uint64(st.Bsize) != 4<<20 {
			t.Errorf("statfs shows %d bytes in all", st.Blocks*uint64(st.Bsize))
		}
		return int64(st.Bavail) * st.Bsize
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, syscall.EDQUOT) {
			t.Errorf("%s: %v, want EDQUOT", what, err)
		}
	}
	waitFor(t, "1 MiB to be free", func() bool { return free() == 1<<20 })
	for range 2 {
		refused("write", os.WriteFile(d.path("b"), random(2<<20, 2), 0o644))
		must(t, os.Remove(d.path("b")))
		refused("truncate", os.Truncate(d.path("a"), 5<<20))
		must(t, os.Truncate(d.path("a"), 4<<20))
		must(t, os.Truncate(d.path("a"), 3<<20))
		must(t, os.Rename(d.path("a"), d.path("c")))
		must(t, os.Rename(d.path("c"), d.path("a")))
		f, err := os.OpenFile(d.path("a"), os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt(random(3<<20, 5), 0) // over what is there
		must(t, err)
		_, err = f.WriteAt(random(1<<20, 6), 3<<20)
		must(t, err)
		_, err = f.WriteAt([]byte{1}, 4<<20)
		refused("append", err)
		refused("fallocate", syscall.Fallocate(int(f.Fd()), 0, 4<<20, 4096))
		must(t, f.Truncate(3<<20))
		must(t, f.Close())
		waitFor(t, "1 MiB to be free", func() bool { return free() == 1<<20 })
		d.sync()
		d.kill() // it survives a restart
		d.mount()
	}
	// Many writers at a time get what there is and no more.
	var group sync.WaitGroup
	var got atomic.Int64
	for i := range 8 {
		group.Go(func() {
			f, err := os.Create(d.path(fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for range 64 {
				n, err := f.Write(random(4096, uint64(i)))
				got.Add(int64(n))
				if err != nil && !errors.Is(err, syscall.EDQUOT) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got.Load() != 1<<20 {
		t.Errorf("%d bytes written, want 1 MiB", got.Load())
	}
	waitFor(t, "nothing to be free", func() bool { return free() == 0 })
	must(t, os.Remove(d.path("a")))
	must(t, os.WriteFile(d.path("d"), random(2<<20, 7), 0o644))
	d.umount()
}

// TestStagingLimit writes more than staging may hold with all nodes down, which is refused,
// and goes on once they are back. (TestWritersSlow shows how writers come to feel it before.)
func TestStagingLimit(t *testing.T) {
	d := newDrive(t)
	d.env = append(d.env, "WALFS_STAGING_LIMIT=48MiB")
	d.mount()
	d.stopNodes(4)
	f, err := os.Create(d.path("f"))
	must(t, err)
	defer f.Close()
	p := random(1<<20, 1)
	wrote := 0
	for ; wrote < 100; wrote++ {
		if _, err = f.Write(p); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || wrote < 20 || wrote > 49 {
		t.Errorf("%d MiB written, then %v; want ENOSPC below 48", wrote, err)
	}
	must(t, f.Close()) // what is open for writing is stored later
	d.startNodes()
	waitFor(t, "room for more", func() bool { return os.WriteFile(d.path("g"), p, 0o644) == nil })
	d.sync()
	d.umount()
}
