package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// benchNames is how many files TestBenchNames makes, unless WALFS_BENCH_NAMES says otherwise.
const benchNames = 1_000_000

// perFolder is how many files each folder of TestBenchNames holds.
const perFolder = 1000

// TestBenchNames measures what many names cost a drive: how long it takes to
// make and to store them, until a mount answers, also with many jobs waiting,
// what a sync after a few changes stores, and a restore. `make bench` runs it.
func TestBenchNames(t *testing.T) {
	if os.Getenv("WALFS_BENCH") == "" {
		t.Skip("a benchmark: run it with `make bench`")
	}
	names := benchNames
	if s := os.Getenv("WALFS_BENCH_NAMES"); s != "" {
		var err error
		names, err = strconv.Atoi(s)
		must(t, err)
	}
	b := &bench{t: t, dir: t.TempDir(), runs: 1}
	d := newDriveIn(t, filepath.Join(b.dir, "names"))
	d.mount()
	g := b.grow(d, names)
	b.row("small files made", "%d at %.0f a second, stored %.0f s after", names, float64(names)/g.making.Seconds(), g.storing.Seconds())
	b.row("peak memory while making them", "%d MiB", d.peakMiB())
	g.report()
	b.remount(d, "mount with these names, until it answers")
	b.row("memory after that mount (200 MiB wanted)", "%d MiB", d.peakMiB())
	b.walk(d)
	b.change(d)
	b.waiting(d, names)
	b.restore(d, names)
}

// makeFolders is makeFolders of a bench at the drive's root.
func (d *drive) makeFolders(from, to int, content string) {
	d.t.Helper()
	(&bench{t: d.t}).makeFolders(d.mnt, from, to, content)
}

// makeFolders writes the folders below root from one number to another, of perFolder
// small files each, two at a time.
func (b *bench) makeFolders(root string, from, to int, content string) {
	b.t.Helper()
	var workers sync.WaitGroup
	failed := make(chan error, 2)
	for w := range 2 {
		workers.Go(func() {
			for i := from + w; i < to; i += 2 {
				if err := fillFolder(filepath.Join(root, fmt.Sprintf("folder-%04d", i)), content); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	workers.Wait()
	select {
	case err := <-failed:
		b.t.Fatal(err)
	default:
	}
}

func fillFolder(dir, content string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range perFolder {
		name := filepath.Join(dir, fmt.Sprintf("a small file %04d", i))
		if err := os.WriteFile(name, fmt.Appendf(nil, "%s: %s\n", name, content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// remount measures how long a mount takes until the root can be read.
func (b *bench) remount(d *drive, name string) {
	b.t.Helper()
	d.umount()
	start := time.Now()
	d.mount()
	b.row(name, "%.2f s", time.Since(start).Seconds())
}

// walk measures what it takes to look at each name once, and what the daemon keeps of that while
// the kernel knows all of them, and when it has forgotten them.
func (b *bench) walk(d *drive) {
	cpu := d.cpuTime()
	took := b.timed("find %s -ls > /dev/null", d.mnt)
	b.row("find -ls of all names", "%.1f s, of which the daemon's processor time is %.1f s", took.Seconds(), (d.cpuTime() - cpu).Seconds())
	b.row("memory after that walk (1024 MiB wanted)", "%d MiB, %d MiB at most", d.residentMiB(), d.peakMiB())
	dropCaches(b.t)
	b.timed("find %s -maxdepth 1 > /dev/null", d.mnt) // behind what the kernel sent of forgotten names
	b.row("memory once they are forgotten", "%d MiB", d.residentMiB())
}

// change counts what a sync after 1,000 small changes stores.
func (b *bench) change(d *drive) {
	before := d.status()
	start := time.Now()
	must(b.t, fillFolder(d.path("folder-0001"), "changed"))
	d.sync()
	took := time.Since(start)
	after := d.status()
	b.row("1,000 small changes and a sync", "%d blobs, %d bytes, %.1f s", after.Blobs-before.Blobs, after.StoredBytes-before.StoredBytes, took.Seconds())
}

// waiting measures a mount after a kill with a tenth of the files waiting to be stored.
func (b *bench) waiting(d *drive, names int) {
	d.stopNodes(4)
	d.makeFolders(0, max(1, names/10/perFolder), "changed again")
	jobs := d.status().PendingJobs
	d.kill()
	start := time.Now()
	d.mount()
	b.row("mount after a kill, with jobs waiting", "%.2f s, %d jobs", time.Since(start).Seconds(), jobs)
	d.startNodes()
	d.sync()
	d.umount()
}

// restore measures a restore of all names on a fresh home.
func (b *bench) restore(d *drive, names int) {
	start := time.Now()
	r := d.restoreCopy()
	took := time.Since(start)
	start = time.Now()
	r.mount()
	b.row("restore and mount elsewhere", "%d names: restore %.1f s (with a copy of the nodes' folders), mount %.2f s", names, took.Seconds(), time.Since(start).Seconds())
	r.umount()
}
