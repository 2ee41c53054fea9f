package integration

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A script in testdata/programs is one program, or a family of them, at work
// on a drive. It is run with bash in a folder of its own on the drive, and
// calls the functions of lib.sh. Its first lines say what it needs:
//
//	# needs: rsync setfacl
//
// What comes behind "# wants:" may be missing even where a skipped test counts as a failure.
// The function `work` does the work. The function `again`, if there is one,
// looks at it on a restored drive. A script that says `# heavy` is left to
// root, and to the long form; one that says `# long` to that alone.

// TestPrograms runs ordinary programs on a drive. What they leave there is the
// same on a drive that is restored.
func TestPrograms(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/programs/" + pattern())
	must(t, err)
	d := newDrive(t)
	d.mount()
	var done []string
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".sh")
		if name == "lib" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			tools, said := needed(t, script)
			if said["# long"] && !soak() || said["# heavy"] && os.Geteuid() != 0 && !soak() {
				t.Skip("heavy or long")
			}
			needTool(t, tools...)
			for line := range said {
				if tool, ok := strings.CutPrefix(line, "# wants: "); ok {
					if _, err := exec.LookPath(tool); err != nil {
						t.Skipf("%s is not installed", tool)
					}
				}
			}
			must(t, os.Mkdir(d.path(name), 0o755))
			d.script(t, script, "work", d.path(name))
		})
		if _, err := os.Stat(d.path(name)); err == nil {
			done = append(done, script)
		}
	}
	if t.Failed() {
		return
	}
	want := readTree(t, d.mnt)
	maps.DeleteFunc(want, func(path string, _ entry) bool { // which never leave the machine
		return filepath.Base(path) == ".DS_Store" || filepath.Base(path) == "Thumbs.db"
	})
	d.sync()
	d.umount()
	r := d.restoreCopy()
	r.mount()
	diffTrees(t, "restored", want, readTree(t, r.mnt))
	for _, script := range done {
		name := strings.TrimSuffix(filepath.Base(script), ".sh")
		t.Run(name+" again", func(t *testing.T) { r.script(t, script, "again", r.path(name)) })
	}
	r.umount()
}

// needed reads what a script says that it needs, and the comments that it has.
func needed(t *testing.T, script string) (tools []string, said map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(script)
	must(t, err)
	tools, said = []string{"bash"}, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "# needs:"); ok {
			tools = append(tools, strings.Fields(list)...)
		}
		said[strings.TrimSpace(line)] = true
	}
	return tools, said
}

// script runs a function of a script in a folder.
func (d *drive) script(t *testing.T, script, function, dir string) {
	t.Helper()
	abs, err := filepath.Abs("testdata/programs")
	must(t, err)
	temp := t.TempDir()
	must(t, os.Mkdir(filepath.Join(temp, "home"), 0o700))
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(amount(10, 60))*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", `. "$0/lib.sh"; . "$0/$1"; "$2"`, abs, filepath.Base(script), function)
	cmd.Dir = dir
	cmd.WaitDelay = patience // a program left behind may hold the output
	cmd.Env = []string{
		"LC_ALL=C", "HOME=" + filepath.Join(temp, "home"), "TEMP=" + temp, "GIT_CONFIG_NOSYSTEM=1", "DRIVE=" + d.mnt,
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/go/bin:" + filepath.Join(goRoot(), "bin") + ":" + os.Getenv("PATH"),
	}
	if soak() {
		cmd.Env = append(cmd.Env, "SOAK=1")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(script), function, err, lastLines(out.String(), 40))
	}
	t.Logf("%s %s", function, time.Since(start).Round(time.Millisecond))
}

func goRoot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// pattern picks scripts: one, if the environment names it.
func pattern() string {
	if name := os.Getenv("WALFS_TEST_PROGRAM"); name != "" {
		return name + ".sh"
	}
	return "*.sh"
}
