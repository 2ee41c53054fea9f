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

	"golang.org/x/sys/unix"
)

// TestPowerCut keeps a drive on a disk image. A copy of the image, made while
// the daemon stands still, is what the disk would have after a power cut at
// that instant. What was acknowledged as safe is there afterwards, again and
// again; on a build without fsync it is not, or the test proves nothing.
func TestPowerCut(t *testing.T) {
	if !apart(t) {
		return
	}
	cuts := 10
	if os.Getenv("WALFS_SOAK") != "" {
		cuts = 100
	}
	losesWithout(t, "nofsync", cuts, cutPower)
}

// losesWithout does some rounds of harm to a drive and wants nothing to be lost. On a build whose
// tag leaves a protection out something is: that ends with the first round which shows
// it, and may have many, or the test proves nothing.
func losesWithout(t *testing.T, tag string, rounds int, harm func(t *testing.T, bin string, seed uint64, rounds int) (lost string)) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	if lost := harm(t, walfsBinary(t), seed, rounds); lost != "" {
		t.Error(lost)
	}
	if lost := harm(t, walfsBinary(t, tag), seed, 20*rounds); lost == "" {
		t.Errorf("the build with %s loses nothing: the test cannot fail", tag)
	} else {
		t.Logf("with %s, as it must be: %.300s", tag, lost)
	}
}

// cutPower cuts the power a number of times and returns what was lost, if anything.
func cutPower(t *testing.T, bin string, seed uint64, cuts int) (lost string) {
	t.Helper()
	disk := newImage(t, 3000, lazyDisk)
	d := newDriveIn(t, t.TempDir())
	d.bin, d.home = bin, filepath.Join(disk.mnt, "home")
	rng := rand.New(rand.NewPCG(seed, 3))
	p := &promises{dir: d.mnt, rng: rng, appended: map[string]int{}, saved: map[string]version{}, sized: map[string]version{}, swapped: map[string]version{}, kept: map[string]bool{}}
	for cut := range cuts {
		if err := d.tryMount(); err != nil {
			return fmt.Sprintf("cut %d: %v", cut, err)
		}
		if lost := p.broken(); len(lost) > 0 {
			return fmt.Sprintf("cut %d: %s\n%s", cut, strings.Join(lost, "; "), d.failures())
		}
		var running atomic.Bool
		running.Store(true)
		writers := p.start(&running)
		writers.Go(func() {
			for running.Load() {
				d.run("sync", "--timeout", "5s")
				d.run("cache", "clear")
			}
		})
		safe := p.made.Load() + 20
		waitFor(t, "promises", func() bool { return p.made.Load() >= safe })
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond) // the cut comes at a moment that nothing announces
		disk.cut(d, fmt.Sprint("boot ", cut), func() {
			running.Store(false)
			d.kill()
			writers.Wait()
		})
	}
	if err := d.tryMount(); err != nil {
		return fmt.Sprint("last cut: ", err)
	}
	t.Logf("%d cuts, %d promises", cuts, p.made.Load())
	lost = strings.Join(p.broken(), "; ")
	if lost == "" {
		d.sync()
		d.mustRun("cache", "clear")
		lost = strings.Join(p.broken(), "; ")
	}
	d.umount()
	return lost
}

// failures returns the last requests that the daemon says failed.
func (d *drive) failures() string {
	b, _ := os.ReadFile(filepath.Join(filepath.Dir(d.home), "daemon.log"))
	var failed []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "level=ERROR") {
			failed = append(failed, line)
		}
	}
	return strings.Join(failed[max(0, len(failed)-10):], "")
}

// image is an ext4 file system in a file on a file system that clones files.
type image struct {
	t          *testing.T
	path, mnt  string
	options    string
	generation int
}

// lazyDisk lets ext4 put off what nobody syncs for as long as it can.
const lazyDisk = "commit=60,noauto_da_alloc"

// newImage makes an image and mounts it, with options of ext4, for the test's time.
func newImage(t *testing.T, sizeMiB int, options string) *image {
	t.Helper()
	needFUSE(t)
	if os.Geteuid() != 0 {
		t.Skip("a disk image can be mounted by root only")
	}
	needTool(t, "mkfs.ext4", "mkfs.xfs")
	dir := t.TempDir()
	host := filepath.Join(dir, "disks")
	i := &image{t: t, path: filepath.Join(host, "image-0"), mnt: filepath.Join(dir, "disk"), options: options}
	must(t, os.Mkdir(host, 0o755))
	must(t, os.Mkdir(i.mnt, 0o755))
	shell(t, "truncate -s %dM %s.xfs && mkfs.xfs -q -m reflink=1 %[2]s.xfs", 3*sizeMiB+1024, host)
	if out, err := shellErr("mount -o loop,discard %s.xfs %[1]s", host); err != nil {
		t.Skipf("no loop mounts of XFS here: %s", out)
	}
	t.Cleanup(func() { unmount(t, host) })
	shell(t, "truncate -s %dM %s && mkfs.ext4 -q -F -m 0 %s", sizeMiB, i.path, i.path)
	if out, err := i.mount(); err != nil {
		t.Skipf("no loop mounts here: %s", out)
	}
	t.Cleanup(func() { unmount(t, i.mnt) })
	return i
}

// unmount takes a disk away. The kernel lets go of the data files of a mount that is gone a moment later.
func unmount(t *testing.T, dir string) {
	t.Helper()
	var err error
	waitFor(t, "the disk to be left", func() bool {
		err = unix.Unmount(dir, 0)
		return !errors.Is(err, unix.EBUSY)
	})
	must(t, err)
}

func (i *image) mount() (string, error) {
	return shellErr("mount -o loop,%s %s %s", i.options, i.path, i.mnt)
}

// cut cuts the power of a drive whose home lies on the image: the next mount
// finds the disk as it is now, after another boot. End is called before the
// drive is gone, and ends who writes to it.
func (i *image) cut(d *drive, boot string, end func()) {
	i.t.Helper()
	must(i.t, d.daemon.Process.Signal(syscall.SIGSTOP))
	i.clone()
	end()
	d.kill()
	for range 5 {
		if mounted(d.mnt) {
			_ = syscall.Unmount(d.mnt, syscall.MNT_DETACH)
		}
	}
	i.swap()
	must(i.t, os.WriteFile(filepath.Join(d.home, "boot"), []byte(boot), 0o600))
}

func (i *image) next() string {
	return filepath.Join(filepath.Dir(i.path), fmt.Sprintf("image-%d", i.generation+1))
}

// clone makes the copy that swap will go on with: the disk as it is at this
// instant, whatever the kernel is writing back to it. This process does it: a
// child would inherit files of the mount, and wait for the daemon to close them.
func (i *image) clone() {
	i.t.Helper()
	from, err := os.Open(i.path)
	must(i.t, err)
	defer from.Close()
	to, err := os.Create(i.next())
	must(i.t, err)
	defer to.Close()
	must(i.t, unix.IoctlFileClone(int(to.Fd()), int(from.Fd())))
}

func (i *image) swap() {
	i.t.Helper()
	unmount(i.t, i.mnt)
	must(i.t, os.Remove(i.path))
	i.path = i.next()
	i.generation++
	if out, err := i.mount(); err != nil {
		i.t.Fatalf("mount the copy: %s", out)
	}
}

// version is which version of a file is safe, and which was begun.
type version struct {
	safe, begun int
	torn        bool // the power was cut in one that was begun, and none was written whole since
}

// promises is what the drive has acknowledged.
type promises struct {
	dir  string
	rng  *rand.Rand
	made atomic.Int64

	mu       sync.Mutex // guards the maps
	appended map[string]int
	saved    map[string]version
	sized    map[string]version
	swapped  map[string]version
	kept     map[string]bool // false: it was deleted after that
	files    int             // that were to be kept
}

func (p *promises) start(running *atomic.Bool) *sync.WaitGroup {
	var group sync.WaitGroup
	for i := range 2 {
		seed := p.rng.Uint64()
		for _, work := range []func(int, *rand.Rand) error{p.append, p.save, p.size, p.swap, p.keep} {
			group.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				for running.Load() && work(i, rng) == nil {
				}
			})
		}
	}
	return &group
}

func (p *promises) path(name string) string { return filepath.Join(p.dir, name) }

// append appends a record and syncs it.
func (p *promises) append(i int, rng *rand.Rand) error {
	name := fmt.Sprint("append-", i)
	f, err := os.OpenFile(p.path(name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	p.mu.Lock()
	at := p.appended[name]
	p.mu.Unlock()
	n := 1 + rng.IntN(30000)
	if _, err := f.WriteAt(stream(i, at, n), int64(at)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appended[name] = at + n
	p.made.Add(1)
	return nil
}

// stream is n bytes at off of an endless file.
func stream(i, off, n int) []byte {
	b := make([]byte, n)
	for k := range b {
		at := off + k
		b[k] = byte(at*7+at>>8*13+i) | 1
	}
	return b
}

// save replaces a file by a new one with rename.
func (p *promises) save(i int, rng *rand.Rand) error {
	name := fmt.Sprint("save-", i)
	v := p.begin(p.saved, name)
	f, err := os.Create(p.path(name + ".tmp"))
	if err != nil {
		return err
	}
	_, err = f.Write(savedAs(i, v))
	if rng.IntN(3) == 0 { // some programs do
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	_, err = os.Lstat(p.path(name))
	if err := os.Rename(p.path(name+".tmp"), p.path(name)); err != nil {
		return err
	}
	p.end(p.saved, name, v, err == nil) // that replaces nothing is as safe as any other change of names
	return nil
}

func savedAs(i, v int) []byte {
	return bytes.Repeat([]byte{byte(v), byte(v >> 8), byte(i), 0xa5}, 100+(i*997+v*4099)%9000)
}

// size gives a file another size and syncs it.
func (p *promises) size(i int, _ *rand.Rand) error {
	name := fmt.Sprint("size-", i)
	v := p.begin(p.sized, name)
	f, err := os.OpenFile(p.path(name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if v%4 == 1 {
		_, err = f.WriteAt(bytes.Repeat([]byte{0xee}, sizeOf(v)), 0)
	} else {
		err = f.Truncate(int64(sizeOf(v)))
	}
	if err = errors.Join(err, f.Sync()); err != nil {
		return err
	}
	p.end(p.sized, name, v, true)
	if v%4 == 1 {
		p.mu.Lock()
		defer p.mu.Unlock()
		whole := p.sized[name]
		whole.torn = false
		p.sized[name] = whole
	}
	return nil
}

// sizeOf is largest, for a file that is written whole, and then smaller and smaller.
func sizeOf(v int) int { return []int{900, 3000000, 2000100, 4096 * 3}[v%4] }

// swap replaces a file by a symbolic link with rename, and that by a file again.
func (p *promises) swap(i int, _ *rand.Rand) error {
	name := fmt.Sprint("swap-", i)
	v := p.begin(p.swapped, name)
	tmp := p.path(name + ".tmp")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var err error
	if v%2 == 0 {
		err = os.Symlink(fmt.Sprint(v), tmp)
	} else {
		err = writeSynced(tmp, fmt.Append(nil, v))
	}
	if err != nil {
		return err
	}
	before, _ := os.Lstat(p.path(name))
	if err := os.Rename(tmp, p.path(name)); err != nil {
		return err
	}
	p.end(p.swapped, name, v, before != nil && before.Mode().IsRegular())
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// keep makes a file safe, and deletes it or leaves it.
func (p *promises) keep(i int, rng *rand.Rand) error {
	p.mu.Lock()
	p.files++
	name := fmt.Sprintf("keep-%d-%d", i, p.files)
	p.mu.Unlock()
	f, err := os.Create(p.path(name))
	if err != nil {
		return err
	}
	_, err = f.Write(stream(i, 0, 9000))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	p.mu.Lock()
	p.kept[name] = true
	p.mu.Unlock()
	p.made.Add(1)
	if rng.IntN(4) > 0 {
		p.mu.Lock()
		p.kept[name] = false // from here on it may be gone
		p.mu.Unlock()
		return os.Remove(p.path(name))
	}
	return nil
}

func (p *promises) begin(m map[string]version, name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := m[name]
	v.begun++
	m[name] = v
	return v.begun
}

func (p *promises) end(m map[string]version, name string, n int, safe bool) {
	if !safe {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v := m[name]
	v.safe = n
	m[name] = v
	p.made.Add(1)
}

// broken returns what is not there that should be.
func (p *promises) broken() (list []string) {
	lost := func(name, format string, args ...any) { list = append(list, name+": "+fmt.Sprintf(format, args...)) }
	for name, n := range p.appended {
		var i int
		_, _ = fmt.Sscanf(name, "append-%d", &i)
		b, err := os.ReadFile(p.path(name))
		if err != nil || len(b) < n || !bytes.Equal(b[:n], stream(i, 0, n)) {
			lost(name, "%d bytes, %d are safe, %v", len(b), n, err)
		}
	}
	for name, v := range p.saved {
		var i int
		_, _ = fmt.Sscanf(name, "save-%d", &i)
		b, err := os.ReadFile(p.path(name))
		if !p.isOneOf(b, err, v, func(n int) []byte { return savedAs(i, n) }) {
			lost(name, "%d bytes are no version from %d to %d, %v", len(b), v.safe, v.begun, err)
		}
	}
	for name, v := range p.sized {
		b, err := os.ReadFile(p.path(name))
		if !p.isOneOf(b, err, v, nil) {
			lost(name, "size %d is not that of a version from %d to %d, %v", len(b), v.safe, v.begun, err)
		}
		if v.safe > 0 && v.begun == v.safe && !v.torn && err == nil && bytes.IndexByte(b, 0) >= 0 {
			lost(name, "zeros in version %d", v.safe)
		}
		if v.begun > v.safe {
			v.torn = true
			p.sized[name] = v
		}
	}
	for name, v := range p.swapped {
		text, err := os.Readlink(p.path(name))
		if errors.Is(err, syscall.EINVAL) {
			var b []byte
			b, err = os.ReadFile(p.path(name))
			text = string(b)
		}
		n, _ := strconv.Atoi(text)
		if absent := errors.Is(err, fs.ErrNotExist) && v.safe == 0; !absent && (err != nil || n < max(v.safe, 1) || n > v.begun) {
			lost(name, "%q is no version from %d to %d, %v", text, v.safe, v.begun, err)
		}
	}
	for name, kept := range p.kept {
		var i int
		_, _ = fmt.Sscanf(name, "keep-%d-", &i)
		b, err := os.ReadFile(p.path(name))
		gone := errors.Is(err, fs.ErrNotExist)
		if gone && kept || !gone && (err != nil || !bytes.Equal(b, stream(i, 0, 9000))) {
			lost(name, "%d bytes, deleted %t, %v", len(b), !kept, err)
		}
		if gone {
			delete(p.kept, name)
		}
	}
	return list
}

// isOneOf reports whether a file is as one of the versions from the safe one
// on. What was not synced may also be there in part, but for a file that was
// saved by rename.
func (p *promises) isOneOf(b []byte, err error, v version, content func(int) []byte) bool {
	if errors.Is(err, fs.ErrNotExist) {
		return v.safe == 0
	}
	if err != nil {
		return false
	}
	for n := max(v.safe, 1); n <= v.begun; n++ {
		if content != nil && bytes.Equal(b, content(n)) || content == nil && len(b) == sizeOf(n) {
			return true
		}
	}
	return content == nil && v.begun > v.safe && (v.begun%4 == 1 || v.torn) || v.safe == 0 && len(b) == 0
}
