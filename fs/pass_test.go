package fs_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needPass skips where the kernel does not pass reads and writes through.
func needPass(t *testing.T, d *drive) {
	t.Helper()
	if why := d.do("passing"); !strings.HasPrefix(why, "on") {
		t.Skipf("no passthrough here: %s", why)
	}
}

// passed returns how many opens used the data file so far, and how many did not.
func passed(d *drive) (opens, cached int) {
	d.t.Helper()
	if _, err := fmt.Sscanf(d.do("passing"), "on %d %d", &opens, &cached); err != nil {
		d.t.Fatal(err)
	}
	return opens, cached
}

// eventually waits until a command of the server gives an answer.
func eventually(t *testing.T, d *drive, command, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got = d.do(command); got == want {
			return
		}
	}
	t.Fatalf("%s: %q, want %q", command, got, want)
}

func openFile(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o644)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func contentIs(t *testing.T, when, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, %v, want %d", when, len(got), err, len(want))
	}
}

// TestPassOrders opens files in all orders in which the kernel would refuse a
// way that does not fit the one before.
func TestPassOrders(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	want := content(1, 300000)
	patch := []byte("patched")
	copy(want[5000:], patch)
	for name, open := range map[string]func(path string) (r, w *os.File){
		"reader first": func(path string) (r, w *os.File) {
			r = openFile(t, path, os.O_RDONLY)
			return r, openFile(t, path, os.O_WRONLY)
		},
		"writer first": func(path string) (r, w *os.File) {
			w = openFile(t, path, os.O_WRONLY)
			return openFile(t, path, os.O_RDONLY), w
		},
		"direct": func(path string) (r, w *os.File) {
			r = openFile(t, path, os.O_RDONLY|syscall.O_DIRECT)
			return r, openFile(t, path, os.O_WRONLY)
		},
		"read and write": func(path string) (r, w *os.File) {
			w = openFile(t, path, os.O_RDWR)
			return w, openFile(t, path, os.O_RDWR|syscall.O_DIRECT)
		},
	} {
		for _, local := range []string{"copy", "remote", "staged"} {
			path := d.path(strings.ReplaceAll(name, " ", "-") + "-" + local)
			must(t, os.WriteFile(path, content(1, 300000), 0o644))
			switch local {
			case "copy":
				d.do("publish")
				d.do("certify")
			case "remote":
				d.forget()
			}
			r, w := open(path)
			if _, err := w.WriteAt(patch, 5000); err != nil {
				t.Errorf("%s, %s: %v", name, local, err)
			}
			got := make([]byte, len(want))
			if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: reader: %v", name, local, err)
			}
			must(t, r.Close())
			if w != r {
				w.Close()
			}
			contentIs(t, name+", "+local, path, want)
		}
	}
}

// TestPassBecomesWhole writes a file that is not here, from the front to the
// end: it is whole then, and stays in the way in which it was opened.
func TestPassBecomesWhole(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	must(t, os.WriteFile(d.path("file"), content(1, 100000), 0o644))
	d.forget()
	first := openFile(t, d.path("file"), os.O_RDWR)
	want := content(2, 100000)
	_, err := first.WriteAt(want, 0)
	must(t, err)
	before, _ := passed(d)
	contentIs(t, "while it is open", d.path("file"), want)
	if now, _ := passed(d); now != before {
		t.Error("one inode was opened in two ways")
	}
	must(t, first.Close())
	eventually(t, d, "using file", "no")
	contentIs(t, "after it was closed", d.path("file"), want)
	if now, _ := passed(d); now != before+1 {
		t.Errorf("%d opens used the data file, want one", now-before)
	}
}

// TestPassGrown reads a file that was made longer, while that is published, and is opened for
// writing then: it was here whole, and is.
func TestPassGrown(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	want := append(content(1, 10_000), make([]byte, 190_000)...)
	must(t, os.WriteFile(d.path("file"), want[:10_000], 0o644))
	d.forget()
	all := openFile(t, d.path("file"), os.O_WRONLY) // so that staging holds what is written, block by block
	_, err := all.Write(want[:10_000])
	must(t, errors.Join(err, all.Close()))
	must(t, os.Truncate(d.path("file"), int64(len(want))))
	reader := openFile(t, d.path("file"), os.O_RDONLY)
	d.do("publish")
	d.do("certify")
	f := openFile(t, d.path("file"), os.O_WRONLY)
	_, err = f.WriteAt([]byte("in the hole"), 100_000)
	must(t, err)
	copy(want[100_000:], "in the hole")
	got := make([]byte, len(want))
	if _, err := reader.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("who reads sees something else, %v", err)
	}
	must(t, errors.Join(f.Close(), reader.Close()))
	eventually(t, d, "using file", "no")
	d.forget()
	contentIs(t, "evicted", d.path("file"), want)
}

// TestPassMark opens a clean copy for writing: the mark is in the index, for
// good, before the open is answered, and gone when nothing was written.
func TestPassMark(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_BOOT=1")
	needPass(t, d)
	want := content(1, 50000)
	must(t, os.WriteFile(d.path("file"), want, 0o644))
	eventually(t, d, "using file", "no") // what is lent still when it is packed counts as written
	d.do("publish")
	d.do("certify")
	eventually(t, d, "using file", "no")
	if got := d.do("dirty file"); got != "no" {
		t.Fatalf("before: %s", got)
	}
	f := openFile(t, d.path("file"), os.O_WRONLY)
	if got := d.do("dirty file"); got != "yes" {
		t.Errorf("open for writing: dirty %s", got)
	}
	if got := d.do("held file"); got == "no" {
		t.Error("no barrier has seen the file that may be written unseen")
	}
	must(t, f.Close())
	eventually(t, d, "using file", "no")
	if got := d.do("dirty file"); got != "no" {
		t.Errorf("closed without a write: dirty %s", got)
	}
	d.forget()
	if staged := d.do("staged"); staged != "0" {
		t.Errorf("%s files staged", staged)
	}
	contentIs(t, "evicted", d.path("file"), want)
}

// TestPassMapped writes through mappings, of which nobody tells the daemon: before
// and after the file is closed, and after it was packed.
func TestPassMapped(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	const size = 1 << 20
	must(t, os.WriteFile(d.path("file"), make([]byte, size), 0o644))
	d.do("publish")
	d.do("certify")
	eventually(t, d, "using file", "no")
	reader := openFile(t, d.path("file"), os.O_RDONLY) // so that the writer passes too
	f := openFile(t, d.path("file"), os.O_RDWR)
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	must(t, f.Close())
	must(t, reader.Close())
	m[0] = 1
	d.do("publish") // with a page that is dirty, and may be written without a fault
	m[1] = 2
	d.do("publish")
	d.do("certify")
	if got := d.do("lent"); got != "1" {
		t.Errorf("mapped: %s files lent", got)
	}
	d.do("evict")
	m[2] = 3
	if got, err := os.ReadFile(d.path("file")); err != nil || !bytes.Equal(got[:4], []byte{1, 2, 3, 0}) {
		t.Errorf("while it is mapped: %v, %v", got[:4], err)
	}
	m[size-1] = 4
	must(t, unix.Munmap(m))
	eventually(t, d, "using file", "no")
	d.forget()
	if staged := d.do("staged"); staged != "0" {
		t.Errorf("%s files staged", staged)
	}
	want := make([]byte, size)
	copy(want, []byte{1, 2, 3})
	want[size-1] = 4
	contentIs(t, "evicted", d.path("file"), want)
}

// TestPassSize asks for size and times of a file while it is written, and sets them.
func TestPassSize(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	f := openFile(t, d.path("file"), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(d.path("file"))
		must(t, err)
		return info.Size()
	}
	_, err := f.Write(content(1, 10000))
	must(t, err)
	if got := size(); got != 10000 {
		t.Errorf("size %d", got)
	}
	must(t, os.Truncate(d.path("file"), 100))
	_, err = f.WriteAt([]byte("x"), 199)
	must(t, err)
	if got := size(); got != 200 {
		t.Errorf("cut and written: size %d", got)
	}
	must(t, unix.Fallocate(int(f.Fd()), 0, 0, 70000))
	must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 8192))
	if got := size(); got != 70000 {
		t.Errorf("allocated: size %d", got)
	}
	past := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	must(t, os.Chtimes(d.path("file"), past, past))
	must(t, f.Close())
	eventually(t, d, "using file", "no")
	info, err := os.Stat(d.path("file"))
	must(t, err)
	if !info.ModTime().Equal(past) {
		t.Errorf("time %s", info.ModTime())
	}
	contentIs(t, "punched", d.path("file"), make([]byte, 70000))
	d.forget()
	if info, err = os.Stat(d.path("file")); err != nil || !info.ModTime().Equal(past) {
		t.Errorf("evicted: time %v, %v", info.ModTime(), err)
	}
	g := openFile(t, d.path("file"), os.O_WRONLY)
	before := time.Now().Add(-time.Second)
	_, err = g.WriteAt([]byte("y"), 0)
	must(t, err)
	if info, err = os.Stat(d.path("file")); err != nil || info.ModTime().Before(before) {
		t.Errorf("written after that: time %v, %v", info.ModTime(), err)
	}
}

// TestPassKill kills the daemon while files are open that only the kernel
// writes. All that was written is there, and is published; what is written after
// that, by who has them open still, reaches nobody.
func TestPassKill(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_BOOT=1")
	needPass(t, d)
	must(t, os.WriteFile(d.path("copy"), content(1, 100000), 0o644))
	d.do("publish")
	d.do("certify")
	eventually(t, d, "using copy", "no")
	want := map[string][]byte{"copy": content(1, 100000), "new": content(2, 70000), "packed": content(3, 5000)}
	copied := openFile(t, d.path("copy"), os.O_WRONLY)
	fresh := openFile(t, d.path("new"), os.O_WRONLY|os.O_CREATE)
	packed := openFile(t, d.path("packed"), os.O_WRONLY|os.O_CREATE)
	_, err := packed.Write(want["packed"][:2000])
	must(t, err)
	must(t, packed.Sync())
	d.do("publish") // so that there is a version that is not the last
	_, err = packed.Write(want["packed"][2000:])
	must(t, err)
	_, err = fresh.Write(want["new"])
	must(t, err)
	_, err = copied.WriteAt([]byte("same size, other content"), 777)
	must(t, err)
	copy(want["copy"][777:], "same size, other content")
	if lent := d.do("lent"); lent != "3" {
		t.Errorf("%s files lent", lent)
	}
	mapped := openFile(t, d.path("packed"), os.O_RDWR)
	m, err := unix.Mmap(int(mapped.Fd()), 0, 5000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	t.Cleanup(func() { _ = unix.Munmap(m) })
	d.kill()
	d.mount()
	for name, body := range want {
		contentIs(t, "killed", d.path(name), body)
	}
	m[1]++ // these lead to files that the mount which is there now does not know to be written
	_, _ = fresh.Write(want["new"])
	_, _ = copied.WriteAt([]byte("ghost"), 0)
	for name, body := range want {
		contentIs(t, "written through the mount that is gone", d.path(name), body)
	}
	d.forget()
	if staged := d.do("staged"); staged != "0" {
		t.Errorf("%s files staged", staged)
	}
	for name, body := range want {
		contentIs(t, "killed and evicted", d.path(name), body)
	}
}

// TestPassPowerCut: what was synced survives another boot, what a barrier has
// not seen is as the data file has it, and the copy that was opened is no worse than before.
func TestPassPowerCut(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_BOOT=1")
	needPass(t, d)
	for _, name := range []string{"opened", "synced"} {
		must(t, os.WriteFile(d.path(name), content(1, 100000), 0o644))
	}
	d.do("publish")
	d.do("certify")
	eventually(t, d, "using synced", "no")
	eventually(t, d, "using opened", "no")
	openFile(t, d.path("opened"), os.O_WRONLY)
	f := openFile(t, d.path("synced"), os.O_WRONLY)
	_, err := f.WriteAt([]byte("synced"), 99999)
	must(t, err)
	must(t, f.Sync())
	d.kill()
	d.env = []string{"WALFS_TEST_BOOT=2"}
	d.mount()
	contentIs(t, "opened", d.path("opened"), content(1, 100000))
	contentIs(t, "synced", d.path("synced"), append(content(1, 100000)[:99999], "synced"...))
}

// TestPassMoment packs a file while a thread puts the same number in front and
// at the end, one after the other. What is published is one moment's state. A
// file that is written too fast is packed when it was written less.
func TestPassMoment(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	const size = 3 << 20
	f := openFile(t, d.path("file"), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	_, err := f.Write(make([]byte, size))
	must(t, err)
	next, b := uint64(0), make([]byte, 8)
	write := func() {
		next++
		binary.LittleEndian.PutUint64(b, next)
		_, err := f.WriteAt(b, 0)
		_, err2 := f.WriteAt(b, size-8)
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
		}
	}
	torn := 0
	for i := range 5 {
		for writes := 1 << 40; ; writes = min(writes/2, 1<<14) {
			must(t, f.Sync()) // which queues it
			done := make(chan string)
			go func() { done <- d.do("try") }()
			n := ""
			for left := writes; n == ""; {
				select {
				case n = <-done:
				default:
					if left--; left >= 0 {
						write()
					} else {
						n = <-done
					}
				}
			}
			d.do("certify")
			if n == "1" {
				break
			}
			torn++
		}
		front, end := number(t, d.do("published file 0 8")), number(t, d.do(fmt.Sprintf("published file %d 8", size-8)))
		if front != end && front != end+1 {
			t.Errorf("version %d: %d in front, %d at the end", i, front, end)
		}
	}
	t.Logf("%d writes; packing was given up %d times", next, torn)
}

func number(t *testing.T, hex string) (n uint64) {
	t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(hex, "%x", &b); err != nil || len(b) != 8 {
		t.Fatalf("%q: %v", hex, err)
	}
	return binary.LittleEndian.Uint64(b)
}

// TestPassSetid: a write by somebody else clears set-uid bits that a file got
// while it was open, and a file that has them is written through the daemon.
func TestPassSetid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users are needed")
	}
	d := newDrive(t)
	needPass(t, d)
	mode := func() os.FileMode {
		info, err := os.Stat(d.path("file"))
		must(t, err)
		return info.Mode() & (os.ModeSetuid | os.ModeSetgid | os.ModePerm)
	}
	must(t, os.WriteFile(d.path("file"), content(1, 5000), 0o666))
	must(t, os.Chmod(d.path("file"), 0o777))
	for _, dir := range []string{d.mnt, filepath.Dir(d.mnt), filepath.Dir(filepath.Dir(d.mnt))} {
		must(t, os.Chmod(dir, 0o755))
	}
	line := fmt.Sprintf(`set -e; exec 5>%s; echo open; read; echo more >&5; echo wrote; read`, d.path("file"))
	cmd := exec.Command("bash", "-c", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := make([]byte, 100)
	_, err = out.Read(said)
	must(t, err)
	const both = os.ModeSetuid | os.ModeSetgid // without the group's right to execute, root's own write would leave the second
	must(t, os.Chmod(d.path("file"), 0o767|both))
	if got := mode(); got != 0o767|both {
		t.Errorf("not written yet: %s", got)
	}
	fmt.Fprintln(in)
	_, err = out.Read(said)
	must(t, err)
	if got := mode(); got != 0o767 {
		t.Errorf("written by somebody else: %s", got)
	}
	fmt.Fprintln(in)
	must(t, cmd.Wait())
	eventually(t, d, "using file", "no")
	must(t, os.Chmod(d.path("file"), 0o777|os.ModeSetuid))
	before, _ := passed(d)
	f := openFile(t, d.path("file"), os.O_WRONLY)
	if now, _ := passed(d); now != before {
		t.Error("a set-uid file may be written unseen")
	}
	must(t, f.Close())
}

// TestPassNames replaces, deletes and cuts files that are open.
func TestPassNames(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	old, replaced := content(1, 20000), content(2, 30000)
	must(t, os.WriteFile(d.path("file"), old, 0o644))
	must(t, os.WriteFile(d.path("new"), replaced, 0o644))
	f := openFile(t, d.path("file"), os.O_RDWR)
	must(t, os.Rename(d.path("new"), d.path("file")))
	contentIs(t, "replaced", d.path("file"), replaced)
	got := make([]byte, len(old))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, old) {
		t.Errorf("the handle of before: %v", err)
	}
	_, err := f.WriteAt([]byte("to the one that is gone"), 0)
	must(t, err)
	again := openFile(t, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY)
	if _, err := again.ReadAt(got[:2], 0); err != nil || string(got[:2]) != "to" {
		t.Errorf("opened once more: %q, %v", got[:2], err)
	}
	contentIs(t, "replaced and written", d.path("file"), replaced)
	g := openFile(t, d.path("file"), os.O_WRONLY)
	must(t, os.Remove(d.path("file")))
	_, err = g.WriteAt([]byte("x"), 50000)
	must(t, err)
	if info, err := g.Stat(); err != nil || info.Size() != 50001 {
		t.Errorf("deleted and written: %v, %v", info.Size(), err)
	}
	for _, f := range []*os.File{f, again, g} {
		must(t, f.Close())
	}
	eventually(t, d, "staged", "0")
}

// TestPassAnew makes files as os.Create and fopen(3) do: the kernel writes them by itself, also
// where files cannot be cloned. What is appended to may never rest there.
func TestPassAnew(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	for i, flags := range []int{
		os.O_RDWR | os.O_CREATE | os.O_TRUNC, os.O_RDWR | os.O_CREATE | os.O_EXCL, os.O_WRONLY | os.O_CREATE | os.O_TRUNC,
	} {
		before, _ := passed(d)
		path := d.path(fmt.Sprint("file", i))
		f := openFile(t, path, flags)
		if now, _ := passed(d); now != before+1 {
			t.Errorf("with flags %#x the file is not passed", flags)
		}
		want := content(uint64(i), 50_000)
		_, err := f.Write(want)
		must(t, err)
		contentIs(t, "while it is open", path, want)
		d.do("publish")
		_, err = f.WriteAt([]byte("changed"), 30_000)
		must(t, err)
		must(t, f.Close())
		copy(want[30_000:], "changed")
		d.do("publish")
		d.do("certify")
		eventually(t, d, fmt.Sprint("using file", i), "no")
		d.forget()
		contentIs(t, "evicted", path, want)
	}
}

// TestPassExec runs a program from the drive while it is open for reading, and
// after it was evicted.
func TestPassExec(t *testing.T) {
	d := newDrive(t)
	needPass(t, d)
	d.shell("cp /bin/true run; ./run; ./run & wait $!; cp /bin/cat cat; echo alive | ./cat | grep -q alive")
	d.forget()
	d.shell("./run; echo alive | ./cat | grep -q alive")
}

// TestPassFewDescriptors opens more files than the daemon may have: who
// comes too late is told so, and those before are not harmed.
func TestPassFewDescriptors(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_FILES=256")
	needPass(t, d)
	var open []*os.File
	refused := error(nil)
	for i := range 400 {
		f, err := os.OpenFile(d.path(fmt.Sprint("file", i)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			refused = err
			break
		}
		_, err = f.WriteString(filepath.Base(f.Name()))
		must(t, err)
		open = append(open, f)
	}
	if len(open) < 100 || !errors.Is(refused, syscall.EMFILE) && !errors.Is(refused, syscall.ENFILE) {
		t.Errorf("%d files, then %v", len(open), refused)
	}
	for _, f := range open {
		must(t, f.Close())
	}
	for i, f := range open {
		eventually(t, d, fmt.Sprint("using file", i), "no")
		contentIs(t, "closed", f.Name(), []byte(filepath.Base(f.Name())))
	}
	must(t, os.WriteFile(d.path("later"), content(1, 1000), 0o644))
	contentIs(t, "later", d.path("later"), content(1, 1000))
}
