package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// takeoverStages are the named moments of a takeover at which a build with failpoints can kill itself.
var takeoverStages = []string{"after-take", "after-restored", "after-rebuild", "during-shelve", "after-shelve", "after-replace"}

// TestTakeoverKilled takes a drive over from home to home, and kills the takeover at each of its
// steps. The next one ends it: all that was certified is there, what was only
// staged is in lost+found with its name, and the drive goes on.
func TestTakeoverKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := newDriveIn(t, filepath.Join(dir, "a")), newDriveIn(t, filepath.Join(dir, "b"))
	a.bin = walfsBinary(t, "failpoint")
	b.bin = a.bin
	a.mustRun("init", "--nodes", "4", "--shards", "10")
	a.mount()
	must(t, os.WriteFile(a.path("first"), []byte("first"), 0o644))
	a.sync()
	a.umount()
	b.mustRun("restore", "--read-only", "--network", filepath.Join(a.home, "network"), "--key-file", filepath.Join(a.home, "key.age"),
		"--identity", filepath.Join(a.home, "identity.txt"))
	writer, other := a, b
	certified, staged := []string{"first"}, []string{}
	rounds := 1
	if soak() {
		rounds = 5
	}
	for round := range rounds {
		for i, stage := range takeoverStages {
			name := fmt.Sprintf("certified-%d-%d", round, i)
			writer.mount()
			writer.startNodes()
			must(t, os.WriteFile(writer.path(name), []byte(name), 0o644))
			writer.sync()
			certified = append(certified, name)
			writer.untilReached() // the two nodes that stay up are just enough to read
			writer.stopNodes(2)   // nothing can be stored
			name = fmt.Sprintf("staged-%d-%d", round, i)
			must(t, os.WriteFile(writer.path(name), []byte(name), 0o644))
			staged = append(staged, name)
			writer.umount()

			other.env = []string{"WALFS_FAILPOINT=" + stage}
			_, stderr, code := other.run("takeover")
			other.env = nil
			shelves := round > 0 || i > 0
			if killed := code == -1; killed != (shelves || stage != "during-shelve") {
				t.Fatalf("%s: takeover ends with %d: %s", stage, code, stderr)
			}
			_, stderr, code = other.run("takeover")
			if want := map[bool]int{true: 1, false: 0}[stage == "after-replace"]; code != want {
				t.Fatalf("%s: the next takeover ends with %d: %s", stage, code, stderr)
			}
			other.mount()
			for _, name := range certified {
				if got, err := os.ReadFile(other.path(name)); err != nil || string(got) != name {
					t.Errorf("%s: %s is %q: %v", stage, name, got, err)
				}
			}
			other.umount()
			writer, other = other, writer
		}
	}
	writer.mount()
	writer.startNodes()
	writer.sync()
	if out, stderr, code := writer.run("check", "--repair"); code != 0 {
		t.Errorf("check ends with %d: %s%s", code, out, stderr)
	}
	writer.umount()
	for _, name := range staged[:len(staged)-1] { // the last one's home was not taken over again
		if !shelved(t, name, a, b) {
			t.Errorf("%s is in no lost+found", name)
		}
	}
}

// shelved reports whether lost+found of a home holds a file with its name.
func shelved(t *testing.T, name string, homes ...*drive) bool {
	t.Helper()
	for _, d := range homes {
		notes, err := filepath.Glob(filepath.Join(d.home, "staging", "lost+found", "*.name"))
		must(t, err)
		for _, note := range notes {
			text, err := os.ReadFile(note)
			must(t, err)
			if strings.TrimSpace(string(text)) != "/"+name {
				continue
			}
			data, err := filepath.Glob(filepath.Join(d.home, "staging", "lost+found", "*.data*"))
			must(t, err)
			for _, path := range data {
				if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, []byte(name)) {
					return true
				}
			}
		}
	}
	return false
}
