package integration

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

// secrets are texts that a drive is given, and that nobody else may find.
type secrets struct {
	names    []string // of files, folders and attributes, and targets of links
	contents []string // of files and attributes
}

// plant writes secrets into a folder of a drive. Another tag makes others.
func plant(t *testing.T, dir, tag string) secrets {
	t.Helper()
	name := func(what string) string { return fmt.Sprintf("Zq%s%sKwXv7Jp%sYn", tag, what, what) }
	s := secrets{
		names:    []string{name("folder"), name("file"), name("link"), name("target"), name("attribute"), name("pipe")},
		contents: []string{"The " + name("plainword") + " content", "Some " + name("attrvalue") + " value"},
	}
	folder := filepath.Join(dir, s.names[0])
	must(t, os.Mkdir(folder, 0o700))
	file := filepath.Join(folder, s.names[1])
	body := strings.Repeat("padding in front of it. ", 200) + strings.Repeat(s.contents[0]+"\n", 60)
	must(t, os.WriteFile(file, []byte(body), 0o600))
	must(t, os.Symlink("/somewhere/"+s.names[3], filepath.Join(folder, s.names[2])))
	must(t, unix.Setxattr(file, "user."+s.names[4], []byte(s.contents[1]), 0))
	// Logs like to quote the start of things.
	short := "Wq7" + tag[:2] + "Zk3"
	s.contents = append(s.contents, short)
	must(t, os.WriteFile(filepath.Join(folder, "short"), []byte(short), 0o600))
	must(t, unix.Setxattr(file, "user.short", []byte(short), 0))
	must(t, unix.Mkfifo(filepath.Join(folder, s.names[5]), 0o600))
	return s
}

// shortSecret is the length in bytes below which a few letters in the middle
// of base64 would be found anywhere.
const shortSecret = 16

// forms are the ways in which a text could be written down.
func forms(text string) [][]byte {
	raw := []byte(text)
	all := [][]byte{raw, []byte(hex.EncodeToString(raw)), []byte(strings.ToUpper(hex.EncodeToString(raw)))}
	if len(raw) < shortSecret {
		return all
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for shift := range 3 { // what stands before it moves the groups of three
			b := encoding.EncodeToString(append(make([]byte, shift), raw...))
			all = append(all, []byte(b[4:len(b)-4]))
		}
	}
	var little, big []byte
	for _, u := range utf16.Encode([]rune(text)) {
		little = append(little, byte(u), byte(u>>8))
		big = append(big, byte(u>>8), byte(u))
	}
	return append(all, little, big)
}

// finds returns which of the texts stand in some bytes, in whatever form.
func finds(b []byte, texts []string) (found []string) {
	for _, text := range texts {
		if slices.ContainsFunc(forms(text), func(form []byte) bool { return bytes.Contains(b, form) }) {
			found = append(found, text)
		}
	}
	return found
}

// holders are what holds names and contents in the home by design: what is not
// sealed yet, and the index. Encrypting the disk hides them.
var holders = []string{"staging/files", "index.db", "index.db-wal", "index.db-shm", "index.db.ahead", "backups"}

// search looks for the texts in all files below dir but those of skip. A drive
// that is at work may take a file away meanwhile.
func search(t *testing.T, dir string, texts []string, skip ...string) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, de fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if slices.Contains(skip, rel) {
			if de.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		for _, text := range finds([]byte(rel), texts) {
			found = append(found, fmt.Sprintf("the name %q has %q", rel, text))
		}
		if !de.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, text := range finds(b, texts) {
			found = append(found, fmt.Sprintf("%s has %q", rel, text))
		}
		return err
	}))
	return found
}

// TestNobodyElseReads looks for names and contents of a drive in everything
// that leaves it: node folders, ledger, outbox, cache, logs, what the control
// socket says, temporary files, and what the kernel tells of the process.
func TestNobodyElseReads(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"-v", "-vv"} {
		t.Run(level, func(t *testing.T) {
			d := newDriveIn(t, shortDir(t))
			temp := filepath.Join(filepath.Dir(d.home), "tmp")
			must(t, os.Mkdir(temp, 0o700))
			d.env = []string{"TMPDIR=" + temp}
			d.mount(level)
			stored := plant(t, d.mnt, "stored")
			d.sync()
			d.umount()
			d.forgetLocal()
			d.mount(level)
			if _, err := os.ReadFile(d.path(stored.names[0], stored.names[1])); err != nil { // fills the cache
				t.Fatal(err)
			}
			d.stopNodes(10)
			staged := plant(t, d.mnt, "staged") // which goes no further than the outbox
			d.waitOutbox()
			all := append(slices.Clone(stored.contents), staged.contents...)
			names := append(slices.Clone(stored.names), staged.names...)
			dir := filepath.Dir(d.home)
			for _, found := range search(t, d.home, append(slices.Clone(all), names...), holders...) {
				t.Errorf("in the home: %s", found)
			}
			if len(search(t, d.home, all)) == 0 {
				t.Error("the search finds nothing in staging and index either")
			}
			logged := all
			if level == "-v" { // names may stand in the log of every operation
				logged = append(slices.Clone(all), names...)
			}
			for _, found := range search(t, dir, logged, "home", "mnt") {
				t.Errorf("beside the home: %s", found)
			}
			log, err := os.ReadFile(filepath.Join(dir, "daemon.log"))
			if err != nil || level == "-vv" && !bytes.Contains(log, []byte(stored.names[1])) {
				t.Errorf("the log of every operation says too little: %d bytes, %v", len(log), err)
			}
			for _, found := range finds(d.told(), append(slices.Clone(all), names...)) {
				t.Errorf("outside of files: %q", found)
			}
			d.startNodes()
			d.umount()
		})
	}
}

// told gathers what the process tells by other means than files.
func (d *drive) told() []byte {
	d.t.Helper()
	var b bytes.Buffer
	for _, name := range []string{"environ", "cmdline", "comm", "status", "maps", "mountinfo"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", d.daemon.Process.Pid, name))
		if err != nil && os.Geteuid() == 0 {
			d.t.Error(err)
		}
		b.Write(text)
	}
	conn, err := net.DialTimeout("unix", filepath.Join(d.home, "control.sock"), patience)
	must(d.t, err)
	defer conn.Close()
	must(d.t, conn.SetDeadline(time.Now().Add(patience)))
	for _, op := range []string{"status", "node.list"} {
		_, err := fmt.Fprintf(conn, `{"v":1,"op":%q,"args":{}}`+"\n", op)
		must(d.t, err)
		line, err := bufio.NewReader(conn).ReadBytes('\n')
		must(d.t, err)
		b.Write(line)
	}
	if !bytes.Contains(b.Bytes(), []byte(`"certified_bytes"`)) {
		d.t.Errorf("the control socket said %s", b.Bytes())
	}
	return b.Bytes()
}

// waitOutbox waits until a sealed segment lies in the outbox, whole.
func (d *drive) waitOutbox() {
	d.t.Helper()
	waitFor(d.t, "a segment in the outbox", func() bool {
		entries, err := os.ReadDir(filepath.Join(d.home, "staging", "outbox"))
		must(d.t, err)
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !strings.HasSuffix(e.Name(), ".tmp") })
	})
}

// shortDir is a folder whose path is short enough for a socket in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "w")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// TestPlainDriveIsRead is the negative control: the same search finds the
// contents of a drive that is not sealed, in slivers and outbox, and equal
// content in the blobs of two drives. The drive says that it is plain.
func TestPlainDriveIsRead(t *testing.T) {
	t.Parallel()
	d := newDriveIn(t, shortDir(t))
	d.mustRun("init", "--plaintext")
	d.mount()
	stored := plant(t, d.mnt, "stored")
	d.sync()
	d.untilStored() // a node that was late may be the only one to get a text
	if found := search(t, filepath.Join(d.home, "network"), stored.contents); len(found) == 0 {
		t.Error("the search does not find the contents of a plain drive on its nodes")
	}
	if out := d.mustRun("status"); !strings.Contains(out, "sealed     no:") {
		t.Errorf("a plain drive does not say so:\n%s", out)
	}
	if out := d.mustRun("stat", d.path(stored.names[0])); !strings.Contains(out, "not sealed") {
		t.Errorf("a file of a plain drive does not say so:\n%s", out)
	}
	d.stopNodes(10)
	staged := plant(t, d.mnt, "staged")
	waitFor(t, "the contents of a plain drive in its outbox", func() bool { // which the first segment may not have
		return len(search(t, filepath.Join(d.home, "staging", "outbox"), staged.contents)) > 0
	})
	d.startNodes()
	d.umount()
}

// TestEqualFilesDiffer stores one content twice in a drive and once in
// another: no two of the blobs have anything in common, unless they are plain.
func TestEqualFilesDiffer(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain=%t", plain), func(t *testing.T) {
			blobs := map[string][]string{} // a cell of slivers -> the blobs that have it
			for i := range 2 {
				d := newDriveIn(t, shortDir(t))
				if d.mustRun("init", "-q"); plain {
					must(t, os.RemoveAll(d.home))
					d.mustRun("init", "-q", "--plaintext")
				}
				d.mount()
				must(t, os.WriteFile(d.path("small"), nil, 0o600))
				d.sync() // a blob that is mostly padding
				for k := range 2 - i {
					writeRandom(t, d.path(fmt.Sprint(k)), 1<<20, 77)
					d.sync()
				}
				d.umount()
				d.cells(blobs)
			}
			common := 0
			for _, in := range blobs {
				if len(in) > 1 {
					common++
				}
			}
			if plain && common < 1000 || !plain && common > 0 {
				t.Errorf("blobs of equal content have %d cells of %d in common", common, len(blobs))
			}
		})
	}
}

// cellSize divides the slots of node files.
const cellSize = 32

// cells notes for each part of a sliver, wherever it lies on the nodes, in
// which blobs it occurs.
func (d *drive) cells(blobs map[string][]string) {
	d.t.Helper()
	files, err := filepath.Glob(filepath.Join(d.home, "network", "*", "blobs", "*", "*"))
	if more, err2 := filepath.Glob(filepath.Join(d.home, "network", "*", "*", "blobs", "*", "*")); err == nil {
		files, err = append(files, more...), err2
	}
	must(d.t, err)
	if len(files) == 0 {
		d.t.Fatal("no blobs on the nodes")
	}
	for _, file := range files {
		f := openNodeFile(d.t, file)
		blob := d.home + f.blobID()
		for _, s := range f.slots { // the head tells no more: it has a hash of each
			for b := f.bytes[s.off : s.off+s.size]; len(b) >= cellSize; b = b[cellSize:] {
				cell := string(b[:cellSize])
				if strings.Count(cell, cell[:1]) == cellSize || strings.Count(cell, "\x00") > cellSize/4 {
					continue // padding
				}
				if !slices.Contains(blobs[cell], blob) {
					blobs[cell] = append(blobs[cell], blob)
				}
			}
		}
	}
}
