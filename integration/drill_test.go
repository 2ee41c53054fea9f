package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDrill loses a machine: a tree of everything that a file system can hold
// is synced, the daemon killed and the state folder deleted but for network and
// exported keys. What comes back is compared in all that a file can be told by,
// and once more without three of the nodes.
func TestDrill(t *testing.T) {
	t.Parallel()
	entries := 2000
	if soak() {
		entries = 10000
	}
	d := newDrive(t)
	dir := filepath.Dir(d.home)
	pass := filepath.Join(dir, "pass")
	must(t, os.WriteFile(pass, []byte("correct horse\n"), 0o600))
	d.mustRun("init", "--passphrase", "--passphrase-file", pass)
	keys := filepath.Join(dir, "keys")
	d.mustRun("--passphrase-file", pass, "key", "export", "--out", keys)
	d.mount("--passphrase-file", pass)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := &kinds{t: t, rng: rand.New(rand.NewPCG(seed, 5)), root: os.Geteuid() == 0, dirs: []string{d.mnt}}
	k.make(entries)
	d.sync()
	k.change()
	k.attributes()
	d.sync()
	want := readFacts(t, d.mnt)
	d.kill()
	must(t, unix.Unmount(d.mnt, unix.MNT_DETACH))
	network := filepath.Join(dir, "network")
	must(t, os.Rename(filepath.Join(d.home, "network"), network))
	must(t, os.RemoveAll(d.home))

	fresh := filepath.Join(dir, "fresh")
	must(t, os.Mkdir(fresh, 0o700))
	r := newDriveIn(t, fresh)
	r.mustRun("--passphrase-file", pass, "restore", "--take-over", "--verify", "--network", network, "--key-file", filepath.Join(keys, "key.age"))
	r.mount("--passphrase-file", pass)
	diffFacts(t, "restored", want, readFacts(t, r.mnt))
	r.umount()
	r.forgetLocal()
	for _, i := range k.rng.Perm(10)[:3] {
		name := fmt.Sprintf("node-%02d", i)
		found, err := filepath.Glob(filepath.Join(network, "nodes", name))
		must(t, err)
		if len(found) != 1 {
			t.Fatalf("folders of %s: %q", name, found)
		}
		must(t, os.Rename(found[0], filepath.Join(dir, name)))
	}
	r.mount("--passphrase-file", pass)
	diffFacts(t, "without three nodes", want, readFacts(t, r.mnt))
	r.umount()
}

// kinds makes files of all kinds.
type kinds struct {
	t    *testing.T
	rng  *rand.Rand
	root bool
	n    int

	dirs, files, all []string
}

// name returns a new name in some folder, now and then a hostile one.
func (k *kinds) name() string {
	k.n++
	dir := k.dirs[k.rng.IntN(len(k.dirs))]
	switch tail := fmt.Sprint(k.n); k.rng.IntN(12) {
	case 0:
		return filepath.Join(dir, strings.Repeat("n", 255-len(tail))+tail)
	case 1:
		return filepath.Join(dir, "\xff\xfe\x80"+tail)
	case 2:
		return filepath.Join(dir, "line\nand tab\t"+tail)
	case 3:
		return filepath.Join(dir, "-rf *?[\\"+tail)
	default:
		return filepath.Join(dir, tail)
	}
}

func (k *kinds) make(n int) {
	k.t.Helper()
	deep := k.dirs[0]
	for range 100 {
		deep = filepath.Join(deep, "d")
		must(k.t, os.Mkdir(deep, 0o755))
		k.all = append(k.all, deep)
	}
	k.dirs = append(k.dirs, deep)
	for _, size := range []int64{0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1<<20 - 1, 1 << 20, 1<<20 + 1, 20_000_000} {
		k.file(size)
	}
	for _, holes := range [][2]int64{{0, 1}, {1 << 20, 3 << 20}, {5 << 20, 0}, {8 << 20, 8 << 20}} {
		k.sparse(holes[0], holes[1])
	}
	for len(k.all) < n {
		k.one()
	}
}

// one makes one entry.
func (k *kinds) one() {
	path := k.name()
	switch k.rng.IntN(20) {
	case 0, 1:
		must(k.t, os.Mkdir(path, 0o755))
		k.dirs = append(k.dirs, path)
	case 2:
		must(k.t, os.Symlink([]string{"nowhere", strings.Repeat("l", 4095), "../\xff\n", "/"}[k.rng.IntN(4)], path))
	case 3:
		must(k.t, os.Link(k.files[k.rng.IntN(len(k.files))], path))
		k.files = append(k.files, path)
	case 4:
		must(k.t, unix.Mkfifo(path, 0o600))
	case 5:
		must(k.t, unix.Mknod(path, unix.S_IFSOCK|0o600, 0))
	case 6:
		if !k.root {
			return
		}
		kind := []uint32{unix.S_IFCHR, unix.S_IFBLK}[k.rng.IntN(2)]
		must(k.t, unix.Mknod(path, kind|0o600, int(unix.Mkdev(uint32(k.rng.IntN(200)), uint32(k.rng.IntN(200))))))
	default:
		k.files = append(k.files, path)
		writeRandom(k.t, path, int64(k.rng.ExpFloat64()*6000), k.rng.Uint64())
	}
	k.all = append(k.all, path)
}

func (k *kinds) file(size int64) {
	path := k.name()
	writeRandom(k.t, path, size, k.rng.Uint64())
	k.files, k.all = append(k.files, path), append(k.all, path)
}

// sparse makes a file with a hole, some data, and a hole.
func (k *kinds) sparse(before, after int64) {
	path := k.name()
	f, err := os.Create(path)
	must(k.t, err)
	_, err = f.WriteAt([]byte(strings.Repeat("data", 3000)), before)
	must(k.t, err)
	must(k.t, f.Truncate(before+12000+after))
	must(k.t, f.Close())
	k.files, k.all = append(k.files, path), append(k.all, path)
}

// change changes what is certified: renamed, replaced, appended to, cut, written
// into, punched and deleted.
func (k *kinds) change() {
	k.t.Helper()
	files := k.files
	for i, path := range files {
		switch i % 12 {
		case 0: // deleted; another name of it may stay
			must(k.t, os.Remove(path))
			k.drop(path)
		case 1:
			k.rename(path, k.name())
		case 2: // replaced, as editors save
			fresh := k.name()
			writeRandom(k.t, fresh, int64(k.rng.IntN(20000)), k.rng.Uint64())
			must(k.t, os.Rename(fresh, path))
		case 3, 4, 5:
			k.edit(path, i%12)
		}
	}
	k.rename(filepath.Join(k.dirs[0], "d", "d"), filepath.Join(k.dirs[0], "moved")) // with 98 folders below
}

func (k *kinds) edit(path string, how int) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(k.t, err)
	info, err := f.Stat()
	must(k.t, err)
	at := info.Size()
	switch how {
	case 4:
		must(k.t, f.Truncate(at/2))
		at = -1
	case 5:
		at = k.rng.Int64N(at + 1)
	}
	if at >= 0 {
		_, err = f.WriteAt([]byte(strings.Repeat("changed ", 700)), at)
		must(k.t, err)
	}
	must(k.t, f.Close())
}

// drop forgets a name.
func (k *kinds) drop(path string) { k.move(path, "") }

func (k *kinds) rename(from, to string) {
	must(k.t, os.Rename(from, to))
	k.move(from, to)
}

// move corrects the lists after a rename; to nowhere after a removal.
func (k *kinds) move(from, to string) {
	for _, list := range []*[]string{&k.dirs, &k.files, &k.all} {
		var now []string
		for _, path := range *list {
			rest, below := strings.CutPrefix(path, from+"/")
			switch {
			case path == from:
				path = to
			case below:
				path = filepath.Join(to, rest)
			}
			if path != "" {
				now = append(now, path)
			}
		}
		*list = now
	}
}

// attributes sets owners, modes, attributes and times, folders last.
func (k *kinds) attributes() {
	k.t.Helper()
	for i, path := range k.all {
		var st unix.Stat_t
		must(k.t, unix.Lstat(path, &st))
		kind := st.Mode & unix.S_IFMT
		k.xattrs(path, kind, i)
		if k.root {
			must(k.t, unix.Lchown(path, k.rng.IntN(70000), k.rng.IntN(70000)))
		}
		if kind != unix.S_IFLNK {
			mode := uint32(i*37) & 0o7777
			if !k.root {
				mode |= 0o700
			}
			must(k.t, unix.Chmod(path, mode))
		}
	}
	for i := len(k.all) - 1; i >= 0; i-- {
		times := []unix.Timespec{k.moment(i), k.moment(i + 1)}
		must(k.t, unix.UtimesNanoAt(unix.AT_FDCWD, k.all[i], times, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func (k *kinds) moment(i int) unix.Timespec {
	seconds := []int64{0, -1, -1 << 31, 1 << 31, 1<<33 + 7, k.rng.Int64N(1 << 31)}[i%6]
	return unix.Timespec{Sec: seconds, Nsec: k.rng.Int64N(1e9)}
}

func (k *kinds) xattrs(path string, kind uint32, i int) {
	set := func(name string, value []byte) {
		if err := unix.Lsetxattr(path, name, value, 0); err != nil {
			k.t.Fatalf("set %s of %.80q: %v", name, path, err)
		}
	}
	if i%7 == 0 && (kind == unix.S_IFREG || kind == unix.S_IFDIR) {
		set("user.empty", nil)
		set("user.binary", []byte("\x00\xff\n\x80"))
		for j := range i % 30 {
			set(fmt.Sprintf("user.many-%d", j), []byte(fmt.Sprint(j)))
		}
	}
	if i%97 == 0 && kind == unix.S_IFREG {
		value := make([]byte, 1<<16)
		_, err := randomBytes(k.rng.Uint64()).Read(value)
		must(k.t, err)
		set("user.large", value)
	}
	if i%11 == 0 && k.root {
		set("trusted.walfs-test", []byte("root alone"))
		if kind == unix.S_IFREG {
			set("security.walfs-test", []byte{1, 0, 2})
		}
	}
}
