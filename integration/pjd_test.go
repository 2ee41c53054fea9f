package integration

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the public POSIX suite for file systems, pjdfstest, checks operation by
// operation is written here as scripts, see stage. Each runs on the mount and
// in a folder of ext4: an expectation that ext4 does not meet is wrong, and what
// a script leaves behind has to be the same on both.

// script is a case.
type script struct{ name, text string }

// needsRoot reports whether only root can run a script: other users' calls,
// other owners, devices, mounts.
func (c *script) needsRoot() bool {
	for _, sign := range []string{"@", "chown ", "bindmount", " block ", " char ", "mknod", "trusted."} {
		if strings.Contains(c.text, sign) {
			return true
		}
	}
	return false
}

// asOneUser leaves the calls of other users out. What is refused then is
// refused by the plain folder too.
func (c *script) asOneUser() script {
	one := script{name: c.name}
	for text := range strings.Lines(c.text) {
		text = strings.TrimLeft(text, " \t?")
		if text = strings.TrimSpace(text); text != "" && text[0] != '@' {
			one.text += "?" + text + "\n"
		}
	}
	return one
}

// pjdScripts are all cases, by operation.
func pjdScripts() map[string][]script {
	return map[string][]script{
		"paths": pathScripts(), "chmod": chmodScripts(), "chown": chownScripts(), "create": createScripts(), "link": linkScripts(),
		"open": openScripts(), "rename": renameScripts(), "remove": removeScripts(), "sticky": stickyScripts(), "rights": rightsScripts(),
		"size": sizeScripts(), "times": timeScripts(), "setid": setidScripts(), "xattr": xattrScripts(), "sparse": sparseScripts(),
	}
}

// TestPJD runs all scripts as root on a mount for all users.
func TestPJD(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the scripts act as several users; see TestPJDAsUser")
	}
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.opts = []string{"-o", "allow_other,dev,suid"}
	d.mount()
	runScripts(t, d.mnt, ext4Folder(t))
	d.checkLeft()
}

// TestStageLetsGo mounts a disk before a stage is made: the stage does not hold it.
func TestStageLetsGo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root's stages have mounts of their own")
	}
	dir := t.TempDir()
	disk, own := filepath.Join(dir, "disk"), filepath.Join(dir, "own")
	for _, at := range []string{disk, own} {
		must(t, os.Mkdir(at, 0o755))
		must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=1m"))
		t.Cleanup(func() { unmount(t, at) })
	}
	s := newStage(t, own, true)
	defer s.close()
	var table []byte
	var err error
	must(t, s.do(func() { table, err = os.ReadFile("/proc/thread-self/mounts") }))
	must(t, err)
	if strings.Contains(string(table), " "+disk+" ") {
		t.Error("the stage holds the disk of another test")
	}
	if !strings.Contains(string(table), " "+own+" ") {
		t.Error("the stage has lost its own disk")
	}
}

// checkLeft compares what the scripts left behind after a mount with nothing local, and after a restore.
func (d *drive) checkLeft() {
	d.t.Helper()
	want := readTree(d.t, d.mnt)
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(d.t, "mounted again", want, readTree(d.t, d.mnt))
	d.umount()
	r := d.restoreCopy()
	r.opts = d.opts
	r.mount()
	diffTrees(d.t, "restored", want, readTree(d.t, r.mnt))
	r.umount()
	d.t.Logf("%d files and folders were compared", len(want))
}

// TestPJDOwn runs the scripts as one user.
func TestPJDOwn(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("for TestPJDAsUser")
	}
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mount()
	reference := t.TempDir()
	defer openAll(t, reference)
	runScripts(t, d.mnt, reference)
	d.umount()
}

// openAll makes a folder one that its owner can remove.
func openAll(t *testing.T, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() && err == nil {
			return os.Chmod(path, 0o700) // before it is read
		}
		return nil
	}))
}

// TestPJDAsUser runs them as an ordinary user, who mounts through fusermount3.
func TestPJDAsUser(t *testing.T) {
	t.Parallel()
	asOrdinaryUser(t, "^TestPJDOwn$")
}

// ext4Folder gives a folder of ext4 for the time of the test.
func ext4Folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	if st.Type != unix.EXT4_SUPER_MAGIC {
		return smallDisk(t, 200).mnt
	}
	return dir
}

func runScripts(t *testing.T, mnt, reference string) {
	t.Helper()
	mount, plain := newStage(t, mnt, false), newStage(t, reference, true)
	defer mount.close()
	defer plain.close()
	groups := pjdScripts()
	seed, rounds := uint64(time.Now().UnixNano()), 30
	if soak() {
		rounds = 3000
	}
	if given := os.Getenv("WALFS_SEED"); given != "" {
		seed, rounds = uint64(number(given)), max(rounds, 1500)
	}
	groups["random"] = randomScripts(seed, rounds)
	only := os.Getenv("WALFS_PJD")
	cases, calls := 0, 0
	if os.Geteuid() != 0 && !soak() {
		delete(groups, "rights") // which are about other users
		delete(groups, "sticky")
	}
	for _, group := range sortedKeys(groups) {
		begin, before := time.Now(), calls
		for i, c := range groups[group] {
			name := group + "/" + c.name
			if !strings.Contains(name, only) || os.Geteuid() != 0 && !soak() && i%3 != 0 {
				continue
			}
			c.name = name
			if os.Geteuid() != 0 && c.needsRoot() {
				c = c.asOneUser()
			}
			cases++
			calls += runScript(t, c, mount, plain)
		}
		t.Logf("%s: %d calls in %s", group, calls-before, time.Since(begin).Round(time.Millisecond))
	}
	if cases == 0 {
		t.Error("no case")
	}
	t.Logf("%d cases, %d calls", cases, calls)
}

// runScript runs a script on both stages and returns how many calls it has.
func runScript(t *testing.T, c script, mount, plain *stage) int {
	t.Helper()
	lines, want, err := plain.run(c.name, c.text)
	must(t, err)
	_, got, err := mount.run(c.name, c.text)
	must(t, err)
	var wrong []string
	for i, l := range lines {
		switch {
		case !l.any && want[i] != l.want:
			wrong = append(wrong, fmt.Sprintf("the case is wrong: %s: ext4 says %q", l.text, want[i]))
		case got[i] != want[i]:
			wrong = append(wrong, fmt.Sprintf("%s: got %q, want %q", l.text, got[i], want[i]))
		}
	}
	if got, want := got[len(lines):], want[len(lines):]; !slices.Equal(got, want) {
		wrong = append(wrong, fmt.Sprintf("left behind:\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t")))
	}
	if len(wrong) > 0 {
		t.Errorf("%s:\n%s", c.name, strings.Join(wrong, "\n"))
		if strings.HasPrefix(c.name, "random/") {
			t.Logf("the script:\n%s", c.text)
		}
	}
	return len(lines)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// types are the types of files that an entry may have.
var types = []string{"file", "dir", "fifo", "block", "char", "socket", "symlink"}

// notDirs are those that have no entries.
var notDirs = slices.DeleteFunc(slices.Clone(types), func(kind string) bool { return kind == "dir" })

// some are all of a list in the long form, and the first n otherwise.
func some(n int, list ...string) []string {
	if soak() {
		return list
	}
	return list[:n]
}

// each makes a case of a text for each word, which stands for TYPE.
func each(name, text string, words ...string) []script {
	var all []script
	for _, word := range words {
		all = append(all, script{name + " " + word, strings.ReplaceAll(text, "TYPE", word)})
	}
	return all
}
