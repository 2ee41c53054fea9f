package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
)

// TestBenchRead measures how the mount reads what is not here against the
// client below it, and what is here against the disk, interleaved in one run.
// It asserts no time. `make bench` runs it.
func TestBenchRead(t *testing.T) {
	if os.Getenv("WALFS_BENCH") == "" {
		t.Skip("a benchmark: run it with `make bench`")
	}
	b := &bench{t: t, dir: t.TempDir(), runs: 3}
	d := newDriveIn(t, filepath.Join(b.dir, "read"))
	d.env = append(d.env, "WALFS_CACHE_BUDGET=4GiB")
	d.mount()
	const size, seeks = 256 << 20, 64 << 20
	writeRandom(t, d.path("large"), size, 7)
	writeRandom(t, d.path("seeks"), seeks, 8)
	must(t, os.Mkdir(d.path("small"), 0o755))
	for i := range 2000 {
		writeRandom(t, d.path("small", fmt.Sprintf("f%04d", i)), 4096, uint64(100+i))
	}
	d.sync()
	b.readCold(d, size)
	b.readTogether(d, size)
	b.readSmall(d)
	b.readLocal(d, size)
	d.umount()
	b.print()
}

// extent is where a range of a file lies.
type extent struct {
	Length     int64  `json:"length"`
	BlobID     string `json:"blob_id"`
	BlobOffset int64  `json:"blob_offset"`
}

func (d *drive) extents(name string) []extent {
	d.t.Helper()
	var info struct {
		Extents []extent `json:"extents"`
	}
	must(d.t, json.Unmarshal([]byte(d.mustRun("stat", "--json", d.path(name))), &info))
	return info.Extents
}

// coldRead is what reading a cold file took.
type coldRead struct {
	first, all, cpu time.Duration
	seeks           []time.Duration // the first 64 KiB of other segments
}

// readCold compares reading a large file through the kernel with reading the
// same blobs with a client alone, which has a cache of its own.
func (b *bench) readCold(d *drive, size int64) {
	large, seeks := d.extents("large"), d.extents("seeks")
	var mount, broken, client []coldRead
	var reads int64
	for range b.runs {
		b.mountCold(d)
		reads = d.sliverReads()
		mount = append(mount, b.throughMount(d, large, seeks, size))
		reads = d.sliverReads() - reads
		d.umount()
		client = append(client, b.throughClient(d, large, seeks))
		b.mountCold(d)
		d.stopNodes(3)
		broken = append(broken, b.throughMount(d, large, nil, size))
		d.startNodes()
	}
	pick := func(all []coldRead, of func(coldRead) time.Duration) time.Duration {
		var list []time.Duration
		for _, r := range all {
			list = append(list, of(r))
		}
		return median(list)
	}
	whole := func(r coldRead) time.Duration { return r.all }
	first := func(r coldRead) time.Duration { return r.first }
	cpu := func(r coldRead) time.Duration { return r.cpu }
	mbps := func(t time.Duration) float64 { return float64(size) / 1e6 / t.Seconds() }
	m, c, dead := pick(mount, whole), pick(client, whole), pick(broken, whole)
	b.row("read 256 MiB cold", "mount %.0f MB/s, client alone %.0f MB/s, ratio %.2f (wanted 0.8)", mbps(m), mbps(c), c.Seconds()/m.Seconds())
	b.row("processor time of it", "mount %s, client alone %s; %d slivers fetched for %d segments", pick(mount, cpu), pick(client, cpu), reads, len(large)+len(seeks))
	b.row("the same with 3 of 10 nodes down", "mount %.0f MB/s, %.2f of that with all", mbps(dead), m.Seconds()/dead.Seconds())
	m, c = pick(mount, first), pick(client, first)
	b.row("first 64 KiB of it", "mount %s, client alone %s, ratio %.2f (wanted 1.2)", m, c, m.Seconds()/c.Seconds())
	var there, alone []time.Duration
	for i := range mount {
		there, alone = append(there, mount[i].seeks...), append(alone, client[i].seeks...)
	}
	m, c = median(there), median(alone)
	b.row("first 64 KiB of other segments", "mount %s, client alone %s, ratio %.2f", m, c, m.Seconds()/c.Seconds())
}

// mountCold mounts the drive with nothing local, and waits until it is done with
// what it does at the start. The sliver cache goes as a whole: a file system
// that was handed back many files just now is slow to make others in their place.
func (b *bench) mountCold(d *drive) {
	b.t.Helper()
	if d.daemon != nil {
		d.umount()
	}
	old, err := os.MkdirTemp(b.dir, "cache-")
	must(b.t, err)
	must(b.t, os.Rename(filepath.Join(d.home, "cache"), filepath.Join(old, "cache")))
	d.forgetLocal()
	d.mount()
	d.untilStored()
	dropCaches(b.t)
}

// throughMount reads a file in steps of 1 MiB, the first of 64 KiB, and the first
// 64 KiB in each segment of another.
func (b *bench) throughMount(d *drive, large, seeks []extent, size int64) (r coldRead) {
	cpu := d.cpuTime()
	r.first, r.all = timeRead(b.t, d.path("large"), size)
	r.cpu = d.cpuTime() - cpu
	p, off := make([]byte, 64<<10), int64(0)
	for _, e := range seeks {
		start := time.Now()
		f, err := os.Open(d.path("seeks"))
		must(b.t, err)
		_, err = f.ReadAt(p[:min(e.Length, int64(len(p)))], off)
		r.seeks = append(r.seeks, time.Since(start))
		must(b.t, errors.Join(err, f.Close()))
		off += e.Length
	}
	return r
}

// throughClient reads the same with a client alone.
func (b *bench) throughClient(d *drive, large, seeks []extent) (r coldRead) {
	dropCaches(b.t)
	client := rawClient(b.t, d)
	defer client.close()
	read := func(e extent, p []byte, off int64) {
		id, err := walrus.ParseBlobID(e.BlobID)
		must(b.t, err)
		_, err = client.blobs.ReadAt(context.Background(), id, p, e.BlobOffset+off)
		must(b.t, err)
	}
	cpu, start := ownTime(b.t), time.Now()
	for _, e := range large {
		for off, n := int64(0), int64(0); off < e.Length; off += n {
			if n = min(1<<20, e.Length-off); r.first == 0 {
				n = 64 << 10
			}
			read(e, make([]byte, n), off)
			if r.first == 0 {
				r.first = time.Since(start)
			}
		}
	}
	r.all, r.cpu = time.Since(start), ownTime(b.t)-cpu
	for _, e := range seeks {
		start := time.Now()
		read(e, make([]byte, min(e.Length, 64<<10)), 0)
		r.seeks = append(r.seeks, time.Since(start))
	}
	return r
}

// ownTime is the processor time that this process has used.
func ownTime(t *testing.T) time.Duration {
	var use syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// cpuTime is the processor time that the daemon has used.
func (d *drive) cpuTime() time.Duration {
	d.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.daemon.Process.Pid))
	must(d.t, err)
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest) // from the third one on
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		must(d.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// readTogether lets 200 readers read a part of a cold file each, all at once.
func (b *bench) readTogether(d *drive, size int64) {
	const readers = 200
	b.mountCold(d)
	before := d.residentMiB()
	part := size / readers
	first, all := make([]time.Duration, readers), make([]time.Duration, readers)
	errs := make([]error, readers)
	var group sync.WaitGroup
	start := time.Now()
	for i := range readers {
		group.Go(func() { first[i], all[i], errs[i] = readPart(d.path("large"), int64(i)*part, part) })
	}
	group.Wait()
	took := time.Since(start)
	must(b.t, errors.Join(errs...))
	slices.Sort(first)
	slices.Sort(all)
	b.row("200 readers, each 1.3 MiB of it", "%.0f MB/s; done after %s (median), %s (last); first bytes after %s (median), %s (last)",
		float64(size)/1e6/took.Seconds(), all[readers/2], all[readers-1], first[readers/2], first[readers-1])
	b.row("memory of the daemon with them", "%d MiB before, %d MiB at most", before, d.peakMiB())
}

// readPart reads a part of a file in steps of 128 KiB.
func readPart(path string, off, n int64) (first, all time.Duration, err error) {
	start := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	p := make([]byte, 128<<10)
	for end := off + n; off < end && err == nil; off += int64(len(p)) {
		p = p[:min(int64(len(p)), end-off)]
		_, err = f.ReadAt(p, off)
		if first == 0 {
			first = time.Since(start)
		}
	}
	return first, time.Since(start), err
}

// timeRead reads a file in steps of 1 MiB, the first of 64 KiB.
func timeRead(t *testing.T, path string, size int64) (first, all time.Duration) {
	t.Helper()
	start := time.Now()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	p := make([]byte, 1<<20)
	_, err = io.ReadFull(f, p[:64<<10])
	must(t, err)
	first = time.Since(start)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, p)
	must(t, err)
	if n+64<<10 != size {
		t.Fatalf("%d bytes read of %d", n+64<<10, size)
	}
	return first, time.Since(start)
}

// raw is a client on the network of a drive that is not mounted.
type raw struct {
	blobs *blobstore.Client
	close func()
}

func rawClient(t *testing.T, d *drive) raw {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	net, err := embedded.Open(ctx, embedded.Config{Dir: filepath.Join(d.home, "network")})
	must(t, err)
	var wait sync.WaitGroup
	wait.Go(func() { _ = net.Run(ctx) })
	slivers, err := cache.Open(cache.Config{Dir: t.TempDir(), Budget: 1 << 30})
	must(t, err)
	blobs, err := blobstore.New(blobstore.Config{Ledger: ownerOf(t, d.home, net), Dial: net.Dial, Codec: net.Codec(), Cache: slivers})
	must(t, err)
	return raw{blobs, func() {
		must(t, errors.Join(blobs.Close(), slivers.Close()))
		stop()
		wait.Wait()
		must(t, net.Close())
	}}
}

// readSmall reads many small files in the order of their names.
func (b *bench) readSmall(d *drive) {
	var cold, warm, list []time.Duration
	var reads int64
	for range b.runs {
		b.mountCold(d)
		list = append(list, b.timed("ls -l %s > /dev/null", d.path("small")))
		before := d.sliverReads()
		cold = append(cold, b.timed("tar c -C %s small | cat > /dev/null", d.mnt))
		reads = d.sliverReads() - before
		d.umount()
		d.mount()
		dropCaches(b.t)
		warm = append(warm, b.timed("tar c -C %s small | cat > /dev/null", d.mnt))
	}
	b.row("tar of 2,000 files of 4 KiB", "cold %s with %d sliver reads, from the sliver cache %s; ls -l before %s",
		median(cold), reads, median(warm), median(list))
}

// readLocal reads a clean local copy against the same file in a plain folder.
func (b *bench) readLocal(d *drive, size int64) {
	writeRandom(b.t, d.path("local"), size, 8)
	d.sync()
	plain := filepath.Join(b.dir, "local")
	writeRandom(b.t, plain, size, 8)
	var disk, mount, diskRandom, mountRandom []time.Duration
	for range b.runs {
		dropCaches(b.t)
		disk = append(disk, b.timed("cat %s > /dev/null", plain))
		dropCaches(b.t)
		mount = append(mount, b.timed("cat %s > /dev/null", d.path("local")))
		dropCaches(b.t)
		diskRandom = append(diskRandom, randomReads(b.t, plain, size))
		dropCaches(b.t)
		mountRandom = append(mountRandom, randomReads(b.t, d.path("local"), size))
	}
	b.row("read 256 MiB of a local copy, page cache dropped", "%.2f of the disk (wanted 0.8)", median(disk).Seconds()/median(mount).Seconds())
	b.row("random reads of 4 KiB of it", "%.2f of the disk (wanted 0.5)", median(diskRandom).Seconds()/median(mountRandom).Seconds())
}

func randomReads(t *testing.T, path string, size int64) time.Duration {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	rng := rand.New(rand.NewPCG(9, 9))
	p := make([]byte, 4096)
	start := time.Now()
	for range 4000 {
		_, err := f.ReadAt(p, rng.Int64N(size/4096)*4096)
		must(t, err)
	}
	return time.Since(start)
}
